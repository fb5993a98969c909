//! What this process counts, for Prometheus (`GET /metrics`, in its OpenMetrics text format).
//!
//! What happens is counted where it happens; what is there is read when somebody asks. Labels are
//! few: runs and tasks never are labels, and of DAGs only so many have a name of their own.

use crate::daemon::clock;
use crate::daemon::database::Database;
use crate::daemon::stream_metrics;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use tidemill_model::{RunState, TaskState, Ts};
use tidemill_store::{
    Answer, Command, CommandDoor, PoolState, RunRow, StoreError, StreamDoor, TaskRow,
};

/// DAGs that have a label of their own; the others share [`OTHER_DAGS`].
const DAG_LABELS_MAX: usize = 1_000;
const OTHER_DAGS: &str = "~other";
/// The unit of processor time in proc(5), on every machine that Linux is common on.
const TICKS_PER_SECOND: f64 = 100.0;

type Labels = Vec<(&'static str, String)>;
type Counts = Family<Labels, Counter>;
type Gauges = Family<Labels, Gauge>;
type Times = Family<Labels, Histogram, fn() -> Histogram>;

/// The counts of one process.
pub struct Metrics {
    registry: Registry,
    dag_labels: Mutex<HashSet<String>>,
    is_leader: Gauge,
    heartbeat: Gauge<f64, AtomicU64>,
    passes: Histogram,
    runs_finished: Counts,
    run_durations: Times,
    tasks_finished: Counts,
    task_durations: Times,
    retries: Counter,
    lost: Counter,
    stale_reports: Counter,
}

/// A tenth of a millisecond to a minute: passes.
fn short_times() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 3.0, 13))
}

/// Ten milliseconds to a day: tasks and runs.
fn long_times() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 4.0, 13))
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::default(),
            dag_labels: Mutex::default(),
            is_leader: Gauge::default(),
            heartbeat: Gauge::default(),
            passes: short_times(),
            runs_finished: Counts::default(),
            run_durations: Times::new_with_constructor(long_times),
            tasks_finished: Counts::default(),
            task_durations: Times::new_with_constructor(long_times),
            retries: Counter::default(),
            lost: Counter::default(),
            stale_reports: Counter::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION").to_string())]);
        let registry = &mut self.registry;
        registry.register("tidemill_build", "The program", build);
        let is_leader = self.is_leader.clone();
        registry.register(
            "tidemill_scheduler_is_leader",
            "1 where this process is the scheduler",
            is_leader,
        );
        let heartbeat = self.heartbeat.clone();
        registry.register_with_unit(
            "tidemill_scheduler_heartbeat_timestamp",
            "When the scheduler's loop last went round",
            Unit::Seconds,
            heartbeat,
        );
        let passes = self.passes.clone();
        registry.register_with_unit(
            "tidemill_scheduler_loop_duration",
            "Passes of the scheduler, from their first row to what follows their commit",
            Unit::Seconds,
            passes,
        );
        registry.register(
            "tidemill_dag_runs_finished",
            "Runs that have ended",
            self.runs_finished.clone(),
        );
        registry.register_with_unit(
            "tidemill_dag_run_duration",
            "Runs, from their start to their end",
            Unit::Seconds,
            self.run_durations.clone(),
        );
        registry.register(
            "tidemill_tasks_finished",
            "Task instances that have ended",
            self.tasks_finished.clone(),
        );
        registry.register_with_unit(
            "tidemill_task_duration",
            "Attempts, from their start to their end",
            Unit::Seconds,
            self.task_durations.clone(),
        );
        registry.register(
            "tidemill_task_retries",
            "Attempts that failed and are tried again",
            self.retries.clone(),
        );
        registry.register(
            "tidemill_tasks_lost",
            "Attempts that are gone with their worker",
            self.lost.clone(),
        );
        registry.register(
            "tidemill_stale_reports",
            "Claims and ends of attempts that were not the current one: they changed nothing",
            self.stale_reports.clone(),
        );
    }

    /// The scheduler's loop has gone round.
    pub fn went_round(&self) {
        self.is_leader.set(1);
        self.heartbeat.set(seconds(clock::now()));
    }

    /// A pass has taken so long.
    pub fn passed(&self, took: std::time::Duration) {
        self.passes.observe(took.as_secs_f64());
    }

    /// A report changed nothing.
    pub fn stale_report(&self) {
        self.stale_reports.inc();
    }

    /// An attempt is gone.
    pub fn lost(&self) {
        self.lost.inc();
    }

    /// A run has ended.
    pub fn run_ended(&self, dag_id: &str, row: &RunRow) {
        let labels = vec![
            ("dag_id", self.dag_label(dag_id)),
            ("state", row.state.to_string()),
            ("run_type", row.run_type.to_string()),
        ];
        self.runs_finished.get_or_create(&labels).inc();
        if let (Some(began), Some(ended)) = (row.started_at, row.ended_at) {
            let labels = vec![("state", row.state.to_string())];
            let took = ended.since(began).as_secs_f64();
            self.run_durations.get_or_create(&labels).observe(took);
        }
    }

    /// The row of an instance has been written.
    pub fn task_written(&self, dag_id: &str, operator: &'static str, row: &TaskRow) {
        match row.state {
            TaskState::UpForRetry => {
                self.retries.inc();
            }
            TaskState::Success
            | TaskState::Failed
            | TaskState::Skipped
            | TaskState::UpstreamFailed => {
                let labels = vec![
                    ("dag_id", self.dag_label(dag_id)),
                    ("operator", operator.to_string()),
                    ("state", row.state.to_string()),
                ];
                self.tasks_finished.get_or_create(&labels).inc();
                if let (Some(began), Some(ended)) = (row.started_at, row.ended_at) {
                    let labels = vec![("operator", operator.to_string())];
                    let took = ended.since(began).as_secs_f64();
                    self.task_durations.get_or_create(&labels).observe(took);
                }
            }
            _ => {}
        }
    }

    fn dag_label(&self, dag_id: &str) -> String {
        let mut known = self
            .dag_labels
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if known.contains(dag_id) {
            return dag_id.to_string();
        }
        if known.len() >= DAG_LABELS_MAX {
            return OTHER_DAGS.to_string();
        }
        known.insert(dag_id.to_string());
        dag_id.to_string()
    }

    /// The text for Prometheus: what was counted, and what is there now.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn text(
        &self,
        database: &Database,
        commands: &CommandDoor,
        streams: &StreamDoor,
    ) -> Result<String, StoreError> {
        let mut there = there_now(database, commands).await?;
        stream_metrics::register(&mut there, database, streams).await?;
        let mut text = String::new();
        let written = encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &there))
            .and_then(|()| encode_eof(&mut text));
        written.map_err(|_| StoreError::Unreadable {
            what: "the metrics cannot be written as text".to_string(),
        })?;
        Ok(text)
    }
}

fn seconds(at: Ts) -> f64 {
    at.0 as f64 / 1e6
}

/// Gauges of this moment. They are made anew each time, so what is gone leaves no series behind.
async fn there_now(database: &Database, commands: &CommandDoor) -> Result<Registry, StoreError> {
    let mut registry = Registry::default();
    runs(&mut registry, database).await?;
    workers(&mut registry, database).await?;
    // A process that is not the scheduler knows no slots.
    if let Ok(Answer::Pools(found)) = commands(Command::Pools).await {
        pools(&mut registry, &found);
    }
    process(&mut registry);
    Ok(registry)
}

async fn runs(registry: &mut Registry, database: &Database) -> Result<(), StoreError> {
    let runs = Gauges::default();
    let mut counts: BTreeMap<RunState, i64> =
        RunState::ALL.iter().map(|state| (*state, 0)).collect();
    for (_, state, n) in database.pages.run_counts().await? {
        *counts.entry(state).or_default() += n;
    }
    for (state, n) in counts {
        runs.get_or_create(&vec![("state", state.to_string())])
            .set(n);
    }
    registry.register("tidemill_dag_runs", "Runs by state", runs);
    let files = Gauge::<i64>::default();
    let dags = database.pages.dags().await?;
    files.set(dags.iter().filter(|dag| !dag.is_stale).count() as i64);
    registry.register("tidemill_dag_files", "DAGs whose file is there", files);
    let errors = Gauge::<i64>::default();
    errors.set(database.pages.import_errors().await?.len() as i64);
    registry.register("tidemill_dag_import_errors", "Files with mistakes", errors);
    Ok(())
}

async fn workers(registry: &mut Registry, database: &Database) -> Result<(), StoreError> {
    let Some(dispatch) = &database.dispatch else {
        return Ok(());
    };
    let slots = Gauges::default();
    let seen = Family::<Labels, Gauge<f64, AtomicU64>>::default();
    for worker in dispatch.workers().await? {
        let labels = vec![("worker", worker.worker.to_string())];
        slots.get_or_create(&labels).set(i64::from(worker.slots));
        seen.get_or_create(&labels).set(seconds(worker.seen_at));
    }
    registry.register(
        "tidemill_worker_slots",
        "Attempts that a worker takes at once",
        slots,
    );
    registry.register_with_unit(
        "tidemill_worker_heartbeat_timestamp",
        "When a worker last renewed its lease",
        Unit::Seconds,
        seen,
    );
    Ok(())
}

fn pools(registry: &mut Registry, found: &[PoolState]) {
    let slots = Gauges::default();
    for pool in found {
        let n = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        for (kind, n) in [
            ("open", pool.n_open()),
            ("running", n(pool.n_running)),
            ("queued", n(pool.n_waiting)),
            ("deferred", n(pool.n_deferred)),
        ] {
            let labels = vec![("pool", pool.pool.name.clone()), ("kind", kind.to_string())];
            slots.get_or_create(&labels).set(n);
        }
    }
    registry.register(
        "tidemill_pool_slots",
        "Slots of pools; -1 open ones where there is no limit",
        slots,
    );
}

/// The customary metrics of a process.
fn process(registry: &mut Registry) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let words: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    let word = |at: usize| words.get(at).and_then(|word| word.parse::<f64>().ok());
    if let (Some(user), Some(system)) = (word(11), word(12)) {
        let used = ConstCounter::new((user + system) / TICKS_PER_SECOND);
        registry.register_with_unit(
            "process_cpu",
            "Processor time, without its children",
            Unit::Seconds,
            used,
        );
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|rest| rest.split_whitespace().next()?.parse::<i64>().ok());
    if let Some(kib) = kib {
        let resident = Gauge::<i64>::default();
        resident.set(kib * 1024);
        registry.register_with_unit(
            "process_resident_memory",
            "Resident memory",
            Unit::Bytes,
            resident,
        );
    }
    let open = Gauge::<i64>::default();
    open.set(std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as i64);
    registry.register("process_open_fds", "Open descriptors", open);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn very_many_dags_share_a_label() {
        let metrics = Metrics::new();
        for number in 0..10_000 {
            metrics.dag_label(&format!("dag {number}"));
        }
        assert_eq!(metrics.dag_label("dag 7"), "dag 7");
        assert_eq!(metrics.dag_label("dag 9999"), OTHER_DAGS);
    }
}

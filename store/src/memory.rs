//! The reference store, in memory.
//!
//! It holds plain maps behind one lock and says by example what the other stores must do: the
//! conformance suite compares them with it. A run without a server uses it too. What it holds
//! ends with the process.

mod alert;
mod assets;
mod forget;
mod outside;
mod pages;
mod pass;
mod span;
mod stream;
mod told;
mod wish;
mod worker;

use crate::forget::Forgotten;
use crate::record::*;
use crate::{AssetEventRow, AssetRow, BackfillDate, BackfillRow, EngineStore, StoreError};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tidemill_model::{AssetNo, BackfillNo, DagNo, EventNo, MapIndex, RunNo, TaskNo, Ts, VersionNo};

/// How many of the newest changes every store keeps at least.
pub const CHANGES_KEPT: i64 = 100_000;

/// A store forgets old changes when a change with a multiple of this number is written, so that
/// the work is spread and stays bounded.
pub const CHANGES_TRIMMED_EVERY: i64 = 1_000;

/// A store that holds everything in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: Mutex<Tables>,
}

type TaskKey = (RunNo, TaskNo, MapIndex);

#[derive(Debug, Default)]
struct Tables {
    term: i64,
    last_run: i64,
    dags: BTreeMap<DagNo, DagRecord>,
    versions: BTreeMap<VersionNo, VersionRecord>,
    task_names: BTreeMap<DagNo, BTreeMap<TaskNo, String>>,
    runs: BTreeMap<RunNo, RunRow>,
    tasks: BTreeMap<TaskKey, TaskRow>,
    tries: BTreeMap<(TaskKey, i32, i64), TryRow>,
    values: BTreeMap<(TaskKey, String), serde_json::Value>,
    changes: BTreeMap<i64, Change>,
    import_errors: BTreeMap<String, ImportErrors>,
    pools: BTreeMap<String, PoolRecord>,
    notes: BTreeMap<TaskKey, TaskNote>,
    exchange: worker::Exchange,
    outside: outside::Outside,
    streams: stream::Streams,
    spans: span::Spans,
    alerts: alert::Alerts,
    wishes: wish::Wishes,
    backfills: BTreeMap<BackfillNo, BackfillRow>,
    backfill_dates: BTreeMap<(BackfillNo, Ts), BackfillDate>,
    assets: BTreeMap<AssetNo, AssetRow>,
    asset_events: BTreeMap<EventNo, AssetEventRow>,
    deliveries: BTreeMap<(DagNo, EventNo), Option<RunNo>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// The tables. They are whole even after a panic elsewhere: a pass is checked before it is
    /// applied, and applying cannot fail.
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pass that breaks a rule of the tables is refused whole, as a database would.
fn refused(why: impl Into<String>) -> StoreError {
    StoreError::Unavailable {
        what: "in memory".to_string(),
        err: why.into().into(),
    }
}

impl Tables {
    fn dag_named(&self, dag_id: &str) -> Option<&DagRecord> {
        self.dags.values().find(|dag| dag.dag_id == dag_id)
    }

    fn tasks_of(&self, run: RunNo) -> Vec<TaskRow> {
        let first = (run, TaskNo(i32::MIN), MapIndex(i32::MIN));
        self.tasks
            .range(first..)
            .take_while(|(key, _)| key.0 == run)
            .map(|(_, task)| task.clone())
            .collect()
    }

    fn values_of(&self, run: RunNo, wanted: impl Fn(TaskNo) -> bool) -> Vec<ValueRow> {
        let first = ((run, TaskNo(i32::MIN), MapIndex(i32::MIN)), String::new());
        let of_run = self
            .values
            .range(first..)
            .take_while(|((key, _), _)| key.0 == run);
        of_run
            .filter(|((key, _), _)| wanted(key.1))
            .map(|(((run, task_no, map_index), key), value)| ValueRow {
                run: *run,
                task_no: *task_no,
                map_index: *map_index,
                key: key.clone(),
                value: value.clone(),
            })
            .collect()
    }

    /// The run that stands in the way of one with this key: of the same cause first, for that is
    /// the same run asked for again; then of the same name, then about the same instant.
    fn conflicting(&self, dag: DagNo, key: &RunKey) -> Option<&RunRow> {
        let of_dag = || self.runs.values().filter(move |run| run.dag == dag);
        of_dag()
            .find(|run| run.cause.is_some() && run.cause == key.cause)
            .or_else(|| of_dag().find(|run| run.run_id == key.run_id))
            .or_else(|| {
                of_dag()
                    .find(|run| run.logical_date.is_some() && run.logical_date == key.logical_date)
            })
    }

    /// Numbers for task names: known names keep theirs, new ones get the next.
    fn number_tasks(&mut self, dag: DagNo, task_ids: &[String]) -> Vec<TaskNo> {
        let names = self.task_names.entry(dag).or_default();
        let mut by_name: BTreeMap<String, TaskNo> =
            names.iter().map(|(no, id)| (id.clone(), *no)).collect();
        let mut next = names.keys().next_back().map_or(1, |last| last.0 + 1);
        let mut numbers = Vec::with_capacity(task_ids.len());
        for task_id in task_ids {
            let number = *by_name.entry(task_id.clone()).or_insert_with(|| {
                let number = TaskNo(next);
                next += 1;
                names.insert(number, task_id.clone());
                number
            });
            numbers.push(number);
        }
        numbers
    }

    fn put_version(&mut self, new: &NewVersion) -> StoredVersion {
        let known = self.dag_named(&new.dag_id).cloned();
        let dag = known
            .as_ref()
            .map_or_else(|| DagNo(self.dags.len() as i64 + 1), |dag| dag.dag);
        let earlier = self
            .versions
            .values()
            .find(|version| version.dag == dag && version.hash == new.hash);
        let is_new = earlier.is_none();
        let (version, number) = match earlier {
            Some(earlier) => (earlier.version, earlier.number),
            None => self.add_version(dag, new),
        };
        let task_nos = self.number_tasks(dag, &new.task_ids);
        let record = match known {
            Some(known) => DagRecord {
                file: new.file.clone(),
                is_stale: false,
                version,
                version_number: number,
                updated_at: if known.version == version {
                    known.updated_at
                } else {
                    new.now
                },
                ..known
            },
            None => DagRecord {
                dag,
                dag_id: new.dag_id.clone(),
                file: new.file.clone(),
                is_paused: new.paused_if_new,
                is_stale: false,
                version,
                version_number: number,
                schedule_high: None,
                next_run: None,
                updated_at: new.now,
            },
        };
        self.dags.insert(dag, record.clone());
        StoredVersion {
            dag: record,
            version,
            task_nos,
            is_new,
        }
    }

    fn add_version(&mut self, dag: DagNo, new: &NewVersion) -> (VersionNo, i64) {
        let version = VersionNo(
            self.versions
                .keys()
                .next_back()
                .map_or(1, |last| last.0 + 1),
        );
        let number = self
            .versions
            .values()
            .filter(|version| version.dag == dag)
            .count() as i64
            + 1;
        let mut files = new.files.clone();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let record = VersionRecord {
            version,
            dag,
            number,
            hash: new.hash.clone(),
            file: new.file.clone(),
            source: new.source.clone(),
            files,
            created_at: new.now,
        };
        self.versions.insert(version, record);
        (version, number)
    }

    fn open_backfills(&self) -> Vec<(BackfillRow, Vec<RunNo>)> {
        let open = self
            .backfills
            .values()
            .filter(|row| row.completed_at.is_none());
        let is_active = |run: &RunNo| !self.runs[run].state.is_terminal();
        open.map(|row| {
            let dates = self.dates_of(row.backfill);
            let mut runs: Vec<RunNo> = dates
                .filter_map(|date| date.run)
                .filter(is_active)
                .collect();
            runs.sort_unstable();
            (row.clone(), runs)
        })
        .collect()
    }

    fn dates_of(&self, backfill: BackfillNo) -> impl Iterator<Item = &BackfillDate> {
        let from = (backfill, Ts(i64::MIN))..=(backfill, Ts(i64::MAX));
        self.backfill_dates.range(from).map(|(_, date)| date)
    }

    fn load(&self) -> Loaded {
        let active = || self.runs.values().filter(|run| !run.state.is_terminal());
        let mut needed: BTreeSet<VersionNo> = active().map(|run| run.version).collect();
        needed.extend(self.dags.values().map(|dag| dag.version));
        let names = self
            .task_names
            .iter()
            .flat_map(|(dag, names)| names.iter().map(|(no, id)| (*dag, *no, id.clone())));
        Loaded {
            dags: self.dags.values().cloned().collect(),
            runs: active()
                .map(|run| (run.clone(), self.tasks_of(run.run)))
                .collect(),
            versions: needed
                .iter()
                .filter_map(|version| self.versions.get(version).cloned())
                .collect(),
            task_names: names.collect(),
            pools: self.pools.values().cloned().collect(),
            backfills: self.open_backfills(),
            assets: self.assets_by_name(),
            waiting_events: self.waiting_events(),
            last_event: self
                .asset_events
                .keys()
                .next_back()
                .map_or(0, |last| last.0),
            last_backfill: self.backfills.keys().next_back().map_or(0, |last| last.0),
            last_run: self.last_run,
            last_seq: self.changes.keys().next_back().copied().unwrap_or(0),
        }
    }
}

#[async_trait]
impl EngineStore for MemoryStore {
    async fn take_term(&self, _holder: &str, _now: Ts) -> Result<i64, StoreError> {
        let mut tables = self.lock();
        tables.term += 1;
        Ok(tables.term)
    }

    async fn load(&self) -> Result<Loaded, StoreError> {
        Ok(self.lock().load())
    }

    async fn commit_pass(&self, pass: &Pass) -> Result<(), StoreError> {
        let mut tables = self.lock();
        tables.check(pass)?;
        tables.apply(pass);
        Ok(())
    }

    async fn put_versions(
        &self,
        versions: &[NewVersion],
    ) -> Result<Vec<StoredVersion>, StoreError> {
        let mut tables = self.lock();
        Ok(versions
            .iter()
            .map(|version| tables.put_version(version))
            .collect())
    }

    async fn put_import_errors(
        &self,
        file: &str,
        errors: &[ImportError],
        now: Ts,
    ) -> Result<(), StoreError> {
        let mut tables = self.lock();
        if errors.is_empty() {
            tables.import_errors.remove(file);
        } else {
            let found = ImportErrors {
                file: file.to_string(),
                errors: errors.to_vec(),
                at: now,
            };
            tables.import_errors.insert(file.to_string(), found);
        }
        Ok(())
    }

    async fn mark_stale(&self, stale: &[DagNo], _now: Ts) -> Result<(), StoreError> {
        let mut tables = self.lock();
        for dag in stale {
            if let Some(dag) = tables.dags.get_mut(dag) {
                dag.is_stale = true;
            }
        }
        Ok(())
    }

    async fn conflicting_run(
        &self,
        dag: DagNo,
        key: &RunKey,
    ) -> Result<Option<RunRow>, StoreError> {
        Ok(self.lock().conflicting(dag, key).cloned())
    }

    async fn run_with_tasks(
        &self,
        run: RunNo,
    ) -> Result<Option<(RunRow, Vec<TaskRow>)>, StoreError> {
        let tables = self.lock();
        Ok(tables
            .runs
            .get(&run)
            .map(|row| (row.clone(), tables.tasks_of(run))))
    }

    async fn find_run(&self, dag: DagNo, run_id: &str) -> Result<Option<RunRow>, StoreError> {
        let tables = self.lock();
        Ok(tables
            .runs
            .values()
            .find(|run| run.dag == dag && run.run_id == run_id)
            .cloned())
    }

    async fn forget_runs(&self, runs: &[RunNo], rows_max: u32) -> Result<Forgotten, StoreError> {
        Ok(self.lock().forget(runs, rows_max))
    }

    async fn newest_run(&self, dag: DagNo, span: &DateSpan) -> Result<Option<RunRow>, StoreError> {
        let tables = self.lock();
        let of_dag = tables.runs.values().filter(|run| run.dag == dag);
        let inside = of_dag.filter(|run| span.has(run));
        Ok(inside.max_by_key(|run| run.logical_date).cloned())
    }

    async fn has_earlier_task(
        &self,
        dag: DagNo,
        task: TaskNo,
        before: Ts,
    ) -> Result<bool, StoreError> {
        let tables = self.lock();
        let is_earlier = |run: &&RunRow| run.logical_date.is_some_and(|at| at < before);
        let mut earlier = tables.runs.values().filter(|run| run.dag == dag);
        let has_row = |run: &RunRow| {
            tables
                .tasks_of(run.run)
                .iter()
                .any(|row| row.task_no == task)
        };
        Ok(earlier.any(|run| is_earlier(&run) && has_row(run)))
    }
}

//! How long it takes to start a task, from a small process and from one that holds much memory:
//! with Tidemill's worker, whose supervisor stays small, and with a plain fork.
#![allow(unsafe_code, reason = "a fork without vfork is only to be had so")]

use crate::Options;
use crate::contest::middle;
use crate::report::Report;
use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidemill_executor::operator::Operators;
use tidemill_executor::{AttemptSpec, Worker, WorkerOptions};
use tidemill_model::attempt::Verdict;
use tidemill_model::{Attempt, Dag, Epoch, MapIndex, RunNo, TaskIndex, TaskNo, Ts};
use tidemill_template::Facts;

/// Tasks of one round, one after another.
const TASKS: i64 = 200;
/// Nothing here takes nearly as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// All of it.
pub fn run(options: &Options, scratch: &Path, report: &mut Report) -> Result<()> {
    let loaded = tidemill_dagfile::load(
        b"[tasks.t]\nshell = { interpreter = ['sh', '-c'], command = 'true' }\n",
        "bench",
    );
    let dag = Arc::new(loaded.dag.context("the DAG of the bench is wrong")?);
    let home = scratch.join("spawn");
    let mut lane = Lane {
        worker: worker(options, &home)?,
        dag,
        folder: home,
        next: 0,
    };
    let gib = options.spawn_gib.min(room_gib());
    report.section(&format!(
        "starting `sh -c true`, {TASKS} one after another, small and with {gib} GiB in memory"
    ));
    let (task, fork) = (lane.median(options.rounds)?, forks(options.rounds)?);
    report.row("tidemill, small", task * 1000.0, "ms/task");
    report.row("fork and exec, small", fork * 1000.0, "ms/task");
    let ballast = vec![1u8; usize::try_from(gib << 30)?];
    let (task_big, fork_big) = (lane.median(options.rounds)?, forks(options.rounds)?);
    std::hint::black_box(&ballast);
    report.row("tidemill, large", task_big * 1000.0, "ms/task");
    report.row("fork and exec, large", fork_big * 1000.0, "ms/task");
    report.row("tidemill, large / small", task_big / task, "x");
    report.row("fork and exec, large / small", fork_big / fork, "x");
    Ok(())
}

/// What may be taken without pushing others out, in GiB; at least one.
fn room_gib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    (kib.unwrap_or(0) * 6 / 10 / (1 << 20)).max(1)
}

fn worker(options: &Options, home: &Path) -> Result<Worker> {
    let options = WorkerOptions {
        home: home.to_path_buf(),
        slots: 1,
        env_passthrough: Vec::new(),
        kill_grace: Duration::from_secs(5),
        lease: Duration::from_secs(3600),
        log_bytes_max: 1 << 20,
        keeper: None,
        operators: Operators::built_in(home, Default::default()),
        supervisor_program: Some(options.tidemill.clone()),
    };
    Ok(Worker::start(options, Duration::ZERO)?)
}

struct Lane {
    worker: Worker,
    dag: Arc<Dag>,
    folder: std::path::PathBuf,
    next: i64,
}

impl Lane {
    /// Seconds of one task.
    fn median(&mut self, rounds: usize) -> Result<f64> {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let begin = Instant::now();
            for _ in 0..TASKS {
                self.one()?;
            }
            times.push(begin.elapsed().as_secs_f64() / TASKS as f64);
        }
        Ok(middle(times))
    }

    fn one(&mut self) -> Result<()> {
        self.next += 1;
        let number = self.next;
        self.worker.launch(spec(&self.dag, &self.folder, number));
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(ended) = self.worker.ended().pop() {
                if ended.outcome.verdict != Verdict::Success {
                    bail!("void: a task ended with {:?}", ended.outcome);
                }
                return Ok(());
            }
            if Instant::now() > until {
                bail!("void: a task did not end");
            }
            let fds = self.worker.wake_fds();
            let mut polled: Vec<_> = fds
                .iter()
                .map(|fd| PollFd::new(fd, PollFlags::IN))
                .collect();
            let wait = Timespec::try_from(Duration::from_secs(1))?;
            let _ = poll(&mut polled, Some(&wait)); // a signal may have come between
        }
    }
}

fn spec(dag: &Arc<Dag>, folder: &Path, number: i64) -> AttemptSpec {
    let facts = Facts {
        dag_id: dag.id.clone(),
        timezone: "UTC".to_string(),
        run_id: "bench".to_string(),
        run_type: "manual".to_string(),
        logical_date: Some(Ts(0)),
        data_interval_start: None,
        data_interval_end: None,
        run_after: None,
        run_started_at: None,
        params: Default::default(),
        conf: Default::default(),
        task_id: "t".to_string(),
        try_number: 1,
        map_index: -1,
        map: Default::default(),
        tasks: BTreeMap::new(),
        trigger: None,
        run_dir: String::new(),
        result: None,
        asset_events: Default::default(),
        looked_up: Default::default(),
        own: Default::default(),
        found: Arc::default(),
    };
    AttemptSpec {
        attempt: Attempt {
            run: RunNo(number),
            task_no: TaskNo(1),
            map_index: MapIndex::NONE,
            epoch: Epoch(1),
        },
        dag: Arc::clone(dag),
        task: TaskIndex(0),
        kept: BTreeMap::new(),
        run_started_at: Ts(0),
        now: Ts(0),
        facts,
        log: folder.join(format!("{number}.log")),
        dag_dir: folder.to_path_buf(),
        run_dir: folder.join("run"),
    }
}

/// Seconds of one fork from this process, with what follows it.
fn forks(rounds: usize) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..rounds {
        let begin = Instant::now();
        for _ in 0..TASKS {
            let mut command = Command::new("sh");
            command.args(["-c", "true"]);
            // SAFETY: the closure does nothing; it only keeps the standard library from vfork.
            unsafe { command.pre_exec(|| Ok(())) };
            if !command.status()?.success() {
                bail!("void: `sh -c true` failed");
            }
        }
        times.push(begin.elapsed().as_secs_f64() / TASKS as f64);
    }
    Ok(middle(times))
}

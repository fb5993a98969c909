//! A worker in a folder of its own, and tasks for it.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    reason = "shared by tests, which may panic"
)]

pub mod asking;
mod definitions;
pub mod http_server;

pub use definitions::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tidemill_executor::{Worker, WorkerOptions};
use tidemill_log::LogLine;
use tidemill_model::{Attempt, Outcome, Task};

/// Nothing here takes nearly as long.
pub const LONG: Duration = Duration::from_secs(60);

pub fn options(home: &Path) -> WorkerOptions {
    let mut options = definitions::options(home);
    options.supervisor_program = Some(env!("CARGO_BIN_EXE_supervise_for_tests").into());
    options
}

pub struct Place {
    pub folder: tempfile::TempDir,
    pub worker: Worker,
}

impl Place {
    pub fn new() -> Place {
        Place::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut WorkerOptions)) -> Place {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("dag")).unwrap();
        let mut options = options(&folder.path().join("home"));
        change(&mut options);
        let worker = Worker::start(options, Duration::ZERO).unwrap();
        Place { folder, worker }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a task; its log is `NUMBER.log`.
    pub fn launch(&mut self, task: Task) -> Attempt {
        let spec = spec(self.folder.path(), task);
        let attempt = spec.attempt;
        self.worker.launch(spec);
        attempt
    }

    /// Runs a task to its end.
    pub fn run(&mut self, task: Task) -> (Outcome, Vec<LogLine>) {
        let attempt = self.launch(task);
        let outcome = self.outcome(attempt);
        (outcome, self.log(attempt))
    }

    pub fn run_shell(&mut self, command: &str) -> (Outcome, Vec<LogLine>) {
        self.run(shell(command))
    }

    /// Waits for an attempt's end.
    pub fn outcome(&mut self, attempt: Attempt) -> Outcome {
        let mut outcomes = self.outcomes(1);
        assert!(outcomes.contains_key(&attempt), "another attempt ended");
        outcomes.remove(&attempt).unwrap()
    }

    /// Waits for the ends of so many attempts.
    pub fn outcomes(&mut self, n: usize) -> BTreeMap<Attempt, Outcome> {
        let mut outcomes = BTreeMap::new();
        let until = Instant::now() + LONG;
        while outcomes.len() < n {
            assert!(
                Instant::now() < until,
                "{} of {n} attempts ended",
                outcomes.len()
            );
            wait_for_news(&self.worker, Duration::from_secs(1));
            outcomes.extend(
                self.worker
                    .ended()
                    .into_iter()
                    .map(|end| (end.attempt, end.outcome)),
            );
        }
        outcomes
    }

    pub fn log(&self, attempt: Attempt) -> Vec<LogLine> {
        tidemill_log::tail(&self.log_path(attempt), 1_000_000).unwrap()
    }

    pub fn log_path(&self, attempt: Attempt) -> PathBuf {
        self.folder.path().join(format!("logs/{}.log", attempt.run))
    }
}

/// Waits until something is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < until, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Processes that were started with this `TIDEMILL_ATTEMPT`.
pub fn processes_of(attempt: &str) -> Vec<i32> {
    let wanted = format!("TIDEMILL_ATTEMPT={attempt}");
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ
            .split(|&b| b == 0)
            .any(|pair| pair == wanted.as_bytes())
    })
    .collect()
}

pub fn texts(lines: &[LogLine], stream: char) -> Vec<&str> {
    lines
        .iter()
        .filter(|line| line.stream == stream)
        .map(|line| line.text.as_str())
        .collect()
}

pub fn value<'a>(outcome: &'a Outcome, key: &str) -> Option<&'a serde_json::Value> {
    outcome
        .values
        .iter()
        .find(|(name, _)| name == key)
        .map(|(_, value)| value)
}

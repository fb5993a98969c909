//! Runs one attempt of one task and says how it ended.
//!
//! Does not know the DAG's graph, retries, pools, the schedule or the store.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tidemill_model::{Attempt, Dag, Outcome, Reason, TaskIndex};
use tidemill_template::Facts;

/// One attempt to run.
pub struct AttemptSpec {
    /// Who it is.
    pub attempt: Attempt,
    /// The definition that holds its task; the executor reads that one task and the DAG's id.
    pub dag: Arc<Dag>,
    /// Which task.
    pub task: TaskIndex,
    /// What its templates see.
    pub facts: Facts,
    /// The log to write, created with the first byte.
    pub log: PathBuf,
    /// Read-only copy of the DAG's folder at the pinned version, `$TIDEMILL_DAG_DIR`.
    pub dag_dir: PathBuf,
    /// Shared by the tasks of the run, `$TIDEMILL_RUN_DIR`; made when a task that may use it starts.
    pub run_dir: PathBuf,
}

/// Settings of a worker.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// The state folder: locks, slot folders, logs.
    pub home: PathBuf,
    /// Attempts at once.
    pub slots: u32,
    /// Variables of the worker that tasks see besides `PATH HOME USER LANG LC_* TZ TMPDIR`.
    pub env_passthrough: Vec<String>,
    /// Between TERM and KILL.
    pub kill_grace: Duration,
    /// A worker that is silent towards its supervisor for so long is killed with its tasks.
    pub lease: Duration,
    /// The most that one try may log, in bytes; the rest is counted and dropped.
    pub log_bytes_max: u64,
    /// Files that hold secrets, one a file (`$TIDEMILL_SECRETS_DIR/NAME`).
    pub secrets_dir: Option<PathBuf>,
}

/// The end of an attempt.
pub struct Ended {
    /// Who.
    pub attempt: Attempt,
    /// How. Its log is complete.
    pub outcome: Outcome,
}

/// A worker could not be started or has lost its supervisor.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The home folder belongs to another worker.
    #[error("another worker still holds {lock}")]
    Locked {
        /// The lock file.
        lock: PathBuf,
    },
    /// A system call failed.
    #[error("{what}")]
    System {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        err: std::io::Error,
    },
}

/// The worker inside this process: a supervisor process that owns the tasks, and a thread that
/// owns their output.
pub struct Worker {
    options: WorkerOptions,
}

impl Worker {
    /// Starts the supervisor and the log thread. Waits until the supervisor of an earlier
    /// process in the same home has killed what it held (at most `wait`).
    ///
    /// # Errors
    /// When that wait is over, or the supervisor cannot be started.
    pub fn start(_options: WorkerOptions, _wait: Duration) -> Result<Worker, WorkerError> {
        Ok(Worker { options: _options })
    }

    /// Readable whenever [`Worker::ended`] has something to say.
    pub fn wake_fds(&self) -> Vec<BorrowedFd<'_>> {
        let _ = &self.options;
        Vec::new()
    }

    /// Starts an attempt. An attempt that cannot be started ends at once, by [`Worker::ended`].
    pub fn launch(&mut self, _spec: AttemptSpec) {}

    /// Ends an attempt's whole tree: TERM, grace, KILL. Its end is reported with `reason`.
    pub fn kill(&mut self, _attempt: Attempt, _reason: Reason) {}

    /// Kills every tree at once; used at a second SIGTERM.
    pub fn kill_all_now(&mut self) {}

    /// Attempts that have ended since the last call. Never blocks.
    pub fn ended(&mut self) -> Vec<Ended> {
        Vec::new()
    }

    /// Tells the supervisor that this process is alive; due at least every third of the lease.
    pub fn beat(&mut self) {}
}

/// The supervisor's own main function, run by the hidden first argument `supervise` before
/// anything else is started. Returns the exit status.
pub fn supervise() -> i32 {
    1
}

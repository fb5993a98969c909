//! Runs one attempt of one task and says how it ended.
//!
//! Does not know the DAG's graph, retries, pools, the schedule or the store.

mod environment;
mod expand;
mod here;
mod live;
mod lock;
mod log;
mod masked;
pub mod operator;
mod render;
mod resources;
mod slot;
mod supervisor;
mod sys;
mod user;
mod values;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tidemill_log::Keeper;
use tidemill_model::{Attempt, Dag, Outcome, TaskIndex, Ts};
use tidemill_template::Facts;

pub use supervisor::supervise;
pub use worker::Worker;

/// One attempt to run.
pub struct AttemptSpec {
    /// Who it is.
    pub attempt: Attempt,
    /// The definition that holds its task; the executor reads that one task and the DAG's id.
    pub dag: Arc<Dag>,
    /// Which task.
    pub task: TaskIndex,
    /// The present instant, for branches that look at it.
    pub now: Ts,
    /// When its run started.
    pub run_started_at: Ts,
    /// What its templates see.
    pub facts: Facts,
    /// What earlier attempts of it kept while they waited, if the last of them was lost.
    pub kept: std::collections::BTreeMap<String, serde_json::Value>,
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
    /// Packs finished logs; they stay as they are when `None`.
    pub keeper: Option<Arc<Keeper>>,
    /// What can run inside this process.
    pub operators: operator::Operators,
    /// The program whose `supervise` is the supervisor; this one when `None`.
    pub supervisor_program: Option<PathBuf>,
}

/// The end of an attempt, or the news that it waits without its slot
/// ([`tidemill_model::attempt::Verdict::Deferred`]); then its end is still to come.
#[derive(Debug)]
pub struct Ended {
    /// Who.
    pub attempt: Attempt,
    /// How. Once it has ended its log is complete.
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

//! Workers in processes of their own: what they are told, what they say, and their lease.
//!
//! A worker never writes a run or a task instance. The scheduler's pass puts an attempt into
//! `dispatch`; a claim sets its worker; a report says how it ended; and a pass applies and removes
//! both. So every state has one writer, and a worker whose time is over changes nothing.

use crate::StoreError;
use crate::record::{RunRow, VersionRecord};
use crate::told::ToldStore;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::time::Duration;
pub use tidemill_model::row::UNCLAIMED;
use tidemill_model::{
    Attempt, Epoch, MapItem, Outcome, Reason, RunNo, TaskNo, TaskState, Ts, VersionNo,
};

/// An attempt that waits for a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatch {
    /// Who it is.
    pub attempt: Attempt,
    /// The workers that may run it.
    pub queue: String,
    /// Higher is claimed first.
    pub priority: i64,
    /// The version of its definition.
    pub version: VersionNo,
    /// Its try, from 1; the log is named by it.
    pub try_number: i32,
    /// The connections and variables of the database that it needs, sealed for workers.
    pub sealed: Option<Vec<u8>>,
}

/// A wish to end an attempt that a worker holds, or that waits for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// Which.
    pub attempt: Attempt,
    /// Who holds it; [`UNCLAIMED`] when nobody did.
    pub worker: i64,
    /// Why.
    pub reason: Reason,
}

/// A worker that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewWorker {
    /// The machine it is on.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// Attempts at once.
    pub slots: u32,
    /// The queues it takes attempts from.
    pub queues: Vec<String>,
    /// Where its logs can be fetched, and the word that opens the door.
    pub logs: Option<LogDoor>,
    /// Without a renewal for so long, it counts as dead.
    pub lease: Duration,
}

/// Where a worker shows its logs. The word is a secret of the installation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogDoor {
    /// `http://host:port`, without a slash at its end.
    pub url: String,
    /// What a reader must show.
    pub token: String,
}

impl std::fmt::Debug for LogDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogDoor({})", self.url)
    }
}

/// A worker as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerRecord {
    /// Its number, never used again.
    pub worker: i64,
    /// The machine it is on.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// Attempts at once.
    pub slots: u32,
    /// Its queues.
    pub queues: Vec<String>,
    /// Where its logs can be fetched.
    pub logs: Option<LogDoor>,
    /// It finishes what it has and claims nothing more.
    pub is_draining: bool,
    /// When it began, by the store's clock.
    pub started_at: Ts,
    /// When it last renewed its lease, by the store's clock.
    pub seen_at: Ts,
}

/// What a renewal says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// Is the lease still its own? If not, its attempts are others' by now.
    pub is_alive: bool,
    /// Should it claim nothing more?
    pub is_draining: bool,
}

/// A claimed attempt, with the run that it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The attempt.
    pub attempt: Attempt,
    /// The version of its definition.
    pub version: VersionNo,
    /// Its try, from 1; the log is named by it.
    pub try_number: i32,
    /// The connections and variables of the database that it needs, sealed for workers.
    pub sealed: Option<Vec<u8>>,
    /// Is everything that was dispatched still there? What was sealed goes when a pass has taken
    /// the claim in.
    pub is_whole: bool,
    /// Its DAG's name.
    pub dag_id: String,
    /// Its run.
    pub run: RunRow,
    /// For an instance of a mapped task: what it is about.
    pub map_item: Option<Box<MapItem>>,
}

/// The end of an attempt, as its worker saw it; or that it waits, see [`while_it_waits`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// Who.
    pub attempt: Attempt,
    /// The worker that ran it.
    pub worker: i64,
    /// How.
    pub outcome: Outcome,
}

/// The name under which it is reported that an attempt waits without its slot: its epoch below
/// zero, so that its end has a report of its own. It is its own opposite.
pub const fn while_it_waits(attempt: Attempt) -> Attempt {
    Attempt {
        epoch: Epoch(-attempt.epoch.0),
        ..attempt
    }
}

/// What has come in from workers and no pass has applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arrivals {
    /// Claims: attempt and worker.
    pub claims: Vec<(Attempt, i64)>,
    /// Ends.
    pub reports: Vec<WorkerReport>,
    /// Attempts that were to be ended and that nobody had claimed: nobody will.
    pub withdrawn: Vec<Attempt>,
}

impl Arrivals {
    /// Is there nothing?
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.reports.is_empty() && self.withdrawn.is_empty()
    }
}

/// The scheduler's side. A pass writes `dispatch`, kills, and what has been applied.
#[async_trait]
pub trait DispatchStore: Send + Sync {
    /// What has come in, at most `limit` of each. It comes again until a pass has applied it.
    async fn arrivals(&self, limit: u32) -> Result<Arrivals, StoreError>;

    /// Every attempt in `dispatch`, with its worker.
    async fn dispatched(&self) -> Result<Vec<(Attempt, i64)>, StoreError>;

    /// Ends the workers whose lease is over by the store's clock, and names them. A store that
    /// was itself away within the lease ends none: they could not have renewed it.
    async fn expire_workers(&self) -> Result<Vec<i64>, StoreError>;

    /// Workers that have not ended, oldest first.
    async fn workers(&self) -> Result<Vec<WorkerRecord>, StoreError>;

    /// Tells a worker to claim nothing more, or to go on. `false` when there is no such worker.
    async fn set_draining(&self, worker: i64, is_draining: bool) -> Result<bool, StoreError>;

    /// When the scheduler last said that it is there, whichever process it is; nothing where it
    /// has not for so long that another may take its place, by the store's clock.
    async fn heartbeat(&self) -> Result<Option<Ts>, StoreError>;
}

/// The worker's side: it claims, reports, and reads what its attempts need.
#[async_trait]
pub trait WorkerStore: ToldStore {
    /// A new worker with a lease. Its number is never used again.
    async fn enter(&self, worker: &NewWorker) -> Result<i64, StoreError>;

    /// Renews the lease by the store's clock, unless it is over.
    async fn renew(&self, worker: i64) -> Result<Renewal, StoreError>;

    /// The attempts of a worker that must end. Asked as often as it likes to know.
    async fn kills(&self, worker: i64) -> Result<Vec<(Attempt, Reason)>, StoreError>;

    /// Takes at most `limit` attempts of the worker's queues. None when its lease is over or it
    /// is draining.
    async fn claim(&self, worker: i64, limit: u32) -> Result<Vec<Claim>, StoreError>;

    /// What this worker has claimed and not reported, whether a pass has taken that in or not, by
    /// attempt: asked when the answer to a claim was lost.
    async fn held(&self, worker: i64) -> Result<Vec<Claim>, StoreError>;

    /// Says how attempts ended. Saying it twice is the same as once.
    async fn report(&self, reports: &[WorkerReport]) -> Result<(), StoreError>;

    /// The definition of a version, with its files.
    async fn definition(&self, version: VersionNo) -> Result<Option<VersionRecord>, StoreError>;

    /// The states of the instances of these tasks of a run, by task and map index.
    async fn task_states(
        &self,
        run: RunNo,
        tasks: &[TaskNo],
    ) -> Result<Vec<(TaskNo, TaskState)>, StoreError>;

    /// The numbers of a DAG's tasks by name.
    async fn task_numbers(
        &self,
        dag: tidemill_model::DagNo,
    ) -> Result<Vec<(TaskNo, String)>, StoreError>;

    /// The worker is gone, in good order: what it may still hold is lost.
    async fn leave(&self, worker: i64) -> Result<(), StoreError>;
}

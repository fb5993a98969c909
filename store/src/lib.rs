//! The memory of Tidemill: what is stored, as records and verbs. No SQL stands here.
//!
//! [`EngineStore`] is what the scheduler's engine needs: it is the only writer of runs and task
//! instances. [`PageStore`] is what pages, the API and the command line read. Each backend passes
//! the suite in `store/conformance`.

pub mod alert;
pub mod answer;
pub mod asset;
pub mod backfill;
pub mod command;
pub mod fault;
pub mod forget;
pub mod hands;
pub mod memory;
pub mod outside;
pub mod record;
pub mod rows;
pub mod span;
pub mod stream;
pub mod told;
pub mod wish;
pub mod worker;

pub use alert::*;
pub use answer::{AssetState, Condition, Holder, PoolState, Touched};
pub use asset::*;
pub use backfill::{BackfillDate, BackfillRecord, BackfillRow, BackfillWish};
pub use command::{
    Answer, Command, CommandDoor, ConnectionChange, Happening, OutsideWish, PoolChange, Reach,
    Refusal, VariableChange, WhyOf,
};
pub use forget::{Forgotten, LookedAt, OldRuns};
pub use hands::*;
pub use outside::*;
pub use record::*;
pub use span::*;
pub use stream::*;
pub use told::*;
pub use wish::*;
pub use worker::*;

use async_trait::async_trait;
use tidemill_model::{
    BackfillNo, DagNo, EventNo, MapIndex, RunNo, TaskNo, TaskState, Ts, VersionNo,
};

/// A store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file or the server cannot be reached.
    #[error("the database {what} cannot be used")]
    Unavailable {
        /// Which database.
        what: String,
        /// Why.
        #[source]
        err: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another process owns it.
    #[error("another tidemill process (pid {pid}) owns {what}")]
    Owned {
        /// What is owned.
        what: String,
        /// By whom.
        pid: String,
    },
    /// The term of this process is over: somebody else is the scheduler now.
    #[error("this scheduler's term is over")]
    TermLost,
    /// The stored data is newer than this program, or not what it wrote.
    #[error("the database cannot be read: {what}")]
    Unreadable {
        /// What is wrong.
        what: String,
    },
}

/// The verbs of the engine, the single writer of runs and task instances.
#[async_trait]
pub trait EngineStore: ToldStore {
    /// Takes the scheduler's term, raising its number. `holder` names this process.
    async fn take_term(&self, holder: &str, now: Ts) -> Result<i64, StoreError>;

    /// Everything that the engine keeps in memory: read once, after taking the term.
    async fn load(&self) -> Result<Loaded, StoreError>;

    /// Writes one pass in one transaction: all of it or nothing, durable before it returns.
    async fn commit_pass(&self, pass: &Pass) -> Result<(), StoreError>;

    /// Keeps versions of DAGs in one transaction and makes each the current one of its DAG. A
    /// version with the same hash as an earlier one of that DAG is that earlier one. The answers
    /// are in the order of the versions.
    async fn put_versions(&self, versions: &[NewVersion])
    -> Result<Vec<StoredVersion>, StoreError>;

    /// Keeps one version, as [`EngineStore::put_versions`].
    async fn put_version(&self, version: &NewVersion) -> Result<StoredVersion, StoreError> {
        let stored = self.put_versions(std::slice::from_ref(version)).await?;
        stored
            .into_iter()
            .next()
            .ok_or_else(|| StoreError::Unreadable {
                what: format!("DAG `{}` has vanished", version.dag_id),
            })
    }

    /// Records what is wrong with a file; an empty list forgets it.
    async fn put_import_errors(
        &self,
        file: &str,
        errors: &[ImportError],
        now: Ts,
    ) -> Result<(), StoreError>;

    /// Marks DAGs whose file is gone; their runs stay.
    async fn mark_stale(&self, stale: &[DagNo], now: Ts) -> Result<(), StoreError>;

    /// Is there a run of this DAG with the same name, logical date or cause?
    async fn conflicting_run(&self, dag: DagNo, key: &RunKey)
    -> Result<Option<RunRow>, StoreError>;

    /// A run with its task instances, whatever its state.
    async fn run_with_tasks(
        &self,
        run: RunNo,
    ) -> Result<Option<(RunRow, Vec<TaskRow>)>, StoreError>;

    /// The run of that name.
    async fn find_run(&self, dag: DagNo, run_id: &str) -> Result<Option<RunRow>, StoreError>;

    /// Forgets those of these runs that are over, with all that belongs to them: of each kind at
    /// most `rows_max` rows at once.
    async fn forget_runs(&self, runs: &[RunNo], rows_max: u32) -> Result<Forgotten, StoreError>;

    /// The run of a DAG with the latest logical date in a span.
    async fn newest_run(&self, dag: DagNo, span: &DateSpan) -> Result<Option<RunRow>, StoreError>;

    /// Has a run of this DAG with an earlier logical date a row of this task?
    async fn has_earlier_task(
        &self,
        dag: DagNo,
        task: TaskNo,
        before: Ts,
    ) -> Result<bool, StoreError>;
}

/// What pages, the API and the command line read. Nothing here changes a run.
#[async_trait]
pub trait PageStore: Send + Sync {
    /// All DAGs by name.
    async fn dags(&self) -> Result<Vec<DagRecord>, StoreError>;

    /// One DAG.
    async fn dag(&self, dag_id: &str) -> Result<Option<DagRecord>, StoreError>;

    /// Runs, newest first.
    async fn runs(&self, filter: &RunFilter) -> Result<RunList, StoreError>;

    /// One run by name.
    async fn run(&self, dag_id: &str, run_id: &str) -> Result<Option<RunRecord>, StoreError>;

    /// One run by number.
    async fn run_by_no(&self, run: RunNo) -> Result<Option<RunRecord>, StoreError>;

    /// Looks at some runs, in the order of their numbers, and says which are old.
    async fn old_runs(&self, which: &OldRuns) -> Result<Vec<LookedAt>, StoreError>;

    /// The task instances of runs, by run, task number and map index.
    async fn tasks(&self, runs: &[RunNo]) -> Result<Vec<TaskRow>, StoreError>;

    /// One task instance.
    async fn task(
        &self,
        run: RunNo,
        task: TaskNo,
        map_index: MapIndex,
    ) -> Result<Option<TaskRow>, StoreError>;

    /// Some task instances of a run, by task number and map index: those in one of these states
    /// (all when there are none), at most `limit` after the first `offset`.
    async fn task_page(
        &self,
        run: RunNo,
        states: &[TaskState],
        offset: u32,
        limit: u32,
    ) -> Result<Vec<TaskRow>, StoreError>;

    /// How many task instances of a run are in which state.
    async fn task_counts(&self, run: RunNo) -> Result<Vec<(TaskState, i64)>, StoreError>;

    /// The earlier tries of one task instance, oldest first; the current one is its row.
    async fn tries(
        &self,
        run: RunNo,
        task: TaskNo,
        map_index: MapIndex,
    ) -> Result<Vec<TryRow>, StoreError>;

    /// The values of a run's tasks.
    async fn run_values(&self, run: RunNo) -> Result<Vec<ValueRow>, StoreError>;

    /// What people have noted on the task instances of a run.
    async fn task_notes(&self, run: RunNo) -> Result<Vec<TaskNote>, StoreError>;

    /// All backfills, newest first.
    async fn backfills(&self) -> Result<Vec<BackfillRecord>, StoreError>;

    /// The dates of a backfill that were dealt with, in order.
    async fn backfill_dates(&self, backfill: BackfillNo) -> Result<Vec<BackfillDate>, StoreError>;

    /// All assets by name.
    async fn assets(&self) -> Result<Vec<AssetRow>, StoreError>;

    /// Events of assets, newest first.
    async fn asset_events(&self, filter: &EventFilter) -> Result<EventList, StoreError>;

    /// The newest event of each asset that has one.
    async fn last_asset_events(&self) -> Result<Vec<AssetEventRow>, StoreError>;

    /// The runs that these events were part of, by event.
    async fn asset_deliveries(&self, events: &[EventNo]) -> Result<Vec<AssetDelivery>, StoreError>;

    /// All pools by name.
    async fn pools(&self) -> Result<Vec<PoolRecord>, StoreError>;

    /// Names of a DAG's tasks, of all versions, by number.
    async fn task_names(&self, dag: DagNo) -> Result<Vec<(TaskNo, String)>, StoreError>;

    /// The text of a version.
    async fn version(&self, version: VersionNo) -> Result<Option<VersionRecord>, StoreError>;

    /// The versions of a DAG, newest first, without their texts.
    async fn versions(&self, dag: DagNo) -> Result<Vec<VersionRecord>, StoreError>;

    /// What is wrong with files, by file.
    async fn import_errors(&self) -> Result<Vec<ImportErrors>, StoreError>;

    /// A short text of letters and digits that tells this database from any other, for as long as
    /// it lives.
    async fn installation(&self) -> Result<String, StoreError>;

    /// The number of the newest change; 0 when there is none.
    async fn last_change(&self) -> Result<i64, StoreError>;

    /// Changes after `seq`, oldest first, at most `limit`.
    async fn changes_after(&self, seq: i64, limit: u32) -> Result<Vec<Change>, StoreError>;

    /// How many runs are in which state, by DAG.
    async fn run_counts(&self) -> Result<Vec<(DagNo, tidemill_model::RunState, i64)>, StoreError>;
}

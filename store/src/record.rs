//! The records that cross the seam between the rooms and the memory.

use crate::alert::AlertRow;
use crate::asset::{AssetDelivery, AssetEventRow, AssetRow};
use crate::backfill::{BackfillDate, BackfillRow};
use crate::hands::StreamRows;
use crate::worker::{Dispatch, Kill};
use serde::{Deserialize, Serialize};
pub use tidemill_model::row::{RunRow, TaskRow};
use tidemill_model::{
    Attempt, DagNo, EventNo, MapIndex, RunNo, RunState, RunType, TaskNo, Ts, VersionNo,
};

/// An earlier try of a task instance.
#[derive(Clone, Debug, PartialEq)]
pub struct TryRow {
    /// The instance as it was at the end of that try.
    pub task: TaskRow,
}

/// A value that a task has kept.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueRow {
    /// Its run.
    pub run: RunNo,
    /// Its task.
    pub task_no: TaskNo,
    /// Its place in a mapped task.
    pub map_index: MapIndex,
    /// Its key; `return_value` is the task's output.
    pub key: String,
    /// The value.
    pub value: serde_json::Value,
}

/// A pool as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolRecord {
    /// Its name.
    pub name: String,
    /// How many slots it has; -1 is no limit.
    pub slots: i64,
    /// What it is for.
    pub description: String,
    /// Do deferred tasks keep their slots?
    pub include_deferred: bool,
    /// Does the configuration file declare it? Then nobody changes it by hand.
    pub from_file: bool,
}

/// What a person has noted on a task instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskNote {
    /// Its run.
    pub run: RunNo,
    /// Its task.
    pub task_no: TaskNo,
    /// Its place in a mapped task.
    pub map_index: MapIndex,
    /// The note; empty to forget it.
    pub note: String,
}

/// What made a run, as far as it must be unique.
#[derive(Clone, Debug, PartialEq)]
pub struct RunKey {
    /// Its name.
    pub run_id: String,
    /// Its logical date.
    pub logical_date: Option<Ts>,
    /// Its cause.
    pub cause: Option<String>,
}

/// Logical dates from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DateSpan {
    /// The first; open when absent.
    pub from: Option<Ts>,
    /// The last.
    pub until: Ts,
    /// Do runs that people made count?
    pub with_manual: bool,
}

impl DateSpan {
    /// Is a run about an instant of the span?
    pub fn has(&self, row: &RunRow) -> bool {
        let is_in = |at: Ts| at <= self.until && self.from.is_none_or(|from| at >= from);
        row.logical_date.is_some_and(is_in) && (self.with_manual || row.run_type != RunType::Manual)
    }
}

/// One change of one run in one pass: what SSE, `events tail` and notifications read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Its number; numbers rise in the order of commits.
    pub seq: i64,
    /// When.
    pub at: Ts,
    /// The run; 0 for a change of a DAG.
    pub run: i64,
    /// `{"dag_id", "run_id", "run_state", "tasks": [{"task_id", "map_index", "state", "try_number"}]}`
    pub body: serde_json::Value,
}

/// A change of a DAG that the engine writes.
#[derive(Clone, Debug, PartialEq)]
pub struct DagPatch {
    /// The DAG.
    pub dag: DagNo,
    /// Is it paused?
    pub is_paused: bool,
    /// The last instant for which its schedule made a run; never falls.
    pub schedule_high: Option<Ts>,
    /// The next fire time, for pages.
    pub next_run: Option<Ts>,
}

/// Everything that one pass writes. Rows are whole: the engine is the only writer.
#[derive(Clone, Debug, Default)]
pub struct Pass {
    /// The term that fences it.
    pub term: i64,
    /// When.
    pub now: Option<Ts>,
    /// Runs that are new.
    pub new_runs: Vec<RunRow>,
    /// Runs that changed.
    pub runs: Vec<RunRow>,
    /// Task instances that others have replaced: the one row of a mapped task that is expanded.
    /// They go before the rows of `tasks` come.
    pub removed_tasks: Vec<(RunNo, TaskNo, MapIndex)>,
    /// Task instances that are new or changed.
    pub tasks: Vec<TaskRow>,
    /// Tries that were superseded.
    pub tries: Vec<TryRow>,
    /// Values to forget, before the new ones are kept.
    pub cleared_values: Vec<(RunNo, TaskNo, MapIndex)>,
    /// Values to keep.
    pub values: Vec<ValueRow>,
    /// Changes to tell.
    pub changes: Vec<Change>,
    /// DAGs that changed.
    pub dags: Vec<DagPatch>,
    /// Pools to forget, before the others are kept.
    pub dropped_pools: Vec<String>,
    /// Pools that are new or changed.
    pub pools: Vec<PoolRecord>,
    /// Notes on task instances; an empty one forgets it.
    pub notes: Vec<TaskNote>,
    /// Attempts for workers in other processes; only where the store is shared.
    pub dispatches: Vec<Dispatch>,
    /// Attempts that those should end.
    pub kills: Vec<Kill>,
    /// Attempts whose claim is applied: they leave `dispatch`.
    pub claimed: Vec<Attempt>,
    /// Attempts whose end is applied: nothing of them stays.
    pub settled: Vec<Attempt>,
    /// Backfills that are new or changed.
    pub backfills: Vec<BackfillRow>,
    /// Dates of backfills that were dealt with.
    pub backfill_dates: Vec<BackfillDate>,
    /// Assets that are new or changed.
    pub assets: Vec<AssetRow>,
    /// Events of assets.
    pub asset_events: Vec<AssetEventRow>,
    /// Events that wait no more for a DAG, and are part of no run of it. They go before those of
    /// `deliveries` come.
    pub dropped_deliveries: Vec<(DagNo, EventNo)>,
    /// Events that wait for a DAG's next run, or are part of one now.
    pub deliveries: Vec<AssetDelivery>,
    /// What is to be told.
    pub alerts: Vec<AlertRow>,
    /// What is rare of streams.
    pub streams: StreamRows,
}

impl Pass {
    /// Is there nothing to write?
    pub fn is_empty(&self) -> bool {
        self.new_runs.is_empty()
            && self.runs.is_empty()
            && self.removed_tasks.is_empty()
            && self.tasks.is_empty()
            && self.tries.is_empty()
            && self.cleared_values.is_empty()
            && self.values.is_empty()
            && self.changes.is_empty()
            && self.dags.is_empty()
            && self.dropped_pools.is_empty()
            && self.pools.is_empty()
            && self.notes.is_empty()
            && self.dispatches.is_empty()
            && self.kills.is_empty()
            && self.claimed.is_empty()
            && self.settled.is_empty()
            && self.backfills.is_empty()
            && self.backfill_dates.is_empty()
            && self.assets.is_empty()
            && self.asset_events.is_empty()
            && self.dropped_deliveries.is_empty()
            && self.deliveries.is_empty()
            && self.alerts.is_empty()
            && self.streams.is_empty()
    }
}

/// What the engine starts from.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// All DAGs.
    pub dags: Vec<DagRecord>,
    /// Runs that are not over, with their task instances.
    pub runs: Vec<(RunRow, Vec<TaskRow>)>,
    /// Versions that those runs, or DAGs, are at.
    pub versions: Vec<VersionRecord>,
    /// Names of tasks by DAG.
    pub task_names: Vec<(DagNo, TaskNo, String)>,
    /// All pools, by name.
    pub pools: Vec<PoolRecord>,
    /// Backfills that are not over, with their runs that are active.
    pub backfills: Vec<(BackfillRow, Vec<RunNo>)>,
    /// All assets, by name.
    pub assets: Vec<AssetRow>,
    /// Events that wait for a DAG's next run, by DAG, oldest first.
    pub waiting_events: Vec<(DagNo, AssetEventRow)>,
    /// The highest number of an event.
    pub last_event: i64,
    /// The highest number of a backfill.
    pub last_backfill: i64,
    /// The highest run number.
    pub last_run: i64,
    /// The highest change number.
    pub last_seq: i64,
}

/// A version to keep.
#[derive(Clone, Debug)]
pub struct NewVersion {
    /// The DAG's name.
    pub dag_id: String,
    /// The file, relative to the DAG folder.
    pub file: String,
    /// The hash of the normalised definition and of every file it refers to, hexadecimal.
    pub hash: String,
    /// The text of the file.
    pub source: String,
    /// Files of the DAG's folder that are pinned with it.
    pub files: Vec<PinnedFile>,
    /// Names of the tasks, in the DAG's order.
    pub task_ids: Vec<String>,
    /// Is a DAG that is new paused?
    pub paused_if_new: bool,
    /// When.
    pub now: Ts,
}

/// A file that is pinned with a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedFile {
    /// Its path, relative to the DAG's folder.
    pub path: String,
    /// Its permission bits.
    pub mode: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What a version became.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredVersion {
    /// The DAG, with this version current.
    pub dag: DagRecord,
    /// Its number.
    pub version: VersionNo,
    /// Numbers of the tasks, in the order of [`NewVersion::task_ids`].
    pub task_nos: Vec<TaskNo>,
    /// Was it not there before?
    pub is_new: bool,
}

/// A DAG as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct DagRecord {
    /// Its number.
    pub dag: DagNo,
    /// Its name.
    pub dag_id: String,
    /// Its file, relative to the DAG folder.
    pub file: String,
    /// Makes no runs by schedule while this holds.
    pub is_paused: bool,
    /// Its file is gone.
    pub is_stale: bool,
    /// The current version.
    pub version: VersionNo,
    /// The current version's number within the DAG, from 1.
    pub version_number: i64,
    /// The last instant for which its schedule made a run.
    pub schedule_high: Option<Ts>,
    /// The next fire time.
    pub next_run: Option<Ts>,
    /// When the current version became so.
    pub updated_at: Ts,
}

/// A version as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionRecord {
    /// Its number in the store.
    pub version: VersionNo,
    /// Its DAG.
    pub dag: DagNo,
    /// Its number within the DAG, from 1.
    pub number: i64,
    /// Its hash.
    pub hash: String,
    /// Its file, relative to the DAG folder.
    pub file: String,
    /// Its text; empty in lists.
    pub source: String,
    /// Its pinned files; empty in lists.
    pub files: Vec<PinnedFile>,
    /// When it was kept.
    pub created_at: Ts,
}

/// A run with its DAG's name.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRecord {
    /// The name of its DAG.
    pub dag_id: String,
    /// The version's number within the DAG.
    pub version_number: i64,
    /// The row.
    pub row: RunRow,
}

/// Which runs.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Only of this DAG.
    pub dag_id: Option<String>,
    /// Only in one of these states; all when empty.
    pub states: Vec<RunState>,
    /// Only of this type.
    pub run_type: Option<RunType>,
    /// Only with a number below this: the next page.
    pub before: Option<RunNo>,
    /// Only with a logical date from the first to the second, both included.
    pub logical_date: Between,
    /// Only due between these.
    pub run_after: Between,
    /// Only started between these.
    pub start_date: Between,
    /// Only ended between these.
    pub end_date: Between,
    /// By what they are ordered; the newest first when absent.
    pub order: Option<RunOrder>,
    /// How many to pass over.
    pub offset: u32,
    /// At most this many.
    pub limit: u32,
}

/// Instants from the first to the second, both included; open where there is none.
pub type Between = (Option<Ts>, Option<Ts>);

/// An order of runs. Runs without the instant come last; equals come newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunOrder {
    /// By what.
    pub by: RunColumn,
    /// From the last to the first?
    pub descending: bool,
}

/// What runs can be ordered by, by the API's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunColumn {
    /// The order in which they were made.
    Id,
    /// The instant they are about.
    LogicalDate,
    /// When they were due.
    RunAfter,
    /// When they were made.
    QueuedAt,
    /// When they began.
    StartDate,
    /// When they were over.
    EndDate,
}

impl RunColumn {
    /// Every one of them.
    pub const ALL: &'static [RunColumn] = &[
        RunColumn::Id,
        RunColumn::LogicalDate,
        RunColumn::RunAfter,
        RunColumn::QueuedAt,
        RunColumn::StartDate,
        RunColumn::EndDate,
    ];

    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            RunColumn::Id => "id",
            RunColumn::LogicalDate => "logical_date",
            RunColumn::RunAfter => "run_after",
            RunColumn::QueuedAt => "queued_at",
            RunColumn::StartDate => "start_date",
            RunColumn::EndDate => "end_date",
        }
    }

    /// What of a run it is.
    pub fn of(self, row: &RunRow) -> Option<i64> {
        let instant = match self {
            RunColumn::Id => return Some(row.run.0),
            RunColumn::LogicalDate => row.logical_date,
            RunColumn::RunAfter => Some(row.run_after),
            RunColumn::QueuedAt => Some(row.queued_at),
            RunColumn::StartDate => row.started_at,
            RunColumn::EndDate => row.ended_at,
        };
        instant.map(|at| at.0)
    }
}

impl RunFilter {
    /// Has a run a logical date that is looked for?
    pub fn has_date(&self, row: &RunRow) -> bool {
        let (from, until) = self.logical_date;
        match row.logical_date {
            None => from.is_none() && until.is_none(),
            Some(at) => from.is_none_or(|from| at >= from) && until.is_none_or(|until| at <= until),
        }
    }

    /// Is it more than the newest runs of a DAG, of some states or of a type?
    pub fn is_special(&self) -> bool {
        let open = (None, None);
        self.order.is_some()
            || [
                self.logical_date,
                self.run_after,
                self.start_date,
                self.end_date,
            ]
            .iter()
            .any(|range| *range != open)
    }
}

/// Some runs, and how many there are.
#[derive(Clone, Debug, PartialEq)]
pub struct RunList {
    /// The runs, newest first.
    pub runs: Vec<RunRecord>,
    /// How many match, without limit and offset.
    pub total: i64,
}

/// One mistake in a file: the form that `tidemill validate -o json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportError {
    /// Its code, e.g. `TM0104`.
    pub code: String,
    /// `error` or `warning`.
    pub severity: String,
    /// The file.
    pub file: String,
    /// Where it begins, from 1.
    pub line: u32,
    /// Where it begins, from 1, in characters.
    pub column: u32,
    /// Where it ends.
    pub end_line: u32,
    /// Where it ends, exclusive.
    pub end_column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// What is wrong with one file.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportErrors {
    /// The file, relative to the DAG folder.
    pub file: String,
    /// The mistakes.
    pub errors: Vec<ImportError>,
    /// When they were found.
    pub at: Ts,
}

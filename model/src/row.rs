//! Runs and task instances, as they are stored and as the scheduler holds them.

use crate::{
    DagNo, Epoch, MapIndex, Reason, RunNo, RunState, RunType, TaskNo, TaskState, Ts, VersionNo,
};
use serde::{Deserialize, Serialize};

/// The worker of a live attempt that waits for one in another process, and that nobody has
/// claimed yet.
pub const UNCLAIMED: i64 = 0;

/// A run, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    /// Its number.
    pub run: RunNo,
    /// Its DAG.
    pub dag: DagNo,
    /// Its name, unique in its DAG.
    pub run_id: String,
    /// What caused it.
    pub run_type: RunType,
    /// Its state.
    pub state: RunState,
    /// The version it is pinned to.
    pub version: VersionNo,
    /// The key that makes its cause one run, e.g. `schedule:1763700000000000`.
    pub cause: Option<String>,
    /// The instant it is about.
    pub logical_date: Option<Ts>,
    /// The start of the data it is about.
    pub data_interval_start: Option<Ts>,
    /// The end of the data it is about.
    pub data_interval_end: Option<Ts>,
    /// Not before this instant.
    pub run_after: Ts,
    /// When it was made.
    pub queued_at: Ts,
    /// When its first task could run.
    pub started_at: Option<Ts>,
    /// When it was over.
    pub ended_at: Option<Ts>,
    /// Its parameters, a JSON object.
    pub conf: serde_json::Value,
    /// Who triggered it, for people.
    pub triggered_by: Option<String>,
    /// A person's note.
    pub note: Option<String>,
    /// Why it failed.
    pub reason: Option<Reason>,
    /// How often it was tried again as a whole (`[dag] retries`).
    pub retries_used: i32,
}

impl RunRow {
    /// Was it to begin later than it was made? So is one that is tried again as a whole.
    pub fn is_delayed(&self) -> bool {
        self.run_after > self.queued_at
    }

    /// Does it wait for its instant, and so for nothing else yet? What was due when it was made
    /// waits for none, even if the clock has gone back since.
    pub fn waits_to_begin(&self, now: Ts) -> bool {
        self.state == RunState::Queued && self.is_delayed() && self.run_after > now
    }
}

/// When a run that has succeeded was, and what it was about: the last one before another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastSuccess {
    /// The start of the data it was about.
    pub data_interval_start: Option<Ts>,
    /// The end of the data it was about.
    pub data_interval_end: Option<Ts>,
    /// When it began.
    pub started_at: Option<Ts>,
    /// When it was over.
    pub ended_at: Option<Ts>,
}

/// A task instance, as it is stored. The current try is inline.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRow {
    /// Its run.
    pub run: RunNo,
    /// Its task.
    pub task_no: TaskNo,
    /// Its place in a mapped task.
    pub map_index: MapIndex,
    /// Its state.
    pub state: TaskState,
    /// The current or last try, from 1; 0 before the first.
    pub try_number: i32,
    /// Another try follows a failed one while its number is not above this (Airflow's meaning:
    /// the number of retries).
    pub max_tries: i32,
    /// The fencing number of the current or last attempt.
    pub epoch: Epoch,
    /// The worker of a live attempt; `None` when there is none.
    pub worker: Option<i64>,
    /// Losses in a row.
    pub losses: i32,
    /// When its upstream tasks allowed it.
    pub scheduled_at: Option<Ts>,
    /// When it was given a slot.
    pub queued_at: Option<Ts>,
    /// When its worker began.
    pub started_at: Option<Ts>,
    /// When the attempt ended.
    pub ended_at: Option<Ts>,
    /// The next try is not before this.
    pub not_before: Option<Ts>,
    /// Why it is in its state.
    pub reason: Option<Reason>,
    /// One line about its end, for people.
    pub message: Option<String>,
    /// The exit status of its command.
    pub exit_code: Option<i32>,
    /// For a branch or a gate that went one way: which tasks directly below it are followed.
    /// `None` where all are.
    pub followed: Option<Vec<TaskNo>>,
    /// For an instance of a mapped task: what it is about.
    pub map_item: Option<Box<MapItem>>,
    /// How often a person, or a retry of the whole run, has cleared it.
    pub clears: i32,
}

/// What one instance of a mapped task is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapItem {
    /// Its values, by the names that `expand` gives them.
    pub values: serde_json::Map<String, serde_json::Value>,
    /// What people call it: `map_index_template`, rendered.
    pub label: Option<String>,
}

impl TaskRow {
    /// An instance that nothing has happened to.
    pub fn new(run: RunNo, task_no: TaskNo, map_index: MapIndex, retries: u32) -> TaskRow {
        TaskRow {
            run,
            task_no,
            map_index,
            state: TaskState::None,
            try_number: 0,
            max_tries: i32::try_from(retries).unwrap_or(i32::MAX),
            epoch: Epoch(0),
            worker: None,
            losses: 0,
            scheduled_at: None,
            queued_at: None,
            started_at: None,
            ended_at: None,
            not_before: None,
            reason: None,
            message: None,
            exit_code: None,
            followed: None,
            map_item: None,
            clears: 0,
        }
    }

    /// Does a worker hold an attempt of it, whatever its state?
    pub const fn is_live(&self) -> bool {
        self.worker.is_some()
    }
}

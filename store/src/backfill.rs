//! Backfills as they are stored.

use serde::{Deserialize, Serialize};
use tidemill_model::{BackfillNo, DagNo, Reprocess, RunNo, SkipReason, Ts};

/// A wish to make the runs of past dates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackfillRow {
    /// Its number.
    pub backfill: BackfillNo,
    /// Its DAG.
    pub dag: DagNo,
    /// The first logical date.
    pub from_date: Ts,
    /// The last logical date.
    pub to_date: Ts,
    /// The latest date first?
    pub is_backwards: bool,
    /// What happens with dates that have a run.
    pub reprocess: Reprocess,
    /// How many of its runs may be active at once.
    pub max_active_runs: u32,
    /// The parameters of its runs, a JSON object.
    pub conf: serde_json::Value,
    /// Makes no new runs while this holds.
    pub is_paused: bool,
    /// The tick that was dealt with last.
    pub position: Option<Ts>,
    /// When it was asked for; ticks after this are not part of it.
    pub created_at: Ts,
    /// When it changed last.
    pub updated_at: Ts,
    /// When its last run was over, or it was cancelled.
    pub completed_at: Option<Ts>,
    /// Do dates that run again go on by the current version of the DAG?
    pub on_latest_version: bool,
}

/// Which dates a backfill makes runs for, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackfillWish {
    /// The DAG.
    pub dag_id: String,
    /// The first logical date.
    pub from_date: Ts,
    /// The last logical date.
    pub to_date: Ts,
    /// The latest date first?
    pub is_backwards: bool,
    /// What happens with dates that have a run.
    pub reprocess: Reprocess,
    /// How many of its runs may be active at once; at least 1.
    pub max_active_runs: u32,
    /// Do dates that run again go on by the current version? As the DAG says when absent.
    pub on_latest_version: Option<bool>,
    /// Values of parameters, an object.
    pub conf: serde_json::Map<String, serde_json::Value>,
}

/// A date of a backfill that was dealt with.
#[derive(Clone, Debug, PartialEq)]
pub struct BackfillDate {
    /// Its backfill.
    pub backfill: BackfillNo,
    /// The tick.
    pub tick: Ts,
    /// The logical date of its run.
    pub logical_date: Ts,
    /// The run that was made, or run again.
    pub run: Option<RunNo>,
    /// Why no run was made.
    pub skipped: Option<SkipReason>,
}

/// A backfill with its DAG's name.
#[derive(Clone, Debug, PartialEq)]
pub struct BackfillRecord {
    /// The name of its DAG.
    pub dag_id: String,
    /// The row.
    pub row: BackfillRow,
}

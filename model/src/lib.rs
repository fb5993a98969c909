//! The words of Tidemill: identities, time, states, the DAG.
//!
//! This room knows no IO, no clock and no randomness: the present moment and chance come in as
//! arguments. Every other room meets the others only in these words.

pub mod alert;
pub mod asset;
pub mod attempt;
pub mod cron;
pub mod dag;
pub mod event;
pub mod graph;
pub mod id;
mod json_schema;
pub mod limit;
pub mod operator;
pub mod param;
mod remark;
pub mod resources;
pub mod retry;
pub mod row;
pub mod schedule;
pub mod scope;
pub mod size;
pub mod state;
mod text_format;
pub mod time;
pub mod trigger;
mod uses;
pub mod wait;
pub mod weight;

pub use attempt::{Attempt, Outcome, Reason};
pub use dag::{Dag, Operator, Task};
pub use graph::{Graph, TaskIndex};
pub use id::{
    AssetNo, BackfillNo, DagNo, Epoch, EventNo, MapIndex, RunNo, TaskNo, TriggerNo, VersionNo,
    check_run_id,
};
pub use row::{LastSuccess, MapItem, RunRow, TaskRow};
pub use state::{Reprocess, RunState, RunType, SkipReason, TaskEvent, TaskState, TriggerRule};
pub use time::Ts;
pub use trigger::Trigger;
pub use uses::Uses;
pub use weight::WeightRule;

/// A JSON value: what tasks pass to each other.
pub use serde_json::Value as Json;

/// A JSON object: the parameters of a run.
pub type JsonObject = serde_json::Map<String, Json>;

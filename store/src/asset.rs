//! Assets, their events and what became of them, as they are stored.

use serde::{Deserialize, Serialize};
use tidemill_model::{AssetNo, DagNo, EventNo, RunNo, Ts};

/// An asset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AssetRow {
    /// Its number.
    pub asset: AssetNo,
    /// Its name, unique in the installation.
    pub name: String,
    /// What it is, as an address.
    pub uri: String,
    /// Its group.
    pub group: String,
    /// One line about it.
    pub description: Option<String>,
    /// More about it, a JSON object.
    pub extra: serde_json::Value,
    /// When it was first heard of.
    pub created_at: Ts,
    /// When a file last changed what it says about it.
    pub updated_at: Ts,
}

/// Somebody has written an asset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AssetEventRow {
    /// Its number; rises with each event.
    pub event: EventNo,
    /// The asset.
    pub asset: AssetNo,
    /// When.
    pub at: Ts,
    /// What the writer says about it, a JSON object.
    pub extra: serde_json::Value,
    /// The task whose success it is; `None` for a person's word.
    pub source: Option<EventSource>,
    /// Who said so, for people: `cli`, `ui`, `api`; `None` for a task.
    pub emitted_by: Option<String>,
}

/// The task whose success an event is. By name, for an event outlives its run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSource {
    /// Its DAG.
    pub dag_id: String,
    /// Its run.
    pub run_id: String,
    /// Its task.
    pub task_id: String,
    /// Its place in a mapped task; -1 where it is none.
    pub map_index: i32,
}

/// What became of an event for a DAG that waits for its asset. There is one for each DAG and
/// event, so no event makes two runs of a DAG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AssetDelivery {
    /// The DAG.
    pub dag: DagNo,
    /// The event.
    pub event: EventNo,
    /// The run that it was part of; `None` while it waits.
    pub run: Option<RunNo>,
}

/// Which events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only of this asset.
    pub asset: Option<AssetNo>,
    /// Only by tasks of this DAG.
    pub dag_id: Option<String>,
    /// Only by tasks of the runs of this name.
    pub run_id: Option<String>,
    /// Only by the tasks of this name.
    pub task_id: Option<String>,
    /// Only those that were part of this run.
    pub part_of: Option<RunNo>,
    /// How many to pass over.
    pub offset: u32,
    /// At most this many.
    pub limit: u32,
}

impl EventFilter {
    /// Is an event looked for, `part_of` apart?
    pub fn has(&self, event: &AssetEventRow) -> bool {
        let source = event.source.as_ref();
        let is = |wanted: &Option<String>, found: fn(&EventSource) -> &String| {
            let found = source.map(found);
            wanted.as_ref().is_none_or(|wanted| found == Some(wanted))
        };
        self.asset.is_none_or(|asset| asset == event.asset)
            && is(&self.dag_id, |source| &source.dag_id)
            && is(&self.run_id, |source| &source.run_id)
            && is(&self.task_id, |source| &source.task_id)
    }
}

/// Some events, newest first, and how many there are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventList {
    /// The events.
    pub events: Vec<AssetEventRow>,
    /// How many match, without limit and offset.
    pub total: i64,
}

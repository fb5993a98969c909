//! What the templates of an attempt read of its run and of earlier ones, wherever it runs.

use crate::StoreError;
use crate::record::ValueRow;
use async_trait::async_trait;
use serde_json::Value;
use std::ops::Range;
use tidemill_model::{DagNo, LastSuccess, MapIndex, RunNo, TaskNo, TaskState, Ts};

/// An instance of a mapped task with one of the values that it has kept, or with none.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceValue {
    /// Its place in the mapped task.
    pub map_index: MapIndex,
    /// Its state.
    pub state: TaskState,
    /// Under which key it has kept what.
    pub value: Option<(String, Value)>,
}

/// What attempts are told. The engine reads it for those of its own worker, and every other worker
/// for its own.
#[async_trait]
pub trait ToldStore: Send + Sync {
    /// The values that tasks of a run have kept, for these tasks.
    async fn values(&self, run: RunNo, tasks: &[TaskNo]) -> Result<Vec<ValueRow>, StoreError>;

    /// What instances of a task of a run have kept: those with these map indexes, in their order.
    /// Whoever needs one or a few reads no more than those.
    async fn instance_values(
        &self,
        run: RunNo,
        task: TaskNo,
        indexes: Range<i32>,
    ) -> Result<Vec<InstanceValue>, StoreError>;

    /// The run of a DAG with the latest logical date before an instant, among those that have
    /// succeeded.
    async fn last_success(&self, dag: DagNo, before: Ts)
    -> Result<Option<LastSuccess>, StoreError>;
}

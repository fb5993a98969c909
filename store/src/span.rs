//! What tasks read of topics: spans that are fixed before anything is read.

use crate::StoreError;
use crate::stream::Partition;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tidemill_model::{MapIndex, RunNo, TaskNo};

/// Whose span it is: a task instance, whatever its try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpanOf {
    /// Its run.
    pub run: RunNo,
    /// Its task.
    pub task_no: TaskNo,
    /// Its place in a mapped task.
    pub map_index: MapIndex,
}

/// A part of a partition that a task reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Which partition.
    pub partition: Partition,
    /// The first offset to read.
    pub first: i64,
    /// The offset after the last; `None` where a task waits and only its start is fixed.
    pub end: Option<i64>,
}

/// The verbs of spans. The workers write them: what is fixed first stays.
#[async_trait]
pub trait SpanStore: Send + Sync {
    /// What is fixed for a task instance, by partition.
    async fn spans(&self, of: SpanOf) -> Result<Vec<Span>, StoreError>;

    /// Fixes spans, but for partitions that are fixed already; gives what is fixed then.
    async fn fix_spans(&self, of: SpanOf, spans: &[Span]) -> Result<Vec<Span>, StoreError>;

    /// How far this task has read in the runs in which it has succeeded, by partition.
    async fn read_up_to(&self, of: SpanOf) -> Result<Vec<(Partition, i64)>, StoreError>;
}

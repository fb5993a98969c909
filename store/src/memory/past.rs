//! What tasks ask of earlier runs, on the maps.

use super::MemoryStore;
use crate::StoreError;
use crate::past::PastStore;
use async_trait::async_trait;
use tidemill_model::{DagNo, LastSuccess, RunState, Ts};

#[async_trait]
impl PastStore for MemoryStore {
    async fn last_success(
        &self,
        dag: DagNo,
        before: Ts,
    ) -> Result<Option<LastSuccess>, StoreError> {
        let tables = self.lock();
        let of_dag = tables.runs.values().filter(|run| run.dag == dag);
        let succeeded = of_dag.filter(|run| run.state == RunState::Success);
        let earlier = succeeded.filter(|run| run.logical_date.is_some_and(|date| date < before));
        let last = earlier.max_by_key(|run| run.logical_date);
        Ok(last.map(|run| LastSuccess {
            data_interval_start: run.data_interval_start,
            data_interval_end: run.data_interval_end,
            started_at: run.started_at,
            ended_at: run.ended_at,
        }))
    }
}

//! What attempts are told, on the maps.

use super::MemoryStore;
use crate::StoreError;
use crate::record::ValueRow;
use crate::told::{InstanceValue, ToldStore};
use async_trait::async_trait;
use std::ops::Range;
use tidemill_model::{DagNo, LastSuccess, MapIndex, RunNo, RunState, TaskNo, Ts};

#[async_trait]
impl ToldStore for MemoryStore {
    async fn values(&self, run: RunNo, tasks: &[TaskNo]) -> Result<Vec<ValueRow>, StoreError> {
        Ok(self.lock().values_of(run, |task| tasks.contains(&task)))
    }

    async fn instance_values(
        &self,
        run: RunNo,
        task: TaskNo,
        indexes: Range<i32>,
    ) -> Result<Vec<InstanceValue>, StoreError> {
        let tables = self.lock();
        let bound = |index: i32| (run, task, MapIndex(index));
        let rows = tables.tasks.range(bound(indexes.start)..bound(indexes.end));
        let mut found = Vec::new();
        for (key, row) in rows {
            let first = (*key, String::new());
            let kept = tables.values.range(first..);
            let kept = kept.take_while(|((of, _), _)| of == key);
            let mut values: Vec<_> = kept
                .map(|((_, name), value)| Some((name.clone(), value.clone())))
                .collect();
            if values.is_empty() {
                values.push(None);
            }
            found.extend(values.into_iter().map(|value| InstanceValue {
                map_index: row.map_index,
                state: row.state,
                value,
            }));
        }
        Ok(found)
    }

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

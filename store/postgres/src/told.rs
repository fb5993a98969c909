//! What attempts are told.

use crate::rows;
use crate::{PostgresStore, sql};
use async_trait::async_trait;
use std::ops::Range;
use tidemill_model::{DagNo, LastSuccess, RunNo, TaskNo, Ts};
use tidemill_store::{InstanceValue, StoreError, ToldStore, ValueRow};

#[async_trait]
impl ToldStore for PostgresStore {
    async fn values(&self, run: RunNo, tasks: &[TaskNo]) -> Result<Vec<ValueRow>, StoreError> {
        let tasks: Vec<i32> = tasks.iter().map(|task| task.0).collect();
        let query = sqlx::query(sql::VALUES_OF_TASKS).bind(run.0).bind(tasks);
        self.list(query, rows::value).await
    }

    async fn instance_values(
        &self,
        run: RunNo,
        task: TaskNo,
        indexes: Range<i32>,
    ) -> Result<Vec<InstanceValue>, StoreError> {
        let query = sqlx::query(sql::INSTANCE_VALUES)
            .bind(run.0)
            .bind(task.0)
            .bind(indexes.start)
            .bind(indexes.end);
        self.list(query, rows::instance_value).await
    }

    async fn last_success(
        &self,
        dag: DagNo,
        before: Ts,
    ) -> Result<Option<LastSuccess>, StoreError> {
        let query = sqlx::query(sql::RUN_LAST_SUCCESS);
        let query = query.bind(dag.0).bind(before.0);
        self.find(query, rows::last_success).await
    }
}

//! What tasks ask of earlier runs.

use crate::rows;
use crate::{PostgresStore, sql};
use async_trait::async_trait;
use tidemill_model::{DagNo, LastSuccess, Ts};
use tidemill_store::{PastStore, StoreError};

#[async_trait]
impl PastStore for PostgresStore {
    async fn last_success(
        &self,
        dag: DagNo,
        before: Ts,
    ) -> Result<Option<LastSuccess>, StoreError> {
        let query = sqlx::query(sql::RUN_LAST_SUCCESS)
            .bind(dag.0)
            .bind(before.0);
        self.find(query, rows::last_success).await
    }
}

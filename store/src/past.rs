//! What tasks ask of earlier runs.

use crate::StoreError;
use async_trait::async_trait;
use tidemill_model::{DagNo, LastSuccess, Ts};

/// The verbs of earlier runs. Workers have them too.
#[async_trait]
pub trait PastStore: Send + Sync {
    /// The run of a DAG with the latest logical date before an instant, among those that have
    /// succeeded.
    async fn last_success(&self, dag: DagNo, before: Ts)
    -> Result<Option<LastSuccess>, StoreError>;
}

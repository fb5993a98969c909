//! Live pages of a process that is not the scheduler: what the scheduler has done is read from the
//! database, and told to the pages here as if it had been done here.

use crate::exit::chain;
use std::sync::Arc;
use std::time::Duration;
use tidemill_store::{Change, PageStore, StoreError};
use tokio::sync::broadcast;

/// So often the database is asked; a page is that much late.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Changes of one answer. A page that misses some reads itself anew anyway.
const CHANGES_MAX: u32 = 500;

/// Tells all changes after `last` (from now on, when that is not known) until it is dropped; while
/// the database is away, nothing.
pub async fn follow(
    pages: Arc<dyn PageStore>,
    changes: broadcast::Sender<Arc<Change>>,
    mut last: Option<i64>,
) {
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        match tell(&*pages, &changes, last).await {
            Ok(seen) => last = Some(seen),
            Err(err) => tracing::debug!(error = %chain(&err), "Cannot ask what has changed"),
        }
    }
}

/// Tells what has come after `last`, and says what was the newest.
async fn tell(
    pages: &dyn PageStore,
    changes: &broadcast::Sender<Arc<Change>>,
    last: Option<i64>,
) -> Result<i64, StoreError> {
    let Some(mut last) = last else {
        return pages.last_change().await;
    };
    loop {
        let told = pages.changes_after(last, CHANGES_MAX).await?;
        let is_all = told.len() < CHANGES_MAX as usize;
        for change in told {
            last = change.seq;
            let _ = changes.send(Arc::new(change)); // nobody may be looking
        }
        if is_all {
            return Ok(last);
        }
    }
}

//! Waiting to become the scheduler, while another process is.

use crate::daemon::clock;
use crate::exit::chain;
use std::time::{Duration, Instant};
use tidemill_executor::Worker;
use tidemill_store::{EngineStore, StoreError};

/// So often it is asked whether the scheduler is gone.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// A database needs this long to see that a process has ended.
const SEEN_AS_GONE: Duration = Duration::from_secs(1);
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// The supervisor is told so often that this process lives.
const BEAT_EVERY: Duration = Duration::from_secs(5);

/// Takes the term if nobody holds it.
///
/// # Errors
/// [`StoreError::Owned`] says who holds it.
pub async fn take_term(store: &dyn EngineStore) -> Result<i64, StoreError> {
    store.take_term(&holder(), clock::now()).await
}

/// Takes the term, giving a process that has just ended a moment to be seen as gone.
///
/// # Errors
/// [`StoreError::Owned`] says who holds it.
pub async fn take_term_soon(store: &dyn EngineStore) -> Result<i64, StoreError> {
    let began = Instant::now();
    loop {
        match take_term(store).await {
            Err(StoreError::Owned { .. }) if began.elapsed() < SEEN_AS_GONE => {
                tokio::time::sleep(ASK_AGAIN).await;
            }
            answer => return answer,
        }
    }
}

/// Takes the term as soon as nobody holds it. A database that is away meanwhile is waited for.
///
/// # Errors
/// When the database has become unreadable for this program.
pub async fn wait_for_term(
    store: &dyn EngineStore,
    worker: &mut Worker,
) -> Result<i64, StoreError> {
    let mut last_beat = Instant::now();
    let mut was_away = false;
    loop {
        match take_term(store).await {
            Ok(term) => return Ok(term),
            Err(StoreError::Owned { .. }) => was_away = false,
            Err(err @ StoreError::Unavailable { .. }) => {
                if !std::mem::replace(&mut was_away, true) {
                    tracing::warn!(error = %chain(&err), "The database is away; this stand-by waits for it");
                }
            }
            Err(err) => return Err(err),
        }
        if last_beat.elapsed() >= BEAT_EVERY {
            worker.beat();
            last_beat = Instant::now();
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// This process, for people. What tells two schedulers apart is the number of their terms.
fn holder() -> String {
    let host = rustix::system::uname();
    format!(
        "{} on {}",
        std::process::id(),
        host.nodename().to_string_lossy()
    )
}

//! Forgets runs that are old, a few at a time, so that what is stored stays bounded.

use crate::daemon::clock;
use crate::daemon::config::Retention;
use crate::daemon::engine::EngineDoor;
use crate::exit::chain;
use std::sync::Arc;
use std::time::Duration;
use tidemill_model::{RunNo, Ts};
use tidemill_store::{Answer, Command, OldRuns, PageStore, StoreError};

/// The whole history is looked through so often.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// Runs that are looked at in one query.
const LOOK_AT: u32 = 200;
/// Between two pieces: other work comes first.
const PAUSE: Duration = Duration::from_millis(50);

/// Forgets old runs, now and every hour, until the server ends.
pub async fn keep(pages: Arc<dyn PageStore>, door: EngineDoor, retention: Retention) {
    let Some(span) = retention.runs else { return };
    loop {
        let ended_before = Ts(clock::now().0 - span.as_micros() as i64);
        match sweep(&*pages, &door, ended_before, retention.keep_last).await {
            Ok(0) => {}
            Ok(n_gone) => tracing::info!(n_gone, "Old runs were forgotten"),
            Err(err) => {
                tracing::warn!(error = %chain(&err), "Old runs cannot be looked for; in an hour again");
            }
        }
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}

/// Looks through all runs that were made before the instant.
async fn sweep(
    pages: &dyn PageStore,
    door: &EngineDoor,
    ended_before: Ts,
    keep_last: u32,
) -> Result<usize, StoreError> {
    let mut which = OldRuns {
        after: RunNo(0),
        look_at: LOOK_AT,
        ended_before,
        keep_last,
    };
    let mut n_gone = 0;
    loop {
        let seen = pages.old_runs(&which).await?;
        let Some(last) = seen.last() else {
            return Ok(n_gone);
        };
        which.after = last.run;
        let is_past_it = last.queued_at >= ended_before;
        let old = seen.iter().filter(|seen| seen.is_old).map(|seen| seen.run);
        n_gone += forget(door, old.collect()).await;
        if is_past_it {
            return Ok(n_gone);
        }
    }
}

/// Forgets these runs, a piece at a time. Those that are not over any more stay.
async fn forget(door: &EngineDoor, mut runs: Vec<RunNo>) -> usize {
    let mut n_gone = 0;
    while !runs.is_empty() {
        let wish = Command::ForgetRuns { runs };
        let Ok(Answer::Forgotten(done)) = door.ask(wish).await else {
            return n_gone;
        };
        n_gone += done.gone.len();
        runs = done.left;
        tokio::time::sleep(PAUSE).await;
    }
    n_gone
}

//! Attempts and the database while one of them is out of reach: those of another process, which
//! must be gone before they are started again, and this one's own, which must be gone before
//! another process starts them again.

use super::state::Timer;
use super::{COMMIT_RETRY, Engine};
use crate::daemon::clock;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tidemill_model::Attempt;
use tidemill_scheduler::Event;
use tidemill_store::StoreError;

/// By then the attempts of a process that has lost the term are gone: either it has ended, and
/// its supervisor has ended them, or it has ended them itself, see [`HELD_MIN`].
const GONE_AFTER: Duration = Duration::from_secs(60);
/// A process whose database has not confirmed its term for so long ends its attempts. With the
/// ten seconds that a confirmation counts, and the ten between two looks, this is less than
/// [`GONE_AFTER`] after the last confirmation; nobody can take the term before that.
const HELD_MIN: Duration = Duration::from_secs(35);
/// The supervisor hears so often that this process lives.
const BEAT_EVERY: Duration = Duration::from_secs(5);

/// Has this process not been seen to have the term for so long that its attempts must end?
fn must_end(since_held: Duration) -> bool {
    since_held > HELD_MIN
}

/// Whose attempts are gone because this process could start.
#[derive(Clone, Debug)]
pub enum EarlierWorkers {
    /// Everybody's: the database has one owner, and this is its home.
    AllGone,
    /// Those of these workers, which had this home; others may still be at work.
    Gone(BTreeSet<i64>),
}

impl EarlierWorkers {
    pub(super) fn is_gone(&self, worker: Option<i64>) -> bool {
        match (self, worker) {
            (EarlierWorkers::AllGone, _) | (_, None) => true,
            (EarlierWorkers::Gone(workers), Some(worker)) => workers.contains(&worker),
        }
    }
}

impl Engine {
    /// Leaves attempts that may still be at work to their time.
    pub(super) fn wait_for_attempts_elsewhere(&mut self) {
        if self.elsewhere.is_empty() {
            return;
        }
        let n = self.elsewhere.len();
        tracing::warn!(
            attempts = n,
            "Tasks of another process may still be running; they count as lost in {} s",
            GONE_AFTER.as_secs()
        );
        let due = clock::now().after(GONE_AFTER);
        self.timers.push(Reverse((due, Timer::GoneElsewhere)));
    }

    /// The time of the attempts of another process is over.
    pub(super) fn lose_attempts_elsewhere(&mut self) {
        for attempt in std::mem::take(&mut self.elsewhere) {
            self.lose(attempt);
        }
    }

    pub(super) fn lose(&mut self, attempt: Attempt) {
        let blame = false;
        self.step(attempt.run, Event::AttemptLost { attempt, blame });
    }

    /// Tells the supervisor that this process lives, and ends all attempts in time when the
    /// database has not said for long that this process is the scheduler.
    pub(super) fn stay_alive(&mut self) {
        self.worker.beat();
        if self.database.is_held() {
            self.last_held = Instant::now();
            self.is_fenced = false;
        } else if must_end(self.last_held.elapsed()) && !self.is_fenced {
            tracing::error!("The database is out of reach for too long; running tasks are ended");
            self.is_fenced = true;
            self.worker.kill_all_now();
        }
    }

    /// Waits for the database, and stays alive meanwhile.
    pub(super) fn wait_for<T>(&mut self, call: impl Future<Output = T>) -> T {
        let mut call = std::pin::pin!(call);
        let runtime = self.runtime.clone();
        loop {
            let waited =
                runtime.block_on(async { tokio::time::timeout(BEAT_EVERY, call.as_mut()).await });
            match waited {
                Ok(answer) => return answer,
                Err(_) => self.stay_alive(),
            }
        }
    }

    /// Asks the database until it is there. What it then says is its answer.
    ///
    /// # Errors
    /// Every error but that the database is away; that one only when this process must end now.
    pub(super) fn insist<T, C: Future<Output = Result<T, StoreError>>>(
        &mut self,
        what: &str,
        ask: impl Fn() -> C,
    ) -> Result<T, StoreError> {
        loop {
            match self.wait_for(ask()) {
                Err(err @ StoreError::Unavailable { .. }) => {
                    if self.must_end.load(Ordering::Acquire) {
                        return Err(err);
                    }
                    tracing::error!(error = %crate::exit::chain(&err), "{what} failed; it is tried again");
                    self.stay_alive();
                    std::thread::sleep(COMMIT_RETRY);
                }
                answer => return answer,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::engine::IDLE_WAIT_MAX;

    /// A confirmation of the term counts for so long.
    const CONFIRMED_FOR: Duration = Duration::from_secs(10);

    /// Whenever the engine looks: cut off from its database at 0, it has ended its attempts before
    /// anybody else may start them again.
    #[test]
    fn whoever_is_cut_off_has_ended_its_attempts_before_they_count_as_gone() {
        for first_look in (0..=10_000).step_by(100).map(Duration::from_millis) {
            let (mut now, mut last_held) = (first_look, Duration::ZERO);
            while !must_end(now - last_held) {
                if now < CONFIRMED_FOR {
                    last_held = now;
                }
                now += IDLE_WAIT_MAX;
            }
            assert!(
                now < GONE_AFTER,
                "first look at {first_look:?}: ended at {now:?}"
            );
            assert!(now > HELD_MIN);
        }
    }
}

//! The lease of this process's worker: renewed by a task of the runtime, looked at by the thread
//! that holds the attempts.
//!
//! Only the store's clock judges a lease. This side counts from the moment at which the last
//! renewal that succeeded was *sent*, on a clock that goes on while the machine sleeps: so it
//! always believes its lease to end before the store does.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidemill_store::WorkerStore;

/// How often a lease is renewed within its time.
const RENEWALS_PER_LEASE: u32 = 4;

/// A worker's lease. Dropping it ends the renewals.
pub struct WorkerLease {
    lease: Duration,
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Clone, Copy)]
struct State {
    renewed: Duration,
    is_alive: bool,
    is_draining: bool,
}

/// Time since the machine was started, sleep included (`CLOCK_BOOTTIME`).
fn uptime() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

/// May attempts run so long after the last renewal was sent? What is left of the lease is for
/// ending them.
fn may_run(lease: Duration, since_renewed: Duration) -> bool {
    since_renewed < lease * 3 / 4
}

/// Is a renewal so young that it may be passed on to the supervisor, whose own time begins then?
fn is_fresh(lease: Duration, since_renewed: Duration) -> bool {
    since_renewed < lease / 12
}

impl WorkerLease {
    /// Keeps the lease of a worker that has just entered. `wake` is rung after each renewal.
    pub fn keep<S: WorkerStore + 'static>(
        runtime: &tokio::runtime::Handle,
        store: Arc<S>,
        worker: i64,
        lease: Duration,
        wake: Arc<OwnedFd>,
    ) -> WorkerLease {
        let state = Arc::new(Mutex::new(State {
            renewed: uptime(),
            is_alive: true,
            is_draining: false,
        }));
        let shared = Arc::clone(&state);
        let task = runtime.spawn(async move {
            let mut pause = lease / RENEWALS_PER_LEASE;
            loop {
                tokio::time::sleep(pause).await;
                let sent = uptime();
                pause = match store.renew(worker).await {
                    Ok(renewal) => {
                        *shared.lock().unwrap_or_else(PoisonError::into_inner) = State {
                            renewed: sent,
                            is_alive: renewal.is_alive,
                            is_draining: renewal.is_draining,
                        };
                        lease / RENEWALS_PER_LEASE
                    }
                    Err(err) => {
                        tracing::warn!(error = %crate::exit::chain(&err), "Cannot renew this worker's lease; it is tried again");
                        lease / (RENEWALS_PER_LEASE * 4)
                    }
                };
                let _ = rustix::io::write(&wake, &1u64.to_ne_bytes());
            }
        });
        WorkerLease { lease, state, task }
    }

    fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// May attempts of this worker still run? No longer than three quarters of the lease after
    /// the last renewal: what is left of it is for ending them.
    pub fn holds(&self) -> bool {
        let state = self.state();
        state.is_alive && may_run(self.lease, uptime().saturating_sub(state.renewed))
    }

    /// Was it asked to claim nothing more?
    pub fn is_draining(&self) -> bool {
        self.state().is_draining
    }

    /// The last renewal, as a mark that changes with each, while it is fresh enough to be passed
    /// on to the supervisor as a sign of life.
    pub fn fresh_mark(&self) -> Option<Duration> {
        let renewed = self.state().renewed;
        is_fresh(self.lease, uptime().saturating_sub(renewed)).then_some(renewed)
    }
}

impl Drop for WorkerLease {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_end_before_the_lease_does_and_not_for_one_late_renewal() {
        for seconds in [2, 3, 15, 60, 3600] {
            let lease = Duration::from_secs(seconds);
            let beat = lease / RENEWALS_PER_LEASE;
            for (since_renewed, expected) in [
                (Duration::ZERO, true),
                (beat, true),
                // One renewal was missed, and the next is on its way.
                (2 * beat + beat / 2, true),
                (lease * 3 / 4, false),
                (lease, false),
            ] {
                assert_eq!(
                    may_run(lease, since_renewed),
                    expected,
                    "{since_renewed:?} of {lease:?}"
                );
            }
            assert!(is_fresh(lease, Duration::ZERO) && !is_fresh(lease, beat / 2));
        }
    }
}

//! Claims whose answer is lost: the database may have given this worker what it does not know of.

use super::RemoteWorker;
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tidemill_model::attempt::Verdict;
use tidemill_model::{Attempt, Outcome, Reason, TaskIndex};
use tidemill_store::{Claim, StreamStore, WorkerReport, WorkerStore};

/// A claim whose answer is lost has happened by then or never will: the database gives no statement
/// so much time.
pub(super) const SETTLED: Duration = Duration::from_secs(45);

impl<S: WorkerStore + StreamStore + 'static> RemoteWorker<S> {
    /// After a claim without an answer: starts what the store has given this worker. `false` when
    /// the store does not say.
    pub(super) fn settle_claims(&mut self) -> bool {
        let Some(until) = self.doubts_claims else {
            return true;
        };
        let is_last = Instant::now() >= until;
        let held = match self.runtime.block_on(self.store.held(self.number)) {
            Ok(held) => held,
            Err(err) => {
                tracing::warn!(error = %crate::exit::chain(&err), "Cannot ask what was claimed");
                return false;
            }
        };
        let unsent: HashSet<Attempt> = self.unsent.iter().map(|told| told.attempt).collect();
        for claim in held {
            if !self.holds.contains(&claim.attempt) && !unsent.contains(&claim.attempt) {
                tracing::info!(attempt = %claim.attempt, "A claim whose answer was lost had happened");
                match self.lacks_secrets(&claim) {
                    true => self.give_up(&claim),
                    false => self.launch(claim),
                }
            }
        }
        if is_last {
            self.doubts_claims = None;
        }
        true
    }

    /// Is what was sealed for this attempt gone, and does it need it?
    fn lacks_secrets(&mut self, claim: &Claim) -> bool {
        let attempt = claim.attempt;
        if claim.is_whole {
            return false;
        }
        let known = self.definition(claim.version, claim.run.dag);
        known.is_ok_and(|known| {
            let at = known.task_nos.iter().position(|no| *no == attempt.task_no);
            at.is_some_and(|at| !known.dag.task(TaskIndex(at as u32)).uses.is_empty())
        })
    }

    /// An attempt that never began here is tried again, by whoever claims it.
    fn give_up(&mut self, claim: &Claim) {
        let what = "its worker was not told what was sealed for it";
        self.unsent.push(WorkerReport {
            attempt: claim.attempt,
            worker: self.number,
            outcome: Outcome::without_process(Verdict::Lost, Reason::Lost, what),
        });
    }
}

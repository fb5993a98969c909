//! Trigger rules: may a task run, given how far the tasks above it are?
//!
//! Source: Airflow's `ti_deps/deps/trigger_rule_dep.py` and `not_previously_skipped_dep.py`. One
//! difference, on purpose: a failure wins over a skip, and a mark is made early only when nothing
//! that is still open could change it. So the final state does not depend on which upstream task
//! ended first. (Airflow answers `all_success` over a skipped and a failed task with whichever it
//! saw first.)

use tidemill_model::{TaskState, TriggerRule};

/// How many task instances are in which terminal state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them, whatever their state.
    pub total: u32,
    /// Ended well.
    pub success: u32,
    /// Failed themselves.
    pub failed: u32,
    /// Blocked by a failure above.
    pub upstream_failed: u32,
    /// Skipped.
    pub skipped: u32,
    /// No longer in the DAG: they count for nothing.
    pub removed: u32,
}

impl Counts {
    /// Counts one instance's state in, or with `by = -1` out again. The total is not touched.
    pub fn count(&mut self, state: TaskState, by: i32) {
        let counter = match state {
            TaskState::Success => &mut self.success,
            TaskState::Failed => &mut self.failed,
            TaskState::UpstreamFailed => &mut self.upstream_failed,
            TaskState::Skipped => &mut self.skipped,
            TaskState::Removed => &mut self.removed,
            TaskState::None
            | TaskState::Scheduled
            | TaskState::Queued
            | TaskState::Running
            | TaskState::UpForRetry
            | TaskState::UpForReschedule
            | TaskState::Deferred
            | TaskState::Restarting => return,
        };
        *counter = counter.wrapping_add_signed(by);
    }

    /// How many count: all but the removed.
    pub const fn n(&self) -> u32 {
        self.total - self.removed
    }

    /// Failed, themselves or through others.
    pub const fn bad(&self) -> u32 {
        self.failed + self.upstream_failed
    }

    /// How many are not over.
    pub const fn open(&self) -> u32 {
        self.n() - self.success - self.bad() - self.skipped
    }
}

/// Everything that a task's readiness depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpstreamCounts {
    /// Its direct upstream tasks.
    pub near: Counts,
    /// The setup tasks among them.
    pub near_setups: Counts,
    /// Setup tasks further up that it needs.
    pub far_setups: Counts,
    /// Open tasks between a teardown task's setup tasks and it, its direct upstream tasks apart.
    pub open_in_scope: u32,
    /// Branches and gates above it that may still say that it is not followed.
    pub open_deciders: u32,
    /// Branches and gates above it that have said so.
    pub not_followed_by: u32,
}

/// What a trigger rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Not yet.
    Wait,
    /// Run it.
    Run,
    /// It will never run, because of skips.
    Skip,
    /// It will never run, because of failures.
    Block,
    /// It will never run, because a branch went another way.
    NotFollowed,
}

/// Applies a rule and what stands above every rule: the word of a branch first, then the setup
/// tasks, then the rule. A task without upstream tasks runs.
pub fn decide(rule: TriggerRule, up: &UpstreamCounts) -> Decision {
    if up.not_followed_by > 0 {
        return Decision::NotFollowed;
    }
    if rule == TriggerRule::Always || up.near.total == 0 {
        return Decision::Run;
    }
    let decision = match by_setups(&up.far_setups) {
        Decision::Run => by_rule(rule, &up.near, &up.near_setups),
        other => other,
    };
    match decision {
        // What a branch says wins over every mark, so no mark is made before it has spoken.
        Decision::Skip | Decision::Block if up.open_deciders > 0 => Decision::Wait,
        Decision::Run if up.open_in_scope > 0 => Decision::Wait,
        decision => decision,
    }
}

/// Setup tasks further up must all have succeeded (`_evaluate_setup_constraint`).
fn by_setups(setups: &Counts) -> Decision {
    match () {
        () if setups.bad() > 0 => Decision::Block,
        () if setups.open() > 0 => Decision::Wait,
        () if setups.skipped > 0 => Decision::Skip,
        () => Decision::Run,
    }
}

/// The rule over the direct upstream tasks (`_evaluate_direct_relatives`).
fn by_rule(rule: TriggerRule, up: &Counts, setups: &Counts) -> Decision {
    use Decision::{Block, Run, Skip, Wait};
    let (success, skipped, bad) = (up.success, up.skipped, up.bad());
    let when_done = |decision: Decision| if up.open() == 0 { decision } else { Wait };
    match rule {
        TriggerRule::Always => Run,
        _ if up.n() == 0 => Run,
        TriggerRule::AllSuccess if bad > 0 => Block,
        TriggerRule::AllSuccess => when_done(if skipped > 0 { Skip } else { Run }),
        TriggerRule::AllFailed if success + skipped > 0 => Skip,
        TriggerRule::AllFailed => when_done(Run),
        TriggerRule::AllDone => when_done(Run),
        TriggerRule::AllDoneMinOneSuccess if skipped > 0 => Skip,
        TriggerRule::AllDoneMinOneSuccess => when_done(if success > 0 { Run } else { Block }),
        TriggerRule::AllDoneSetupSuccess => when_done(match setups.n() {
            0 => Run,
            n if setups.skipped == n => Skip,
            _ if setups.success == 0 => Block,
            _ => Run,
        }),
        TriggerRule::AllSkipped if success + bad > 0 => Skip,
        TriggerRule::AllSkipped => when_done(Run),
        TriggerRule::OneSuccess if success > 0 => Run,
        TriggerRule::OneSuccess => when_done(if bad > 0 { Block } else { Skip }),
        TriggerRule::OneFailed if bad > 0 => Run,
        TriggerRule::OneFailed => when_done(Skip),
        // One that a failure above has blocked was never tried: it does not count as done here.
        TriggerRule::OneDone if success + up.failed > 0 => Run,
        TriggerRule::OneDone => when_done(Skip),
        TriggerRule::NoneFailed if bad > 0 => Block,
        TriggerRule::NoneFailed => when_done(Run),
        TriggerRule::NoneFailedMinOneSuccess if bad > 0 => Block,
        TriggerRule::NoneFailedMinOneSuccess => when_done(if success > 0 { Run } else { Skip }),
        TriggerRule::NoneSkipped if skipped > 0 => Skip,
        TriggerRule::NoneSkipped => when_done(Run),
    }
}

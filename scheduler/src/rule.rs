//! Trigger rules: may a task run, given how far its direct upstream tasks are?
//!
//! Source: Airflow's `ti_deps/deps/trigger_rule_dep.py`. One difference, on purpose: a failure
//! wins over a skip, and a mark is made early only when nothing that is still open could change
//! it. So the final state does not depend on which upstream task ended first.

use tidemill_model::{TaskState, TriggerRule};

/// How many direct upstream tasks are in which terminal state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpstreamCounts {
    /// All of them, whatever their state.
    pub total: u32,
    /// Ended well.
    pub success: u32,
    /// Failed themselves.
    pub failed: u32,
    /// Blocked by a failure above.
    pub upstream_failed: u32,
    /// Skipped, or no longer in the DAG.
    pub skipped: u32,
}

impl UpstreamCounts {
    /// Counts one upstream task's state in, or with `by = -1` out again.
    pub fn count(&mut self, state: TaskState, by: i32) {
        let counter = match state {
            TaskState::Success => &mut self.success,
            TaskState::Failed => &mut self.failed,
            TaskState::UpstreamFailed => &mut self.upstream_failed,
            TaskState::Skipped | TaskState::Removed => &mut self.skipped,
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

    const fn bad(&self) -> u32 {
        self.failed + self.upstream_failed
    }

    const fn done(&self) -> bool {
        self.success + self.bad() + self.skipped == self.total
    }
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
}

/// Applies a rule. A task without upstream tasks runs.
pub fn decide(rule: TriggerRule, up: &UpstreamCounts) -> Decision {
    use Decision::{Block, Run, Skip, Wait};
    if up.total == 0 {
        return Run;
    }
    let when_done = |decision: Decision| if up.done() { decision } else { Wait };
    match rule {
        TriggerRule::Always => Run,
        TriggerRule::AllSuccess if up.bad() > 0 => Block,
        TriggerRule::AllSuccess => when_done(if up.skipped > 0 { Skip } else { Run }),
        TriggerRule::AllFailed => when_done(if up.bad() == up.total { Run } else { Skip }),
        TriggerRule::AllDone => when_done(Run),
        TriggerRule::AllDoneMinOneSuccess => when_done(match (up.success, up.bad()) {
            (0, 0) => Skip,
            (0, _) => Block,
            _ => Run,
        }),
        // Setup tasks are not counted apart yet; the resolver refuses the rule until they are.
        TriggerRule::AllDoneSetupSuccess => when_done(Run),
        TriggerRule::AllSkipped => when_done(if up.skipped == up.total { Run } else { Skip }),
        TriggerRule::OneSuccess if up.success > 0 => Run,
        TriggerRule::OneSuccess => when_done(if up.bad() > 0 { Block } else { Skip }),
        TriggerRule::OneFailed if up.bad() > 0 => Run,
        TriggerRule::OneFailed => when_done(Skip),
        TriggerRule::OneDone if up.success + up.bad() > 0 => Run,
        TriggerRule::OneDone => when_done(Skip),
        TriggerRule::NoneFailed if up.bad() > 0 => Block,
        TriggerRule::NoneFailed => when_done(Run),
        TriggerRule::NoneFailedMinOneSuccess if up.bad() > 0 => Block,
        TriggerRule::NoneFailedMinOneSuccess => when_done(if up.success > 0 { Run } else { Skip }),
        TriggerRule::NoneSkipped => when_done(if up.skipped > 0 { Skip } else { Run }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: TriggerRule, states: &[TaskState], open: u32, expect: Decision) {
        let mut up = UpstreamCounts {
            total: states.len() as u32 + open,
            ..Default::default()
        };
        for &state in states {
            up.count(state, 1);
        }
        assert_eq!(
            decide(rule, &up),
            expect,
            "{rule} over {states:?} and {open} open"
        );
    }

    #[test]
    fn all_success_waits_runs_skips_and_blocks() {
        use TaskState::{Failed, Skipped, Success, UpstreamFailed};
        let rule = TriggerRule::AllSuccess;
        check(rule, &[], 0, Decision::Run);
        check(rule, &[Success], 1, Decision::Wait);
        check(rule, &[Success, Success], 0, Decision::Run);
        check(rule, &[Success, Skipped], 0, Decision::Skip);
        check(rule, &[Skipped], 1, Decision::Wait);
        check(rule, &[Failed], 1, Decision::Block);
        check(rule, &[UpstreamFailed, Success], 0, Decision::Block);
        check(rule, &[Skipped, Failed], 0, Decision::Block);
    }

    #[test]
    fn a_mark_once_made_is_never_changed_by_what_ends_later() {
        let ends = [
            TaskState::Success,
            TaskState::Failed,
            TaskState::UpstreamFailed,
            TaskState::Skipped,
        ];
        for &rule in TriggerRule::ALL {
            for first in ends {
                for second in ends {
                    let early = {
                        let mut up = UpstreamCounts {
                            total: 2,
                            ..Default::default()
                        };
                        up.count(first, 1);
                        decide(rule, &up)
                    };
                    let mut up = UpstreamCounts {
                        total: 2,
                        ..Default::default()
                    };
                    up.count(first, 1);
                    up.count(second, 1);
                    let late = decide(rule, &up);
                    if matches!(early, Decision::Skip | Decision::Block) {
                        assert_eq!(early, late, "{rule}: {first} then {second}");
                    }
                    assert_ne!(
                        late,
                        Decision::Wait,
                        "{rule}: {first}, {second} leaves nothing to wait for"
                    );
                }
            }
        }
    }
}

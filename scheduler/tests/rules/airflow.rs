//! What Airflow 3.3.2 answers, written down apart from our own rules: its marks as it makes them
//! one after another while upstream tasks end, in every order.

use tidemill_model::TriggerRule as Rule;
use tidemill_scheduler::{Counts, Decision};

/// Every answer that Airflow may give over these upstream states: it looks after each end, and
/// its first mark stays. An early start is its answer too.
pub fn answers(rule: Rule, up: &Counts) -> Vec<Decision> {
    let mut found = Vec::new();
    let none = Counts {
        total: up.total,
        ..Counts::default()
    };
    follow(rule, up, none, &mut found);
    found
}

fn follow(rule: Rule, up: &Counts, seen: Counts, found: &mut Vec<Decision>) {
    let now = look(rule, &seen);
    let mut is_last = true;
    if now == Decision::Wait {
        let mut go_on = |next: Counts| {
            is_last = false;
            follow(rule, up, next, found);
        };
        if seen.success < up.success {
            go_on(Counts {
                success: seen.success + 1,
                ..seen
            });
        }
        if seen.failed < up.failed {
            go_on(Counts {
                failed: seen.failed + 1,
                ..seen
            });
        }
        if seen.upstream_failed < up.upstream_failed {
            go_on(Counts {
                upstream_failed: seen.upstream_failed + 1,
                ..seen
            });
        }
        if seen.skipped < up.skipped {
            go_on(Counts {
                skipped: seen.skipped + 1,
                ..seen
            });
        }
    }
    if is_last && !found.contains(&now) {
        found.push(now);
    }
}

/// One look of Airflow's: first the marks, then whether the rule is met. Without setup tasks and
/// without mapping.
fn look(rule: Rule, up: &Counts) -> Decision {
    use Decision::{Block, Run, Skip, Wait};
    if up.total == 0 || rule == Rule::Always {
        return Run;
    }
    let (success, failed, upstream_failed, skipped) =
        (up.success, up.failed, up.upstream_failed, up.skipped);
    let done = success + failed + upstream_failed + skipped;
    let is_done = done >= up.total;
    let any_bad = failed > 0 || upstream_failed > 0;
    let mark = match rule {
        Rule::AllSuccess if any_bad => Some(Block),
        Rule::AllSuccess if skipped > 0 => Some(Skip),
        Rule::AllFailed if success > 0 || skipped > 0 => Some(Skip),
        Rule::OneSuccess if is_done && done == skipped => Some(Skip),
        Rule::OneSuccess if is_done && success == 0 => Some(Block),
        Rule::OneFailed if is_done && !any_bad => Some(Skip),
        Rule::OneDone if is_done && failed == 0 && success == 0 => Some(Skip),
        Rule::NoneFailed if any_bad => Some(Block),
        Rule::NoneFailedMinOneSuccess if any_bad => Some(Block),
        Rule::NoneFailedMinOneSuccess if skipped == up.total => Some(Skip),
        Rule::NoneFailedMinOneSuccess if is_done && success == 0 => Some(Block),
        Rule::NoneSkipped if skipped > 0 => Some(Skip),
        Rule::AllSkipped if success > 0 || any_bad => Some(Skip),
        Rule::AllDoneMinOneSuccess if skipped > 0 => Some(Skip),
        Rule::AllDoneMinOneSuccess if is_done && success == 0 => Some(Block),
        _ => None,
    };
    let is_met = match rule {
        Rule::AllSuccess => success == up.total,
        Rule::AllFailed => failed + upstream_failed == up.total,
        Rule::AllDone | Rule::AllDoneSetupSuccess => is_done,
        Rule::AllDoneMinOneSuccess => is_done && skipped == 0 && success > 0,
        Rule::AllSkipped => skipped == up.total,
        Rule::OneSuccess => success > 0,
        Rule::OneFailed => any_bad,
        Rule::OneDone => success + failed > 0,
        Rule::NoneFailed => success + skipped == up.total,
        Rule::NoneFailedMinOneSuccess => success + skipped == up.total && success > 0,
        Rule::NoneSkipped => is_done && skipped == 0,
        Rule::Always => true,
    };
    match (mark, is_met) {
        (Some(mark), _) => mark,
        (None, true) => Run,
        (None, false) => Wait,
    }
}

//! Whether a failed try is followed by another one, and when.
//!
//! Source: Airflow's `taskinstance.py: next_retry_datetime` and `retry_policy`.

use std::time::Duration;
use tidemill_model::attempt::Again;
use tidemill_model::dag::{RetryAction, RetryPolicy, RetryRule};
use tidemill_model::{Attempt, TaskRow, Ts};

/// No wait between two tries is longer than this, whatever the multiplier makes of it.
const DELAY_MAX: Duration = Duration::from_secs(24 * 3600);

/// The rule of a policy that speaks about how this instance's last try ended. The first that
/// matches wins.
pub(crate) fn rule_for<'p>(
    policy: &'p RetryPolicy,
    row: &TaskRow,
    http_status: Option<u16>,
) -> Option<&'p RetryRule> {
    let error = row.message.as_deref().unwrap_or("");
    policy
        .rules
        .iter()
        .find(|rule| rule.matches(row.exit_code, http_status, error))
}

/// May the task be tried again, as far as its retries go? A rule of the file has the last word;
/// without one it is for whoever was asked to say that asking again cannot help.
pub(crate) fn allows_another(rule: Option<&RetryRule>, again: Option<Again>) -> bool {
    match rule {
        Some(rule) => rule.action == RetryAction::Retry,
        None => again != Some(Again::Never),
    }
}

/// The first instant that whoever was asked allows, where a rule of the file does not name
/// another wait.
pub(crate) fn asked_for(rule: Option<&RetryRule>, again: Option<Again>, now: Ts) -> Option<Ts> {
    match again {
        Some(Again::AfterSeconds(seconds)) if rule.is_none_or(|rule| rule.delay.is_none()) => {
            Some(now.after(Duration::from_secs(u64::from(seconds)).min(DELAY_MAX)))
        }
        Some(Again::AfterSeconds(_) | Again::Never) | None => None,
    }
}

/// The instant of the try after the one that ended at `now`. `n_tries` is how many tries the
/// user's retries have paid for so far. With a multiplier or a wish for it the wait is spread: to
/// up to twice its length, by a number that follows from the attempt, so that tasks that failed
/// together come back apart and the same attempt always waits as long.
pub fn next_try_at(
    policy: &RetryPolicy,
    rule: Option<&RetryRule>,
    attempt: Attempt,
    n_tries: i32,
    now: Ts,
) -> Ts {
    if let Some(delay) = rule.and_then(|rule| rule.delay) {
        return now.after(delay.min(DELAY_MAX));
    }
    let grows = policy.multiplier > 0.0 && policy.multiplier != 1.0;
    let mut seconds = policy.delay.as_secs_f64();
    if grows {
        seconds *= policy.multiplier.powi(n_tries.max(1) - 1);
        seconds = seconds.ceil().max(1.0);
    }
    let most = policy.max_delay.filter(|most| !most.is_zero());
    let most = most.unwrap_or(DELAY_MAX).min(DELAY_MAX);
    // As in Airflow the limit is for waits that grow: a constant one is as long as it says.
    let limit = if grows { most } else { most.max(policy.delay) };
    let mut wait = Duration::try_from_secs_f64(seconds)
        .unwrap_or(limit)
        .min(limit);
    if policy.jitter {
        wait = (wait + wait.mul_f64(spread(attempt))).min(limit);
    }
    now.after(wait)
}

/// A number from 0 up to 1 that an attempt has for itself (the mixing step of SplitMix64).
fn spread(attempt: Attempt) -> f64 {
    let parts = [
        attempt.run.0 as u64,
        attempt.task_no.0 as u64,
        attempt.map_index.0 as u64,
        attempt.epoch.0 as u64,
    ];
    let mut mixed = 0u64;
    for part in parts {
        mixed = mixed.wrapping_add(part).wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
    }
    (mixed >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill_model::{Epoch, MapIndex, RunNo, TaskNo};

    fn policy(multiplier: f64, max_s: Option<u64>, jitter: bool) -> RetryPolicy {
        RetryPolicy {
            retries: 9,
            delay: Duration::from_secs(30),
            multiplier,
            max_delay: max_s.map(Duration::from_secs),
            jitter,
            rules: Vec::new(),
        }
    }

    fn attempt(run: i64) -> Attempt {
        Attempt {
            run: RunNo(run),
            task_no: TaskNo(1),
            map_index: MapIndex::NONE,
            epoch: Epoch(1),
        }
    }

    fn wait_s(policy: &RetryPolicy, run: i64, n_tries: i32) -> f64 {
        next_try_at(policy, None, attempt(run), n_tries, Ts(0))
            .since(Ts(0))
            .as_secs_f64()
    }

    #[test]
    fn waits_are_constant_or_grow_up_to_the_limit() {
        let waits = |multiplier, max_s, tries: &[i32]| -> Vec<f64> {
            let policy = policy(multiplier, max_s, false);
            tries.iter().map(|n| wait_s(&policy, 1, *n)).collect()
        };
        assert_eq!(waits(0.0, None, &[1, 2, 3]), [30.0, 30.0, 30.0]);
        assert_eq!(waits(1.0, None, &[1, 2, 3]), [30.0, 30.0, 30.0]);
        assert_eq!(waits(2.0, None, &[1, 2, 3]), [30.0, 60.0, 120.0]);
        assert_eq!(waits(1.5, None, &[1, 2, 3]), [30.0, 45.0, 68.0]);
        assert_eq!(
            waits(2.0, Some(100), &[1, 2, 3, 40]),
            [30.0, 60.0, 100.0, 100.0]
        );
        assert_eq!(waits(10.0, None, &[400]), [24.0 * 3600.0]);
        assert_eq!(waits(0.5, None, &[1, 2, 9]), [30.0, 15.0, 1.0]);
    }

    #[test]
    fn a_spread_wait_is_up_to_twice_as_long_and_the_same_each_time() {
        let policy = policy(2.0, None, true);
        let waits: Vec<f64> = (0..1_000).map(|run| wait_s(&policy, run, 2)).collect();
        assert!(waits.iter().all(|wait| (60.0..120.0).contains(wait)));
        let mean = waits.iter().sum::<f64>() / 1_000.0;
        assert!((85.0..95.0).contains(&mean), "{mean}");
        // Another release must not move what a row is already waiting for.
        let pinned = [83.3755, 67.591474, 90.252675];
        assert_eq!(waits[..3], pinned);
    }
}

//! When the next try is due (Airflow's `taskinstance.py: next_retry_datetime`).

use std::time::Duration;
use tidemill_model::Ts;
use tidemill_model::dag::RetryPolicy;

/// No wait between two tries is longer than this, whatever the multiplier makes of it.
const DELAY_MAX: Duration = Duration::from_secs(24 * 3600);

/// The instant of the try after the one that ended at `now`. `try_number` is the one that ended;
/// `chance` spreads the waits of tasks that failed together and makes each at most a tenth longer.
pub fn next_try_at(policy: &RetryPolicy, try_number: i32, now: Ts, chance: u64) -> Ts {
    let mut seconds = policy.delay.as_secs_f64();
    if policy.multiplier >= 1.0 {
        seconds *= policy.multiplier.powi(try_number.max(1) - 1);
    }
    let limit = policy
        .max_delay
        .unwrap_or(DELAY_MAX)
        .min(DELAY_MAX)
        .max(policy.delay);
    let mut wait = Duration::try_from_secs_f64(seconds)
        .unwrap_or(limit)
        .min(limit);
    if policy.jitter {
        wait += wait.mul_f64((chance % 1000) as f64 / 10_000.0);
        wait = wait.min(limit);
    }
    now.after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_s(multiplier: f64, max_s: Option<u64>, try_number: i32) -> u64 {
        let policy = RetryPolicy {
            retries: 9,
            delay: Duration::from_secs(30),
            multiplier,
            max_delay: max_s.map(Duration::from_secs),
            jitter: false,
        };
        next_try_at(&policy, try_number, Ts(0), 7)
            .since(Ts(0))
            .as_secs()
    }

    #[test]
    fn waits_are_constant_or_grow_up_to_the_limit() {
        assert_eq!([1, 2, 3].map(|n| wait_s(0.0, None, n)), [30, 30, 30]);
        assert_eq!([1, 2, 3].map(|n| wait_s(2.0, None, n)), [30, 60, 120]);
        assert_eq!(
            [1, 2, 3, 40].map(|n| wait_s(2.0, Some(100), n)),
            [30, 60, 100, 100]
        );
        assert_eq!(wait_s(10.0, None, 400), 24 * 3600);
    }
}

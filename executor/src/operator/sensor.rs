//! Waiting without a slot: look, give the slot back, look again after a while.

use super::{Done, End, Failure, Job};
use serde::Deserialize;
use std::time::{Duration, Instant};
use tidemill_model::attempt::Again;

/// With `exponential_backoff` no pause is longer.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// How something is waited for. Durations are milliseconds.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Patience {
    /// Between two looks.
    #[serde(default = "a_minute")]
    pub poke_interval: u64,
    /// For all looks together.
    #[serde(default = "a_week")]
    pub timeout: u64,
    /// Is it skipped, and not failed, when the time is up?
    #[serde(default)]
    pub soft_fail: bool,
    /// Is each pause twice the one before?
    #[serde(default)]
    pub exponential_backoff: bool,
}

fn a_minute() -> u64 {
    60_000
}

fn a_week() -> u64 {
    7 * 24 * 3_600_000
}

impl Patience {
    fn pause(&self, n_looks: u32) -> Duration {
        let first = Duration::from_millis(self.poke_interval);
        if !self.exponential_backoff {
            return first;
        }
        let grown = first.saturating_mul(1 << n_looks.saturating_sub(1).min(16));
        grown.min(PAUSE_MAX.max(first))
    }
}

/// What a look has shown.
pub(super) enum Seen {
    /// It is there.
    There(Done),
    /// Not yet, and why, for people.
    NotYet(String),
}

/// Looks once.
pub(super) trait Look: Send {
    /// One look.
    fn look(&mut self) -> impl Future<Output = Result<Seen, End>> + Send;
}

/// Looks until it is there. The slot is given back after the first look that was in vain. What
/// goes wrong and may pass by itself is waited out.
pub(super) async fn wait(
    job: &Job,
    patience: &Patience,
    mut looker: impl Look,
) -> Result<Done, End> {
    let timeout = Duration::from_millis(patience.timeout);
    let until = Instant::now() + job.left_of(timeout);
    let mut said = String::new();
    for n_looks in 1u32.. {
        let why = match looker.look().await {
            Ok(Seen::There(done)) => return Ok(done),
            Ok(Seen::NotYet(why)) => why,
            Err(End::Failed(failure)) if is_passing(&failure) => failure.message,
            Err(end) => return Err(end),
        };
        if why != said {
            job.note(&format!("waiting: {why}"));
            said = why;
        }
        let now = Instant::now();
        if now >= until {
            break;
        }
        if n_looks == 1 {
            job.defer(Vec::new());
        }
        tokio::time::sleep(patience.pause(n_looks).min(until - now)).await;
    }
    let message = format!(
        "not there after `timeout`, {}: {said}",
        tidemill_model::time::human(timeout)
    );
    if patience.soft_fail {
        return Err(End::Skipped(message));
    }
    Err(Failure::timed_out(message).for_good().into())
}

/// May it be otherwise at the next look?
fn is_passing(failure: &Failure) -> bool {
    failure.reason == tidemill_model::Reason::Refused && failure.again != Some(Again::Never)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: Airflow's `bases/sensor.py: BaseSensorOperator` and `[sensors] default_timeout`.
    #[test]
    fn a_sensor_that_says_nothing_looks_each_minute_for_a_week() {
        let silent = serde_json::from_str::<Patience>("{}").map(|patience| {
            let seconds = [patience.poke_interval, patience.timeout].map(|millis| millis / 1_000);
            (seconds, patience.soft_fail, patience.exponential_backoff)
        });
        assert_eq!(silent.ok(), Some(([60, 604_800], false, false)));
    }

    #[test]
    fn pauses_are_constant_or_double_up_to_an_hour() {
        let pauses = |exponential_backoff| {
            let patience = Patience {
                poke_interval: 1_000_000,
                timeout: 0,
                soft_fail: false,
                exponential_backoff,
            };
            [1, 2, 3, 90].map(|n| patience.pause(n).as_secs())
        };
        assert_eq!(pauses(false), [1000, 1000, 1000, 1000]);
        assert_eq!(pauses(true), [1000, 2000, 3600, 3600]);
    }
}

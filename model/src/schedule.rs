//! When a DAG runs by itself.

use crate::cron::Cron;
use crate::time::Ts;
use jiff::tz::TimeZone;
use std::time::Duration;

/// A schedule. Its fire times are strictly increasing instants.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// Never by itself.
    Manual,
    /// At the union of the fire times of these, in a time zone.
    Cron {
        /// The expressions.
        crons: Vec<Cron>,
        /// Where their fields are read.
        zone: TimeZone,
    },
    /// At a fixed distance, counted from an anchor.
    Every {
        /// The distance; at least one second.
        period: Duration,
        /// A fire time; the Unix epoch when the DAG has no start date.
        anchor: Ts,
    },
    /// Once, at an instant.
    Once(Option<Ts>),
}

impl Schedule {
    /// The first fire time after `after`.
    pub fn next_after(&self, after: Ts) -> Option<Ts> {
        match self {
            Schedule::Manual => None,
            Schedule::Cron { crons, zone } => crons
                .iter()
                .filter_map(|cron| cron.next_after(after, zone))
                .min(),
            Schedule::Every { period, anchor } => every(*period, *anchor, after, 1),
            Schedule::Once(at) => at.filter(|at| *at > after),
        }
    }

    /// The last fire time before `before`.
    pub fn previous_before(&self, before: Ts) -> Option<Ts> {
        match self {
            Schedule::Manual => None,
            Schedule::Cron { crons, zone } => crons
                .iter()
                .filter_map(|cron| cron.previous_before(before, zone))
                .max(),
            Schedule::Every { period, anchor } => {
                every(*period, *anchor, Ts(before.0.checked_sub(1)?), 0)
            }
            Schedule::Once(at) => at.filter(|at| *at < before),
        }
    }
}

/// The tick at or before `at`, and then `n_on` ticks on; `None` past the ends of time.
fn every(period: Duration, anchor: Ts, at: Ts, n_on: i64) -> Option<Ts> {
    let period = i64::try_from(period.as_micros())
        .ok()
        .filter(|period| *period > 0)?;
    let n_periods =
        at.0.checked_sub(anchor.0)?
            .div_euclid(period)
            .checked_add(n_on)?;
    n_periods.checked_mul(period)?.checked_add(anchor.0).map(Ts)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn an_interval_counts_from_its_anchor_in_both_directions() {
        let schedule = Schedule::Every {
            period: Duration::from_secs(60),
            anchor: Ts(5_000_000),
        };
        assert_eq!(schedule.next_after(Ts(5_000_000)), Some(Ts(65_000_000)));
        assert_eq!(
            schedule.previous_before(Ts(5_000_000)),
            Some(Ts(-55_000_000))
        );
        assert_eq!(schedule.next_after(Ts(i64::MAX)), None);
    }

    #[test]
    fn several_crons_fire_once_at_a_shared_instant() {
        let crons = ["0 0 * * *", "0 */12 * * *"]
            .map(|text| Cron::parse(text).unwrap())
            .to_vec();
        let schedule = Schedule::Cron {
            crons,
            zone: TimeZone::UTC,
        };
        let noon = schedule.next_after(Ts(0)).unwrap();
        let midnight = schedule.next_after(noon).unwrap();
        assert_eq!((noon, midnight), (Ts(43_200_000_000), Ts(86_400_000_000)));
        assert_eq!(schedule.previous_before(midnight), Some(noon));
    }
}

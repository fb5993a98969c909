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
            Schedule::Cron { crons, zone } => {
                crons.iter().filter_map(|cron| cron.next_after(after, zone)).min()
            }
            Schedule::Every { period, anchor } => {
                let period = period.as_micros() as i64;
                let n_periods = (after.0 - anchor.0).div_euclid(period) + 1;
                Some(Ts(anchor.0 + n_periods * period))
            }
            Schedule::Once(at) => at.filter(|at| *at > after),
        }
    }

    /// The last fire time before `before`.
    pub fn previous_before(&self, before: Ts) -> Option<Ts> {
        match self {
            Schedule::Manual => None,
            Schedule::Cron { crons, zone } => {
                crons.iter().filter_map(|cron| cron.previous_before(before, zone)).max()
            }
            Schedule::Every { period, anchor } => {
                let period = period.as_micros() as i64;
                let n_periods = (before.0 - anchor.0 - 1).div_euclid(period);
                Some(Ts(anchor.0 + n_periods * period))
            }
            Schedule::Once(at) => at.filter(|at| *at < before),
        }
    }
}

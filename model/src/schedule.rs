//! When a DAG runs by itself, and what such a run is about.

use crate::cron::Cron;
use crate::time::Ts;
use jiff::tz::TimeZone;
use std::time::Duration;

/// A schedule: its ticks, and what follows from one.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// When it ticks.
    pub ticks: Ticks,
    /// Where cron fields are read, and the zone that people are told local times in.
    pub zone: TimeZone,
    /// What the run of a tick is about.
    pub interval: Interval,
    /// Runs begin up to so much after their tick, always by the same distance for one DAG.
    pub jitter: Duration,
    /// What happens with the last tick before the DAG was first seen.
    pub first: First,
}

/// Strictly increasing instants.
#[derive(Clone, Debug)]
pub enum Ticks {
    /// Never by itself.
    Manual,
    /// At the union of the fire times of these.
    Cron(Vec<Cron>),
    /// At a fixed distance, counted from an anchor.
    Every {
        /// The distance; at least one second.
        period: Duration,
        /// A tick; the Unix epoch when the DAG has no start date.
        anchor: Ts,
    },
    /// Once: at an instant, or when the DAG is first seen.
    Once(Option<Ts>),
    /// At these instants, in order.
    At(Vec<Ts>),
    /// As soon as the last run is over.
    Continuous,
}

/// What the run of a tick is about (`interval` in the file).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// The tick itself: start, end and logical date are one (Airflow 3's default).
    Tick,
    /// From the previous tick to this one; the logical date is this one.
    Previous,
    /// The same, and the logical date is its start (Airflow 2's rule).
    Period,
    /// So much time up to the tick.
    Fixed(Duration),
}

/// What happens with the last tick before a DAG without a start date was first seen
/// (`run_immediately`; Airflow's `_TriggerTimetable._calc_first_run`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// It runs when it was within a tenth of the period, or five minutes.
    Recent,
    /// It runs when it was within so long.
    Within(Duration),
    /// It runs.
    Previous,
    /// It does not.
    Next,
}

/// A tick with what its run is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The instant.
    pub at: Ts,
    /// The instant that the run is about; unique in its DAG.
    pub logical_date: Ts,
    /// The data that the run is about: start and end.
    pub data_interval: (Ts, Ts),
}

/// Ticks of [`Ticks::Continuous`] are at least so far from each other.
pub const CONTINUOUS_MIN: Duration = Duration::from_secs(1);

impl Schedule {
    /// No schedule.
    pub const MANUAL: Schedule = Schedule {
        ticks: Ticks::Manual,
        zone: TimeZone::UTC,
        interval: Interval::Tick,
        jitter: Duration::ZERO,
        first: First::Recent,
    };

    /// These ticks in a zone, with the defaults for the rest.
    pub fn of(ticks: Ticks, zone: TimeZone) -> Schedule {
        Schedule {
            ticks,
            zone,
            ..Schedule::MANUAL
        }
    }

    /// Does the DAG never run by itself?
    pub const fn is_manual(&self) -> bool {
        matches!(self.ticks, Ticks::Manual)
    }

    /// Are its ticks known for any time, so that a backfill can make them up?
    pub const fn is_periodic(&self) -> bool {
        matches!(
            self.ticks,
            Ticks::Cron(_) | Ticks::Every { .. } | Ticks::At(_)
        )
    }

    /// The first tick after `after`.
    pub fn next_after(&self, after: Ts) -> Option<Ts> {
        match &self.ticks {
            Ticks::Manual | Ticks::Continuous => None,
            Ticks::Cron(crons) => crons
                .iter()
                .filter_map(|cron| cron.next_after(after, &self.zone))
                .min(),
            Ticks::Every { period, anchor } => every(*period, *anchor, after, 1),
            Ticks::Once(at) => at.filter(|at| *at > after),
            Ticks::At(instants) => {
                let place = instants.partition_point(|at| *at <= after);
                instants.get(place).copied()
            }
        }
    }

    /// The last tick before `before`.
    pub fn previous_before(&self, before: Ts) -> Option<Ts> {
        match &self.ticks {
            Ticks::Manual | Ticks::Continuous => None,
            Ticks::Cron(crons) => crons
                .iter()
                .filter_map(|cron| cron.previous_before(before, &self.zone))
                .max(),
            Ticks::Every { period, anchor } => {
                every(*period, *anchor, Ts(before.0.checked_sub(1)?), 0)
            }
            Ticks::Once(at) => at.filter(|at| *at < before),
            Ticks::At(instants) => {
                let place = instants.partition_point(|at| *at < before);
                instants.get(place.checked_sub(1)?).copied()
            }
        }
    }

    /// What the run of a tick is about. Where there is no tick before it, its period is empty.
    pub fn about(&self, at: Ts) -> Tick {
        let previous = || self.previous_before(at).unwrap_or(at);
        let start = match self.interval {
            Interval::Tick => at,
            Interval::Previous | Interval::Period => previous(),
            Interval::Fixed(span) => at.before(span),
        };
        let logical_date = match self.interval {
            Interval::Period => start,
            Interval::Tick | Interval::Previous | Interval::Fixed(_) => at,
        };
        Tick {
            at,
            logical_date,
            data_interval: (start, at),
        }
    }

    /// The data of a run that somebody asks for, about an instant: what a run of the schedule
    /// would have if it ticked then, or the last period that was over (Airflow's
    /// `infer_manual_data_interval`).
    pub fn asked_for(&self, at: Ts) -> (Ts, Ts) {
        match self.interval {
            Interval::Tick | Interval::Fixed(_) => self.about(at).data_interval,
            Interval::Previous | Interval::Period => {
                let end = self.previous_before(Ts(at.0.saturating_add(1)));
                end.map_or((at, at), |end| self.about(end).data_interval)
            }
        }
    }

    /// How much later than its ticks a DAG runs: from zero to `jitter`, by the DAG's name, so
    /// that it is the same for each tick and on each machine. Whole seconds, where there are any.
    pub fn offset(&self, dag_id: &str) -> Duration {
        let number = spread(dag_id);
        match self.jitter.as_secs() {
            0 => Duration::from_millis(number % (u64::from(self.jitter.subsec_millis()) + 1)),
            most => Duration::from_secs(number % most.saturating_add(1)),
        }
    }
}

/// A number that a name always has, spread evenly (FNV-1a and SplitMix64's last step). The
/// standard library's hash may change with its version; this must not.
pub fn spread(name: &str) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    hash ^ (hash >> 31)
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
#[path = "schedule_tests.rs"]
mod tests;

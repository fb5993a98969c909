//! `latest_only`: which run is the latest (Airflow's `operators/latest_only.py` of the standard
//! provider: `left_window < now <= right_window`, by the ends of data intervals).

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;

use common::{Place, spec, task};
use std::sync::Arc;
use std::time::Duration;
use tidemill_model::schedule::{Interval, Schedule, Ticks};
use tidemill_model::{Operator, Ts};

const HOUR: i64 = 3_600_000_000;

fn hourly(interval: Interval) -> Schedule {
    Schedule {
        ticks: Ticks::Every {
            period: Duration::from_secs(3_600),
            anchor: Ts(0),
        },
        interval,
        ..Schedule::MANUAL
    }
}

/// Does the run of the tick at hour 10 let what is below it go, so many hours after the epoch?
struct Asked {
    schedule: Schedule,
    end_date: Option<i64>,
    run_type: &'static str,
    is_dated: bool,
}

impl Asked {
    fn goes(&self, place: &mut Place, now: i64) -> bool {
        let mut spec = spec(place.folder.path(), task(Operator::LatestOnly));
        let dag = Arc::make_mut(&mut spec.dag);
        dag.schedule = self.schedule.clone();
        dag.end_date = self.end_date.map(|hour| Ts(hour * HOUR));
        let tick = self.schedule.about(Ts(10 * HOUR));
        let dated = |at: Ts| self.is_dated.then_some(at);
        spec.facts.run_type = self.run_type.to_string();
        spec.facts.logical_date = dated(tick.logical_date);
        spec.facts.data_interval_start = dated(tick.data_interval.0);
        spec.facts.data_interval_end = dated(tick.data_interval.1);
        spec.now = Ts(now);
        let attempt = spec.attempt;
        place.worker.launch(spec);
        match place.outcome(attempt).follows {
            None => true,
            Some(names) => {
                assert!(names.is_empty(), "{names:?}");
                false
            }
        }
    }
}

fn of(interval: Interval) -> Asked {
    Asked {
        schedule: hourly(interval),
        end_date: None,
        run_type: "scheduled",
        is_dated: true,
    }
}

#[test]
fn a_run_is_the_latest_until_the_next_one_is_due_whatever_its_interval() {
    let mut place = Place::new();
    let before = Interval::Fixed(Duration::from_secs(6 * 3_600));
    for interval in [Interval::Tick, Interval::Previous, Interval::Period, before] {
        for run_type in ["scheduled", "backfill"] {
            let asked = Asked {
                run_type,
                ..of(interval)
            };
            let goes = [10 * HOUR, 11 * HOUR - 1, 11 * HOUR + 1, 20 * HOUR]
                .map(|now| asked.goes(&mut place, now));
            assert_eq!(goes, [true, true, false, false], "{interval:?} {run_type}");
        }
    }
}

#[test]
fn runs_of_people_and_runs_without_a_date_are_always_the_latest() {
    let mut place = Place::new();
    for (run_type, is_dated) in [
        ("manual", true),
        ("asset_triggered", true),
        ("scheduled", false),
    ] {
        let asked = Asked {
            run_type,
            is_dated,
            ..of(Interval::Tick)
        };
        assert!(asked.goes(&mut place, 20 * HOUR), "{run_type}");
    }
}

#[test]
fn no_run_comes_after_the_last_one_before_the_end_date() {
    let mut place = Place::new();
    // The next logical date is hour 11, and with periods hour 10, in which the next one begins.
    for (interval, end, is_last) in [
        (Interval::Tick, 10, true),
        (Interval::Tick, 11, false),
        (Interval::Period, 9, true),
        (Interval::Period, 10, false),
    ] {
        let asked = Asked {
            end_date: Some(end),
            ..of(interval)
        };
        assert_eq!(
            asked.goes(&mut place, 20 * HOUR),
            is_last,
            "{interval:?} {end}"
        );
    }
}

#[test]
fn a_run_that_begins_later_than_its_tick_is_the_latest_so_much_longer() {
    let mut place = Place::new();
    let mut asked = of(Interval::Tick);
    asked.schedule.jitter = Duration::from_secs(6 * 3_600);
    let offset = asked.schedule.offset("the_dag").as_micros() as i64;
    assert!(offset > HOUR, "a dag whose runs begin after the next tick");
    assert!(asked.goes(&mut place, 10 * HOUR + offset));
    assert!(!asked.goes(&mut place, 11 * HOUR + offset + 1));
}

//! The dates of backfills, and what is refused.

use crate::sample::{cron, dag, hour};
use tidemill_model::dag::{Param, PastRule};
use tidemill_model::schedule::{Interval, Schedule, Ticks};
use tidemill_model::{Dag, Json, JsonObject, Reprocess, RunState, RunType, SkipReason};
use tidemill_scheduler::{BackfillRange, DateFate, check_backfill, date_fate, next_backfill_tick};

fn range(from: i64, to: i64) -> BackfillRange {
    BackfillRange {
        from: hour(from),
        to: hour(to),
        is_backwards: false,
        until: hour(100),
    }
}

/// The hours of the logical dates, in the order of their runs.
fn dates(dag: &Dag, range: &BackfillRange) -> Vec<i64> {
    let mut position = None;
    let dates = std::iter::from_fn(|| {
        let tick = next_backfill_tick(dag, range, position)?;
        position = Some(tick.at);
        Some(tick.logical_date.0 / hour(1).0)
    });
    dates.collect()
}

#[test]
fn a_backfill_has_each_logical_date_of_its_range_in_either_direction() {
    for interval in [Interval::Tick, Interval::Previous, Interval::Period] {
        let mut dag = dag(cron("0 * * * *"));
        dag.schedule.interval = interval;
        assert_eq!(dates(&dag, &range(3, 6)), [3, 4, 5, 6], "{interval:?}");
        let backwards = BackfillRange {
            is_backwards: true,
            ..range(3, 6)
        };
        assert_eq!(dates(&dag, &backwards), [6, 5, 4, 3], "{interval:?}");
        dag.start_date = Some(hour(4));
        dag.end_date = Some(hour(5));
        assert_eq!(dates(&dag, &range(3, 6)), [4, 5], "{interval:?}");
        assert_eq!(dates(&dag, &backwards), [5, 4], "{interval:?}");
    }
}

/// Source: Airflow's `models/backfill.py: _get_info_list`, which leaves out what is due later.
#[test]
fn a_period_that_has_not_ended_is_not_part_of_a_backfill() {
    let mut dag = dag(cron("0 * * * *"));
    dag.schedule.interval = Interval::Period;
    assert_eq!(dates(&dag, &range(98, 100)), [98, 99]);
    let backwards = BackfillRange {
        is_backwards: true,
        ..range(98, 100)
    };
    assert_eq!(dates(&dag, &backwards), [99, 98]);
}

fn any_param(name: &str) -> Param {
    Param {
        name: name.to_string(),
        default: Json::Bool(true),
        schema: Json::Object(JsonObject::new()),
    }
}

/// Source: Airflow's `models/backfill.py: _validate_backfill_params` and `_create_backfill`.
#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    let check = |dag: &Dag, range: BackfillRange, conf: &JsonObject| {
        check_backfill(dag, &range, Reprocess::None, conf).unwrap_err()
    };
    let none = JsonObject::new();
    let hourly = dag(cron("0 * * * *"));
    let plain = check_backfill(&hourly, &range(3, 6), Reprocess::None, &none);
    assert_eq!(plain, Ok(()));
    for hour in [3, 100] {
        let single = check_backfill(&hourly, &range(hour, hour), Reprocess::None, &none);
        assert_eq!(single, Ok(()), "one date, and that of now, are dates");
    }
    for ticks in [Ticks::Manual, Ticks::Continuous, Ticks::Once(None)] {
        let why = check(&dag(ticks), range(3, 6), &none);
        assert!(why.contains("no schedule"), "{why}");
    }
    assert!(check(&hourly, range(6, 3), &none).contains("before the first"));
    assert!(check(&hourly, range(99, 101), &none).contains("in the future"));
    let daily = dag(cron("0 0 * * *"));
    assert!(check(&daily, range(3, 6), &none).contains("no date"));
    let conf = JsonObject::from_iter([("colour".to_string(), Json::Null)]);
    assert!(check(&hourly, range(3, 6), &conf).contains("`colour`"));
    let mut with_colour = dag(cron("0 * * * *"));
    with_colour.params = ["size", "colour"].map(any_param).to_vec();
    let known = check_backfill(&with_colour, &range(3, 6), Reprocess::None, &conf);
    assert_eq!(known, Ok(()));
    let mut closed = dag(cron("0 * * * *"));
    closed.allowed_run_types = vec![RunType::Scheduled];
    assert!(check(&closed, range(3, 6), &none).contains("does not allow"));
    assert!(Schedule::MANUAL.is_manual());
}

/// Source: Airflow's `models/backfill.py: _validate_backfill_params`.
#[test]
fn a_dag_that_looks_back_goes_forward_only_and_says_what_runs_again() {
    let none = JsonObject::new();
    let mut sketch = crate::support::Sketch::default();
    sketch.add("a", &[]).past = Some(PastRule {
        with_downstream: false,
        passes_when_new: true,
    });
    let mut back = sketch.build();
    back.schedule = dag(cron("0 * * * *")).schedule;
    back.allowed_run_types = vec![RunType::Backfill];
    let check = |is_backwards: bool, reprocess: Reprocess| {
        let range = BackfillRange {
            is_backwards,
            ..range(3, 6)
        };
        check_backfill(&back, &range, reprocess, &none)
    };
    assert_eq!(check(false, Reprocess::Failed), Ok(()));
    assert_eq!(check(false, Reprocess::Completed), Ok(()));
    let backwards = check(true, Reprocess::Failed).unwrap_err();
    assert!(backwards.contains("backwards"), "{backwards}");
    let silent = check(false, Reprocess::None).unwrap_err();
    assert!(silent.contains("--reprocess"), "{silent}");
}

/// Source: Airflow's `models/backfill.py: _get_dag_run_no_create_reason` and
/// `BackfillDagRunExceptionReason`.
#[test]
fn what_happens_with_a_date_follows_from_its_run_and_the_wish() {
    use DateFate::{Again, Make, Skip};
    use SkipReason::{AlreadyExists, InFlight};
    let states = [
        None,
        Some(RunState::Queued),
        Some(RunState::Running),
        Some(RunState::Success),
        Some(RunState::Failed),
    ];
    let (there, flying) = (Skip(AlreadyExists), Skip(InFlight));
    let table = [
        (Reprocess::None, [Make, flying, flying, there, there]),
        (Reprocess::Failed, [Make, flying, flying, there, Again]),
        (Reprocess::Completed, [Make, flying, flying, Again, Again]),
    ];
    for (reprocess, fates) in table {
        let found = states.map(|state| date_fate(state, reprocess));
        assert_eq!(found, fates, "{reprocess}");
    }
}

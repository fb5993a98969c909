//! What a schedule owes: a table for each rule, and a simulation of clocks that jump.
#![allow(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

mod airflow;
mod backfill;
mod edges;
mod sample;
#[path = "../support/mod.rs"]
mod support;
mod world;

use sample::{cron, dag, hour};
use std::time::Duration;
use tidemill_model::schedule::{First, Interval, Schedule, Ticks};
use tidemill_model::{Dag, Ts};
use tidemill_scheduler::{Due, due, next_tick, previous_tick};

const MANY: usize = 1_000;

/// The hours of the ticks that are owed.
fn owed(due: &Due) -> Vec<i64> {
    due.ticks.iter().map(|tick| tick.at.0 / hour(1).0).collect()
}

fn hourly() -> Dag {
    dag(cron("0 * * * *"))
}

#[test]
fn a_dag_with_a_start_date_owes_its_latest_tick_at_first_sight() {
    let mut dag = hourly();
    dag.start_date = Some(hour(10));
    let first = due(&dag, None, Ts(hour(50).0 + 5), MANY);
    assert_eq!(owed(&first), [50]);
    assert_eq!(first.skipped, Some((hour(10), hour(49))));
    assert_eq!((first.high, first.next), (Some(hour(50)), Some(hour(51))));
    let before = due(&dag, None, hour(9), MANY);
    assert_eq!((owed(&before), before.next), (vec![], Some(hour(10))));
}

/// Source: Airflow's `timetables/trigger.py: CronTriggerTimetable._calc_first_run`.
#[test]
fn without_a_start_date_the_last_tick_counts_when_it_was_close_enough() {
    let minutes = |n: i64| Duration::from_secs(n as u64 * 60);
    // A quarter past the hour, of a schedule that ticks each hour or each day.
    let cases = [
        ("0 * * * *", First::Recent, 3, true),   // within five minutes
        ("0 * * * *", First::Recent, 7, false),  // not within a tenth of an hour
        ("0 0 * * *", First::Recent, 140, true), // within a tenth of a day
        ("0 0 * * *", First::Recent, 150, false),
        ("0 0 * * *", First::Previous, 1_000, true),
        ("0 0 * * *", First::Next, 0, false),
        ("0 0 * * *", First::Within(minutes(90)), 90, true),
        ("0 0 * * *", First::Within(minutes(90)), 91, false),
    ];
    for (expression, first, late, is_owed) in cases {
        let mut dag = dag(cron(expression));
        dag.schedule.first = first;
        let found = due(&dag, None, hour(48).after(minutes(late)), MANY);
        assert_eq!(
            !found.ticks.is_empty(),
            is_owed,
            "{expression} {first:?} {late} min"
        );
        assert!(found.next > Some(hour(48)));
    }
}

/// Source: Airflow's `timetables/trigger.py: _TriggerTimetable.next_dagrun_info`; `airflow.rs` beside
/// this tells it again.
#[test]
fn after_a_pause_only_the_latest_missed_tick_runs_unless_it_catches_up() {
    let mut dag = hourly();
    let latest = due(&dag, Some(hour(10)), Ts(hour(14).0 + 1), MANY);
    assert_eq!(owed(&latest), [14]);
    assert_eq!(latest.skipped, Some((hour(11), hour(13))));
    dag.catchup = true;
    let all = due(&dag, Some(hour(10)), Ts(hour(14).0 + 1), MANY);
    assert_eq!(owed(&all), [11, 12, 13, 14]);
    assert_eq!((all.skipped, all.next), (None, Some(hour(15))));
}

#[test]
fn catch_up_goes_on_in_order_where_it_had_to_stop() {
    let mut dag = hourly();
    dag.catchup = true;
    dag.start_date = Some(hour(1));
    let now = hour(8);
    let (mut high, mut made) = (None, Vec::new());
    for _ in 0..4 {
        let some = due(&dag, high, now, 3);
        assert!(some.ticks.len() <= 3);
        made.extend(owed(&some));
        high = some.high;
    }
    assert_eq!(made, [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn without_room_nothing_is_settled_and_nothing_is_lost() {
    for is_catching_up in [true, false] {
        let mut dag = hourly();
        dag.catchup = is_catching_up;
        let none = due(&dag, Some(hour(1)), hour(4), 0);
        assert_eq!((owed(&none), none.high), (vec![], Some(hour(1))));
        assert_eq!((none.next, none.skipped), (Some(hour(2)), None));
        let later = due(&dag, none.high, hour(5), MANY);
        assert_eq!(owed(&later).last(), Some(&5));
    }
}

/// Three thousand years of minutes are 1.6 thousand million ticks: a count of them would not end.
#[test]
fn the_work_does_not_grow_with_the_number_of_missed_ticks() {
    let mut dag = dag(cron("* * * * *"));
    let now = hour(26_000_000);
    let latest = due(&dag, Some(hour(0)), now, MANY);
    assert_eq!(owed(&latest), [26_000_000]);
    dag.catchup = true;
    assert_eq!(due(&dag, Some(hour(0)), now, 16).ticks.len(), 16);
    dag.schedule.ticks = Ticks::Every {
        period: Duration::from_secs(1),
        anchor: Ts(0),
    };
    dag.catchup = false;
    assert_eq!(due(&dag, Some(hour(0)), now, MANY).ticks.len(), 1);
}

#[test]
fn a_clock_that_goes_back_makes_nothing_again() {
    let dag = hourly();
    let before = due(&dag, Some(hour(10)), hour(9), MANY);
    assert_eq!((owed(&before), before.high), (vec![], Some(hour(10))));
    assert_eq!(before.next, Some(hour(11)));
    assert!(!before.is_mark_wrong);
}

#[test]
fn a_mark_that_a_wrong_clock_has_set_years_ahead_is_given_up() {
    let dag = hourly();
    let back = due(&dag, Some(hour(90_000)), hour(100), MANY);
    assert!(back.is_mark_wrong);
    assert_eq!((owed(&back), back.next), (vec![], Some(hour(101))));
    assert_eq!(owed(&due(&dag, back.high, hour(101), MANY)), [101]);
}

/// Source: Airflow's `next_dagrun_info` of `timetables/trigger.py` and `timetables/interval.py`, by
/// `restriction.earliest` and `restriction.latest`.
#[test]
fn start_and_end_date_are_the_first_and_the_last_logical_date() {
    let mut dag = hourly();
    dag.start_date = Some(hour(5));
    dag.end_date = Some(hour(7));
    let all = |dag: &Dag| -> Vec<i64> {
        let next = |at: &Ts| next_tick(dag, *at).map(|tick| tick.at);
        let ticks = std::iter::successors(next(&hour(0)), next);
        ticks.map(|at| at.0 / hour(1).0).collect()
    };
    assert_eq!(all(&dag), [5, 6, 7]);
    assert_eq!(previous_tick(&dag, hour(99)).unwrap().at, hour(7));
    assert_eq!(previous_tick(&dag, hour(5)), None);
    // A period is named by its start, so its run comes one tick later.
    dag.schedule.interval = Interval::Period;
    assert_eq!(all(&dag), [6, 7, 8]);
    assert_eq!(previous_tick(&dag, hour(99)).unwrap().logical_date, hour(7));
    assert_eq!(previous_tick(&dag, hour(6)), None);
    assert_eq!(next_tick(&dag, hour(8)), None);
    assert_eq!(due(&dag, Some(hour(6)), hour(99), MANY).next, None);
}

#[test]
fn jitter_moves_the_run_and_not_what_it_is_about() {
    let mut dag = hourly();
    dag.schedule.jitter = Duration::from_secs(1_800);
    let offset = dag.schedule.offset(&dag.id);
    assert!(!offset.is_zero());
    let due_at = hour(3).after(offset);
    assert_eq!(
        due(&dag, Some(hour(2)), Ts(due_at.0 - 1), MANY).next,
        Some(due_at)
    );
    let found = due(&dag, Some(hour(2)), due_at, MANY);
    assert_eq!(found.ticks[0].logical_date, hour(3));
}

/// Source: Airflow's `timetables/simple.py: OnceTimetable`.
#[test]
fn once_is_once() {
    let mut dag = dag(Ticks::Once(None));
    let first = due(&dag, None, hour(3), MANY);
    assert_eq!((owed(&first), first.next), (vec![3], None));
    assert!(owed(&due(&dag, first.high, hour(4), MANY)).is_empty());
    assert_eq!(due(&dag, None, hour(3), 0).high, None);
    dag.schedule.ticks = Ticks::Once(Some(hour(5)));
    dag.start_date = Some(hour(5));
    let early = due(&dag, None, hour(3), MANY);
    assert_eq!((owed(&early), early.next), (vec![], Some(hour(5))));
    let late = due(&dag, early.high, hour(9), MANY);
    assert_eq!((owed(&late), late.next), (vec![5], None));
}

/// Source: Airflow's `timetables/simple.py: ContinuousTimetable`; the second between two runs, and
/// the logical date, are ours.
#[test]
fn a_continuous_dag_runs_again_as_soon_as_there_is_room() {
    let mut dag = dag(Ticks::Continuous);
    dag.start_date = Some(hour(2));
    assert_eq!(due(&dag, None, hour(1), 1).next, Some(hour(2)));
    let first = due(&dag, None, hour(3), 1);
    assert_eq!(first.ticks[0].data_interval, (hour(2), hour(3)));
    assert!(owed(&due(&dag, first.high, hour(5), 0)).is_empty());
    let second = due(&dag, first.high, hour(5), 1);
    assert_eq!(second.ticks[0].data_interval, (hour(3), hour(5)));
    // Not twice in one second, however short its runs are; and a clock set back does not stop it.
    let at_once = due(&dag, second.high, Ts(hour(5).0 + 1), 1);
    assert_eq!(at_once.next, Some(Ts(hour(5).0 + 1_000_000)));
    assert_eq!(owed(&due(&dag, second.high, hour(4), 1)), [4]);
}

/// Source: Airflow's `timetables/simple.py: NullTimetable`.
#[test]
fn no_schedule_owes_nothing() {
    let mut dag = hourly();
    dag.schedule = Schedule::MANUAL;
    for high in [None, Some(hour(2))] {
        let none = due(&dag, high, hour(3), MANY);
        assert_eq!((owed(&none), none.next), (vec![], None));
        assert_eq!(none.high, high, "a schedule that it gets later begins anew");
    }
}

#[test]
fn clocks_that_jump_pauses_crashes_and_full_dags_never_double_or_lose_a_run() {
    for seed in 0..1_500 {
        world::World::new(seed).play();
    }
}

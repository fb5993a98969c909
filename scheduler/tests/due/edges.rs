//! The instants at which an answer turns, to the microsecond.

use crate::sample::{cron, dag, hour};
use std::time::Duration;
use tidemill_model::schedule::{First, Tick, Ticks};
use tidemill_model::{Dag, Ts};
use tidemill_scheduler::{Due, due, previous_tick};

const MINUTE: Duration = Duration::from_secs(60);

fn nothing(high: Option<Ts>, next: Option<Ts>) -> Due {
    Due {
        ticks: Vec::new(),
        high,
        next,
        skipped: None,
        is_mark_wrong: false,
    }
}

fn just_before(at: Ts) -> Ts {
    Ts(at.0 - 1)
}

fn just_after(at: Ts) -> Ts {
    Ts(at.0 + 1)
}

#[test]
fn a_mark_may_be_a_day_ahead_of_the_clock_and_not_a_microsecond_more() {
    let dag = dag(cron("0 * * * *"));
    let (now, ahead) = (hour(100), hour(124));
    assert_eq!(
        due(&dag, Some(ahead), now, 9),
        nothing(Some(ahead), Some(hour(125)))
    );
    let given_up = Due {
        is_mark_wrong: true,
        ..nothing(Some(now), Some(hour(101)))
    };
    assert_eq!(due(&dag, Some(just_after(ahead)), now, 9), given_up);
}

#[test]
fn a_tick_is_due_at_its_instant_and_settled_by_a_mark_at_it() {
    for catchup in [false, true] {
        let mut dag = dag(cron("0 * * * *"));
        dag.catchup = catchup;
        let early = due(&dag, Some(hour(3)), just_before(hour(4)), 9);
        assert_eq!(early, nothing(Some(hour(3)), Some(hour(4))));
        let found = due(&dag, Some(hour(3)), hour(4), 9);
        let expect = Due {
            ticks: vec![dag.schedule.about(hour(4))],
            ..nothing(Some(hour(4)), Some(hour(5)))
        };
        assert_eq!(found, expect);
        let settled = due(&dag, Some(hour(4)), hour(4), 9);
        assert_eq!(settled, nothing(Some(hour(4)), Some(hour(5))));
    }
}

#[test]
fn nobody_is_said_to_be_skipped_but_ticks_between_the_mark_and_the_one_that_runs() {
    let dag = dag(cron("0 * * * *"));
    let skipped = |high: i64| due(&dag, Some(hour(high)), hour(9), 1).skipped;
    assert_eq!(skipped(8), None);
    assert_eq!(skipped(7), Some((hour(8), hour(8))));
    assert_eq!(skipped(6), Some((hour(7), hour(8))));
}

#[test]
fn a_dag_without_a_start_date_looks_back_just_as_far_as_it_says() {
    let seven_hours = ("0 */7 * * *", 420);
    for ((expression, period), first, reach) in [
        (("0 * * * *", 60), First::Recent, 6),
        (("*/30 * * * *", 30), First::Recent, 5),
        (seven_hours, First::Recent, 42),
        (seven_hours, First::Within(90 * MINUTE), 90),
    ] {
        let mut dag = dag(cron(expression));
        dag.schedule.first = first;
        let at = hour(24 + 7);
        let reached = at.after(MINUTE * reach);
        assert_eq!(due(&dag, None, reached, 9).ticks.len(), 1, "{expression}");
        assert_eq!(
            due(&dag, None, just_after(reached), 9).ticks.len(),
            0,
            "{expression}"
        );
        let next = at.after(MINUTE * period);
        assert_eq!(
            due(&dag, None, just_after(reached), 9).next,
            Some(next),
            "{expression}"
        );
    }
}

#[test]
fn once_has_until_the_end_date_and_asks_again_while_there_is_no_room() {
    let mut dag = dag(Ticks::Once(None));
    dag.end_date = Some(hour(5));
    assert_eq!(due(&dag, None, hour(5), 0), nothing(None, Some(hour(5))));
    let made = due(&dag, None, hour(5), 1);
    let expect = Due {
        ticks: vec![dag.schedule.about(hour(5))],
        ..nothing(Some(hour(5)), None)
    };
    assert_eq!(made, expect);
    for limit in [0, 1] {
        let late = due(&dag, None, just_after(hour(5)), limit);
        assert_eq!(late, nothing(None, None));
    }
}

const SECOND: i64 = 1_000_000;

fn continuous(change: impl FnOnce(&mut Dag)) -> Dag {
    let mut dag = dag(Ticks::Continuous);
    change(&mut dag);
    dag
}

/// A run at that instant, about the time since another.
fn run_at(now: Ts, since: Ts) -> Due {
    let tick = Tick {
        at: now,
        logical_date: now,
        data_interval: (since, now),
    };
    Due {
        ticks: vec![tick],
        ..nothing(Some(now), Some(Ts(now.0 + SECOND)))
    }
}

#[test]
fn a_continuous_dag_goes_a_second_after_its_mark_and_not_before() {
    let dag = continuous(|_| {});
    let (mark, now) = (hour(3), Ts(hour(3).0 + SECOND));
    assert_eq!(due(&dag, None, now, 1), run_at(now, now));
    let early = due(&dag, Some(mark), just_before(now), 1);
    assert_eq!(early, nothing(Some(mark), Some(now)));
    assert_eq!(
        due(&dag, Some(mark), mark, 1),
        nothing(Some(mark), Some(now))
    );
    assert_eq!(due(&dag, Some(mark), now, 1), run_at(now, mark));
    assert_eq!(
        due(&dag, Some(mark), now, 0),
        nothing(Some(mark), Some(now))
    );
    // A mark that a clock has set ahead holds nothing up and is about no time.
    assert_eq!(due(&dag, Some(hour(4)), now, 1), run_at(now, now));
}

#[test]
fn a_continuous_dag_goes_from_its_start_date_to_its_end_date() {
    let dag = continuous(|dag| (dag.start_date, dag.end_date) = (Some(hour(3)), Some(hour(5))));
    let early = just_before(hour(3));
    assert_eq!(due(&dag, None, early, 1), nothing(None, Some(hour(3))));
    assert_eq!(due(&dag, None, hour(3), 1), run_at(hour(3), hour(3)));
    assert_eq!(due(&dag, None, hour(5), 1), run_at(hour(5), hour(3)));
    let mark = Some(hour(4));
    assert_eq!(due(&dag, mark, just_after(hour(5)), 1), nothing(mark, None));
}

#[test]
fn the_tick_before_an_instant_is_not_the_one_at_it() {
    let dag = dag(cron("0 * * * *"));
    let before = |at: Ts| previous_tick(&dag, at).map(|tick| tick.at);
    assert_eq!(before(hour(4)), Some(hour(3)));
    assert_eq!(before(just_after(hour(4))), Some(hour(4)));
}

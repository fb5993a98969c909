//! What Airflow 3.3.2 answers, told again apart from `due`: one run after the other, as its
//! timetables say. Sources: `timetables/trigger.py: CronTriggerTimetable`, `timetables/interval.py:
//! CronDataIntervalTimetable`, `timetables/simple.py`.

use crate::sample::{cron, dag, hour};
use crate::support::Chance;
use std::time::Duration;
use tidemill_model::schedule::{First, Interval, Tick};
use tidemill_model::{Dag, Ts};
use tidemill_scheduler::due;

const MANY: usize = 10_000;

fn next_after(dag: &Dag, at: Ts) -> Ts {
    dag.schedule.next_after(at).unwrap()
}

fn previous_before(dag: &Dag, at: Ts) -> Ts {
    dag.schedule.previous_before(at).unwrap()
}

/// `_align_to_next` and `_align_to_prev`: the instant itself, where it is a tick.
fn align_next(dag: &Dag, at: Ts) -> Ts {
    next_after(dag, Ts(at.0 - 1))
}

fn align_previous(dag: &Dag, at: Ts) -> Ts {
    previous_before(dag, Ts(at.0 + 1))
}

/// `CronTriggerTimetable._calc_first_run`. Airflow reads `False` like the absence of the word; here
/// it means the next tick, as its documentation says.
fn first_run(dag: &Dag, now: Ts) -> Ts {
    let (past, next) = (align_previous(dag, now), align_next(dag, now));
    let within = match dag.schedule.first {
        First::Previous => return past,
        First::Next => return next_after(dag, now),
        First::Within(span) => span,
        First::Recent => (next.since(past) / 10).max(Duration::from_secs(300)),
    };
    if now.since(past) <= within {
        past
    } else {
        next
    }
}

/// `_TriggerTimetable.next_dagrun_info`. `last` is the end of the last run's data interval.
fn next_by_trigger(dag: &Dag, last: Option<Ts>, now: Ts) -> Option<Tick> {
    let at = if dag.catchup {
        match (last, dag.start_date) {
            (Some(last), _) => next_after(dag, last),
            (None, None) => first_run(dag, now),
            (None, Some(start)) => align_next(dag, start),
        }
    } else {
        let mut candidates = vec![align_previous(dag, now)];
        match (last, dag.start_date) {
            (Some(last), _) => candidates.push(next_after(dag, last)),
            (None, None) => candidates.push(first_run(dag, now)),
            (None, Some(_)) => {}
        }
        candidates.extend(dag.start_date.map(|start| align_next(dag, start)));
        candidates.into_iter().max().unwrap()
    };
    let tick = Tick {
        at,
        logical_date: at,
        data_interval: (at, at),
    };
    dag.end_date.is_none_or(|end| at <= end).then_some(tick)
}

/// `CronDataIntervalTimetable._skip_to_latest`.
fn skip_to_latest(dag: &Dag, now: Ts) -> Ts {
    let last_start = previous_before(dag, now);
    let is_boundary = next_after(dag, last_start) == now;
    let latest = if is_boundary {
        last_start
    } else {
        previous_before(dag, last_start)
    };
    let start = dag.start_date.map(|start| align_next(dag, start));
    start.map_or(latest, |start| latest.max(start))
}

/// `_DataIntervalTimetable.next_dagrun_info`.
fn next_by_period(dag: &Dag, last: Option<Ts>, now: Ts) -> Option<Tick> {
    let earliest = if dag.catchup {
        dag.start_date.map(|start| align_next(dag, start))
    } else {
        Some(skip_to_latest(dag, now))
    };
    let start = match last {
        None => earliest?,
        Some(last) => {
            let end = align_previous(dag, last);
            earliest.map_or(end, |earliest| earliest.max(end))
        }
    };
    let end = next_after(dag, start);
    let tick = Tick {
        at: end,
        logical_date: start,
        data_interval: (start, end),
    };
    dag.end_date.is_none_or(|end| start <= end).then_some(tick)
}

/// The runs that Airflow's scheduler makes at `now`, one after the other, and the next one.
fn runs_of_airflow(dag: &Dag, high: Option<Ts>, now: Ts) -> (Vec<Tick>, Option<Ts>) {
    let (mut last, mut made) = (high, Vec::new());
    loop {
        let next = match dag.schedule.interval {
            Interval::Period => next_by_period(dag, last, now),
            _ => next_by_trigger(dag, last, now),
        };
        match next {
            Some(tick) if tick.at <= now => {
                made.push(tick);
                last = Some(tick.at);
            }
            later => return (made, later.map(|tick| tick.at)),
        }
    }
}

/// A DAG, how far its runs have come, and an instant to look at it.
fn draw(seed: u64) -> (Dag, Option<Ts>, Ts) {
    let mut chance = Chance(seed);
    let expressions = ["0 * * * *", "*/20 * * * *", "30 2,14 * * *", "0 0 * * 1-5"];
    let mut dag = dag(cron(chance.pick::<&str>(&expressions)));
    dag.catchup = chance.once_in(2);
    if chance.once_in(2) {
        dag.schedule.interval = Interval::Period;
    }
    let firsts = [
        First::Recent,
        First::Previous,
        First::Next,
        First::Within(Duration::from_secs(1_200)),
    ];
    dag.schedule.first = *chance.pick(&firsts);
    // Often an instant at which the schedule ticks: there the rules have their edges.
    let mut instant = || match chance.below(2) {
        0 => hour(1_000 + chance.below(96) as i64),
        _ => Ts(hour(1_000).0 + chance.below(96 * 3_600_000_000) as i64),
    };
    let (now, start, end, last) = (instant(), instant(), instant(), instant());
    let (start, end) = (start.min(end), start.max(end));
    dag.start_date = chance.once_in(2).then_some(start);
    dag.end_date = chance.once_in(3).then_some(end);
    // The mark is the end of a run's data interval: a tick, of a run that could be.
    let high = chance.once_in(2).then(|| align_previous(&dag, last));
    let is_run = |high: &Ts| {
        let date = dag.schedule.about(*high).logical_date;
        dag.start_date.is_none_or(|start| date >= start)
            && dag.end_date.is_none_or(|end| date <= end)
            && *high <= now
    };
    let high = high.filter(is_run);
    (dag, high, now)
}

/// Where we differ on purpose, as `docs/airflow.md` says: the latest missed tick runs also when
/// the end date has come since, and a DAG without a start date begins by `run_immediately`,
/// whatever its `interval` is.
fn is_ours(dag: &Dag, high: Option<Ts>, now: Ts) -> bool {
    let is_first = high.is_none() && dag.start_date.is_none();
    let has_ended = dag.end_date.is_some_and(|end| end < now);
    let is_period = dag.schedule.interval == Interval::Period;
    has_ended && (is_first || !dag.catchup) || is_period && is_first
}

#[test]
fn a_schedule_owes_what_airflow_makes_at_every_instant() {
    let (mut n_compared, mut n_runs) = (0, 0);
    for seed in 0..8_000 {
        let (dag, high, now) = draw(seed);
        if is_ours(&dag, high, now) {
            continue;
        }
        let (made, next) = runs_of_airflow(&dag, high, now);
        let owed = due(&dag, high, now, MANY);
        assert_eq!(
            (&owed.ticks, owed.next),
            (&made, next),
            "seed {seed}: {:?} catchup {} {:?} start {:?} end {:?} high {high:?} now {now}",
            dag.schedule.ticks,
            dag.catchup,
            dag.schedule.interval,
            dag.start_date,
            dag.end_date
        );
        n_compared += 1;
        n_runs += made.len();
    }
    assert!(
        n_compared > 5_000 && n_runs > 20_000,
        "{n_compared} {n_runs}"
    );
}

#[test]
fn the_latest_missed_tick_runs_also_when_the_end_date_has_come_since() {
    for (interval, expected) in [(Interval::Tick, 7), (Interval::Period, 8)] {
        let mut dag = dag(cron("0 * * * *"));
        dag.schedule.interval = interval;
        dag.end_date = Some(hour(7));
        let owed = due(&dag, Some(hour(3)), hour(50), MANY);
        let ticks: Vec<Ts> = owed.ticks.iter().map(|tick| tick.at).collect();
        assert_eq!((ticks, owed.next), (vec![hour(expected)], None));
        assert_eq!(runs_of_airflow(&dag, Some(hour(3)), hour(50)).0, []);
    }
}

#[test]
fn the_first_period_of_a_dag_without_a_start_date_is_asked_for_by_run_immediately() {
    let mut dag = dag(cron("0 0 * * *"));
    dag.schedule.interval = Interval::Period;
    let noon = hour(24 * 50 + 12);
    assert_eq!(due(&dag, None, noon, MANY).ticks, []);
    dag.schedule.first = First::Previous;
    let (made, next) = runs_of_airflow(&dag, None, noon);
    let owed = due(&dag, None, noon, MANY);
    assert_eq!((owed.ticks, owed.next), (made, next));
}

//! Which runs a schedule owes.

use std::time::Duration;
use tidemill_model::schedule::{CONTINUOUS_MIN, First, Interval, Tick, Ticks};
use tidemill_model::{Dag, Ts};

/// A mark that is further ahead of the clock than this was made by a wrong clock.
const MARK_AHEAD_MAX: Duration = Duration::from_secs(86_400);
/// Without a start date the last tick before a DAG was first seen runs when it was within this,
/// or within a tenth of the period.
const FIRST_WITHIN: Duration = Duration::from_secs(300);

/// A new DAG that owes more runs than this starts paused: so many at once are better asked for.
pub const FIRST_RUNS_MAX: usize = 3;
/// Runs that a paused DAG owes are counted up to this.
pub const OWED_MAX: usize = 1_000;

/// What a schedule owes at some instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Ticks that need a run now, oldest first; at most the number asked for.
    pub ticks: Vec<Tick>,
    /// The new high mark: no tick up to it will be asked for again.
    pub high: Option<Ts>,
    /// When the next tick after `high` wants its run; not after now when there was no room.
    pub next: Option<Ts>,
    /// The first and the last of the missed ticks that nobody makes up for.
    pub skipped: Option<(Ts, Ts)>,
    /// Was the mark so far ahead of the clock that it cannot be right?
    pub is_mark_wrong: bool,
}

/// What `dag` owes at `now`, given that everything up to `high` is settled; `None` is a DAG that
/// was never seen.
///
/// With `catchup` every missed tick is owed, oldest first and at most `limit` at once; without,
/// only the latest, and the others are `skipped`. Without room (`limit` 0) nothing is settled.
/// The work does not depend on how many ticks were missed.
///
/// A clock that goes back makes nothing again: the mark stays, and ticks up to it stay settled.
/// Only a mark that is more than a day ahead is given up, for a wrong clock has set it; runs that
/// exist are then told by their cause.
pub fn due(dag: &Dag, high: Option<Ts>, now: Ts, limit: usize) -> Due {
    let offset = dag.schedule.offset(&dag.id);
    // Ticks are looked at on a clock that is late by the offset.
    let clock = now.before(offset);
    let is_mark_wrong = high.is_some_and(|high| high > now.after(MARK_AHEAD_MAX));
    let high = if is_mark_wrong { Some(clock) } else { high };
    let mut due = match (&dag.schedule.ticks, high) {
        (Ticks::Manual, _) => Due::nothing(high, None),
        (Ticks::Continuous, _) => continuous(dag, high, now, limit),
        (Ticks::Once(None), None) => once(dag, now, limit),
        _ => {
            let high = high.unwrap_or_else(|| first_mark(dag, clock));
            periodic(dag, high, clock, limit)
        }
    };
    due.next = due.next.map(|next| next.after(offset));
    due.is_mark_wrong = is_mark_wrong;
    due
}

/// How many runs a DAG makes at once when it goes on at `now`; counted up to [`OWED_MAX`].
pub fn n_owed(dag: &Dag, high: Option<Ts>, now: Ts) -> usize {
    due(dag, high, now, OWED_MAX).ticks.len()
}

/// Does a DAG that was never seen owe more than [`FIRST_RUNS_MAX`] runs?
pub fn owes_many(dag: &Dag, now: Ts) -> bool {
    dag.catchup && due(dag, None, now, FIRST_RUNS_MAX + 1).ticks.len() > FIRST_RUNS_MAX
}

impl Due {
    fn nothing(high: Option<Ts>, next: Option<Ts>) -> Due {
        Due {
            ticks: Vec::new(),
            high,
            next,
            skipped: None,
            is_mark_wrong: false,
        }
    }
}

/// The first tick of a DAG after an instant, within its start and end date.
pub fn next_tick(dag: &Dag, after: Ts) -> Option<Tick> {
    let from = dag
        .start_date
        .map_or(after, |start| after.max(just_before(start)));
    let mut tick = dag.schedule.about(dag.schedule.next_after(from)?);
    if is_too_early(dag, &tick) {
        // The period that ends with the first tick began before the start date.
        tick = dag.schedule.about(dag.schedule.next_after(tick.at)?);
    }
    (!is_too_late(dag, &tick)).then_some(tick)
}

/// The last tick of a DAG before an instant, within its start and end date.
pub fn previous_tick(dag: &Dag, before: Ts) -> Option<Tick> {
    let until = match (dag.end_date, dag.schedule.interval) {
        (None, _) => before,
        // The period that began at the end date, or before it, still counts.
        (Some(end), Interval::Period) => {
            before.min(just_after(dag.schedule.next_after(end).unwrap_or(end)))
        }
        (Some(end), _) => before.min(just_after(end)),
    };
    let tick = dag.schedule.about(dag.schedule.previous_before(until)?);
    (!is_too_early(dag, &tick) && !is_too_late(dag, &tick)).then_some(tick)
}

fn is_too_early(dag: &Dag, tick: &Tick) -> bool {
    dag.start_date
        .is_some_and(|start| tick.logical_date < start)
}

fn is_too_late(dag: &Dag, tick: &Tick) -> bool {
    dag.end_date.is_some_and(|end| tick.logical_date > end)
}

fn just_before(at: Ts) -> Ts {
    Ts(at.0.saturating_sub(1))
}

fn just_after(at: Ts) -> Ts {
    Ts(at.0.saturating_add(1))
}

/// Where a DAG that is seen for the first time begins, as Airflow's
/// `_TriggerTimetable.next_dagrun_info` has it.
fn first_mark(dag: &Dag, clock: Ts) -> Ts {
    if let Some(start) = dag.start_date {
        return just_before(start).min(clock);
    }
    let Some(last) = previous_tick(dag, just_after(clock)).map(|tick| tick.at) else {
        return clock;
    };
    let age = clock.since(last);
    let is_owed = match dag.schedule.first {
        First::Previous => true,
        First::Next => false,
        First::Within(span) => age <= span,
        First::Recent => {
            let next = dag.schedule.next_after(clock);
            let period = next.map_or(Duration::ZERO, |next| next.since(last));
            age <= FIRST_WITHIN.max(period / 10)
        }
    };
    if is_owed { just_before(last) } else { clock }
}

fn periodic(dag: &Dag, high: Ts, clock: Ts, limit: usize) -> Due {
    let mut due = Due::nothing(Some(high), None);
    if dag.catchup {
        due.ticks = missed(dag, high, clock, limit);
    } else if limit > 0
        && let Some(latest) = previous_tick(dag, just_after(clock)).filter(|tick| tick.at > high)
    {
        due.skipped = skipped(dag, high, &latest);
        due.ticks.push(latest);
    }
    let high = due.ticks.last().map_or(high, |tick| tick.at);
    due.high = Some(high);
    due.next = next_tick(dag, high).map(|tick| tick.at);
    due
}

fn missed(dag: &Dag, high: Ts, clock: Ts, limit: usize) -> Vec<Tick> {
    let mut at = high;
    let ticks = std::iter::from_fn(|| {
        let tick = next_tick(dag, at).filter(|tick| tick.at <= clock)?;
        at = tick.at;
        Some(tick)
    });
    ticks.take(limit).collect()
}

fn skipped(dag: &Dag, high: Ts, latest: &Tick) -> Option<(Ts, Ts)> {
    let first = next_tick(dag, high)?.at;
    let last = previous_tick(dag, latest.at)?.at;
    (first < latest.at).then_some((first, last))
}

fn once(dag: &Dag, now: Ts, limit: usize) -> Due {
    let tick = dag.schedule.about(now);
    if limit == 0 || is_too_late(dag, &tick) {
        return Due::nothing(None, (!is_too_late(dag, &tick)).then_some(now));
    }
    Due {
        ticks: vec![tick],
        ..Due::nothing(Some(now), None)
    }
}

/// A run is about the time since the one before it. A mark in the future says nothing here.
fn continuous(dag: &Dag, high: Option<Ts>, now: Ts, limit: usize) -> Due {
    let earliest = high
        .filter(|high| *high <= now)
        .map(|high| high.after(CONTINUOUS_MIN))
        .max(dag.start_date)
        .unwrap_or(now);
    if dag.end_date.is_some_and(|end| now > end) {
        return Due::nothing(high, None);
    }
    if limit == 0 || now < earliest {
        return Due::nothing(high, Some(earliest));
    }
    let since = high.or(dag.start_date).unwrap_or(now).min(now);
    let tick = Tick {
        at: now,
        logical_date: now,
        data_interval: (since, now),
    };
    Due {
        ticks: vec![tick],
        ..Due::nothing(Some(now), Some(now.after(CONTINUOUS_MIN)))
    }
}

//! Which runs a backfill makes, and when it makes no sense (Airflow's `models/backfill.py`).

use crate::due::{next_tick, previous_tick};
use tidemill_model::schedule::Tick;
use tidemill_model::{Dag, JsonObject, Reprocess, RunState, RunType, SkipReason, Ts};

/// The dates of a backfill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackfillRange {
    /// The first logical date.
    pub from: Ts,
    /// The last logical date.
    pub to: Ts,
    /// The latest first?
    pub is_backwards: bool,
    /// Ticks after this are not part of it: it was asked for then.
    pub until: Ts,
}

/// What a backfill does with a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateFate {
    /// It makes a run.
    Make,
    /// It runs again what is there.
    Again,
    /// It leaves what is there alone.
    Skip(SkipReason),
}

/// Does a backfill make sense?
///
/// # Errors
/// One sentence that says why not.
pub fn check_backfill(
    dag: &Dag,
    range: &BackfillRange,
    reprocess: Reprocess,
    conf: &JsonObject,
) -> Result<(), String> {
    let id = &dag.id;
    if !dag.schedule.is_periodic() {
        return Err(format!(
            "DAG {id} has no schedule with dates to make up for"
        ));
    }
    if !dag.allowed_run_types.contains(&RunType::Backfill) {
        return Err(format!("DAG {id} does not allow backfills"));
    }
    if range.from > range.to {
        return Err(format!(
            "the last date {} is before the first, {}",
            range.to, range.from
        ));
    }
    if range.to > range.until {
        return Err(format!(
            "{} is in the future; a backfill makes the runs of past dates",
            range.to
        ));
    }
    check_past(dag, range.is_backwards, reprocess)?;
    if let Some(name) = conf
        .keys()
        .find(|name| !dag.params.iter().any(|param| param.name == **name))
    {
        return Err(format!("DAG {id} declares no parameter `{name}`"));
    }
    dag.check_conf(conf)?;
    match next_backfill_tick(dag, range, None) {
        Some(_) => Ok(()),
        None => Err(format!(
            "the schedule of DAG {id} has no date from {} to {}",
            range.from, range.to
        )),
    }
}

/// A task that waits for the run before needs that run first, and needs it to have ended well
/// (Airflow's `_validate_backfill_params`).
fn check_past(dag: &Dag, is_backwards: bool, reprocess: Reprocess) -> Result<(), String> {
    let id = &dag.id;
    if !dag.looks_back() {
        return Ok(());
    }
    if is_backwards {
        return Err(format!(
            "DAG {id} has tasks with `depends_on_past`: its backfills cannot run backwards"
        ));
    }
    if reprocess == Reprocess::None {
        return Err(format!(
            "DAG {id} has tasks with `depends_on_past`: say whether runs that failed, or all that are over, run again (`--reprocess failed` or `completed`)"
        ));
    }
    Ok(())
}

/// The tick that comes after `position`, or the first; `None` at the end.
pub fn next_backfill_tick(dag: &Dag, range: &BackfillRange, position: Option<Ts>) -> Option<Tick> {
    let is_inside = |tick: &Tick| {
        (range.from..=range.to).contains(&tick.logical_date) && tick.at <= range.until
    };
    let mut tick = match (range.is_backwards, position) {
        (false, Some(position)) => next_tick(dag, position)?,
        (false, None) => next_tick(dag, Ts(range.from.0.saturating_sub(1)))?,
        (true, Some(position)) => previous_tick(dag, position)?,
        // The run of a period comes with the tick after it.
        (true, None) => match next_tick(dag, range.to).filter(is_inside) {
            Some(tick) => tick,
            None => previous_tick(dag, Ts(range.to.0.saturating_add(1)))?,
        },
    };
    if !range.is_backwards && tick.logical_date < range.from {
        tick = next_tick(dag, tick.at)?;
    }
    is_inside(&tick).then_some(tick)
}

/// What happens with a date whose run, if it has one, is in this state.
pub fn date_fate(existing: Option<RunState>, reprocess: Reprocess) -> DateFate {
    match (existing, reprocess) {
        (None, _) => DateFate::Make,
        (Some(RunState::Queued | RunState::Running), _) => DateFate::Skip(SkipReason::InFlight),
        (Some(RunState::Failed), Reprocess::Failed | Reprocess::Completed)
        | (Some(RunState::Success), Reprocess::Completed) => DateFate::Again,
        (Some(RunState::Success | RunState::Failed), _) => {
            DateFate::Skip(SkipReason::AlreadyExists)
        }
    }
}

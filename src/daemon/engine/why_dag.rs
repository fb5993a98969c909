//! Why a DAG has no run: its schedule in words, and what became of an instant.

use super::Engine;
use super::schedule::NewRun;
use super::why::{Said, from_now};
use std::sync::Arc;
use tidemill_model::time::human;
use tidemill_model::{DagNo, MapIndex, Ts};
use tidemill_scheduler::{Check, CheckKind, FIRST_RUNS_MAX};
use tidemill_store::{Holder, RunRow};

impl Engine {
    /// What became of an instant that was asked about: it has its run, or it was passed over
    /// although its schedule fires then. `checks` are the conditions for it.
    pub(super) fn fate(&mut self, dag_no: DagNo, at: Ts, checks: &[Check]) -> Option<Said> {
        let state = self.dags.get(&dag_no)?;
        let dag = Arc::clone(&state.definition.as_ref()?.dag);
        let high = state.record.schedule_high;
        let key = NewRun::of_tick(&dag, &dag.schedule.about(at)).key;
        if let Some(row) = self.existing_run(dag_no, &key) {
            let detail = match row.cause == key.cause {
                true => format!("it has made its run, which is {}", row.state),
                false => format!(
                    "there is a run for the logical date already, which is {}",
                    row.state
                ),
            };
            return Some(("run", detail, vec![holder(dag.id.clone(), row)]));
        }
        let high = high.filter(|high| at <= *high)?;
        let would_run = |check: &Check| {
            let is_about_it = matches!(
                check.kind,
                CheckKind::Fires { .. } | CheckKind::InDates { .. } | CheckKind::MadeUp { .. }
            );
            check.is_ok || !is_about_it
        };
        let detail = format!(
            "its schedule has gone on to {high} without a run for it: the tick was too old when \
             the DAG was new (`run_immediately`), its key had no room (policy `skip`), or its run \
             was deleted; a backfill makes one"
        );
        checks
            .iter()
            .all(would_run)
            .then(|| ("run", detail, Vec::new()))
    }

    /// The next tick of a DAG, or the instant that was asked about, while that is still to come.
    pub(super) fn not_due(&self, dag_id: &str, at: Ts, is_asked_for: bool) -> Said {
        let mut words = match is_asked_for {
            true => format!("{at} has not come: it is {}", from_now(at)),
            false => due_words(Some(at), None, false),
        };
        let dag = self.dag_no(dag_id).ok();
        let dag = dag.and_then(|no| self.dags.get(&no)?.definition.as_ref());
        let offset = dag.map(|known| known.dag.schedule.offset(&known.dag.id));
        if let Some(offset) = offset.filter(|offset| !offset.is_zero()) {
            let later = human(offset);
            words.push_str(&format!("; by `jitter` the run begins {later} after that"));
        }
        ("due", words, Vec::new())
    }
}

fn holder(dag_id: String, row: RunRow) -> Holder {
    Holder {
        dag_id,
        run_id: row.run_id,
        task_id: None,
        map_index: MapIndex::NONE,
        slots: None,
    }
}

pub(super) fn failing_words(n: u32) -> String {
    let runs = match n {
        1 => "its last run has".to_string(),
        n => format!("its last {n} runs have"),
    };
    format!("{runs} failed: `max_consecutive_failed_dag_runs` = {n} pauses it then")
}

pub(super) fn owed_words(n: usize, max: usize, is_catchup: bool, is_ok: bool) -> String {
    if !is_catchup {
        return "it owes the run of its latest tick, and makes it when it is unpaused".to_string();
    }
    let n = if n < max {
        n.to_string()
    } else {
        format!("{max} or more")
    };
    let owes = format!("with `catchup` it owes {n} runs, and makes them when it is unpaused");
    if is_ok {
        return owes;
    }
    format!("{owes}; a new DAG that owes more than {FIRST_RUNS_MAX} starts paused")
}

pub(super) fn dates_words(at: Ts, start: Option<Ts>, end: Option<Ts>) -> String {
    match (start, end) {
        (Some(start), _) => format!("the logical date {at} is before its `start_date` {start}"),
        (None, Some(end)) => format!("the logical date {at} is after its `end_date` {end}"),
        (None, None) => format!("the logical date {at} is between its start and end date"),
    }
}

pub(super) fn due_words(next: Option<Ts>, end_date: Option<Ts>, is_ok: bool) -> String {
    match (next, end_date) {
        (Some(next), _) if is_ok => format!("{next} has come"),
        (Some(next), _) => format!("its next tick is {next}, {}", from_now(next)),
        (None, Some(end)) => format!("no tick is left before its `end_date` {end}"),
        (None, None) => "its schedule has no tick any more".to_string(),
    }
}

//! Runs by schedule: each tick makes one run, however often anything is asked twice.

use super::Engine;
use super::pass::Skipped;
use super::state::{DagState, Timer};
use super::turns::key_of;
use super::why::stand;
use crate::daemon::clock;
use std::cmp::Reverse;
use tidemill_model::schedule::Tick;
use tidemill_model::{Dag, DagNo, RunNo, RunState, RunType, Ts};
use tidemill_scheduler::{Run, due, may_tick, run_after};
use tidemill_store::{DagRecord, RunKey, RunRow};

/// Runs that one schedule, or one backfill, makes in one pass; the next pass goes on.
pub(super) const RUNS_PER_PASS_MAX: usize = 16;

/// What a new run is about.
pub(super) struct NewRun {
    pub key: RunKey,
    pub run_type: RunType,
    pub data_interval: Option<(Ts, Ts)>,
    /// The instant before which it does not begin, where somebody says which.
    pub run_after: Option<Ts>,
    pub conf: serde_json::Value,
    pub triggered_by: Option<String>,
    pub note: Option<String>,
}

impl NewRun {
    /// The run of a tick.
    pub(super) fn of_tick(dag: &Dag, tick: &Tick) -> NewRun {
        NewRun {
            key: RunKey {
                run_id: format!("scheduled__{}", tick.at),
                logical_date: Some(tick.logical_date),
                cause: Some(format!("schedule:{}", tick.at.0)),
            },
            run_type: RunType::Scheduled,
            data_interval: Some(tick.data_interval),
            run_after: Some(tick.at.after(dag.schedule.offset(&dag.id))),
            conf: serde_json::json!({}),
            triggered_by: None,
            note: None,
        }
    }

    fn into_row(self, run: RunNo, dag: &DagRecord, now: Ts) -> RunRow {
        RunRow {
            run,
            dag: dag.dag,
            run_id: self.key.run_id,
            run_type: self.run_type,
            state: RunState::Queued,
            version: dag.version,
            cause: self.key.cause,
            logical_date: self.key.logical_date,
            data_interval_start: self.data_interval.map(|interval| interval.0),
            data_interval_end: self.data_interval.map(|interval| interval.1),
            run_after: run_after(self.run_after, self.key.logical_date, now),
            queued_at: now,
            started_at: None,
            ended_at: None,
            conf: self.conf,
            triggered_by: self.triggered_by,
            note: self.note,
            reason: None,
            retries_used: 0,
        }
    }
}

/// The key of `[dag.concurrency]` that a run of a DAG for an instant, or for its next tick, would
/// have; `None` where its template has no result.
pub(super) fn key_of_next(state: &DagState, at: Option<Ts>) -> Option<String> {
    let now = clock::now();
    let dag = &state.definition.as_ref()?.dag;
    let at = at.or(state.record.next_run).unwrap_or(now);
    let mut new = NewRun::of_tick(dag, &dag.schedule.about(at));
    if dag.schedule.is_manual() {
        new.run_type = RunType::AssetTriggered;
        new.key.logical_date = None;
        new.data_interval = None;
    }
    key_of(dag, &new.into_row(RunNo(0), &state.record, now)).ok()
}

/// Why a run was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotMade {
    /// Its DAG cannot be read.
    #[error("the DAG cannot be read")]
    Unreadable,
    /// The template of its key has no result.
    #[error("the key of [dag.concurrency] cannot be rendered: {0}")]
    Key(tidemill_template::TemplateError),
    /// Its key has no room, and the policy is `skip`.
    #[error(
        "runs with the key `{key}` have reached the limit of [dag.concurrency], and its policy is `skip`"
    )]
    Skipped {
        /// The key.
        key: String,
    },
}

impl Engine {
    /// Makes the runs that a DAG's schedule owes, as far as there is room for them, and sets the
    /// timer for the next look.
    pub(super) fn tick(&mut self, dag_no: DagNo) {
        let now = clock::now();
        let Some(state) = self.dags.get_mut(&dag_no) else {
            return;
        };
        state.armed = None;
        let Some(definition) = state.definition.clone() else {
            return;
        };
        // The same conditions that `dags why` tells.
        let none = std::collections::BTreeSet::new();
        let may_tick = may_tick(&stand(state, &none));
        let may_tick = may_tick.iter().all(|check| check.is_ok);
        if !may_tick || self.stopping.is_some() {
            return;
        }
        let dag = &definition.dag;
        let room = state.turns.room(dag);
        let owed = due(
            dag,
            state.record.schedule_high,
            now,
            room.min(RUNS_PER_PASS_MAX),
        );
        if owed.is_mark_wrong {
            let mark = state.record.schedule_high;
            tracing::warn!(dag.id = %dag.id, ?mark, "The clock is far behind the last tick of this DAG; it ticks by the clock again");
        }
        if let Some((first, last)) = owed.skipped {
            tracing::info!(dag.id = %dag.id, %first, %last, "Missed ticks are not made up for: catchup is false");
            let reason = "catchup is false".to_string();
            self.draft.skip(
                dag_no,
                Skipped {
                    first,
                    last,
                    reason,
                },
            );
        }
        if state.record.schedule_high != owed.high || state.record.next_run != owed.next {
            self.draft.dags.insert(dag_no);
        }
        state.record.schedule_high = owed.high;
        state.record.next_run = owed.next;
        let has_room = room > owed.ticks.len();
        if let Some(next) = owed.next.filter(|next| has_room || *next > now) {
            self.arm(dag_no, next.max(now));
        }
        for tick in owed.ticks {
            self.run_tick(dag_no, NewRun::of_tick(dag, &tick), tick.at);
        }
        self.begin_runs(dag_no);
    }

    /// Looks at a DAG's schedule at an instant, and not before.
    pub(super) fn arm(&mut self, dag_no: DagNo, at: Ts) {
        if let Some(state) = self.dags.get_mut(&dag_no)
            && state.armed != Some(at)
        {
            state.armed = Some(at);
            self.timers.push(Reverse((at, Timer::Schedule(dag_no))));
        }
    }

    /// Looks at the schedules that nothing has looked at since the start.
    pub(super) fn tick_unarmed(&mut self) {
        let unarmed = self.dags.iter().filter(|(_, state)| state.armed.is_none());
        let unarmed: Vec<DagNo> = unarmed.map(|(dag_no, _)| *dag_no).collect();
        for dag_no in unarmed {
            self.tick(dag_no);
        }
    }

    pub(super) fn is_armed(&self, dag_no: DagNo, at: Ts) -> bool {
        self.dags
            .get(&dag_no)
            .is_some_and(|state| state.armed == Some(at))
    }

    fn run_tick(&mut self, dag_no: DagNo, new: NewRun, tick: Ts) {
        if let Some(row) = self.existing_run(dag_no, &new.key) {
            if row.cause != new.key.cause {
                tracing::warn!(run.id = %row.run_id, %tick, "This tick makes no run: there is one for its logical date");
            }
            return;
        }
        if let Err(why) = self.make_run(dag_no, new) {
            tracing::info!(dag = %dag_no, %tick, %why, "A tick has made no run");
            let skipped = Skipped {
                first: tick,
                last: tick,
                reason: why.to_string(),
            };
            self.draft.skip(dag_no, skipped);
        }
    }

    /// A run with the same name, logical date or cause: in memory, or in the store.
    pub(super) fn existing_run(&mut self, dag_no: DagNo, key: &RunKey) -> Option<RunRow> {
        let same = |row: &RunRow| {
            row.dag == dag_no
                && (row.run_id == key.run_id
                    || key.logical_date.is_some() && row.logical_date == key.logical_date
                    || key.cause.is_some() && row.cause == key.cause)
        };
        if let Some(run) = self.runs.values().find(|run| same(&run.row)) {
            return Some(run.row.clone());
        }
        let store = std::sync::Arc::clone(&self.store);
        self.insist("Looking for an earlier run", || {
            store.conflicting_run(dag_no, key)
        })
        .unwrap_or_else(|err| {
            tracing::error!(%err, "Cannot look for an earlier run of the same cause");
            None
        })
    }

    /// Makes a run in the pass that is being made. The caller has looked for a conflict.
    pub(super) fn make_run(&mut self, dag_no: DagNo, new: NewRun) -> Result<RunNo, NotMade> {
        let run_no = self.next_run();
        self.make_run_as(run_no, dag_no, new)
    }

    /// The same, with a number that was taken before.
    pub(super) fn make_run_as(
        &mut self,
        run_no: RunNo,
        dag_no: DagNo,
        new: NewRun,
    ) -> Result<RunNo, NotMade> {
        let now = clock::now();
        let state = self.dags.get_mut(&dag_no).ok_or(NotMade::Unreadable)?;
        let definition = state.definition.clone().ok_or(NotMade::Unreadable)?;
        let mut row = new.into_row(run_no, &state.record, now);
        if self.options.at_once {
            row.run_after = row.run_after.min(now);
        }
        let begins_later = row.waits_to_begin(now);
        let key = key_of(&definition.dag, &row).map_err(NotMade::Key)?;
        // What waits for its instant has no place among the others yet, so it needs no room.
        if !begins_later && self.is_skipped(dag_no, &definition.dag, &key) {
            return Err(NotMade::Skipped { key });
        }
        let mut run = Run::new(row, definition.dag, &definition.task_nos, Vec::new());
        if self.options.no_retry {
            run.tasks.iter_mut().for_each(|task| task.max_tries = 0);
        }
        self.runs.insert(run_no, run);
        self.draft.new_runs.insert(run_no);
        self.take_turn(run_no);
        self.ask_past_of_later(run_no);
        if let Some(run) = self.runs.get(&run_no) {
            self.watches.run_is_new(&run.dag.id, &run.row);
        }
        self.end_replaced(run_no);
        Ok(run_no)
    }
}

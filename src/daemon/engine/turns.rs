//! Whose turn it is among the queued runs of a DAG, and what a new run with the same key ends.

use super::state::{DagState, Timer};
use super::{Engine, lanes};
use crate::daemon::{clock, facts};
use std::cmp::Reverse;
use tidemill_model::{Dag, DagNo, RunNo, RunRow, RunState, Ts};
use tidemill_scheduler::Event;
use tidemill_template::TemplateError;

impl Engine {
    /// A run has another state: what waits for that is looked at.
    pub(super) fn follow_run(&mut self, run_no: RunNo, now: Ts) {
        self.take_turn(run_no);
        let Some(run) = self.runs.get(&run_no) else {
            return;
        };
        let (dag_no, state) = (run.row.dag, run.row.state);
        match (state, run.dag.dagrun_timeout) {
            (RunState::Running, Some(timeout)) => {
                let due = now.after(timeout);
                self.timers.push(Reverse((due, Timer::RunTimeout(run_no))));
            }
            (RunState::Success | RunState::Failed, _) => {
                self.draft.over.push(run_no);
                self.leave_backfill(run_no);
                self.assets.look_again(dag_no);
                if state == RunState::Failed {
                    self.pause_if_failing(run_no);
                }
                let waits_for_room =
                    |dag: &DagState| dag.record.next_run.is_some_and(|next| next <= now);
                if self.dags.get(&dag_no).is_some_and(waits_for_room) {
                    self.arm(dag_no, now);
                }
            }
            (RunState::Queued | RunState::Running, _) => {}
        }
        if state != RunState::Running {
            self.begin_runs(dag_no);
        }
    }

    /// A run's row is new or has another state: its DAG's queue follows. A run that waits for its
    /// instant is not in the queue, and a timer brings it there.
    pub(super) fn take_turn(&mut self, run_no: RunNo) {
        self.follow_deadlines(run_no);
        let Some(run) = self.runs.get(&run_no) else {
            return;
        };
        let key = key_of(&run.dag, &run.row).unwrap_or_else(|err| {
            tracing::warn!(run.id = %run.row.run_id, %err, "The key of a run cannot be rendered; it has the empty one");
            String::new()
        });
        let begins_later = run.row.waits_to_begin(clock::now());
        if begins_later {
            let timer = Timer::Begin(run_no);
            self.timers.push(Reverse((run.row.run_after, timer)));
        }
        if let Some(dag) = self.dags.get_mut(&run.row.dag) {
            let backfill = self.backfill_of.get(&run_no);
            let is_of_backfill = backfill.is_some();
            let backfill = backfill.and_then(|no| self.backfills.get(no));
            let is_backwards = backfill.is_some_and(|one| one.range().is_backwards);
            let lane = self
                .batches
                .get(&run_no)
                .and_then(|one| one.lane.as_deref());
            match (begins_later, lane) {
                (true, _) => dag.turns.forget(&run.row),
                (false, Some(lane)) if lanes::keeps_lane(run, self.batches.get(&run_no)) => {
                    dag.turns.forget(&run.row);
                    dag.turns.block(run_no, lane);
                }
                (false, Some(lane)) => dag.turns.follow_lane(&run.row, lane, is_of_backfill),
                (false, None) if is_backwards => dag.turns.follow_backwards(&run.row, &key),
                (false, None) => dag.turns.follow(&run.row, &key, is_of_backfill),
            }
        }
    }

    /// A run's instant has come: it queues like any other. A new one takes the places then that
    /// the policy `replace` gives it; one that is tried again has had them. The timer of a run that
    /// was ended meanwhile says nothing: cleared, it has another one, and takes its place once.
    pub(super) fn queue_due(&mut self, run_no: RunNo) {
        let run = self.runs.get(&run_no);
        let Some(run) = run.filter(|run| run.row.state == RunState::Queued) else {
            return;
        };
        let (dag_no, is_new) = (run.row.dag, run.row.retries_used == 0);
        self.take_turn(run_no);
        if is_new {
            self.end_replaced(run_no);
        }
        self.begin_runs(dag_no);
    }

    /// Begins queued runs of a DAG, as many as its limits let, by their turn.
    pub(super) fn begin_runs(&mut self, dag_no: DagNo) {
        while let Some(state) = self.dags.get(&dag_no) {
            let Some(definition) = &state.definition else {
                return;
            };
            // As in Airflow: what runs goes on, and what waits for its turn waits, backfills too.
            if state.record.is_paused {
                return;
            }
            if self.stopping.is_some() {
                return;
            }
            let Some(run_no) = state.turns.next(&definition.dag) else {
                return;
            };
            self.tell_past(run_no);
            self.step(run_no, Event::Begin);
        }
    }

    /// Is no run with this key to be made now?
    pub(super) fn is_skipped(&self, dag_no: DagNo, dag: &Dag, key: &str) -> bool {
        let state = self.dags.get(&dag_no);
        state.is_some_and(|state| state.turns.is_skipped(dag, key))
    }

    /// Ends the runs whose place a new run takes.
    pub(super) fn end_replaced(&mut self, run_no: RunNo) {
        let Some(run) = self.runs.get(&run_no) else {
            return;
        };
        let Some(state) = self.dags.get(&run.row.dag) else {
            return;
        };
        for other in state.turns.replaced_by(&run.row, &run.dag) {
            self.step(other, Event::Replace);
        }
    }
}

/// The key of a run under `[dag.concurrency]`; empty where there is none.
pub(super) fn key_of(dag: &Dag, row: &RunRow) -> Result<String, TemplateError> {
    let Some(concurrency) = &dag.concurrency else {
        return Ok(String::new());
    };
    let facts = facts::of_run(row, dag);
    tidemill_template::render(&concurrency.key, &facts)
}

//! One pass: what has changed, in one transaction; then what follows from it.

use super::Engine;
use crate::daemon::clock;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;
use tidemill_model::{Attempt, DagNo, Reason, RunNo, TaskIndex, Ts};
use tidemill_scheduler::Run;
use tidemill_store::{Answer, Change, DagPatch, Pass, Refusal, StoreError};
use tokio::sync::oneshot;

/// A change names at most so many tasks; a page that wants more reads the rows.
const TASKS_PER_CHANGE_MAX: usize = 200;

/// Rows of one pass that say only that a task waits for its first slot.
const WAITING_ROWS_MAX: usize = 1_000;

/// An answer that waits for its commit.
pub(super) type Reply = (
    oneshot::Sender<Result<Answer, Refusal>>,
    Result<Answer, Refusal>,
);

/// What the pass being made will write, and what is done after it.
#[derive(Default)]
pub(super) struct PassDraft {
    pub rows: Pass,
    tasks: BTreeMap<RunNo, BTreeSet<TaskIndex>>,
    runs: BTreeSet<RunNo>,
    pub new_runs: BTreeSet<RunNo>,
    pub dags: BTreeSet<DagNo>,
    skipped: BTreeMap<DagNo, Vec<Skipped>>,
    pub launches: Vec<(RunNo, TaskIndex, Attempt)>,
    pub kills: Vec<(Attempt, Reason)>,
    pub over: Vec<RunNo>,
    pub replies: Vec<Reply>,
}

/// Ticks of a schedule that make no runs.
pub(super) struct Skipped {
    pub first: Ts,
    pub last: Ts,
    /// Why, for people.
    pub reason: String,
}

impl PassDraft {
    /// Ticks of a DAG make no runs: its change says so.
    pub(super) fn skip(&mut self, dag: DagNo, ticks: Skipped) {
        self.skipped.entry(dag).or_default().push(ticks);
        self.dags.insert(dag);
    }

    pub(super) fn touch(&mut self, run: RunNo, at: TaskIndex) {
        self.tasks.entry(run).or_default().insert(at);
    }

    pub(super) fn touch_run(&mut self, run: RunNo) {
        self.runs.insert(run);
    }

    /// Runs whose rows are written.
    pub(super) fn runs(&self) -> impl Iterator<Item = RunNo> {
        self.runs.iter().copied()
    }

    /// Places of tasks that have changed, by run.
    pub(super) fn touched(&self) -> impl Iterator<Item = (&RunNo, &BTreeSet<TaskIndex>)> {
        self.tasks.iter()
    }

    /// A run is read by another definition: places of its tasks mean nothing any more.
    pub(super) fn forget_tasks(&mut self, run: RunNo) {
        self.tasks.remove(&run);
    }

    /// Is there something to write or to do?
    pub(super) fn has_work(&self) -> bool {
        !self.tasks.is_empty()
            || !self.runs.is_empty()
            || !self.new_runs.is_empty()
            || !self.dags.is_empty()
            || !self.rows.is_empty()
            || !self.kills.is_empty()
            || !self.replies.is_empty()
            || !self.over.is_empty()
    }
}

impl Engine {
    /// Writes the pass, then does what follows. A commit that fails is tried again, whole, until
    /// the store is back: rows are written whole, so that twice is the same as once, and nothing
    /// has been done on the strength of it.
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        if !self.draft.has_work() {
            return Ok(());
        }
        let began = Instant::now();
        let now = clock::now();
        let mut draft = std::mem::take(&mut self.draft);
        self.fill(&mut draft, now);
        if !draft.rows.is_empty() {
            let store = Arc::clone(&self.store);
            self.insist("A commit", || store.commit_pass(&draft.rows))?;
        }
        self.count(&draft);
        self.after_commit(draft);
        self.metrics.passed(began.elapsed());
        Ok(())
    }

    /// Counts what has been written.
    fn count(&self, draft: &PassDraft) {
        for (run_no, places) in &draft.tasks {
            if let Some(run) = self.runs.get(run_no) {
                for at in places.iter().filter(|at| !run.is_expanded(**at)) {
                    let operator = run.task(*at).operator.name();
                    let row = &run.tasks[at.at()];
                    self.metrics.task_written(&run.dag.id, operator, row);
                }
            }
        }
    }

    fn fill(&mut self, draft: &mut PassDraft, now: Ts) {
        draft.rows.term = self.term;
        draft.rows.now = Some(now);
        for run_no in &draft.new_runs {
            if let Some(run) = self.runs.get(run_no) {
                draft.rows.new_runs.push(run.row.clone());
            }
        }
        for run_no in draft.runs.difference(&draft.new_runs) {
            if let Some(run) = self.runs.get(run_no) {
                draft.rows.runs.push(run.row.clone());
            }
        }
        self.settle_streams(draft, now);
        self.put_off(draft);
        for (run_no, places) in &draft.tasks {
            if let Some(run) = self.runs.get(run_no) {
                let places = places.iter().filter(|at| !run.is_expanded(**at));
                let rows = places.map(|at| run.tasks[at.at()].clone());
                draft.rows.tasks.extend(rows);
            }
        }
        for dag_no in &draft.dags {
            if let Some(state) = self.dags.get(dag_no) {
                let record = &state.record;
                draft.rows.dags.push(DagPatch {
                    dag: *dag_no,
                    is_paused: record.is_paused,
                    schedule_high: record.schedule_high,
                    next_run: record.next_run,
                });
            }
        }
        let runs: BTreeSet<RunNo> = draft.runs.union(&draft.new_runs).copied().collect();
        self.raise_alerts(draft, &runs, now);
        let kills = self.kills_elsewhere(&draft.kills);
        draft.rows.kills.extend(kills);
        self.tell(draft, now);
    }

    /// Leaves rows that say only that a task waits for its first slot to later passes, above a
    /// number: that it waits follows from the other rows, so a crash loses nothing. Without this
    /// a run with very many ready tasks would hold up every other one for a pass.
    fn put_off(&mut self, draft: &mut PassDraft) {
        let mut n_left = WAITING_ROWS_MAX;
        for (run_no, places) in &mut draft.tasks {
            let Some(run) = self.runs.get(run_no) else {
                continue;
            };
            let only_waits = |at: &TaskIndex| run.only_waits(*at);
            let n_waiting = places.iter().filter(|at| only_waits(at)).count();
            if n_waiting <= n_left {
                n_left -= n_waiting;
                continue;
            }
            let waiting = places.iter().filter(|at| only_waits(at)).take(n_left);
            let others = places.iter().filter(|at| !only_waits(at));
            let now: BTreeSet<TaskIndex> = waiting.chain(others).copied().collect();
            let mut later = std::mem::take(places);
            later.retain(|at| !now.contains(at));
            self.draft.tasks.insert(*run_no, later);
            *places = now;
            n_left = 0;
        }
        draft.tasks.retain(|_, places| !places.is_empty());
    }

    /// One change for each run that this pass touches, and one for each DAG, or for all the ticks of
    /// it that it passes over for one reason.
    fn tell(&mut self, draft: &mut PassDraft, now: Ts) {
        let touched: BTreeSet<RunNo> = draft
            .runs
            .iter()
            .chain(&draft.new_runs)
            .chain(draft.tasks.keys())
            .copied()
            .collect();
        for run_no in touched {
            let Some(run) = self.runs.get(&run_no) else {
                continue;
            };
            let places = draft.tasks.get(&run_no);
            let n_tasks = places.map_or(0, BTreeSet::len);
            let tasks: Vec<_> = places
                .into_iter()
                .flatten()
                .filter(|at| !run.is_expanded(**at))
                .take(TASKS_PER_CHANGE_MAX)
                .map(|&at| {
                    let task = &run.tasks[at.at()];
                    json!({"task_id": run.task(at).id, "map_index": task.map_index, "state": task.state,
                           "try_number": task.try_number})
                })
                .collect();
            let body = json!({"dag_id": run.dag.id, "run_id": run.row.run_id, "run_state": run.row.state,
                              "n_tasks": n_tasks, "tasks": tasks});
            draft.rows.changes.push(self.change(now, run_no.0, body));
        }
        self.tell_backfills(draft, now);
        for dag_no in &draft.dags {
            let Some(state) = self.dags.get(dag_no) else {
                continue;
            };
            let body = json!({"dag_id": state.record.dag_id, "is_paused": state.record.is_paused});
            let skipped = draft.skipped.remove(dag_no).unwrap_or_default();
            if skipped.is_empty() {
                draft.rows.changes.push(self.change(now, 0, body.clone()));
            }
            for ticks in skipped {
                let mut body = body.clone();
                body["skipped"] =
                    json!({"first": ticks.first, "last": ticks.last, "reason": ticks.reason});
                draft.rows.changes.push(self.change(now, 0, body));
            }
        }
    }

    /// The next change, of a run or of none (0), for those who listen.
    fn change(&mut self, at: Ts, run: i64, body: serde_json::Value) -> Change {
        self.last_seq += 1;
        Change {
            seq: self.last_seq,
            at,
            run,
            body,
        }
    }

    /// One change for each backfill that this pass touches.
    fn tell_backfills(&mut self, draft: &mut PassDraft, now: Ts) {
        let last: BTreeMap<_, _> = draft
            .rows
            .backfills
            .iter()
            .map(|row| (row.backfill, row))
            .collect();
        for row in last.into_values() {
            let dag_id = self.dags.get(&row.dag).map(|state| &state.record.dag_id);
            let body = json!({"dag_id": dag_id, "backfill": row.backfill, "position": row.position,
                              "is_paused": row.is_paused, "completed_at": row.completed_at});
            draft.rows.changes.push(self.change(now, 0, body));
        }
    }

    fn after_commit(&mut self, draft: PassDraft) {
        for (run_no, at, attempt) in draft.launches {
            self.launch(run_no, at, attempt);
        }
        for (attempt, reason) in draft.kills {
            self.worker.kill(attempt, reason);
        }
        if !draft.rows.alerts.is_empty() {
            self.options.alert_bell.notify_one();
        }
        for change in draft.rows.changes {
            let _ = self.changes.send(Arc::new(change)); // nobody may be listening
        }
        for (reply, answer) in draft.replies {
            let _ = reply.send(answer); // whoever asked may be gone
        }
        for run_no in draft.over {
            let is_over = |run: &Run| run.row.state.is_terminal() && run.n_live() == 0;
            if self.runs.get(&run_no).is_some_and(is_over)
                && let Some(run) = self.runs.remove(&run_no)
            {
                self.admission.forget(&run);
                self.past.forget(run_no);
                self.batches.remove(&run_no);
            }
        }
    }
}

//! What the engine holds in memory. Rows are the truth; all of this is rebuilt from them.

use super::Engine;
use crate::daemon::{clock, definition};
use std::cmp::Reverse;
use std::sync::Arc;
use tidemill_model::{BackfillNo, Dag, DagNo, RunNo, RunState, TaskIndex, TaskState, Ts};
use tidemill_scheduler::{Effect, Event, Run, Turns};
use tidemill_store::{DagRecord, Loaded, StoredVersion};

use crate::daemon::definition::Definition;

/// A DAG and its runs that wait for their turn.
pub(super) struct DagState {
    pub record: DagRecord,
    /// When its schedule is looked at next. Other timers of it are out of date.
    pub armed: Option<Ts>,
    pub definition: Option<Definition>,
    /// Its runs that are running or wait for their turn.
    pub turns: Turns,
}

/// What the clock will bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The wait of an instance is over.
    Task(RunNo, TaskIndex),
    /// The instant has come before which a run does not begin.
    Begin(RunNo),
    /// A run has taken too long.
    RunTimeout(RunNo),
    /// A schedule fires.
    Schedule(DagNo),
    /// The attempts of another process are gone.
    GoneElsewhere,
    /// A backfill goes on.
    Backfill(BackfillNo),
    /// A run that was queued then should be over, by a deadline of its DAG.
    Deadline(RunNo, Ts, usize),
}

impl Engine {
    /// Rebuilds memory from rows. Attempts that an earlier process of this home held are lost: its
    /// supervisor has ended them, or this process would not have got its lock. Those of another
    /// home get the time in which they surely end.
    pub(super) fn resume(&mut self, loaded: Loaded) {
        self.resume_pools(loaded.pools);
        for (dag, task_no, name) in loaded.task_names {
            self.names.entry(dag).or_default().insert(name, task_no);
        }
        for version in &loaded.versions {
            if let Err(err) =
                definition::lay_out(&self.options.versions, version.version, &version.files)
            {
                tracing::error!(version = %version.version, %err, "Cannot lay out the files of a version");
            }
            if let Some(definition) = definition::from_version(version, &self.names) {
                self.definitions.insert(version.version, definition);
            }
        }
        for record in loaded.dags {
            let definition = self.definitions.get(&record.version).cloned();
            self.dag_ids.insert(record.dag_id.clone(), record.dag);
            let dag = record.dag;
            let state = DagState {
                record,
                armed: None,
                definition,
                turns: Turns::default(),
            };
            self.dags.insert(dag, state);
        }
        self.resume_assets(loaded.assets, loaded.waiting_events, loaded.last_event);
        self.resume_backfills(loaded.backfills);
        self.resume_streams();
        for (row, tasks) in loaded.runs {
            self.resume_run(row, tasks);
        }
        self.check_dispatched();
        self.wait_for_attempts_elsewhere();
        let dags: Vec<DagNo> = self.dags.keys().copied().collect();
        for dag_no in dags {
            self.begin_runs(dag_no);
        }
    }

    fn resume_run(&mut self, row: tidemill_store::RunRow, tasks: Vec<tidemill_store::TaskRow>) {
        let now = clock::now();
        let run_no = row.run;
        let Some(definition) = self.definitions.get(&row.version).cloned() else {
            // Its definition cannot be read: it ends loudly, and nothing of it is lost.
            let mut row = row;
            row.state = RunState::Failed;
            row.reason = Some(tidemill_model::Reason::DefinitionLost);
            row.ended_at = Some(now);
            tracing::error!(run.id = %row.run_id, "Run failed: this program cannot read its definition");
            self.draft.rows.runs.push(row);
            return;
        };
        let run = Run::new(row, definition.dag, &definition.task_nos, tasks);
        let live = run.places().filter(|at| run.tasks[at.at()].is_live());
        let live: Vec<_> = live
            .map(|at| (run.tasks[at.at()].worker, run.attempt(at)))
            .filter(|(_, attempt)| !self.resume_attempt(&run, *attempt))
            .collect();
        let (lost, elsewhere): (Vec<_>, Vec<_>) = live
            .into_iter()
            .partition(|(worker, _)| self.options.earlier.is_gone(*worker));
        self.elsewhere
            .extend(elsewhere.into_iter().map(|(_, attempt)| attempt));
        let timeout = run.dag.dagrun_timeout.zip(run.row.started_at);
        if came_while_away(&run, now) {
            let timer = Timer::Begin(run_no);
            self.timers.push(Reverse((run.row.run_after, timer)));
        }
        self.admission.follow_all(&run);
        self.runs.insert(run_no, run);
        self.take_turn(run_no);
        if let Some((timeout, started)) = timeout {
            self.timers
                .push(Reverse((started.after(timeout), Timer::RunTimeout(run_no))));
        }
        self.tell_past(run_no);
        self.step(run_no, Event::Resume);
        for (_, attempt) in lost {
            self.lose(attempt);
        }
    }

    /// A DAG has a new current version: it is live from here on.
    pub(super) fn take_dag(&mut self, stored: StoredVersion, dag: Arc<Dag>) {
        let names = self.names.entry(stored.dag.dag).or_default();
        for (task, &task_no) in dag.tasks.iter().zip(&stored.task_nos) {
            names.insert(task.id.clone(), task_no);
        }
        let definition = Definition {
            dag,
            task_nos: stored.task_nos.into(),
        };
        self.definitions.insert(stored.version, definition.clone());
        let no = stored.dag.dag;
        self.dag_ids.insert(stored.dag.dag_id.clone(), no);
        match self.dags.get_mut(&no) {
            Some(state) => {
                // What the engine has settled is newer than what the folder's read has seen.
                let (is_paused, high) = (state.record.is_paused, state.record.schedule_high);
                state.record = DagRecord {
                    is_paused,
                    schedule_high: high,
                    ..stored.dag
                };
                state.definition = Some(definition);
            }
            None => {
                let record = stored.dag;
                let state = DagState {
                    record,
                    armed: None,
                    definition: Some(definition),
                    turns: Turns::default(),
                };
                self.dags.insert(no, state);
            }
        }
        self.streams_changed = true;
        self.follow_assets(no);
        self.tick(no);
        self.begin_runs(no);
        self.arm_backfills_of(no);
    }

    pub(super) fn take_stale(&mut self, dags: &[DagNo]) {
        for no in dags {
            if let Some(state) = self.dags.get_mut(no) {
                state.record.is_stale = true;
            }
        }
        self.streams_changed = true;
    }

    /// A run of a DAG that is over, read again because a person wants something of it.
    pub(super) fn load_run(&mut self, dag_no: DagNo, run_id: &str) -> Option<RunNo> {
        let active = self
            .runs
            .values()
            .find(|run| run.row.dag == dag_no && run.row.run_id == run_id);
        if let Some(run) = active {
            return Some(run.row.run);
        }
        let store = Arc::clone(&self.store);
        let found = self.insist("Reading a run", || store.find_run(dag_no, run_id));
        let run = self.read_run(found.ok()??.run)?;
        let run_no = run.row.run;
        self.admission.follow_all(&run);
        self.runs.insert(run_no, run);
        Some(run_no)
    }

    /// A run from the store, as it was left there.
    pub(super) fn read_run(&mut self, run_no: RunNo) -> Option<Run> {
        let store = Arc::clone(&self.store);
        let read = self.insist("Reading a run", || store.run_with_tasks(run_no));
        let (row, tasks) = read.ok()??;
        let definition = self.definition_of(row.version)?;
        Some(Run::new(row, definition.dag, &definition.task_nos, tasks))
    }

    pub(super) fn definition_of(
        &mut self,
        version: tidemill_model::VersionNo,
    ) -> Option<Definition> {
        if let Some(definition) = self.definitions.get(&version) {
            return Some(definition.clone());
        }
        let pages = Arc::clone(&self.pages);
        let read = self.insist("Reading a version", || pages.version(version));
        let record = read.ok()??;
        if let Err(err) = definition::lay_out(&self.options.versions, version, &record.files) {
            tracing::error!(%version, %err, "Cannot lay out the files of a version");
        }
        let definition = definition::from_version(&record, &self.names)?;
        self.definitions.insert(version, definition.clone());
        Some(definition)
    }

    /// Takes in what a step wants done: rows into the draft of the pass, the rest for after it.
    pub(super) fn take_effects(&mut self, run_no: RunNo, effects: Vec<Effect>, now: Ts) {
        let Some(run) = self.runs.get(&run_no) else {
            return;
        };
        for effect in effects {
            match effect {
                Effect::Task(at) => {
                    self.draft.touch(run_no, at);
                    self.admission.follow(run, at);
                    let task = &run.tasks[at.at()];
                    self.past.task_moved(run_no, task.task_no);
                    self.watches.has_moved(run_no, Some(task.task_no));
                    if task.state != TaskState::Deferred {
                        self.watches.forget((run_no, at));
                    }
                }
                Effect::Replace(at) => {
                    let row = &run.tasks[at.at()];
                    let gone = (run_no, row.task_no, row.map_index);
                    self.draft.rows.removed_tasks.push(gone);
                    self.admission.follow(run, at);
                }
                Effect::Run => {
                    self.draft.touch_run(run_no);
                    self.watches.has_moved(run_no, None);
                }
                Effect::Ready(at) => self.admission.follow(run, at),
                Effect::Wake(at, due) => self
                    .timers
                    .push(Reverse((due.max(now), Timer::Task(run_no, at)))),
                Effect::Emit(at, asset, extra) => {
                    self.assets.written.push((run_no, at, asset, extra));
                }
                Effect::Watch(at) => {
                    self.watches.resolve.insert((run_no, at));
                }
                Effect::MakeChild(at, wish) => self.watches.wishes.push(((run_no, at), wish)),
                Effect::Kill(attempt, reason) => self.draft.kills.push((attempt, reason)),
                Effect::KeepTry(task) => self
                    .draft
                    .rows
                    .tries
                    .push(tidemill_store::TryRow { task: *task }),
                Effect::ClearValues(at) => {
                    let task = &run.tasks[at.at()];
                    self.draft
                        .rows
                        .cleared_values
                        .push((run_no, task.task_no, task.map_index));
                }
                Effect::KeepValue(at, key, value) => {
                    let task = &run.tasks[at.at()];
                    let (task_no, map_index) = (task.task_no, task.map_index);
                    self.draft.rows.values.push(tidemill_store::ValueRow {
                        run: run_no,
                        task_no,
                        map_index,
                        key,
                        value,
                    });
                }
                Effect::Reject(at, rejects) => {
                    let cause = run.attempt(at).to_string();
                    self.streams_of_runs.rejected.push((run_no, cause, rejects));
                }
                Effect::Stale(attempt) => {
                    self.metrics.stale_report();
                    tracing::debug!(%attempt, "A report of an attempt that is not the current one changed nothing");
                }
            }
        }
    }
}

/// May its instant have come while there was no scheduler? Then it takes now the places that it has
/// not been given. A run that somebody has cleared only waits for its turn again.
fn came_while_away(run: &Run, now: Ts) -> bool {
    let is_new = run.row.retries_used == 0 && run.tasks.iter().all(|task| task.clears == 0);
    is_new
        && run.row.state == RunState::Queued
        && run.row.is_delayed()
        && !run.row.waits_to_begin(now)
}

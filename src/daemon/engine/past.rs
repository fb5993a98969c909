//! What tasks hear of the run before theirs (`depends_on_past`): told when a run begins, and
//! whenever something moves there.

use super::Engine;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tidemill_model::{MapIndex, RunNo, RunRow, TaskIndex, TaskNo, Ts};
use tidemill_scheduler::{Event, PastTask, Run, look_back, next_backfill_tick};
use tidemill_store::DateSpan;

/// Which runs look at which, and what is to be told in this pass.
#[derive(Default)]
pub(super) struct Past {
    /// The runs that look at a run.
    readers: HashMap<RunNo, BTreeSet<RunNo>>,
    /// The run that a run looks at.
    before: HashMap<RunNo, RunNo>,
    /// Runs that may have another one before them now.
    due: BTreeSet<RunNo>,
    /// Tasks that have moved in runs that others look at.
    moved: BTreeMap<RunNo, BTreeSet<TaskNo>>,
}

impl Past {
    /// A task instance of a run has another state.
    pub(super) fn task_moved(&mut self, run: RunNo, task_no: TaskNo) {
        if self.readers.contains_key(&run) {
            self.moved.entry(run).or_default().insert(task_no);
        }
    }

    /// A run asks nothing more.
    pub(super) fn forget(&mut self, reader: RunNo) {
        let Some(before) = self.before.remove(&reader) else {
            return;
        };
        if let Some(readers) = self.readers.get_mut(&before) {
            readers.remove(&reader);
            if readers.is_empty() {
                self.readers.remove(&before);
            }
        }
    }

    fn look_at(&mut self, reader: RunNo, before: RunNo) {
        self.forget(reader);
        self.before.insert(reader, before);
        self.readers.entry(before).or_default().insert(reader);
    }
}

impl Engine {
    /// Tells runs what has moved in the runs before them. What follows may move others again, but
    /// only later ones: so this ends.
    pub(super) fn take_past(&mut self) {
        while !self.past.due.is_empty() || !self.past.moved.is_empty() {
            for run_no in std::mem::take(&mut self.past.due) {
                self.tell_past(run_no);
            }
            for (before, tasks) in std::mem::take(&mut self.past.moved) {
                let readers = self.past.readers.get(&before).cloned();
                for reader in readers.unwrap_or_default() {
                    self.tell_moved(reader, before, &tasks);
                }
            }
        }
    }

    /// Tells a run how the one before it stands, for every task that asks.
    pub(super) fn tell_past(&mut self, run_no: RunNo) {
        let Some(run) = self.runs.get(&run_no).filter(|run| run.dag.looks_back()) else {
            return;
        };
        let asked: Vec<TaskIndex> = run.asks_past().collect();
        let row = run.row.clone();
        let before = match self.is_first_of_backfill(&row) {
            true => None,
            false => self.run_before(&row),
        };
        let Some(before) = before else {
            self.past.forget(run_no);
            let stands = asked.into_iter().map(|at| (at, None)).collect();
            return self.step(run_no, Event::Past(stands));
        };
        self.past.look_at(run_no, before);
        self.tell_tasks(run_no, before, &asked);
    }

    /// Tells a run about those of its tasks that look at these tasks of the run before: the same
    /// ones, and those directly above them.
    fn tell_moved(&mut self, reader: RunNo, before: RunNo, moved: &BTreeSet<TaskNo>) {
        let Some(run) = self.runs.get(&reader) else {
            return;
        };
        let here = moved.iter().filter_map(|no| run.place(*no, MapIndex::NONE));
        let above = |at: TaskIndex| run.dag.graph.upstream(at).iter().copied();
        let asked = here.flat_map(|at| above(at).chain([at]));
        let asked: BTreeSet<TaskIndex> = asked.filter(|at| run.task(*at).past.is_some()).collect();
        self.tell_tasks(reader, before, &asked.into_iter().collect::<Vec<_>>());
    }

    fn tell_tasks(&mut self, reader: RunNo, before: RunNo, asked: &[TaskIndex]) {
        // A run that is over is read, and not kept.
        let read = match self.runs.contains_key(&before) {
            true => None,
            false => self.read_run(before),
        };
        let (Some(run), Some(there)) = (
            self.runs.get(&reader),
            read.as_ref().or_else(|| self.runs.get(&before)),
        ) else {
            tracing::error!(run = %reader, "Cannot read the run before this one; its tasks wait");
            return;
        };
        let stand = |at: &TaskIndex| (*at, look_back(run, *at, there));
        let stands: Vec<(TaskIndex, PastTask)> = asked.iter().map(stand).collect();
        let told = stands.into_iter().map(|(at, stand)| {
            let is_new = stand.open.is_none() && !self.had_task(reader, at);
            (at, Some(PastTask { is_new, ..stand }))
        });
        let told = told.collect();
        self.step(reader, Event::Past(told));
    }

    /// Had any run before this one a row of a task of it?
    fn had_task(&self, run_no: RunNo, at: TaskIndex) -> bool {
        let Some(run) = self.runs.get(&run_no) else {
            return false;
        };
        let (dag, task_no) = (run.row.dag, run.tasks[at.at()].task_no);
        let Some(date) = run.row.logical_date else {
            return false;
        };
        let found = self
            .runtime
            .block_on(self.store.has_earlier_task(dag, task_no, date));
        found.unwrap_or_else(|err| {
            tracing::error!(%err, "Cannot look for earlier runs of a task");
            true
        })
    }

    /// The run before, by logical date (Airflow's `get_previous_dagrun`): with `catchup` runs that
    /// people made do not count.
    fn run_before(&mut self, row: &RunRow) -> Option<RunNo> {
        let date = row.logical_date?;
        let catchup = self.runs.get(&row.run)?.dag.catchup;
        let span = DateSpan {
            from: None,
            until: Ts(date.0.checked_sub(1)?),
            with_manual: !catchup,
        };
        let found = self.newest_run(row.dag, &span)?;
        Some(found.run)
    }

    /// The run of a DAG with the latest logical date in a span: in memory, where it may be newer
    /// than what is stored, or in the store.
    pub(super) fn newest_run(
        &mut self,
        dag: tidemill_model::DagNo,
        span: &DateSpan,
    ) -> Option<RunRow> {
        let store = Arc::clone(&self.store);
        let stored = self.insist("Looking for a run by its date", || {
            store.newest_run(dag, span)
        });
        let stored = stored.unwrap_or_else(|err| {
            tracing::error!(%err, "Cannot look for a run by its date");
            None
        });
        let of_dag = self.runs.values().map(|run| &run.row);
        let in_memory = of_dag
            .filter(|row| row.dag == dag && span.has(row))
            .cloned();
        in_memory.chain(stored).max_by_key(|row| row.logical_date)
    }

    /// The first run of a backfill waits for nothing before it, as in Airflow.
    fn is_first_of_backfill(&self, row: &RunRow) -> bool {
        let no = self.backfill_of.get(&row.run);
        let backfill = no.and_then(|no| self.backfills.get(no));
        let dag = self.dags.get(&row.dag);
        let definition = dag.and_then(|dag| dag.definition.as_ref());
        backfill
            .zip(definition)
            .is_some_and(|(backfill, definition)| {
                let first = next_backfill_tick(&definition.dag, &backfill.range(), None);
                first.is_some_and(|tick| Some(tick.logical_date) == row.logical_date)
            })
    }

    /// A run is new: those with a later logical date may have it before them.
    pub(super) fn ask_past_of_later(&mut self, new: RunNo) {
        let Some(run) = self.runs.get(&new).filter(|run| run.dag.looks_back()) else {
            return;
        };
        let (dag, date) = (run.row.dag, run.row.logical_date);
        let is_later = |run: &&Run| run.row.dag == dag && run.row.logical_date > date;
        let later = self.runs.values().filter(is_later).map(|run| run.row.run);
        self.past.due.extend(later);
    }
}

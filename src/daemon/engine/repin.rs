//! A run that is over moves to the current version of its DAG, when a person wishes it.

use super::Engine;
use crate::daemon::definition::Definition;
use std::collections::{HashMap, HashSet};
use tidemill_model::{MapIndex, RunNo, TaskIndex, TaskNo, TaskRow, TaskState, VersionNo};
use tidemill_scheduler::Run;
use tidemill_store::{Refusal, RunRow};

impl Engine {
    /// Pins a run to the current version, if that is wished; gives the places of `chosen` there.
    /// Instances of tasks that are gone stay as `removed`.
    pub(super) fn repin(
        &mut self,
        run_no: RunNo,
        wished: Option<bool>,
        chosen: Vec<TaskIndex>,
    ) -> Result<Vec<TaskIndex>, Refusal> {
        let Some((current, version)) = self.wished_version(run_no, wished)? else {
            return Ok(chosen);
        };
        let stored = self.runtime.block_on(self.store.run_with_tasks(run_no));
        let stored = stored.map_err(|err| Refusal::Unavailable {
            what: format!("the run cannot be read: {err}"),
        })?;
        let run = &self.runs[&run_no];
        let rows = newest(run, stored.map_or(Vec::new(), |(_, rows)| rows));
        let (rows, gone) = sorted_for(&current, rows);
        let row = RunRow {
            version,
            ..run.row.clone()
        };
        let anew = Run::new(row, current.dag, &current.task_nos, rows);
        let chosen = same_places(run, &chosen, &anew);
        self.draft.forget_tasks(run_no);
        self.draft.rows.tasks.extend(gone);
        for at in anew.places().filter(|at| !anew.is_expanded(*at)) {
            let task = &anew.tasks[at.at()];
            if task.state != TaskState::None || task.try_number > 0 {
                self.draft.touch(run_no, at);
            }
        }
        self.admission.forget(run);
        self.admission.follow_all(&anew);
        self.runs.insert(run_no, anew);
        Ok(chosen)
    }

    /// The version that a run moves to; `None` when it stays where it is.
    fn wished_version(
        &self,
        run_no: RunNo,
        wished: Option<bool>,
    ) -> Result<Option<(Definition, VersionNo)>, Refusal> {
        let run = &self.runs[&run_no];
        let Some(state) = self.dags.get(&run.row.dag) else {
            return Ok(None);
        };
        let Some(current) = state.definition.clone() else {
            return Ok(None);
        };
        let is_wished = wished.unwrap_or(current.dag.rerun_with_latest_version);
        if !is_wished || run.row.version == state.record.version {
            return Ok(None);
        }
        let is_over = run.row.state.is_terminal() && run.n_live() == 0;
        match (is_over, wished) {
            (true, _) => Ok(Some((current, state.record.version))),
            (false, None) => Ok(None), // the DAG's own wish waits until the run is over
            (false, Some(_)) => Err(Refusal::Conflict {
                what: format!(
                    "run {} is not over: it goes on by its own version; cancel it, or clear it when it is over",
                    run.row.run_id
                ),
            }),
        }
    }
}

/// The rows of a run: those in memory where it has them, for they are newer. A task that is in
/// the DAG again may run again; its tries stay with it.
fn newest(run: &Run, stored: Vec<TaskRow>) -> Vec<TaskRow> {
    let in_memory: HashSet<TaskNo> = run.tasks.iter().map(|task| task.task_no).collect();
    let others = stored
        .into_iter()
        .filter(|row| !in_memory.contains(&row.task_no));
    let others = others.map(|mut row| {
        if row.state == TaskState::Removed {
            row.state = TaskState::None;
        }
        row
    });
    let mine = run.places().filter(|at| !run.is_expanded(*at));
    let mine = mine.map(|at| run.tasks[at.at()].clone());
    let is_touched = |row: &TaskRow| row.state != TaskState::None;
    mine.filter(is_touched).chain(others).collect()
}

/// Rows that a definition has tasks for, and those that it has not: these stay as `removed`.
fn sorted_for(current: &Definition, rows: Vec<TaskRow>) -> (Vec<TaskRow>, Vec<TaskRow>) {
    let tasks = current.task_nos.iter().zip(&current.dag.tasks);
    let is_mapped: HashMap<TaskNo, bool> = tasks
        .map(|(no, task)| (*no, task.mapping.is_some()))
        .collect();
    let has_task = |row: &TaskRow| {
        let mapped = is_mapped.get(&row.task_no);
        mapped.is_some_and(|mapped| *mapped || row.map_index == MapIndex::NONE)
    };
    let (rows, mut gone): (Vec<TaskRow>, Vec<TaskRow>) = rows.into_iter().partition(has_task);
    gone.iter_mut()
        .for_each(|row| row.state = TaskState::Removed);
    (rows, gone)
}

/// The places of the same instances in another run; where one is not there, of all its task has.
fn same_places(run: &Run, chosen: &[TaskIndex], anew: &Run) -> Vec<TaskIndex> {
    let mut places = Vec::new();
    for at in chosen {
        let row = &run.tasks[at.at()];
        let same = anew.place(row.task_no, row.map_index);
        match same.filter(|at| !anew.is_expanded(*at)) {
            Some(at) => places.push(at),
            None => {
                let task = anew.dag.index_of(&run.task(*at).id);
                places.extend(task.into_iter().flat_map(|task| anew.places_of(task)));
            }
        }
    }
    places.sort_unstable();
    places.dedup();
    places
}

//! A run that is over goes on by another version of its DAG, because a person wishes it.

use crate::run::{Effect, Run};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tidemill_model::{Dag, MapIndex, TaskEvent, TaskIndex, TaskNo, TaskRow, TaskState, VersionNo};

/// A definition that a run can be pinned to.
#[derive(Clone, Debug)]
pub struct Pin {
    /// Its version.
    pub version: VersionNo,
    /// What it says.
    pub dag: Arc<Dag>,
    /// The stored numbers of its tasks, in its order.
    pub task_nos: Arc<[TaskNo]>,
}

/// A run by its new version.
#[derive(Debug)]
pub struct Repinned {
    /// The run; places of the old one mean nothing in it.
    pub run: Run,
    /// The instances that were to be cleared, by their new places.
    pub chosen: Vec<TaskIndex>,
    /// Rows of tasks that are no longer in the DAG: they stay as `removed`.
    pub gone: Vec<TaskRow>,
    /// What is to be written besides.
    pub effects: Vec<Effect>,
}

/// Pins a run that is over to another version. `stored` are all of its rows, also those of tasks
/// that had left the DAG before: a task that is in it again may run again, and its tries stay
/// with it.
pub fn repin(run: &Run, pin: Pin, stored: Vec<TaskRow>, chosen: &[TaskIndex]) -> Repinned {
    let (rows, gone) = sorted_for(&pin, newest(run, stored));
    let known: HashSet<(TaskNo, MapIndex)> = rows.iter().map(key).collect();
    let mut row = run.row.clone();
    row.version = pin.version;
    let mut anew = Run::new(row, pin.dag, &pin.task_nos, rows);
    let raised = keep_epochs(&mut anew, &gone);
    let is_known = |at: &TaskIndex| known.contains(&key(&anew.tasks[at.at()]));
    let is_there = |at: &TaskIndex| !anew.is_expanded(*at);
    let written = anew.places().filter(is_known).chain(raised);
    Repinned {
        effects: written.filter(is_there).map(Effect::Task).collect(),
        chosen: same_places(run, chosen, &anew),
        gone,
        run: anew,
    }
}

fn key(row: &TaskRow) -> (TaskNo, MapIndex) {
    (row.task_no, row.map_index)
}

/// The rows of a run: those in memory where it has them, for they are newer. Those of tasks that
/// had left are as if they had been cleared.
fn newest(run: &Run, stored: Vec<TaskRow>) -> Vec<TaskRow> {
    let in_memory: HashSet<TaskNo> = run.tasks.iter().map(|task| task.task_no).collect();
    let others = stored
        .into_iter()
        .filter(|row| !in_memory.contains(&row.task_no));
    let others = others.map(|row| match row.state {
        TaskState::Removed => TaskRow {
            clears: row.clears.saturating_add(1),
            ..after(row, TaskEvent::Clear)
        },
        _ => row,
    });
    let mine = run.places().filter(|at| !run.is_expanded(*at));
    let mine = mine.map(|at| run.tasks[at.at()].clone());
    let is_touched = |row: &TaskRow| row.state != TaskState::None;
    mine.filter(is_touched).chain(others).collect()
}

/// Rows that a definition has tasks for, and those that it has not: these stay as `removed`.
fn sorted_for(pin: &Pin, rows: Vec<TaskRow>) -> (Vec<TaskRow>, Vec<TaskRow>) {
    let tasks = pin.task_nos.iter().zip(&pin.dag.tasks);
    let is_mapped: HashMap<TaskNo, bool> = tasks
        .map(|(no, task)| (*no, task.mapping.is_some()))
        .collect();
    let has_task = |row: &TaskRow| {
        let mapped = is_mapped.get(&row.task_no);
        mapped.is_some_and(|mapped| *mapped || row.map_index == MapIndex::NONE)
    };
    let (rows, gone): (Vec<TaskRow>, Vec<TaskRow>) = rows.into_iter().partition(has_task);
    let gone = gone.into_iter().map(|row| after(row, TaskEvent::Remove));
    (rows, gone.collect())
}

fn after(mut row: TaskRow, event: TaskEvent) -> TaskRow {
    row.state = row.state.next(event).unwrap_or(row.state);
    row
}

/// A task that is no longer mapped goes on behind the epochs of its instances, so that no late
/// report of its last expansion can be taken for one of its next attempt. Answers which.
fn keep_epochs(run: &mut Run, gone: &[TaskRow]) -> Vec<TaskIndex> {
    let mut raised = Vec::new();
    for row in gone {
        let Some(at) = run.place(row.task_no, MapIndex::NONE) else {
            continue;
        };
        let own = &mut run.tasks[at.at()];
        own.epoch = own.epoch.max(row.epoch);
        raised.push(at);
    }
    raised
}

/// The places of the same instances in another run; where one is not there, of all its task has.
/// Those that nothing has happened to there need no clearing.
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
    places.retain(|at| anew.tasks[at.at()].state != TaskState::None);
    places.sort_unstable();
    places.dedup();
    places
}

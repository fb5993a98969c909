//! The store of the simulation, and the pass that is being made: what a crash forgets.

use std::collections::{BTreeMap, BTreeSet};
use tidemill_model::{Attempt, MapIndex, Outcome, RunRow, TaskIndex, TaskNo, TaskRow};
use tidemill_scheduler::Run;

pub type Key = (TaskNo, MapIndex);

/// The key of a row.
pub fn key(row: &TaskRow) -> Key {
    (row.task_no, row.map_index)
}

/// What commits have written.
pub struct Stored {
    pub run: RunRow,
    pub tasks: BTreeMap<Key, TaskRow>,
}

impl Stored {
    pub fn new(run: RunRow) -> Stored {
        Stored {
            run,
            tasks: BTreeMap::new(),
        }
    }
}

/// What the next commit writes, and what follows it.
#[derive(Default)]
pub struct Draft {
    is_run_touched: bool,
    touched: BTreeSet<TaskIndex>,
    removed: Vec<Key>,
    /// Rows of tasks that have left the run.
    pub gone: Vec<TaskRow>,
    /// Attempts that start with the commit, and whether they wait for a worker.
    pub launched: Vec<(Attempt, bool)>,
    /// Reports that the commit settles.
    pub reports: Vec<(Attempt, Outcome)>,
    /// Attempts that the commit has ended.
    pub killed: Vec<Attempt>,
    /// Attempts whose report it makes count.
    pub accepted: Vec<Attempt>,
    /// Instances that it says are lost and must not start again by themselves.
    pub lost_for_good: Vec<Key>,
}

impl Draft {
    pub fn touch(&mut self, at: TaskIndex) {
        self.touched.insert(at);
    }

    pub fn touch_run(&mut self) {
        self.is_run_touched = true;
    }

    pub fn remove(&mut self, row: &TaskRow) {
        self.removed.push(key(row));
    }

    /// The run is read by another version: places mean nothing any more.
    pub fn forget(&mut self, gone: Vec<TaskRow>) {
        self.touched.clear();
        self.gone = gone;
    }

    pub fn is_empty(&self) -> bool {
        !self.is_run_touched && self.touched.is_empty() && self.launched.is_empty()
    }

    /// Writes rows as they are now, all at once. With `puts_off`, those that say only that a task
    /// waits are left to the next pass.
    pub fn write(&mut self, run: &Run, stored: &mut Stored, puts_off: bool) {
        if std::mem::take(&mut self.is_run_touched) {
            stored.run = run.row.clone();
        }
        for key in self.removed.drain(..) {
            stored.tasks.remove(&key);
        }
        for row in self.gone.drain(..) {
            stored.tasks.insert(key(&row), row);
        }
        for at in std::mem::take(&mut self.touched) {
            if puts_off && run.only_waits(at) {
                self.touched.insert(at);
            } else if !run.is_expanded(at) {
                let row = run.tasks[at.at()].clone();
                stored.tasks.insert(key(&row), row);
            }
        }
    }
}

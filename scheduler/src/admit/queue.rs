//! Queues of waiting instances: by turn and by age at once.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use tidemill_model::{MapIndex, RunNo, TaskIndex, Ts};

/// A task instance, as admission names it.
pub type Place = (RunNo, TaskIndex);

/// Whose turn it is: smaller goes first. The order of the fields is the order of Airflow's queue
/// (`scheduler_job_runner.py`: weight, date, map index), then the older run, then the file's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    /// The total priority weight; heavier goes first.
    pub weight: Reverse<i64>,
    /// The run's logical date, or when it was due.
    pub date: Ts,
    pub map_index: MapIndex,
    pub run: RunNo,
    pub task: TaskIndex,
}

impl Turn {
    pub(super) const fn place(&self) -> Place {
        (self.run, self.task)
    }
}

/// A wait: smaller has waited longer. First counts how long its run has waited for a slot of the
/// pool, then how long it has waited itself: many tasks of one run are one that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Age {
    /// Since when its run has waited for the pool.
    pub run_since: Ts,
    /// Since when it has waited itself.
    pub since: Ts,
    pub turn: Turn,
}

impl Age {
    /// The same wait in a run that got a slot of the pool at `last`.
    pub(super) fn of_run(self, last: Ts) -> Age {
        Age {
            run_since: self.since.max(last),
            ..self
        }
    }
}

/// Waiting instances, or the heads of other queues; whoever goes is first by turn or by age.
#[derive(Debug, Default)]
pub(super) struct Queue {
    by_turn: BTreeSet<(Turn, Age)>,
    by_age: BTreeSet<Age>,
}

impl Queue {
    pub(super) fn insert(&mut self, one: Age) {
        self.by_turn.insert((one.turn, one));
        self.by_age.insert(one);
    }

    pub(super) fn remove(&mut self, one: Age) {
        self.by_turn.remove(&(one.turn, one));
        self.by_age.remove(&one);
    }

    pub(super) fn first(&self) -> Option<Age> {
        self.by_turn.first().map(|(_, age)| *age)
    }

    pub(super) fn oldest(&self) -> Option<Age> {
        self.by_age.first().copied()
    }

    /// What a queue around this one shows of it: whose turn it is, and who has waited longest.
    pub(super) fn ends(&self) -> Ends {
        Some((self.first()?, self.oldest()?))
    }
}

/// The two ends of a queue; `None` when nobody waits in it, or nobody in it may go.
pub(super) type Ends = Option<(Age, Age)>;

/// Makes a queue show the ends of another one, instead of those it has shown until now.
pub(super) fn show(queue: &mut Queue, shown: &mut Ends, now: Ends) {
    if *shown == now {
        return;
    }
    for one in std::mem::replace(shown, now).into_iter().flat_map(both) {
        queue.remove(one);
    }
    now.into_iter()
        .flat_map(both)
        .for_each(|one| queue.insert(one));
}

fn both((first, oldest): (Age, Age)) -> [Age; 2] {
    [first, oldest]
}

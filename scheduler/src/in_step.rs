//! Mapped tasks that go in step with another one (`each`): as many instances as that has, each of
//! which waits for the one with its own index and for no other.
//!
//! How many there are is known when the other task is expanded, so no attempt has to find it out:
//! the instances take their places in the step that looks at the task then. Only where the other
//! task ends without any instance an attempt is made, as for every mapped task, and `on_empty`
//! says what that means.

use crate::rule::{Counts, Decision, decide};
use crate::run::{Effect, Run};
use std::collections::BTreeMap;
use tidemill_model::{Dag, Epoch, Reason, TaskEvent, TaskIndex, TaskState};

/// A task that goes in step with another.
#[derive(Clone, Debug)]
pub(crate) struct InStep {
    /// The other one.
    pub(crate) source: TaskIndex,
    /// How far its other upstream tasks are.
    pub(crate) beside: Counts,
}

/// The tasks of a DAG that go in step with another.
pub(crate) fn of_dag(dag: &Dag) -> BTreeMap<TaskIndex, InStep> {
    let tasks = dag.tasks.iter().enumerate();
    let found = tasks.filter_map(|(at, task)| {
        let (_, source) = task.mapping.as_ref()?.each()?;
        let source = dag.index_of(source)?;
        let beside = Counts::default();
        Some((TaskIndex(at as u32), InStep { source, beside }))
    });
    found.collect()
}

impl Run {
    /// The task that the task of an instance goes in step with.
    pub(crate) fn source_of(&self, at: TaskIndex) -> Option<TaskIndex> {
        let in_step = self.in_step.get(&self.index_of(at))?;
        Some(in_step.source)
    }

    /// The one instance of an upstream task that an instance waits for, if it goes in step with
    /// that task: the one with its index, or while there are none the task's own. (`None` also
    /// where the index is gone; such an instance goes as soon as it is looked at.)
    pub(crate) fn one_above(&self, at: TaskIndex) -> Option<TaskIndex> {
        let source = self.source_of(at).filter(|_| self.index_of(at) != at)?;
        match self.is_expanded(source) {
            true => self.same_index(at, source),
            false => Some(source),
        }
    }

    /// The one instance of `other` that is next to an instance, above or below it, where the two
    /// tasks go in step.
    pub(crate) fn one_beside(&self, at: TaskIndex, other: TaskIndex) -> Option<TaskIndex> {
        let task = self.index_of(at);
        let goes_with = |task: TaskIndex, source: TaskIndex| {
            let in_step = self.in_step.get(&task);
            in_step.is_some_and(|one| one.source == source)
        };
        let are_in_step = goes_with(task, other) || goes_with(other, task);
        let is_instance = task != at && self.is_expanded(other);
        match are_in_step && is_instance {
            true => self.same_index(at, other),
            false => None,
        }
    }

    fn same_index(&self, at: TaskIndex, other: TaskIndex) -> Option<TaskIndex> {
        let index = usize::try_from(self.tasks[at.at()].map_index.0).ok()?;
        self.instances(other).get(index).copied()
    }

    /// What the rule of an instance says. For a task that goes in step with another nothing is
    /// decided before that has been expanded or is over: so it has as many rows whichever of the
    /// tasks above it has ended first.
    pub(crate) fn decision(&self, at: TaskIndex) -> Decision {
        let decided = decide(self.task(at).trigger_rule, &self.upstream(at));
        let source = self.source_of(at);
        let Some(source) = source.filter(|source| !self.is_expanded(*source)) else {
            return decided;
        };
        match decided {
            _ if !self.tasks[source.at()].state.is_terminal() => Decision::Wait,
            // There is nothing that an instance could be about; its task has yet to say so.
            Decision::Run if self.index_of(at) != at => Decision::Skip,
            decided => decided,
        }
    }

    fn n_present(&self, task: TaskIndex) -> usize {
        let instances = self.instances(task).iter();
        let is_there = |at: &&TaskIndex| self.tasks[at.at()].state != TaskState::Removed;
        instances.filter(is_there).count()
    }
}

/// Gives a task that goes in step with another as many instances as that has, once it has them.
/// Answers whether that has changed anything.
pub(crate) fn keep(run: &mut Run, task: TaskIndex, effects: &mut Vec<Effect>) -> bool {
    let source = run.in_step.get(&task).map(|one| one.source);
    let Some(source) = source.filter(|source| run.is_expanded(*source)) else {
        return false;
    };
    let n_wanted = run.n_present(source);
    let is_due = match run.is_expanded(task) {
        true => run.n_present(task) != n_wanted,
        false => {
            let own = &run.tasks[task.at()];
            own.state == TaskState::None && !own.is_live() && !run.is_held_back(task)
        }
    };
    if is_due {
        lay_out(run, task, n_wanted, effects);
    }
    is_due
}

/// An attempt that was to say that there is nothing to map over has ended. Answers whether the
/// other task has been expanded since, and its instances have taken over.
pub(crate) fn take_over(run: &mut Run, task: TaskIndex, effects: &mut Vec<Effect>) -> bool {
    let source = run.in_step.get(&task).map(|one| one.source);
    let Some(source) = source.filter(|source| run.is_expanded(*source)) else {
        return false;
    };
    lay_out(run, task, run.n_present(source), effects);
    true
}

fn lay_out(run: &mut Run, task: TaskIndex, n_wanted: usize, effects: &mut Vec<Effect>) {
    let known = run.instances(task).to_vec();
    for &extra in known.iter().skip(n_wanted) {
        if run.tasks[extra.at()].state == TaskState::Removed {
            continue;
        }
        if run.tasks[extra.at()].is_live() {
            effects.push(Effect::Kill(run.attempt(extra), Reason::Cancelled));
        }
        run.apply(extra, TaskEvent::Remove);
        effects.push(Effect::Task(extra));
    }
    let is_new = !run.is_expanded(task);
    if is_new {
        // As an attempt would have done: see `add_instance` and `Run::only_waits`.
        let own = &mut run.tasks[task.at()];
        own.epoch = Epoch(own.epoch.0 + 1);
        run.apply(task, TaskEvent::Remove);
        effects.push(Effect::Replace(task));
    }
    for map_index in 0..n_wanted {
        let place = match known.get(map_index) {
            Some(&place) if !is_new && !is_gone(run, place) => continue,
            Some(&place) => place,
            None => run.add_instance(task, map_index as i32),
        };
        let epoch = run.tasks[task.at()].epoch.max(Epoch(1));
        let row = &mut run.tasks[place.at()];
        row.epoch = row.epoch.max(epoch);
        row.map_item = None;
        run.bring_back(place);
        effects.push(Effect::Task(place));
    }
}

/// Has an instance left, with its last attempt?
fn is_gone(run: &Run, at: TaskIndex) -> bool {
    let row = &run.tasks[at.at()];
    row.state == TaskState::Removed && !row.is_live()
}

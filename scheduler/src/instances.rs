//! The instances of a run's tasks, and how a mapped task becomes many.
//!
//! A place below the number of tasks is a task's own: the instance with map index -1. A mapped
//! task is expanded by an attempt of that instance, which then leaves the stage (it is `removed`
//! in memory and has no row) while instances 0..n-1 take places behind all tasks.

use crate::run::{Effect, Run};
use crate::step::look_at;
use crate::wait;
use tidemill_model::dag::OnEmpty;
use tidemill_model::{MapIndex, MapItem, TaskEvent, TaskIndex, TaskRow, TaskState, Ts};

impl Run {
    /// The task that the instance at a place is of.
    pub fn index_of(&self, at: TaskIndex) -> TaskIndex {
        match at.at().checked_sub(self.dag.tasks.len()) {
            None => at,
            Some(behind) => self.owners[behind],
        }
    }

    /// The instances of a mapped task, by map index; none before it is expanded.
    pub fn instances(&self, task: TaskIndex) -> &[TaskIndex] {
        self.instances.get(&task).map_or(&[], Vec::as_slice)
    }

    /// Has the instance at this place left the stage to those that it was expanded to?
    pub fn is_expanded(&self, at: TaskIndex) -> bool {
        self.tasks[at.at()].state == TaskState::Removed && !self.instances(at).is_empty()
    }

    /// Every place of a task that can be cleared or marked: its instances, or its own.
    pub fn places_of(&self, task: TaskIndex) -> Vec<TaskIndex> {
        if self.is_expanded(task) {
            self.instances(task).to_vec()
        } else {
            vec![task]
        }
    }

    /// Does an instance wait for its task to be expanded anew, or its task for an attempt of an
    /// instance to end?
    pub(crate) fn is_held_back(&self, at: TaskIndex) -> bool {
        let task = self.index_of(at);
        if task != at {
            return !self.is_expanded(task);
        }
        let mut instances = self.instances(task).iter();
        instances.any(|at| self.tasks[at.at()].is_live())
    }

    /// Takes an instance in, without counting it.
    pub(crate) fn place_instance(&mut self, task: TaskIndex, row: TaskRow) -> TaskIndex {
        let at = TaskIndex(self.tasks.len() as u32);
        self.tasks.push(row);
        self.owners.push(task);
        self.instances.entry(task).or_default().push(at);
        at
    }

    pub(crate) fn add_instance(&mut self, task: TaskIndex, map_index: i32) -> TaskIndex {
        let own = &self.tasks[task.at()];
        let retries = self.dag.task(task).retry.retries;
        let mut row = TaskRow::new(own.run, own.task_no, MapIndex(map_index), retries);
        // No attempt of an instance can be taken for one of the expansion before it.
        row.epoch = own.epoch;
        // A run without retries, as a person may ask for it, has none here either.
        row.max_tries = row.max_tries.min(own.max_tries);
        let at = self.place_instance(task, row);
        self.n_open += 1;
        self.count(at, 1);
        at
    }

    /// An instance that was gone is there again, with all of its tries before it.
    pub(crate) fn bring_back(&mut self, at: TaskIndex) {
        if self.tasks[at.at()].state != TaskState::Removed {
            return;
        }
        self.apply(at, TaskEvent::Clear);
        let own = &self.tasks[self.index_of(at).at()];
        let retries = i32::try_from(self.task(at).retry.retries).unwrap_or(i32::MAX);
        // As in `add_instance`.
        let retries = retries.min(own.max_tries);
        let row = &mut self.tasks[at.at()];
        row.max_tries = row.max_tries.max(row.try_number.saturating_add(retries));
        row.losses = 0;
    }

    /// Before all instances of a mapped task run again, its values are looked at anew: its own
    /// instance comes back, and the others wait for what it finds.
    pub(crate) fn collapse(&mut self, task: TaskIndex) {
        let newest = self.instances(task).iter();
        let newest = newest.map(|at| self.tasks[at.at()].epoch).max();
        self.apply(task, TaskEvent::Clear);
        let own = &mut self.tasks[task.at()];
        own.epoch = own.epoch.max(newest.unwrap_or(own.epoch));
    }
}

/// An expansion has ended well: the instances take over, or nothing is to be done.
pub(crate) fn expand(
    run: &mut Run,
    at: TaskIndex,
    items: Vec<MapItem>,
    now: Ts,
    effects: &mut Vec<Effect>,
) {
    let known = run.instances(at).to_vec();
    for &extra in known.iter().skip(items.len()) {
        run.apply(extra, TaskEvent::Remove);
        effects.push(Effect::Task(extra));
    }
    if items.is_empty() {
        return;
    }
    run.apply(at, TaskEvent::Remove);
    effects.push(Effect::Replace(at));
    for (map_index, item) in items.into_iter().enumerate() {
        let place = match known.get(map_index) {
            Some(&place) => place,
            None => run.add_instance(at, map_index as i32),
        };
        let epoch = run.tasks[at.at()].epoch;
        let row = &mut run.tasks[place.at()];
        // The row of the task goes; its epoch lives on in those of its instances.
        row.epoch = row.epoch.max(epoch);
        run.bring_back(place);
        run.tasks[place.at()].map_item = Some(Box::new(item));
        if !run.tasks[place.at()].is_live() && run.apply(place, TaskEvent::Schedule) {
            run.tasks[place.at()].scheduled_at = Some(now);
            wait::ready(run, place, now, effects);
        }
        effects.push(Effect::Task(place));
    }
}

/// A mapped task that was to be expanded anew has ended without it: marked, blocked, failed. Its
/// instances, which waited for that, are gone.
pub(crate) fn remove_orphans(run: &mut Run, now: Ts, effects: &mut Vec<Effect>) {
    while let Some(task) = run.moved_above.pop() {
        let is_over = run.tasks[task.at()].state.is_terminal();
        if !is_over || run.is_expanded(task) {
            continue;
        }
        for at in run.instances(task).to_vec() {
            if run.tasks[at.at()].state != TaskState::Removed && run.apply(at, TaskEvent::Remove) {
                effects.push(Effect::Task(at));
            }
        }
        look_at(run, run.followers(task), now, effects);
    }
}

/// What an empty list means for a mapped task: the event of its own instance.
pub(crate) const fn event_of_nothing(on_empty: OnEmpty) -> TaskEvent {
    match on_empty {
        OnEmpty::Skip => TaskEvent::Skip,
        OnEmpty::Continue => TaskEvent::Succeed,
        OnEmpty::Fail => TaskEvent::Fail,
    }
}

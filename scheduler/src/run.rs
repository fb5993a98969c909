//! An active run in memory: rows by task, and counters that are derived from them.

use crate::counters::is_waiting;
use crate::in_step::{self, InStep};
use crate::past::PastTask;
use crate::rule::UpstreamCounts;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tidemill_model::attempt::{ChildWish, Reject};
use tidemill_model::dag::OnLost;
use tidemill_model::row::UNCLAIMED;
use tidemill_model::{
    Attempt, Dag, Epoch, Json, MapIndex, Reason, RunRow, Task, TaskEvent, TaskIndex, TaskNo,
    TaskRow, TaskState, Ts,
};

/// What a step wants done. Rows first, in one transaction; then the rest.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// This instance's row changed.
    Task(TaskIndex),
    /// This instance of a mapped task is replaced by those that it was expanded to.
    Replace(TaskIndex),
    /// The run's row changed.
    Run,
    /// This instance wants a slot.
    Ready(TaskIndex),
    /// Send [`crate::Event::TimerDue`] for this instance at that instant.
    Wake(TaskIndex, Ts),
    /// This instance has written an asset, and says this about it.
    Emit(TaskIndex, String, Json),
    /// This instance waits for something outside of its run: tell how that stands, now and
    /// whenever it changes, by [`crate::Event::Heard`].
    Watch(TaskIndex),
    /// Make this run, unless it is there, and tell what became of it.
    MakeChild(TaskIndex, Box<ChildWish>),
    /// End this attempt, for that reason.
    Kill(Attempt, Reason),
    /// This try is superseded: keep it.
    KeepTry(Box<TaskRow>),
    /// Forget the values of this instance.
    ClearValues(TaskIndex),
    /// Keep a value of this instance.
    KeepValue(TaskIndex, String, Json),
    /// This success puts records of the run into quarantine.
    Reject(TaskIndex, Vec<Reject>),
    /// The report of an attempt that is not the current one changed nothing.
    Stale(Attempt),
}

/// A run that is not over, or is being looked at again.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its row.
    pub row: RunRow,
    /// The definition it is pinned to.
    pub dag: Arc<Dag>,
    /// Its task instances: first one for each task, in the DAG's order, then the instances of
    /// mapped tasks.
    pub tasks: Vec<TaskRow>,
    pub(crate) owners: Vec<TaskIndex>,
    pub(crate) instances: HashMap<TaskIndex, Vec<TaskIndex>>,
    pub(crate) upstream: Vec<UpstreamCounts>,
    /// Mapped tasks that go in step with another.
    pub(crate) in_step: BTreeMap<TaskIndex, InStep>,
    /// How the run before stands for tasks that wait for it, as far as it has been told.
    pub(crate) past: HashMap<TaskIndex, Option<PastTask>>,
    pub(crate) n_open: u32,
    pub(crate) n_live: u32,
    pub(crate) n_waiting: u32,
    /// Mapped tasks with instances whose own one has moved: see `instances::remove_orphans`.
    pub(crate) moved_above: Vec<TaskIndex>,
    taken: Option<Taken>,
}

/// How often each event was taken in each state.
pub type Taken = BTreeMap<(TaskState, TaskEvent), u64>;

impl Run {
    /// A run from its rows. Tasks without a row have not been touched. `task_nos` are the stored
    /// numbers of the DAG's tasks, in its order; rows of other tasks are left alone.
    pub fn new(row: RunRow, dag: Arc<Dag>, task_nos: &[TaskNo], rows: Vec<TaskRow>) -> Run {
        let mut tasks: Vec<TaskRow> = dag
            .tasks
            .iter()
            .zip(task_nos)
            .map(|(task, &task_no)| {
                TaskRow::new(row.run, task_no, MapIndex::NONE, task.retry.retries)
            })
            .collect();
        let places: HashMap<TaskNo, usize> = task_nos
            .iter()
            .enumerate()
            .map(|(at, &task_no)| (task_no, at))
            .collect();
        let mut mapped = Vec::new();
        for stored in rows {
            let Some(&at) = places.get(&stored.task_no) else {
                continue;
            };
            if stored.map_index == MapIndex::NONE {
                tasks[at] = stored;
            } else if dag.tasks[at].mapping.is_some() {
                mapped.push((TaskIndex(at as u32), stored));
            } // else it was mapped in an earlier version
        }
        let mut run = Run {
            upstream: Vec::new(),
            in_step: in_step::of_dag(&dag),
            row,
            dag,
            tasks,
            owners: Vec::new(),
            instances: HashMap::new(),
            past: HashMap::new(),
            n_open: 0,
            n_live: 0,
            n_waiting: 0,
            moved_above: Vec::new(),
            taken: None,
        };
        run.take_mapped(mapped);
        run.recount();
        run
    }

    /// Instances of mapped tasks, read again. A task with instances and no row of its own has been
    /// expanded.
    fn take_mapped(&mut self, mut mapped: Vec<(TaskIndex, TaskRow)>) {
        mapped.sort_by_key(|(task, row)| (*task, row.map_index));
        for (task, row) in mapped {
            let own = &mut self.tasks[task.at()];
            let is_untouched =
                own.state == TaskState::None && own.clears == 0 && own.try_number == 0;
            if is_untouched {
                own.state = TaskState::Removed;
            }
            self.place_instance(task, row);
        }
    }

    /// The one place where an instance's state changes. Counters follow here and nowhere else.
    /// An event that the law forbids changes nothing and is answered with `false`.
    pub(crate) fn apply(&mut self, at: TaskIndex, event: TaskEvent) -> bool {
        let old = self.tasks[at.at()].state;
        let Ok(new) = old.next(event) else {
            return false;
        };
        // Others see only whether and how an instance is over.
        let is_seen = old.is_terminal() || new.is_terminal();
        if is_seen {
            self.count(at, -1);
        }
        self.tasks[at.at()].state = new;
        if let Some(taken) = &mut self.taken {
            *taken.entry((old, event)).or_default() += 1;
        }
        if !self.instances(at).is_empty() {
            self.moved_above.push(at);
        }
        match (old.is_terminal(), new.is_terminal()) {
            (false, true) => self.n_open -= 1,
            (true, false) => self.n_open += 1,
            (true, true) | (false, false) => {}
        }
        self.n_waiting = self.n_waiting + u32::from(is_waiting(new)) - u32::from(is_waiting(old));
        if is_seen {
            self.count(at, 1);
        }
        true
    }

    /// Counts from here on how often each event is taken in each state: for simulations.
    pub fn keep_count(&mut self, taken: Taken) {
        self.taken = Some(taken);
    }

    /// What was counted since [`Run::keep_count`].
    pub fn counted(&mut self) -> Taken {
        self.taken.take().unwrap_or_default()
    }

    /// Every instance's place.
    pub fn places(&self) -> impl Iterator<Item = TaskIndex> + use<> {
        (0..self.tasks.len() as u32).map(TaskIndex)
    }

    /// The task that an instance is of.
    pub fn task(&self, at: TaskIndex) -> &Task {
        self.dag.task(self.index_of(at))
    }

    /// Is the run being ended around this instance? Teardown tasks outlive a run that a person or
    /// a failure ends.
    pub(crate) fn is_ending(&self, at: TaskIndex) -> bool {
        match self.row.reason {
            None => false,
            Some(Reason::TimedOut) => true,
            Some(_) => !self.task(at).role.is_teardown(),
        }
    }

    /// May an attempt whose end nobody knows be followed by another one?
    pub(crate) fn may_repeat(&self, at: TaskIndex) -> bool {
        let task = self.task(at);
        let is_expansion = task.mapping.is_some() && self.index_of(at) == at;
        task.on_lost == OnLost::Retry || is_expansion || !task.operator.is_command()
    }

    /// Was a task lost that must not be started again by itself? Then no retry of the whole run
    /// starts it either.
    pub(crate) fn has_final_loss(&self) -> bool {
        self.places().any(|at| {
            let row = &self.tasks[at.at()];
            row.reason == Some(Reason::Lost) && row.state.is_failure() && !self.may_repeat(at)
        })
    }

    /// How far the tasks above an instance are. One that goes in step with another task has a
    /// single instance of that above it.
    pub fn upstream(&self, at: TaskIndex) -> UpstreamCounts {
        let task = self.index_of(at);
        let mut counts = self.upstream[task.at()];
        let Some(in_step) = self.in_step.get(&task).filter(|_| task != at) else {
            return counts;
        };
        counts.near = in_step.beside;
        if let Some(above) = self.one_above(at) {
            counts.near.total += 1;
            counts.near.count(self.tasks[above.at()].state, 1);
        }
        counts
    }

    /// Is every task over and every attempt gone?
    pub fn is_settled(&self) -> bool {
        self.n_open == 0 && self.n_live == 0
    }

    /// Attempts that a worker holds.
    pub fn n_live(&self) -> u32 {
        self.n_live
    }

    /// Is there an open task, but none that a worker, a slot, a timer or another run will ever move?
    pub fn is_stuck(&self) -> bool {
        self.n_open > 0
            && self.n_live == 0
            && self.n_waiting == 0
            && !self.places().any(|at| self.waits_for_past(at))
    }

    /// Does this instance want a slot?
    pub fn wants_slot(&self, at: TaskIndex) -> bool {
        let task = &self.tasks[at.at()];
        task.state == TaskState::Scheduled && !task.is_live()
    }

    /// Does its row say no more than that an instance waits for its first slot? That it does
    /// follows from the other rows, so the row need not be written with them. (Instances of a
    /// mapped task have the epoch of its expansion: they are written with it, all or none.)
    pub fn only_waits(&self, at: TaskIndex) -> bool {
        let task = &self.tasks[at.at()];
        task.state == TaskState::Scheduled && task.epoch == Epoch(0) && task.clears == 0
    }

    /// Gives an instance its slot and its worker: a new attempt with a new epoch. The caller
    /// commits the row before the attempt starts.
    pub fn launch(&mut self, at: TaskIndex, worker: i64, now: Ts) -> (Attempt, Vec<Effect>) {
        let begun = self.dispatch(at, now);
        self.start(at, worker, now);
        begun
    }

    /// Gives an instance its slot, and leaves it to whichever worker claims it: a new attempt
    /// with a new epoch.
    pub fn dispatch(&mut self, at: TaskIndex, now: Ts) -> (Attempt, Vec<Effect>) {
        let mut effects = Vec::new();
        self.new_try(at, TaskEvent::Queue, now, &mut effects);
        self.n_live += 1;
        self.tasks[at.at()].worker = Some(UNCLAIMED);
        (self.attempt(at), effects)
    }

    /// A try with a number of its own begins; the one before is kept.
    pub(crate) fn new_try(
        &mut self,
        at: TaskIndex,
        event: TaskEvent,
        now: Ts,
        effects: &mut Vec<Effect>,
    ) {
        let before = self.tasks[at.at()].clone();
        if before.try_number > 0 {
            effects.push(Effect::KeepTry(Box::new(before)));
        }
        self.apply(at, event);
        let task = &mut self.tasks[at.at()];
        task.epoch = Epoch(task.epoch.0 + 1);
        task.try_number += 1;
        task.queued_at = Some(now);
        task.started_at = None;
        task.ended_at = None;
        task.not_before = None;
        task.reason = None;
        task.message = None;
        task.exit_code = None;
        task.followed = None;
        effects.push(Effect::Task(at));
    }

    /// A worker has the attempt. One that was cleared or marked while it waited stays so.
    pub(crate) fn start(&mut self, at: TaskIndex, worker: i64, now: Ts) {
        self.apply(at, TaskEvent::Start);
        let task = &mut self.tasks[at.at()];
        task.worker = Some(worker);
        task.started_at = Some(now);
    }

    /// A deferred attempt that its worker still has counts as running again: what follows is the
    /// same for both.
    pub(crate) fn take_up(&mut self, at: TaskIndex) {
        let task = &self.tasks[at.at()];
        if task.state == TaskState::Deferred && task.is_live() {
            self.apply(at, TaskEvent::Start);
        }
    }

    /// The try goes on without a slot. Who says so has begun, even if the news of the claim is
    /// still on its way.
    pub(crate) fn defer(&mut self, at: TaskIndex, now: Ts) -> bool {
        if self.tasks[at.at()].state == TaskState::Queued {
            self.apply(at, TaskEvent::Start);
        }
        let is_deferred = self.apply(at, TaskEvent::Defer);
        if is_deferred {
            self.tasks[at.at()].started_at.get_or_insert(now);
        }
        is_deferred
    }

    /// The attempt is gone; its slot is free.
    pub(crate) fn release(&mut self, at: TaskIndex, now: Ts) {
        if self.tasks[at.at()].worker.take().is_some() {
            self.n_live -= 1;
            self.tasks[at.at()].ended_at = Some(now);
        }
    }

    /// The current or last attempt of an instance.
    pub fn attempt(&self, at: TaskIndex) -> Attempt {
        let task = &self.tasks[at.at()];
        Attempt {
            run: task.run,
            task_no: task.task_no,
            map_index: task.map_index,
            epoch: task.epoch,
        }
    }

    /// The instance whose current or last attempt this is.
    pub fn place_of(&self, attempt: Attempt) -> Option<TaskIndex> {
        self.place(attempt.task_no, attempt.map_index)
            .filter(|at| self.attempt(*at) == attempt)
    }

    /// The place of an instance.
    pub fn place(&self, task_no: TaskNo, map_index: MapIndex) -> Option<TaskIndex> {
        let task = self.place_of_task(task_no)?;
        match usize::try_from(map_index.0) {
            Err(_) => Some(task),
            Ok(index) => self.instances(task).get(index).copied(),
        }
    }

    fn place_of_task(&self, task_no: TaskNo) -> Option<TaskIndex> {
        // Task numbers are given in the order of the file, so the first guess is nearly always right.
        let own = &self.tasks[..self.dag.tasks.len()];
        let guess = usize::try_from(task_no.0)
            .ok()
            .and_then(|no| no.checked_sub(1));
        if let Some(at) = guess.filter(|&at| own.get(at).is_some_and(|t| t.task_no == task_no)) {
            return Some(TaskIndex(at as u32));
        }
        own.iter()
            .position(|task| task.task_no == task_no)
            .map(|at| TaskIndex(at as u32))
    }
}

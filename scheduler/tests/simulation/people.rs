//! What people do in a story: clear, mark, cancel, edit the file, change a pool.

use crate::cells::Fault;
use crate::draw;
use crate::store::key;
use crate::world::World;
use tidemill_model::{RunState, TaskEvent, TaskIndex, TaskState};
use tidemill_scheduler::{ClearChoice, Event, plan_clear, repin};

impl World {
    pub fn person(&mut self) {
        let tasks = self.some_places();
        match self.chance.below(15) {
            0..=4 => self.clear(tasks),
            5 | 6 => self.step(Event::Mark(tasks, TaskState::Success)),
            7 | 8 => self.step(Event::Mark(tasks, TaskState::Failed)),
            9 | 10 => self.step(Event::Mark(tasks, TaskState::Skipped)),
            11 if self.chance.once_in(3) => {
                let event = match self.chance.once_in(2) {
                    true => Event::Cancel,
                    false => Event::Replace,
                };
                self.step(event);
            }
            12 if self.chance.once_in(3) => {
                let state = *self.chance.pick(&[RunState::Success, RunState::Failed]);
                self.step(Event::MarkRun(state));
            }
            13 => self.edit(),
            14 => self.set_pools(),
            _ => {}
        }
    }

    /// One instance, or all that its task has.
    fn some_places(&mut self) -> Vec<TaskIndex> {
        let rare: Vec<TaskIndex> = self.run.places().filter(|at| self.is_rare(*at)).collect();
        let rarest = rare.iter().copied().find(|at| self.comes_back(*at));
        let at = match rare.is_empty() || self.chance.once_in(2) {
            true => TaskIndex(self.chance.below(self.run.tasks.len() as u64) as u32),
            false => rarest.unwrap_or(*self.chance.pick(&rare)),
        };
        let mut places = match self.chance.once_in(2) {
            true => vec![at],
            false => self.run.places_of(self.run.index_of(at)),
        };
        places.retain(|at| !self.run.is_expanded(*at));
        places
    }

    /// Is an instance where it seldom is: between two tries, cleared while it runs, waiting for
    /// something outside, or about to be expanded anew?
    fn is_rare(&self, at: TaskIndex) -> bool {
        let seldom = [
            TaskState::UpForRetry,
            TaskState::Restarting,
            TaskState::Deferred,
        ];
        self.comes_back(at) || seldom.contains(&self.run.tasks[at.at()].state)
    }

    /// Is a mapped task about to be expanded anew?
    fn comes_back(&self, at: TaskIndex) -> bool {
        self.run.tasks[at.at()].state == TaskState::None && !self.run.instances(at).is_empty()
    }

    fn clear(&mut self, tasks: Vec<TaskIndex>) {
        let is_all = self.chance.once_in(6);
        let choice = ClearChoice {
            tasks: if is_all { Vec::new() } else { tasks },
            only_failed: self.chance.once_in(3),
            only_running: self.chance.once_in(8),
            downstream: self.chance.once_in(2),
            upstream: self.chance.once_in(5),
        };
        let mut chosen = plan_clear(&self.run, &choice);
        if chosen.is_empty() {
            return;
        }
        if self.run.row.state.is_terminal() && self.run.n_live() == 0 && self.chance.once_in(2) {
            chosen = self.repin(&chosen);
        }
        self.step(Event::Clear(chosen));
    }

    /// The file is edited, in the middle of a run: the run goes on by its own version.
    pub fn edit(&mut self) {
        if !self.run.row.state.is_terminal() {
            self.counts.fault(Fault::FileEdited);
        }
        let newest = self.current.version.0 + 1;
        self.current = draw::version(newest, &mut self.chance);
        let current = self.current.clone();
        self.versions.insert(current.version, current);
    }

    /// The run, which is over, moves to the current version.
    fn repin(&mut self, chosen: &[TaskIndex]) -> Vec<TaskIndex> {
        self.counts.fault(Fault::VersionMoved);
        let mut taken = self.run.counted();
        let mut stored = self.stored.tasks.clone();
        let pending = self.draft.gone.drain(..);
        stored.extend(pending.map(|row| (key(&row), row)));
        let stored = stored.into_values().collect();
        let anew = repin(&self.run, self.current.clone(), stored, chosen);
        for row in &anew.gone {
            if let Some(at) = self.run.place(row.task_no, row.map_index) {
                let cell = (self.run.tasks[at.at()].state, TaskEvent::Remove);
                *taken.entry(cell).or_default() += 1;
            }
        }
        self.admission.forget(&self.run);
        self.admission.follow_all(&anew.run);
        self.draft.forget(anew.gone);
        self.run = anew.run;
        self.run.keep_count(taken);
        self.past.clear();
        self.take(anew.effects);
        self.judge_losses_anew();
        anew.chosen
    }

    fn set_pools(&mut self) {
        let pools = draw::pools(self.is_stormy, &mut self.chance);
        self.admission.set_pools(&pools);
        self.pools = pools;
        self.counts.fault(Fault::PoolChanged);
    }
}

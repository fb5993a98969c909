//! What must hold after every event, and at the end; the numbers are those of the invariants in
//! the reliability table of the design.

use crate::before::Before;
use crate::cells::Fault;
use crate::world::World;
use tidemill_model::{Attempt, Epoch, MapIndex, Outcome, Reason, TaskIndex, TaskNo, TaskRow};
use tidemill_scheduler::{Effect, Event};

impl World {
    /// Stops the story; the seed that tells it again is told on the way out.
    pub fn fail(&self, what: &str) -> ! {
        let states: Vec<&str> = self.run.tasks.iter().map(|row| row.state.name()).collect();
        panic!(
            "{what}; run {} {:?}, tasks {states:?}",
            self.run.row.state, self.run.row.reason
        );
    }

    pub fn ensure(&self, holds: bool, what: impl Fn() -> String) {
        if !holds {
            self.fail(&what());
        }
    }

    /// What holds of a step, beside what it found.
    pub fn check_step(&mut self, before: &Before, effects: &[Effect]) {
        self.check_since(before, effects);
        self.check_ends(before, effects);
        self.check_past(before);
        if before.run.retries_used == self.run.row.retries_used {
            self.check_events(before, effects);
        }
        self.ensure(!before.is_early || before.tasks == self.run.tasks, || {
            "I43: a timer that rang too early, or for nobody, moved something".to_string()
        });
    }

    /// What holds after every event.
    pub fn check(&self) {
        let row = &self.run.row;
        self.ensure(row.reason != Some(Reason::Deadlock), || {
            "I14: a deadlock".to_string()
        });
        let is_over = |row: &TaskRow| row.state.is_terminal() && !row.is_live();
        let all_over = || self.run.tasks.iter().all(is_over);
        self.ensure(!row.state.is_terminal() || all_over(), || {
            "I17: the run is over before its tasks".to_string()
        });
        self.check_rows();
        self.check_in_step();
        self.check_resume();
        self.check_slots();
    }

    /// What holds after a commit.
    pub fn check_commit(&self) {
        self.check_stored();
        self.check_live();
        self.check_admission();
        self.check_reasons();
    }

    /// I18: looking again finds nothing that the event has not done, and asks for news only where
    /// an instance waits for it without a worker.
    fn check_resume(&self) {
        let mut again = self.run.clone();
        let effects = tidemill_scheduler::step(&mut again, Event::Resume, self.now);
        let is_hint = |effect: &Effect| match effect {
            Effect::Ready(at) => self.run.wants_slot(*at),
            Effect::Wake(at, due) => self.run.tasks[at.at()].not_before == Some(*due),
            Effect::Watch(at) => self.waits_without_worker(*at),
            _ => false,
        };
        self.ensure(effects.iter().all(is_hint), || {
            format!("I18: a second look found {effects:?}")
        });
    }

    /// I42: a report that nobody can have sent changes nothing.
    pub fn report_nonsense(&mut self) {
        self.counts.fault(Fault::Nonsense);
        let attempt = Attempt {
            task_no: TaskNo(self.chance.below(20) as i32 - 2),
            map_index: MapIndex(self.chance.below(8) as i32 - 2),
            epoch: Epoch(*self.chance.pick(&[-1, 0, 1_000_000])),
            ..self.run.attempt(TaskIndex(0))
        };
        let before = self.run.tasks.clone();
        let event = match self.chance.below(3) {
            0 => Event::Claimed { attempt, worker: 7 },
            1 => Event::AttemptLost {
                attempt,
                blame: true,
            },
            _ => Event::AttemptEnded {
                attempt,
                outcome: Box::new(Outcome::success()),
            },
        };
        self.step(event);
        self.ensure(before == self.run.tasks, || {
            format!("I42: {attempt} moved something")
        });
    }

    pub fn assert_over(&self) {
        if self.is_told {
            self.tell_dag();
        }
        self.check();
        self.check_commit();
    }

    pub fn tell_aloud(&self, told: &str) {
        if !self.is_told {
            return;
        }
        let states: Vec<&str> = self.run.tasks.iter().map(|row| row.state.name()).collect();
        println!(
            "{} {told} -> {} {states:?}",
            self.n_events, self.run.row.state
        );
    }

    /// What waits for what, for whoever looks for a cause.
    fn tell_dag(&self) {
        for at in (0..self.run.dag.tasks.len() as u32).map(TaskIndex) {
            let task = self.run.dag.task(at);
            println!(
                "{} {:?} {} {} mapped {} after {:?}: {:?}",
                task.id,
                task.role,
                task.operator.name(),
                task.trigger_rule,
                task.mapping.is_some(),
                self.run.dag.graph.upstream(at),
                self.run.upstream(at),
            );
        }
    }
}

/// Whatever stops a story, also in the code that is looked at: this is how to hear it again.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (seed, n) = (self.seed, self.n_events);
            eprintln!(
                "seed {seed}, event {n}; TIDEMILL_SEED={seed} TIDEMILL_STEPS=1 TIDEMILL_TELL=1 tells it again"
            );
        }
    }
}

//! What is outside of the run: tasks that wait for an instant, for another DAG or with their
//! worker, what they hear, and the assets that tasks write.

use crate::before::Before;
use crate::store::key;
use crate::support::Chance;
use crate::world::World;
use std::time::Duration;
use tidemill_model::attempt::{ChildDate, ChildWish, Verdict};
use tidemill_model::dag::{
    External, ExternalTask, InProcess, Match, Operator, PastRule, Patience, TimeSensor, TimeTarget,
    TriggerDagRun,
};
use tidemill_model::{Attempt, JsonObject, Outcome, RunNo, RunState, TaskIndex, TaskState, Ts};
use tidemill_scheduler::{Effect, Event, Heard, PastTask};

/// An operator that waits, as chance has it.
pub fn waiting(chance: &mut Chance) -> Operator {
    let patience = Patience {
        timeout: Duration::from_secs(1 + chance.below(600)),
        soft_fail: chance.once_in(3),
    };
    match chance.below(6) {
        0 => Operator::TimeSensor(TimeSensor {
            target: match chance.once_in(2) {
                true => TimeTarget::After(Duration::from_secs(chance.below(1_200))),
                false => TimeTarget::At(Ts(chance.below(2_000_000_000) as i64)),
            },
            patience,
        }),
        1 => Operator::ExternalTaskSensor(Box::new(external(patience))),
        2 => Operator::TriggerDagRun(Box::new(trigger(chance))),
        _ => Operator::InProcess(InProcess {
            kind: "file_sensor",
            only_looks: chance.once_in(2),
            keeps: chance.once_in(2),
            settings: JsonObject::new(),
        }),
    }
}

fn external(patience: Patience) -> ExternalTask {
    ExternalTask {
        dag_id: "other".to_string(),
        what: External::Run,
        matching: Match::Same,
        delta: Duration::ZERO,
        allowed: vec![TaskState::Success],
        skipped: vec![TaskState::Skipped],
        failed: vec![TaskState::Failed],
        check_existence: true,
        patience,
    }
}

fn trigger(chance: &mut Chance) -> TriggerDagRun {
    TriggerDagRun {
        dag_id: "other".to_string(),
        run_id: None,
        conf: None,
        logical_date: None,
        note: None,
        waits: chance.once_in(2),
        allowed: vec![RunState::Success],
        failed: vec![RunState::Failed],
        resets: false,
        skips_existing: chance.once_in(2),
        fails_when_paused: false,
    }
}

/// An attempt that wants a run of another DAG.
pub fn wish() -> Outcome {
    let wish = ChildWish {
        dag_id: "other".to_string(),
        run_id: None,
        date: ChildDate::Present,
        conf: JsonObject::new(),
        note: None,
    };
    Outcome {
        child: Some(Box::new(wish)),
        ..Outcome::success()
    }
}

/// News of any kind; only some of it is for whoever hears it.
fn news(chance: &mut Chance) -> Heard {
    let state = *chance.pick(RunState::ALL);
    match chance.below(6) {
        0 | 1 => Heard::States(vec![*chance.pick(TaskState::ALL)]),
        2 => Heard::Made {
            dag_id: "other".to_string(),
            run_id: "r".to_string(),
            state,
        },
        3 => Heard::Child(state),
        4 => Heard::Exists("it is there already".to_string()),
        _ => Heard::Missing("it is not there".to_string()),
    }
}

impl World {
    /// Something happens elsewhere: mostly whoever waits hears of it.
    pub fn hear_one(&mut self) {
        let waits = |at: &TaskIndex| self.waits_without_worker(*at);
        let waiting: Vec<TaskIndex> = self.run.places().filter(waits).collect();
        let at = match waiting.is_empty() || self.chance.once_in(10) {
            true => TaskIndex(self.chance.below(self.run.tasks.len() as u64) as u32),
            false => *self.chance.pick(&waiting),
        };
        let heard = news(&mut self.chance);
        self.step(Event::Heard(at, heard));
    }

    /// A worker's attempt goes on without its slot; it says so once.
    pub fn defer_one(&mut self) {
        let may = |attempt: &&Attempt| {
            let at = self.run.place_of(**attempt);
            let is_sensor = |at: TaskIndex| {
                let is_deferred = self.run.tasks[at.at()].state == TaskState::Deferred;
                let operator = &self.run.task(at).operator;
                let waits = matches!(operator, Operator::InProcess(_)) && !self.is_expansion(at);
                waits && (!is_deferred || self.is_stormy)
            };
            at.is_some_and(is_sensor)
        };
        let Some(attempt) = self.live.iter().find(may).copied() else {
            return;
        };
        self.unclaimed.retain(|other| *other != attempt);
        let outcome = Outcome {
            verdict: Verdict::Deferred,
            ..Outcome::success()
        };
        match self.chance.once_in(4) {
            true => self.on_their_way.push((attempt, outcome)), // it may come when all is over
            false => self.deliver(attempt, outcome),
        }
    }

    pub fn is_expansion(&self, at: TaskIndex) -> bool {
        self.run.task(at).mapping.is_some() && at.at() < self.run.dag.tasks.len()
    }

    pub fn waits_without_worker(&self, at: TaskIndex) -> bool {
        let row = &self.run.tasks[at.at()];
        row.state == TaskState::Deferred && !row.is_live()
    }

    /// How the run before stands comes late, changes, and is another one; in the end it is good.
    pub fn tell_past(&mut self) {
        let asked: Vec<TaskIndex> = self.run.asks_past().collect();
        let stands = asked.into_iter().map(|at| (at, self.past_of(at)));
        let stands: Vec<_> = stands.collect();
        self.past.extend(stands.iter().cloned());
        self.step(Event::Past(stands));
    }

    fn past_of(&mut self, at: TaskIndex) -> Option<PastTask> {
        if !self.is_stormy || self.chance.once_in(4) {
            return None;
        }
        let below = self.run.dag.graph.downstream(at).iter().copied();
        Some(PastTask {
            run: RunNo(0),
            open: *self.chance.pick(&[None, Some(0), Some(0), Some(2)]),
            open_below: below.filter(|_| self.chance.once_in(3)).collect(),
            is_new: self.chance.once_in(2),
        })
    }

    /// A task that waits for the run before does not start while that stands badly, or while
    /// nobody has said how it stands. (Instances follow their task.)
    pub fn check_past(&self, before: &Before) {
        let lets_go = |rule: PastRule, stand: &Option<PastTask>| match stand {
            None => true,
            Some(there) => match there.open {
                None => rule.passes_when_new && there.is_new,
                Some(n) => n == 0 && (there.open_below.is_empty() || !rule.with_downstream),
            },
        };
        for (at, task) in self.run.places().zip(&self.run.dag.tasks) {
            let Some(rule) = task.past else {
                continue;
            };
            let state = self.run.tasks[at.at()].state;
            let starts = matches!(state, TaskState::Scheduled | TaskState::Deferred);
            let has_gone = starts && before.tasks[at.at()].state == TaskState::None;
            let stand = self.past.get(&at);
            let may = stand.is_some_and(|stand| lets_go(rule, stand));
            self.ensure(!has_gone || may, || {
                format!("{at:?} goes, and the run before stands so: {stand:?}")
            });
        }
    }

    /// The place that ends well by an event that is no report: what it waits for has come.
    pub fn ends_well_by(&self, event: &Event) -> Option<TaskIndex> {
        let (Event::Heard(at, _) | Event::TimerDue(at)) = event else {
            return None;
        };
        if at.at() >= self.run.tasks.len() {
            return None;
        }
        let has_come = match (event, &self.run.task(*at).operator) {
            (Event::TimerDue(_), Operator::TimeSensor(_)) => true,
            (Event::Heard(_, Heard::States(states)), Operator::ExternalTaskSensor(_)) => {
                states == &[TaskState::Success]
            }
            (Event::Heard(_, Heard::Made { state, .. }), Operator::TriggerDagRun(wish)) => {
                !wish.waits || *state == RunState::Success
            }
            (Event::Heard(_, Heard::Child(state)), Operator::TriggerDagRun(_)) => {
                *state == RunState::Success
            }
            _ => false,
        };
        (has_come && self.waits_without_worker(*at)).then_some(*at)
    }

    /// A deferral takes a running attempt out of its slot and does nothing else; the report of
    /// its end is still to come.
    pub fn check_deferral(&self, attempt: Attempt, before: &Before) {
        let mut expected = before.tasks.clone();
        if let Some(at) = self.run.place_of(attempt) {
            let row = &mut expected[at.at()];
            if matches!(row.state, TaskState::Queued | TaskState::Running) {
                row.state = TaskState::Deferred;
                row.started_at.get_or_insert(self.now);
            }
        }
        self.ensure(expected == self.run.tasks, || {
            format!("I34: {attempt} was deferred, and more has changed")
        });
    }

    /// Each success that no person has said is one event of each asset that the task writes;
    /// nothing else is one.
    pub fn check_events(&self, before: &Before, effects: &[Effect]) {
        let mut emitted: Vec<(TaskIndex, &str)> = Vec::new();
        for effect in effects {
            if let Effect::Emit(at, asset, _) = effect {
                emitted.push((*at, asset));
            }
        }
        let mut expected = Vec::new();
        for at in self.run.places().filter(|_| before.wish.is_none()) {
            let was = before.tasks.get(at.at()).map(|row| row.state);
            let is_new = was != Some(TaskState::Success)
                && self.run.tasks[at.at()].state == TaskState::Success;
            if is_new && !self.is_expansion(at) {
                let outlets = self.run.task(at).outlets.iter();
                expected.extend(outlets.map(|asset| (at, asset.as_str())));
            }
        }
        emitted.sort_unstable();
        self.ensure(emitted == expected, || {
            let names: Vec<_> = self.run.tasks.iter().map(key).collect();
            format!("events {emitted:?} instead of {expected:?} of {names:?}")
        });
    }
}

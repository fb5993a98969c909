//! What a task waits for in the run before its own: `depends_on_past`, `wait_for_downstream`.
//!
//! Source: Airflow's `ti_deps/deps/prev_dagrun_dep.py`. This room knows one run at a time, so how
//! the run before stands is told to it, by [`crate::Event::Past`]; until then nobody goes.

use crate::rule::Decision;
use crate::run::{Effect, Run};
use crate::step::look_at;
use tidemill_model::dag::PastRule;
use tidemill_model::{RunNo, TaskIndex, TaskState, Ts};

/// How the run before stands, as far as one task asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastTask {
    /// That run.
    pub run: RunNo,
    /// Instances of the task there that have neither succeeded nor been skipped; `None` where the
    /// run had no such task.
    pub open: Option<u32>,
    /// Tasks directly below it that have not, there.
    pub open_below: Vec<TaskIndex>,
    /// Had no run before that one the task either? Asked only where `open` is `None`.
    pub is_new: bool,
}

/// Whether the past lets a task go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PastGate {
    /// Nobody has said how the run before stands.
    Unknown,
    /// It does: there is no run before.
    First,
    /// It does: the task is new in its DAG.
    New,
    /// It does: the task has ended well there.
    Met,
    /// The run before had no such task, and that does not count as good.
    NoTask,
    /// The task has not ended well there.
    Open,
    /// The tasks below it have not.
    OpenBelow,
}

impl PastGate {
    /// May the task go?
    pub const fn is_open(self) -> bool {
        matches!(self, PastGate::First | PastGate::New | PastGate::Met)
    }

    fn of(rule: PastRule, told: Option<&Option<PastTask>>) -> PastGate {
        let Some(told) = told else {
            return PastGate::Unknown;
        };
        let Some(before) = told else {
            return PastGate::First;
        };
        match before.open {
            None if rule.passes_when_new && before.is_new => PastGate::New,
            None => PastGate::NoTask,
            Some(0) if rule.with_downstream && !before.open_below.is_empty() => PastGate::OpenBelow,
            Some(0) => PastGate::Met,
            Some(_) => PastGate::Open,
        }
    }
}

impl Run {
    /// Does the past let an instance go? `None` for a task that does not ask.
    pub fn past_gate(&self, at: TaskIndex) -> Option<PastGate> {
        let rule = self.task(at).past?;
        Some(PastGate::of(rule, self.past.get(&self.index_of(at))))
    }

    /// The tasks that ask how the run before stands.
    pub fn asks_past(&self) -> impl Iterator<Item = TaskIndex> + '_ {
        let tasks = self.dag.tasks.iter().enumerate();
        tasks
            .filter(|(_, task)| task.past.is_some())
            .map(|(at, _)| TaskIndex(at as u32))
    }

    pub(crate) fn is_held_by_past(&self, at: TaskIndex) -> bool {
        self.past_gate(at).is_some_and(|gate| !gate.is_open())
    }

    /// Is the past all that an instance waits for?
    pub(crate) fn waits_for_past(&self, at: TaskIndex) -> bool {
        self.tasks[at.at()].state == TaskState::None
            && !self.is_held_back(at)
            && self.is_held_by_past(at)
            && self.decision(at) == Decision::Run
    }
}

/// How the run before stands for one task of a run. Whether the task is new is not known here.
pub fn look_back(run: &Run, at: TaskIndex, before: &Run) -> PastTask {
    let same = |task: TaskIndex| {
        before.place(run.tasks[task.at()].task_no, tidemill_model::MapIndex::NONE)
    };
    let n_open = |task: TaskIndex| {
        let places = before.places_of(task).into_iter();
        places.filter(|place| !ended_well(before, *place)).count() as u32
    };
    let below = run.dag.graph.downstream(at).iter().copied();
    let is_open = |down: &TaskIndex| same(*down).is_some_and(|there| n_open(there) > 0);
    PastTask {
        run: before.row.run,
        open: same(at).map(n_open),
        open_below: below.filter(is_open).collect(),
        is_new: false,
    }
}

/// Airflow's successful states.
fn ended_well(run: &Run, at: TaskIndex) -> bool {
    matches!(
        run.tasks[at.at()].state,
        TaskState::Success | TaskState::Skipped
    )
}

/// Takes in how the run before stands; who waited for nothing else goes.
pub(crate) fn told(
    run: &mut Run,
    stands: Vec<(TaskIndex, Option<PastTask>)>,
    now: Ts,
    effects: &mut Vec<Effect>,
) {
    let tasks: Vec<TaskIndex> = stands.iter().map(|(at, _)| *at).collect();
    run.past.extend(stands);
    if run.row.state == tidemill_model::RunState::Running {
        look_at(run, tasks, now, effects);
    }
}

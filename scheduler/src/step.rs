//! The step: one run, one event, the effects. Everything that moves a run passes here.

use crate::past::PastTask;
use crate::rule::Decision;
use crate::run::{Effect, Run};
use crate::wait::{self, Heard};
use crate::{ended, in_step, instances, past, people};
use tidemill_model::{Attempt, Outcome, Reason, RunState, TaskEvent, TaskIndex, TaskState, Ts};

/// What can happen to a run. The list is closed: nothing else moves one.
#[derive(Clone, Debug)]
pub enum Event {
    /// It is its turn.
    Begin,
    /// It was read from the store again; what was ready, is.
    Resume,
    /// A worker has claimed an attempt that waited for one.
    Claimed {
        /// Which.
        attempt: Attempt,
        /// Who has it.
        worker: i64,
    },
    /// A worker reports the end of an attempt.
    AttemptEnded {
        /// Which.
        attempt: Attempt,
        /// How.
        outcome: Box<Outcome>,
    },
    /// An attempt's worker is gone.
    AttemptLost {
        /// Which.
        attempt: Attempt,
        /// Could the task be the cause? A restart of the server is not blamed on it.
        blame: bool,
    },
    /// How the run before stands for tasks that wait for it; `None` where there is no such run.
    Past(Vec<(TaskIndex, Option<PastTask>)>),
    /// The wait of an instance is over.
    TimerDue(TaskIndex),
    /// How that stands which an instance waits for outside of its run.
    Heard(TaskIndex, Heard),
    /// The run has taken longer than it may.
    RunTimedOut,
    /// A person ends the run.
    Cancel,
    /// A newer run with the same key takes its place.
    Replace,
    /// A person wants these to run again.
    Clear(Vec<TaskIndex>),
    /// A person says that these have ended so.
    Mark(Vec<TaskIndex>, TaskState),
    /// A person says that the run has ended so.
    MarkRun(RunState),
}

/// Moves a run by one event. Called with the same run and event again it changes nothing more.
#[must_use]
pub fn step(run: &mut Run, event: Event, now: Ts) -> Vec<Effect> {
    let mut effects = Vec::new();
    match event {
        Event::Begin => begin(run, now, &mut effects),
        Event::Resume => resume(run, now, &mut effects),
        Event::Claimed { attempt, worker } => {
            ended::claimed(run, attempt, worker, now, &mut effects)
        }
        Event::AttemptEnded { attempt, outcome } => {
            ended::attempt_ended(run, attempt, *outcome, now, &mut effects);
        }
        Event::AttemptLost { attempt, blame } => {
            ended::attempt_lost(run, attempt, blame, now, &mut effects)
        }
        Event::Past(stands) => past::told(run, stands, now, &mut effects),
        Event::Heard(at, heard) => wait::heard(run, at, heard, now, &mut effects),
        Event::TimerDue(at) => timer_due(run, at, now, &mut effects),
        Event::RunTimedOut => timed_out(run, now, &mut effects),
        Event::Cancel => people::end_run(run, Reason::Cancelled, now, &mut effects),
        Event::Replace => people::end_run(run, Reason::Replaced, now, &mut effects),
        Event::Clear(tasks) => people::clear(run, &tasks, now, &mut effects),
        Event::Mark(tasks, state) => people::mark(run, &tasks, state, now, &mut effects),
        Event::MarkRun(state) => people::mark_run(run, state, now, &mut effects),
    }
    instances::remove_orphans(run, now, &mut effects);
    finish_if_over(run, now, &mut effects);
    effects
}

fn begin(run: &mut Run, now: Ts, effects: &mut Vec<Effect>) {
    if run.row.state != RunState::Queued {
        return;
    }
    run.row.state = RunState::Running;
    run.row.started_at = Some(now);
    effects.push(Effect::Run);
    let roots: Vec<TaskIndex> = run.dag.graph.order().to_vec();
    look_at(run, roots, now, effects);
}

/// After a restart readiness is derived again from the rows; nothing else is special.
fn resume(run: &mut Run, now: Ts, effects: &mut Vec<Effect>) {
    if run.row.state != RunState::Running {
        return;
    }
    for at in (0..run.tasks.len() as u32).map(TaskIndex) {
        let task = &run.tasks[at.at()];
        match task.state {
            TaskState::Scheduled => wait::ready(run, at, now, effects),
            TaskState::Deferred if !task.is_live() => wait::resume(run, at, effects),
            TaskState::UpForRetry => {
                effects.push(Effect::Wake(at, task.not_before.unwrap_or(Ts(0))))
            }
            _ => {}
        }
    }
    let order = run.dag.graph.order().to_vec();
    let now = run.row.started_at.unwrap_or(run.row.queued_at);
    look_at(run, order, now, effects);
}

/// A run that has begun anew has its whole time again; the clock that ran before means nothing.
fn timed_out(run: &mut Run, now: Ts, effects: &mut Vec<Effect>) {
    let until = run.row.started_at.zip(run.dag.dagrun_timeout);
    if until.is_some_and(|(started, timeout)| started.after(timeout) <= now) {
        people::end_run(run, Reason::TimedOut, now, effects);
    }
}

fn timer_due(run: &mut Run, at: TaskIndex, now: Ts, effects: &mut Vec<Effect>) {
    // It may be of an earlier try, or of a version in which the run had more instances.
    let Some(task) = run.tasks.get(at.at()) else {
        return;
    };
    let waits_for_ever = task.state == TaskState::Deferred && task.not_before.is_none();
    if waits_for_ever || task.not_before.is_some_and(|due| due > now) {
        return;
    }
    if task.state == TaskState::Deferred {
        return wait::time_is_up(run, at, now, effects);
    }
    if run.apply(at, TaskEvent::WaitOver) {
        run.tasks[at.at()].scheduled_at = Some(now);
        effects.push(Effect::Task(at));
        wait::ready(run, at, now, effects);
    }
}

/// Looks at tasks that may have become ready or blocked, and at all that follow from them.
/// A worklist, not a recursion: a chain of a hundred thousand tasks must not need a deep stack.
/// A run that waits for its turn is not looked at: it is when it begins.
pub(crate) fn look_at(run: &mut Run, tasks: Vec<TaskIndex>, now: Ts, effects: &mut Vec<Effect>) {
    if run.row.state != RunState::Running {
        return;
    }
    let mut work = tasks;
    let mut next = Vec::new();
    while !work.is_empty() {
        for task in work.drain(..) {
            if in_step::keep(run, task, effects) {
                next.extend(run.followers(task));
            }
            for at in run.places_of(task) {
                if decided(run, at, now, effects) {
                    next.extend(run.followers(at));
                }
            }
        }
        std::mem::swap(&mut work, &mut next);
    }
}

/// Does with an instance what its rule says, if nothing has happened to it yet. Answers whether
/// that has ended it.
fn decided(run: &mut Run, at: TaskIndex, now: Ts, effects: &mut Vec<Effect>) -> bool {
    let row = &run.tasks[at.at()];
    if row.state != TaskState::None || row.is_live() || run.is_held_back(at) {
        return false;
    }
    let decision = run.decision(at);
    let event = match decision {
        Decision::Wait => return false,
        Decision::Run if run.is_held_by_past(at) => return false,
        Decision::Run => TaskEvent::Schedule,
        Decision::Skip | Decision::NotFollowed => TaskEvent::Skip,
        Decision::Block => TaskEvent::BlockByUpstream,
    };
    if !run.apply(at, event) {
        return false;
    }
    run.tasks[at.at()].reason = (decision == Decision::NotFollowed).then_some(Reason::NotFollowed);
    effects.push(Effect::Task(at));
    if event == TaskEvent::Schedule {
        run.tasks[at.at()].scheduled_at = Some(now);
        wait::ready(run, at, now, effects);
        return false;
    }
    run.tasks[at.at()].ended_at = Some(now);
    true
}

/// The leaf rule (Airflow's `dagrun.py: update_state`): a run has failed when a task at its end
/// has failed, when a person or a timeout ended it, or when nothing in it can move any more.
fn finish_if_over(run: &mut Run, now: Ts, effects: &mut Vec<Effect>) {
    if run.row.state != RunState::Running {
        return;
    }
    if run.is_stuck() {
        run.row.reason = Some(Reason::Deadlock);
    } else if !run.is_settled() {
        return;
    }
    let mut leaves = run.dag.scopes.leaves().iter();
    let has_failed = |at: &TaskIndex| run.tasks[at.at()].state.is_failure();
    let leaf_failed = leaves.any(|at| run.places_of(*at).iter().any(has_failed));
    // `fail_fast` has only stopped the run: whether it has failed is for its ends to say.
    let word = run.row.reason.filter(|word| *word != Reason::TaskFailed);
    let failed_by = word.or(leaf_failed.then_some(Reason::TaskFailed));
    let n_used = u32::try_from(run.row.retries_used).unwrap_or(u32::MAX);
    let may_retry = n_used < run.dag.retry.retries && !run.has_final_loss();
    if failed_by == Some(Reason::TaskFailed) && may_retry {
        return people::try_run_again(run, now, effects);
    }
    run.row.state = if failed_by.is_some() {
        RunState::Failed
    } else {
        RunState::Success
    };
    run.row.reason = failed_by;
    run.row.ended_at = Some(now);
    effects.push(Effect::Run);
}

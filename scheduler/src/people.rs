//! What people do to a run: clear, mark, cancel. A timeout ends a run the same way.

use crate::clear::{ClearChoice, plan_clear};
use crate::run::{Effect, Run};
use crate::step::look_at;
use std::collections::HashSet;
use tidemill_model::dag::RetryScope;
use tidemill_model::{Reason, RunState, TaskEvent, TaskIndex, TaskState, Ts};

/// Ends a run: live attempts are killed, open instances are skipped. The run is over when the
/// last attempt has ended. Teardown tasks still do their work, as in Airflow
/// (`mark_tasks.py: _set_dag_run_terminal_state`), unless the run's time is up: then nothing more
/// is started and what ran counts as skipped (`dagrun.py: update_state`).
pub(crate) fn end_run(run: &mut Run, reason: Reason, now: Ts, effects: &mut Vec<Effect>) {
    match run.row.state {
        RunState::Success | RunState::Failed => return,
        RunState::Queued => {
            run.row.state = RunState::Running;
            run.row.started_at = Some(now);
        }
        RunState::Running => {}
    }
    run.row.reason = Some(reason);
    effects.push(Effect::Run);
    let mut spared = Vec::new();
    for at in run.places() {
        if run.task(at).role.is_teardown() && reason != Reason::TimedOut {
            spared.push(at);
        } else {
            end_instance(run, at, reason, now, effects);
        }
    }
    look_at(run, spared, now, effects);
}

fn end_instance(run: &mut Run, at: TaskIndex, reason: Reason, now: Ts, effects: &mut Vec<Effect>) {
    if run.tasks[at.at()].is_live() {
        effects.push(Effect::Kill(run.attempt(at), kill_reason(reason)));
        return;
    }
    if run.tasks[at.at()].state.is_terminal() {
        return;
    }
    if !run.apply(at, TaskEvent::Skip) {
        run.apply(at, TaskEvent::MarkFailed);
    }
    run.tasks[at.at()].reason = Some(reason);
    run.tasks[at.at()].ended_at = Some(now);
    effects.push(Effect::Task(at));
}

/// Why the attempts of a run that is being ended are killed.
const fn kill_reason(reason: Reason) -> Reason {
    match reason {
        Reason::TimedOut => Reason::TimedOut,
        _ => Reason::Cancelled,
    }
}

/// Runs instances again. A live one is ended first; its next attempt waits for that end. A run
/// that was over begins anew, with its whole time before it.
pub(crate) fn clear(run: &mut Run, tasks: &[TaskIndex], now: Ts, effects: &mut Vec<Effect>) {
    clear_instances(run, tasks, effects);
    if run.row.state.is_terminal() {
        // It waits for its turn again, as in Airflow: so no limit on runs is passed by.
        run.row.state = RunState::Queued;
        run.row.started_at = None;
    }
    run.row.ended_at = None;
    run.row.reason = None;
    effects.push(Effect::Run);
    if run.row.state == RunState::Running {
        let mut cleared: Vec<TaskIndex> = tasks.iter().map(|at| run.index_of(*at)).collect();
        cleared.dedup();
        look_at(run, cleared, now, effects);
    }
}

fn clear_instances(run: &mut Run, tasks: &[TaskIndex], effects: &mut Vec<Effect>) {
    for at in wholly_cleared(run, tasks) {
        run.collapse(at);
        run.tasks[at.at()].clears += 1;
        effects.push(Effect::Task(at));
    }
    for &at in tasks {
        let is_live = run.tasks[at.at()].is_live();
        if is_live && run.tasks[at.at()].state.is_terminal() {
            continue; // marked while it ran: its attempt is being ended already
        }
        run.take_up(at);
        if !run.apply(at, TaskEvent::Clear) {
            continue;
        }
        let retries = i32::try_from(run.task(at).retry.retries).unwrap_or(i32::MAX);
        let task = &mut run.tasks[at.at()];
        task.max_tries = task.try_number.saturating_add(retries);
        task.clears = task.clears.saturating_add(1);
        task.losses = 0;
        task.not_before = None;
        task.reason = None;
        task.followed = None;
        if is_live {
            effects.push(Effect::Kill(run.attempt(at), Reason::Cancelled));
        }
        effects.extend([Effect::ClearValues(at), Effect::Task(at)]);
    }
}

/// Mapped tasks that are expanded anew: nothing is left of their instances but what is among
/// `tasks`. With a task go those in step with it of which nothing has run yet.
fn wholly_cleared(run: &Run, tasks: &[TaskIndex]) -> Vec<TaskIndex> {
    let mut mapped: Vec<TaskIndex> = tasks.iter().map(|at| run.index_of(*at)).collect();
    mapped.dedup();
    mapped.sort_unstable();
    mapped.dedup();
    let chosen: HashSet<TaskIndex> = tasks.iter().copied().collect();
    let is_left = |at: &TaskIndex| {
        let is_untouched = [TaskState::Removed, TaskState::None];
        !is_untouched.contains(&run.tasks[at.at()].state) && !chosen.contains(at)
    };
    let goes =
        |task: &TaskIndex| run.is_expanded(*task) && !run.instances(*task).iter().any(is_left);
    mapped.retain(goes);
    let mut n_seen = 0;
    while let Some(&source) = mapped.get(n_seen) {
        let in_step = run.in_step.iter().filter(|(_, one)| one.source == source);
        let more: Vec<TaskIndex> = in_step
            .map(|(task, _)| *task)
            .filter(|task| goes(task) && !mapped.contains(task))
            .collect();
        mapped.extend(more);
        n_seen += 1;
    }
    mapped
}

/// A failed run is tried again as a whole (`[dag] retries`): it waits, and what failed, or all of
/// it, runs anew.
pub(crate) fn try_run_again(run: &mut Run, now: Ts, effects: &mut Vec<Effect>) {
    let has_failed = |at: &TaskIndex| {
        let row = &run.tasks[at.at()];
        row.state.is_failure() || row.reason == Some(Reason::TaskFailed)
    };
    let tasks: Vec<TaskIndex> = match run.dag.retry.scope {
        RetryScope::All => run.places().collect(),
        RetryScope::Failed => run.places().filter(has_failed).collect(),
    };
    let choice = ClearChoice {
        tasks,
        downstream: true,
        ..ClearChoice::default()
    };
    let chosen = plan_clear(run, &choice);
    clear_instances(run, &chosen, effects);
    let due = now.after(run.dag.retry.delay);
    run.row.state = RunState::Queued;
    run.row.run_after = due;
    run.row.started_at = None;
    run.row.ended_at = None;
    run.row.reason = None;
    run.row.retries_used += 1;
    effects.push(Effect::Run);
}

/// Ends instances by a person's word. A live attempt is killed; its report changes nothing more.
pub(crate) fn mark(
    run: &mut Run,
    tasks: &[TaskIndex],
    state: TaskState,
    now: Ts,
    effects: &mut Vec<Effect>,
) {
    let event = match state {
        TaskState::Success => TaskEvent::MarkSuccess,
        TaskState::Skipped => TaskEvent::MarkSkipped,
        _ => TaskEvent::MarkFailed,
    };
    if run.row.state.is_terminal() {
        // Judged anew: the leaf rule may say something else now.
        run.row.state = RunState::Running;
        run.row.reason = None;
        effects.push(Effect::Run);
    }
    for &at in tasks {
        if run.tasks[at.at()].state == state || !run.apply(at, event) {
            continue;
        }
        if run.tasks[at.at()].is_live() {
            effects.push(Effect::Kill(run.attempt(at), Reason::Cancelled));
        }
        let task = &mut run.tasks[at.at()];
        task.reason = Some(Reason::Marked);
        task.ended_at = Some(now);
        task.not_before = None;
        effects.push(Effect::Task(at));
        look_at(run, run.followers(at), now, effects);
    }
}

/// Ends a run by a person's word; what is open in it is ended with it.
pub(crate) fn mark_run(run: &mut Run, state: RunState, now: Ts, effects: &mut Vec<Effect>) {
    if state == RunState::Failed {
        end_run(run, Reason::Marked, now, effects);
        if run.row.state.is_terminal() {
            run.row.reason = Some(Reason::Marked);
            run.row.state = RunState::Failed;
            effects.push(Effect::Run);
        }
        return;
    }
    let open: Vec<TaskIndex> = run
        .places()
        .filter(|at| {
            !matches!(
                run.tasks[at.at()].state,
                TaskState::Success | TaskState::Skipped
            )
        })
        .collect();
    mark(run, &open, TaskState::Success, now, effects);
    if run.row.state.is_terminal() || run.row.state == RunState::Queued {
        run.row.state = RunState::Running;
        run.row.started_at.get_or_insert(now);
    }
    run.row.reason = None;
    effects.push(Effect::Run);
}

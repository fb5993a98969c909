//! Waiting without a worker and without a slot: for an instant, for a task or a run of another
//! DAG, for the run that a task has made. A wait is a try like any other; its row says when it is
//! over at the latest, and one timer looks after it. What happens elsewhere is told by
//! [`crate::Event::Heard`]; nothing asks again and again.

use crate::ended::{failed, failed_for_good, keep_values, over};
use crate::run::{Effect, Run};
use tidemill_model::attempt::ChildWish;
use tidemill_model::dag::{ExternalTask, TimeSensor, TimeTarget, TriggerDagRun};
use tidemill_model::{Json, Operator, Reason, RunState, TaskEvent, TaskIndex, TaskState, Ts};

/// How that stands which an instance waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The states of what an `external_task_sensor` looks at; none while it is not there.
    States(Vec<TaskState>),
    /// It will never be there, and why.
    Missing(String),
    /// The run that was wanted is there.
    Made {
        /// Its DAG.
        dag_id: String,
        /// Its name.
        run_id: String,
        /// Its state.
        state: RunState,
    },
    /// There is such a run already, and that is not to be.
    Exists(String),
    /// The run that was made is in this state.
    Child(RunState),
}

/// What the states of something mean for the sensor that waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// Nothing yet.
    Wait,
    /// It ends well.
    Good,
    /// It is skipped.
    Skip,
    /// It fails.
    Bad,
}

/// What states mean for a sensor (Airflow's `ExternalTaskSensor.poke`): one that is not to be
/// fails it, else one to skip on skips it, and it ends well when all are allowed.
pub fn judge(sensor: &ExternalTask, states: &[TaskState]) -> Judged {
    let any = |wanted: &[TaskState]| states.iter().any(|state| wanted.contains(state));
    let is_allowed = |state: &TaskState| sensor.allowed.contains(state);
    match () {
        () if any(&sensor.failed) => Judged::Bad,
        () if any(&sensor.skipped) => Judged::Skip,
        () if !states.is_empty() && states.iter().all(is_allowed) => Judged::Good,
        () => Judged::Wait,
    }
}

/// The instant that a sensor of a run waits for, when its wait began at `begun`. `None` where the
/// DAG's time zone is not known.
pub fn time_target(run: &Run, target: TimeTarget, begun: Ts) -> Option<Ts> {
    match target {
        TimeTarget::Daily(seconds) => begun.on_its_day(&run.dag.timezone, seconds),
        TimeTarget::At(at) => Some(at),
        TimeTarget::After(span) => {
            let row = &run.row;
            let end = row.data_interval_end.or(row.logical_date);
            Some(end.unwrap_or(row.run_after).after(span))
        }
    }
}

/// An instance may go: it asks for a slot, or begins to wait for something that needs none. Its
/// conditions, and the values of a mapped task, are a worker's to find.
pub(crate) fn ready(run: &mut Run, at: TaskIndex, now: Ts, effects: &mut Vec<Effect>) {
    let task = run.task(at);
    let has_conditions = task.run_if.is_some() || task.skip_if.is_some();
    let is_expansion = task.mapping.is_some() && run.index_of(at) == at;
    if !task.operator.is_wait() || has_conditions || is_expansion {
        effects.push(Effect::Ready(at));
        return;
    }
    run.new_try(at, TaskEvent::Defer, now, effects);
    run.tasks[at.at()].started_at = Some(now);
    watch(run, at, now, effects);
}

/// A worker has found that a sensor is to wait: its try goes on without one.
pub(crate) fn go_on(run: &mut Run, at: TaskIndex, now: Ts, effects: &mut Vec<Effect>) {
    run.defer(at, now);
    run.tasks[at.at()].ended_at = None;
    watch(run, at, now, effects);
}

fn watch(run: &mut Run, at: TaskIndex, now: Ts, effects: &mut Vec<Effect>) {
    let begun = run.tasks[at.at()].started_at.unwrap_or(now);
    let until = match &run.task(at).operator {
        Operator::TimeSensor(sensor) => {
            let latest = begun.after(sensor.patience.timeout);
            time_target(run, sensor.target, begun).map_or(latest, |target| target.min(latest))
        }
        Operator::ExternalTaskSensor(sensor) => {
            effects.push(Effect::Watch(at));
            begun.after(sensor.patience.timeout)
        }
        _ => return,
    };
    run.tasks[at.at()].not_before = Some(until);
    effects.push(Effect::Task(at));
    // Not looked at here, even if the instant has come: a long chain of these must not need a
    // deep stack.
    effects.push(Effect::Wake(at, until));
}

/// After a restart: the timer and the watch are made anew from the row.
pub(crate) fn resume(run: &mut Run, at: TaskIndex, effects: &mut Vec<Effect>) {
    if let Some(until) = run.tasks[at.at()].not_before {
        effects.push(Effect::Wake(at, until));
    }
    if !matches!(run.task(at).operator, Operator::TimeSensor(_)) {
        effects.push(Effect::Watch(at));
    }
}

/// An attempt has said which run it wants: it is made in the pass that takes this in, and the
/// task holds no slot from here on.
pub(crate) fn for_child(
    run: &mut Run,
    at: TaskIndex,
    wish: Option<Box<ChildWish>>,
    now: Ts,
    effects: &mut Vec<Effect>,
) {
    let Some(wish) = wish.filter(|_| run.defer(at, now)) else {
        return;
    };
    let timeout = run.task(at).execution_timeout;
    let task = &mut run.tasks[at.at()];
    let begun = task.started_at.unwrap_or(now);
    task.ended_at = None;
    task.not_before = timeout.map(|timeout| begun.after(timeout));
    effects.extend([Effect::Task(at), Effect::MakeChild(at, wish)]);
    effects.extend(
        run.tasks[at.at()]
            .not_before
            .map(|due| Effect::Wake(at, due)),
    );
}

/// The timer of a wait: the instant has come, or the time is over.
pub(crate) fn time_is_up(run: &mut Run, at: TaskIndex, now: Ts, effects: &mut Vec<Effect>) {
    if !is_waiting(run, at) {
        return;
    }
    let begun = run.tasks[at.at()].started_at.unwrap_or(now);
    match &run.task(at).operator {
        Operator::TimeSensor(TimeSensor { target, patience }) => {
            let soft = patience.soft_fail;
            match time_target(run, *target, begun) {
                Some(target) if target <= now => end(run, at, Judged::Good, None, now, effects),
                Some(_) => timed_out(run, at, soft, now, effects),
                None => {
                    let why = format!("the time zone {} is not known", run.dag.timezone);
                    end(run, at, Judged::Bad, Some(why), now, effects);
                }
            }
        }
        Operator::ExternalTaskSensor(sensor) => {
            timed_out(run, at, sensor.patience.soft_fail, now, effects);
        }
        _ => {
            close(run, at, now);
            run.tasks[at.at()].reason = Some(Reason::TimedOut);
            run.tasks[at.at()].message = Some("`execution_timeout` is over".to_string());
            failed(run, at, None, None, now, effects);
        }
    }
}

/// Takes in how that stands which an instance waits for.
pub(crate) fn heard(
    run: &mut Run,
    at: TaskIndex,
    heard: Heard,
    now: Ts,
    effects: &mut Vec<Effect>,
) {
    if !is_waiting(run, at) {
        return;
    }
    let operator = run.task(at).operator.clone();
    match (heard, &operator) {
        (Heard::States(states), Operator::ExternalTaskSensor(sensor)) => {
            let judged = match judge(sensor, &states) {
                Judged::Bad if sensor.patience.soft_fail => Judged::Skip,
                judged => judged,
            };
            let why = format!("DAG {} has ended otherwise", sensor.dag_id);
            end(run, at, judged, Some(why), now, effects);
        }
        (
            Heard::Made {
                dag_id,
                run_id,
                state,
            },
            Operator::TriggerDagRun(trigger),
        ) => {
            for (key, value) in [("trigger_dag_id", dag_id), ("trigger_run_id", run_id)] {
                effects.push(Effect::KeepValue(at, key.to_string(), Json::String(value)));
            }
            match trigger.waits {
                true => child(run, at, trigger, state, now, effects),
                false => end(run, at, Judged::Good, None, now, effects),
            }
        }
        (Heard::Child(state), Operator::TriggerDagRun(trigger)) => {
            child(run, at, trigger, state, now, effects);
        }
        (Heard::Exists(why), Operator::TriggerDagRun(trigger)) => {
            close(run, at, now);
            run.tasks[at.at()].message = Some(why);
            if trigger.skips_existing {
                run.apply(at, TaskEvent::Skip);
                run.tasks[at.at()].reason = Some(Reason::SkippedItself);
                return over(run, at, now, effects);
            }
            run.tasks[at.at()].reason = Some(Reason::CouldNotStart);
            failed_for_good(run, at, now, effects);
        }
        (Heard::Missing(why), _) => end(run, at, Judged::Bad, Some(why), now, effects),
        (Heard::States(_) | Heard::Made { .. } | Heard::Child(_) | Heard::Exists(_), _) => {}
    }
}

/// What the state of the run that a task has made means for it.
fn child(
    run: &mut Run,
    at: TaskIndex,
    trigger: &TriggerDagRun,
    state: RunState,
    now: Ts,
    effects: &mut Vec<Effect>,
) {
    let judged = match state {
        state if trigger.failed.contains(&state) => Judged::Bad,
        state if trigger.allowed.contains(&state) => Judged::Good,
        _ => Judged::Wait,
    };
    let why = format!("the run that it has started is {state}");
    end(run, at, judged, Some(why), now, effects);
}

fn end(
    run: &mut Run,
    at: TaskIndex,
    judged: Judged,
    why: Option<String>,
    now: Ts,
    effects: &mut Vec<Effect>,
) {
    if judged == Judged::Wait {
        return;
    }
    close(run, at, now);
    match judged {
        Judged::Good | Judged::Wait => {
            run.apply(at, TaskEvent::Succeed);
            keep_values(at, Vec::new(), run, effects);
            over(run, at, now, effects);
        }
        Judged::Skip => {
            run.apply(at, TaskEvent::Skip);
            run.tasks[at.at()].reason = Some(Reason::SkippedItself);
            run.tasks[at.at()].message = why;
            over(run, at, now, effects);
        }
        Judged::Bad => {
            run.tasks[at.at()].reason = Some(Reason::ElsewhereFailed);
            run.tasks[at.at()].message = why;
            failed(run, at, None, None, now, effects);
        }
    }
}

/// A sensor whose time is over is not tried again (Airflow's AirflowSensorTimeout).
fn timed_out(run: &mut Run, at: TaskIndex, soft: bool, now: Ts, effects: &mut Vec<Effect>) {
    close(run, at, now);
    run.tasks[at.at()].reason = Some(Reason::TimedOut);
    run.tasks[at.at()].message = Some("it has waited for its whole `timeout`".to_string());
    if soft {
        run.apply(at, TaskEvent::Skip);
        return over(run, at, now, effects);
    }
    failed_for_good(run, at, now, effects);
}

/// Does an instance wait without a worker?
fn is_waiting(run: &Run, at: TaskIndex) -> bool {
    let task = &run.tasks[at.at()];
    task.state == TaskState::Deferred && !task.is_live()
}

fn close(run: &mut Run, at: TaskIndex, now: Ts) {
    let task = &mut run.tasks[at.at()];
    task.ended_at = Some(now);
    task.not_before = None;
    task.losses = 0;
}

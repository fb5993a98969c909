//! What the end of an attempt means: success, another try, a failure, a loss, or nothing at all
//! when the attempt is not the current one.

use crate::retry::{allows_another, asked_for, next_try_at, rule_for};
use crate::run::{Effect, Run};
use crate::step::look_at;
use crate::{in_step, instances, wait};
use std::collections::BTreeMap;
use tidemill_model::attempt::{Again, Verdict};
use tidemill_model::dag::OnEmpty;
use tidemill_model::{
    Attempt, Json, JsonObject, MapItem, Outcome, Reason, TaskEvent, TaskIndex, TaskNo, TaskState,
    Ts,
};

/// So many losses in a row are not blamed on the task; after them its own retries are used up.
const LOSSES_FREE_MAX: i32 = 3;

/// Applies the news that a worker has claimed an attempt.
pub(crate) fn claimed(
    run: &mut Run,
    attempt: Attempt,
    worker: i64,
    now: Ts,
    effects: &mut Vec<Effect>,
) {
    match current(run, attempt) {
        Some(at) => {
            run.start(at, worker, now);
            effects.push(Effect::Task(at));
        }
        None => effects.push(Effect::Stale(attempt)),
    }
}

/// Applies a report, if it is of the current attempt.
pub(crate) fn attempt_ended(
    run: &mut Run,
    attempt: Attempt,
    outcome: Outcome,
    now: Ts,
    effects: &mut Vec<Effect>,
) {
    let Some(at) = current(run, attempt) else {
        effects.push(Effect::Stale(attempt));
        return;
    };
    if outcome.verdict == Verdict::Lost {
        lost(run, at, true, now, effects);
        return;
    }
    if outcome.verdict == Verdict::Deferred {
        deferred(run, at, outcome, now, effects);
        return;
    }
    if outcome.reason == Some(Reason::Interrupted) {
        interrupted(run, at, &outcome, now, effects);
        return;
    }
    run.release(at, now);
    if settle_without_verdict(run, at, now, effects) {
        return;
    }
    let task = &mut run.tasks[at.at()];
    task.losses = 0;
    task.exit_code = outcome.exit_code;
    task.message = outcome.message;
    task.reason = outcome.reason;
    let would_go_on =
        outcome.child.is_some() || outcome.items.is_some() || run.task(at).operator.is_wait();
    match outcome.verdict {
        Verdict::Success if would_go_on && run.is_ending(at) => stop(run, at, now, effects),
        Verdict::Success if outcome.child.is_some() => {
            wait::for_child(run, at, outcome.child, now, effects);
        }
        // Its conditions have let it begin: now it waits.
        Verdict::Success if run.task(at).operator.is_wait() && outcome.items.is_none() => {
            wait::go_on(run, at, now, effects);
        }
        Verdict::Success if outcome.items.is_some() => {
            let items = outcome.items.unwrap_or_default();
            expanded(run, at, items, now, effects);
        }
        Verdict::Success => {
            let follows = outcome.follows.map(|names| followed(run, at, &names));
            run.tasks[at.at()].followed = follows;
            run.apply(at, TaskEvent::Succeed);
            keep_values(at, outcome.values, run, effects);
            if !outcome.rejects.is_empty() {
                effects.push(Effect::Reject(at, outcome.rejects));
            }
            over(run, at, now, effects);
        }
        Verdict::Skipped => {
            run.apply(at, TaskEvent::Skip);
            over(run, at, now, effects);
        }
        Verdict::Failed => {
            if run.task(at).operator.keeps() {
                // The next try begins anew; only what was lost is taken up.
                effects.push(Effect::ClearValues(at));
            }
            let (status, again) = (outcome.http_status, outcome.again);
            failed(run, at, status, again, now, effects);
        }
        Verdict::Lost | Verdict::Deferred => {}
    }
}

/// A success keeps its values, and is an event of each asset that the task writes. A value that
/// begins with `@` belongs to such an event: `@ASSET.KEY`.
pub(crate) fn keep_values(
    at: TaskIndex,
    values: Vec<(String, Json)>,
    run: &Run,
    effects: &mut Vec<Effect>,
) {
    let mut extras: BTreeMap<String, JsonObject> = BTreeMap::new();
    for (key, value) in values {
        match key.strip_prefix('@').and_then(|key| key.split_once('.')) {
            Some((asset, key)) => {
                let extra = extras.entry(asset.to_string()).or_default();
                extra.insert(key.to_string(), value);
            }
            None => effects.push(Effect::KeepValue(at, key, value)),
        }
    }
    for asset in &run.task(at).outlets {
        let extra = Json::Object(extras.remove(asset).unwrap_or_default());
        effects.push(Effect::Emit(at, asset.clone(), extra));
    }
}

/// The attempt waits for something and gives its slot back; its worker still has it. One that was
/// cleared or marked meanwhile is being ended already.
fn deferred(run: &mut Run, at: TaskIndex, outcome: Outcome, now: Ts, effects: &mut Vec<Effect>) {
    if !run.defer(at, now) {
        return;
    }
    for (key, value) in outcome.values {
        effects.push(Effect::KeepValue(at, key, value));
    }
    effects.push(Effect::Task(at));
}

/// The attempt of a mapped task's own instance has found what the others are about. Where the task
/// goes in step with another it has found nothing, unless that has its instances by now.
fn expanded(run: &mut Run, at: TaskIndex, items: Vec<MapItem>, now: Ts, effects: &mut Vec<Effect>) {
    if in_step::take_over(run, at, effects) {
        let next = [vec![at], run.followers(at)].concat();
        return look_at(run, next, now, effects);
    }
    let items = match run.source_of(at) {
        Some(_) => Vec::new(),
        None => items,
    };
    let is_empty = items.is_empty();
    instances::expand(run, at, items, now, effects);
    if !is_empty {
        // Instances that a person has marked, or that are gone, may have been the last open ones.
        return look_at(run, run.followers(at), now, effects);
    }
    let on_empty = run
        .task(at)
        .mapping
        .as_ref()
        .map(|mapping| mapping.on_empty);
    let event = instances::event_of_nothing(on_empty.unwrap_or(OnEmpty::Skip));
    run.tasks[at.at()].message = Some("there is nothing to map over".to_string());
    if event == TaskEvent::Fail {
        run.tasks[at.at()].reason = Some(Reason::BadOutput);
        return failed_for_good(run, at, now, effects);
    }
    run.apply(at, event);
    over(run, at, now, effects);
}

/// The tasks directly below a branch that its choice leads to: those that it named, the first
/// tasks of groups that it named, and what stands below one of them as well (Airflow's
/// `skipmixin.py: skip_all_except`).
fn followed(run: &Run, at: TaskIndex, names: &[String]) -> Vec<TaskNo> {
    let chosen: Vec<TaskIndex> = names.iter().flat_map(|name| run.dag.named(name)).collect();
    let open = run.dag.graph.reach(&chosen, true);
    let below = run.dag.graph.downstream(at).iter();
    below
        .filter(|below| open.binary_search(below).is_ok())
        .map(|below| run.tasks[below.at()].task_no)
        .collect()
}

/// Applies the news that an attempt's worker is gone.
pub(crate) fn attempt_lost(
    run: &mut Run,
    attempt: Attempt,
    blame: bool,
    now: Ts,
    effects: &mut Vec<Effect>,
) {
    match current(run, attempt) {
        Some(at) => lost(run, at, blame, now, effects),
        None => effects.push(Effect::Stale(attempt)),
    }
}

/// The place of an attempt, if it is the current one and still live.
fn current(run: &Run, attempt: Attempt) -> Option<TaskIndex> {
    let at = run.place(attempt.task_no, attempt.map_index)?;
    (run.attempt(at) == attempt && run.tasks[at.at()].is_live()).then_some(at)
}

pub(crate) fn failed(
    run: &mut Run,
    at: TaskIndex,
    http_status: Option<u16>,
    again: Option<Again>,
    now: Ts,
    effects: &mut Vec<Effect>,
) {
    let is_ending = run.is_ending(at) || run.tasks[at.at()].reason == Some(Reason::Cancelled);
    let policy = run.task(at).retry.clone();
    let task = &mut run.tasks[at.at()];
    let rule = rule_for(&policy, task, http_status);
    if let Some(why) = rule.and_then(|rule| rule.reason.as_deref()) {
        let error = task.message.as_deref().unwrap_or("failed");
        task.message = Some(format!("{error} ({why})"));
    }
    let has_tries = task.try_number <= task.max_tries && allows_another(rule, again);
    if !is_ending && has_tries && run.apply(at, TaskEvent::Retry) {
        let n_tries = user_tries(run, at);
        let due = next_try_at(&policy, rule, run.attempt(at), n_tries, now);
        let due = due.max(asked_for(rule, again, now).unwrap_or(due));
        run.tasks[at.at()].not_before = Some(due);
        effects.extend([Effect::Task(at), Effect::Wake(at, due)]);
        return;
    }
    failed_for_good(run, at, now, effects);
}

pub(crate) fn failed_for_good(run: &mut Run, at: TaskIndex, now: Ts, effects: &mut Vec<Effect>) {
    if run.row.reason == Some(Reason::TimedOut) {
        run.apply(at, TaskEvent::Skip);
        return over(run, at, now, effects);
    }
    run.apply(at, TaskEvent::Fail);
    if run.dag.fail_fast && run.row.reason.is_none() {
        // Before anything below is blocked: what a fast run stops is skipped.
        effects.push(Effect::Task(at));
        crate::people::end_run(run, Reason::TaskFailed, now, effects);
        return;
    }
    over(run, at, now, effects);
}

/// The number of tries that the user's retries have paid for; losses have raised both sides.
fn user_tries(run: &Run, at: TaskIndex) -> i32 {
    let task = &run.tasks[at.at()];
    let retries = i32::try_from(run.task(at).retry.retries).unwrap_or(i32::MAX);
    (task.try_number - (task.max_tries - retries)).max(1)
}

fn lost(run: &mut Run, at: TaskIndex, blame: bool, now: Ts, effects: &mut Vec<Effect>) {
    run.take_up(at);
    run.release(at, now);
    if settle_without_verdict(run, at, now, effects) {
        return;
    }
    let task = &mut run.tasks[at.at()];
    task.reason = Some(Reason::Lost);
    task.message = Some("the worker was gone before the task had ended".to_string());
    if blame {
        task.losses += 1;
    }
    let is_free = task.losses <= LOSSES_FREE_MAX;
    again_or_failed(run, at, is_free, now, effects);
}

/// The server was stopped in good order while the task ran: not its fault, not a success.
fn interrupted(
    run: &mut Run,
    at: TaskIndex,
    outcome: &Outcome,
    now: Ts,
    effects: &mut Vec<Effect>,
) {
    run.take_up(at);
    run.release(at, now);
    if settle_without_verdict(run, at, now, effects) {
        return;
    }
    let task = &mut run.tasks[at.at()];
    task.reason = Some(Reason::Interrupted);
    task.message = outcome.message.clone();
    task.exit_code = outcome.exit_code;
    again_or_failed(run, at, true, now, effects);
}

fn again_or_failed(
    run: &mut Run,
    at: TaskIndex,
    is_free: bool,
    now: Ts,
    effects: &mut Vec<Effect>,
) {
    let may_repeat = run.may_repeat(at) && !run.is_ending(at);
    let task = &mut run.tasks[at.at()];
    if is_free {
        task.max_tries = task.max_tries.saturating_add(1);
    }
    if may_repeat && task.try_number <= task.max_tries && run.apply(at, TaskEvent::Lose) {
        run.tasks[at.at()].scheduled_at = Some(now);
        effects.push(Effect::Task(at));
        wait::ready(run, at, now, effects);
    } else {
        failed_for_good(run, at, now, effects);
    }
}

/// The ends that need no verdict: the instance was cleared or marked while its attempt ran.
fn settle_without_verdict(
    run: &mut Run,
    at: TaskIndex,
    now: Ts,
    effects: &mut Vec<Effect>,
) -> bool {
    let state = run.tasks[at.at()].state;
    if state.is_terminal() {
        effects.push(Effect::Task(at));
        let mut next = run.followers(at);
        next.push(run.index_of(at)); // it may have waited for this end to be expanded anew
        look_at(run, next, now, effects);
        return true;
    }
    if state == TaskState::Restarting {
        run.apply(at, TaskEvent::Lose);
        if run.is_ending(at) {
            stop(run, at, now, effects);
            return true;
        }
        effects.push(Effect::Task(at));
        look_at(run, vec![run.index_of(at)], now, effects);
        return true;
    }
    false
}

/// In a run that is being ended nothing begins any more: no wait, no instances of a mapped task,
/// and no other attempt of what was cleared before.
fn stop(run: &mut Run, at: TaskIndex, now: Ts, effects: &mut Vec<Effect>) {
    run.apply(at, TaskEvent::Skip);
    run.tasks[at.at()].reason = run.row.reason;
    over(run, at, now, effects);
}

/// An instance is over: tell its row, and look at what waited for it.
pub(crate) fn over(run: &mut Run, at: TaskIndex, now: Ts, effects: &mut Vec<Effect>) {
    effects.push(Effect::Task(at));
    look_at(run, run.followers(at), now, effects);
}

//! Retries of tasks by policy, and of whole runs.

use crate::support::{Fate, Player, Sketch};
use std::sync::Arc;
use std::time::Duration;
use tidemill_model::attempt::{Again, Verdict};
use tidemill_model::dag::{OnLost, Pattern, RetryAction, RetryRule, RetryScope, RunRetry};
use tidemill_model::{Outcome, Reason, RunState, TaskIndex, TaskState, TriggerRule, Ts};
use tidemill_scheduler::{Effect, Event, Run};

fn failed(exit_code: i32, message: &str) -> Outcome {
    Outcome {
        exit_code: Some(exit_code),
        ..Outcome::without_process(Verdict::Failed, Reason::ExitStatus, message)
    }
}

fn rule(exit_code: &[i32], error: Option<&str>, action: RetryAction) -> RetryRule {
    RetryRule {
        exit_code: exit_code.to_vec(),
        http_status: Vec::new(),
        error: error.map(|text| Pattern(regex::Regex::new(text).unwrap())),
        action,
        delay: None,
        reason: None,
    }
}

/// One task with three retries and a policy, one attempt of which has ended so.
fn after(outcome: Outcome) -> (Player, Vec<Effect>) {
    let mut sketch = Sketch::default();
    let task = sketch.add("task", &[]);
    task.retry.retries = 3;
    task.retry.rules = vec![
        RetryRule {
            reason: Some("wrong password".to_string()),
            ..rule(&[7], None, RetryAction::Fail)
        },
        RetryRule {
            delay: Some(Duration::from_secs(77)),
            ..rule(&[75, 76], Some("(?i)busy"), RetryAction::Retry)
        },
        rule(&[], Some("^fatal"), RetryAction::Fail),
        RetryRule {
            http_status: vec![500],
            ..rule(&[], None, RetryAction::Fail)
        },
    ];
    let mut player = Player::new(Arc::new(sketch.build()), 0, &[]);
    player.step(Event::Begin);
    player.start(TaskIndex(0));
    let (_, attempt) = player.live.pop().unwrap();
    let effects = player.report(attempt, outcome);
    (player, effects)
}

#[test]
fn the_first_rule_that_matches_decides_and_others_are_tried_again_as_usual() {
    let (player, _) = after(failed(7, "denied"));
    let row = &player.run.tasks[0];
    assert_eq!(row.state, TaskState::Failed);
    assert_eq!(row.message.as_deref(), Some("denied (wrong password)"));

    let (player, effects) = after(failed(75, "the server is Busy"));
    assert_eq!(player.run.tasks[0].state, TaskState::UpForRetry);
    let due = player.now.after(Duration::from_secs(77));
    assert!(effects.contains(&Effect::Wake(TaskIndex(0), due)));

    // Both conditions of a rule must hold; an unknown HTTP status matches nothing.
    let (player, effects) = after(failed(75, "other"));
    assert_eq!(player.run.tasks[0].state, TaskState::UpForRetry);
    let due = player.now.after(Duration::from_secs(1));
    assert!(effects.contains(&Effect::Wake(TaskIndex(0), due)));

    let (player, _) = after(failed(1, "fatal: no"));
    assert_eq!(player.run.tasks[0].state, TaskState::Failed);

    let (player, _) = after(Outcome {
        http_status: Some(500),
        ..failed(1, "other")
    });
    assert_eq!(player.run.tasks[0].state, TaskState::Failed);
}

#[test]
fn what_was_asked_may_forbid_another_try_or_put_it_off_unless_a_rule_decides() {
    let said = |again, exit_code, message: &str| Outcome {
        again: Some(again),
        ..failed(exit_code, message)
    };
    let (player, _) = after(said(Again::Never, 1, "not found"));
    assert_eq!(player.run.tasks[0].state, TaskState::Failed);
    let (player, effects) = after(said(Again::AfterSeconds(90), 1, "busy"));
    assert_eq!(player.run.tasks[0].state, TaskState::UpForRetry);
    let due = player.now.after(Duration::from_secs(90));
    assert!(effects.contains(&Effect::Wake(TaskIndex(0), due)));
    for again in [Again::Never, Again::AfterSeconds(900)] {
        let (player, effects) = after(said(again, 75, "the server is busy"));
        let due = player.now.after(Duration::from_secs(77));
        assert!(
            effects.contains(&Effect::Wake(TaskIndex(0), due)),
            "{again:?}"
        );
    }
}

#[test]
fn a_rule_gives_no_more_tries_than_there_are_retries() {
    let mut sketch = Sketch::default();
    let task = sketch.add("task", &[]);
    task.retry.retries = 2;
    task.retry.rules = vec![rule(&[], Some("."), RetryAction::Retry)];
    let mut player = Player::new(Arc::new(sketch.build()), 0, &[("task", Fate::Fail)]);
    player.play();
    assert_eq!(player.run.tasks[0].try_number, 3);
    assert_eq!(player.run.row.state, RunState::Failed);
}

/// `ok`, then `bad`, then `after` it, and `told` which takes any end.
fn retried(scope: RetryScope) -> Player {
    let mut sketch = Sketch::default();
    sketch.add("ok", &[]);
    sketch.add("bad", &["ok"]);
    sketch.add("after", &["bad"]);
    sketch.add("told", &["bad"]).trigger_rule = TriggerRule::AllDone;
    let mut dag = sketch.build();
    dag.retry = RunRetry {
        retries: 1,
        delay: Duration::from_secs(60),
        scope,
    };
    Player::new(Arc::new(dag), 0, &[("bad", Fate::Fail)])
}

fn tries(player: &Player) -> Vec<i32> {
    player.run.tasks.iter().map(|row| row.try_number).collect()
}

#[test]
fn a_failed_run_waits_and_runs_again_what_failed_and_what_follows_from_it() {
    for (scope, expect) in [
        (RetryScope::Failed, [1, 2, 1, 2]),
        (RetryScope::All, [2, 2, 1, 2]),
    ] {
        let mut player = retried(scope);
        player.play();
        assert_eq!(player.run.row.state, RunState::Queued, "{scope}");
        assert_eq!(player.run.row.retries_used, 1);
        assert_eq!(player.run.row.reason, None);
        assert!(player.run.row.run_after >= player.now.after(Duration::from_secs(50)));
        player.fates.clear();
        player.play();
        assert_eq!(player.run.row.state, RunState::Success, "{scope}");
        assert_eq!(tries(&player), expect, "{scope}");
    }
}

#[test]
fn a_run_that_fails_again_after_its_last_retry_has_failed() {
    let mut player = retried(RetryScope::Failed);
    player.play();
    player.play();
    assert_eq!(player.run.row.state, RunState::Failed);
    assert_eq!(player.run.row.reason, Some(Reason::TaskFailed));
}

#[test]
fn a_cancelled_run_is_not_tried_again() {
    let mut player = retried(RetryScope::Failed);
    player.step(Event::Begin);
    player.step(Event::Cancel);
    player.play();
    assert_eq!(player.run.row.state, RunState::Failed);
    assert_eq!(player.run.row.retries_used, 0);
}

#[test]
fn the_clock_of_an_earlier_try_does_not_end_a_run_that_began_anew() {
    let mut sketch = Sketch::default();
    sketch.add("task", &[]);
    let mut dag = sketch.build();
    dag.dagrun_timeout = Some(Duration::from_secs(10));
    let mut player = Player::new(Arc::new(dag), 0, &[]);
    player.now = Ts(0);
    player.step(Event::Begin);
    player.now = Ts(9_999_999);
    player.step(Event::RunTimedOut);
    assert_eq!(player.run.row.state, RunState::Running);
    player.now = Ts(10_000_000);
    player.step(Event::RunTimedOut);
    assert_eq!(player.run.row.reason, Some(Reason::TimedOut));
}

#[test]
fn three_losses_in_a_row_are_free_and_the_next_ones_use_the_users_retries() {
    for (on_lost, retries, expect) in [
        (OnLost::Retry, 2, 6),
        (OnLost::Retry, 0, 4),
        (OnLost::Fail, 2, 1),
    ] {
        let mut sketch = Sketch::default();
        let task = sketch.add("task", &[]);
        task.retry.retries = retries;
        task.on_lost = on_lost;
        let mut player = Player::new(Arc::new(sketch.build()), 0, &[]);
        player.step(Event::Begin);
        let mut n_starts = 0;
        while !player.run.row.state.is_terminal() {
            player.start(TaskIndex(0));
            let (_, attempt) = player.live.pop().unwrap();
            n_starts += 1;
            player.step(Event::AttemptLost {
                attempt,
                blame: true,
            });
        }
        assert_eq!(n_starts, expect, "{on_lost} with {retries} retries");
        assert_eq!(player.run.tasks[0].reason, Some(Reason::Lost));
    }
}

#[test]
fn the_wait_before_a_try_grows_with_tries_that_failed_and_not_with_attempts_that_were_lost() {
    let mut sketch = Sketch::default();
    let task = sketch.add("task", &[]);
    task.retry.retries = 9;
    task.retry.delay = Duration::from_secs(10);
    task.retry.multiplier = 2.0;
    task.on_lost = OnLost::Retry;
    let mut player = Player::new(Arc::new(sketch.build()), 0, &[]);
    player.step(Event::Begin);
    for (is_lost, seconds) in [
        (false, 10),
        (true, 0),
        (false, 20),
        (false, 40),
        (true, 0),
        (false, 80),
    ] {
        player.start(TaskIndex(0));
        let (_, attempt) = player.live.pop().unwrap();
        if is_lost {
            player.step(Event::AttemptLost {
                attempt,
                blame: true,
            });
            continue;
        }
        player.report(attempt, failed(1, "no"));
        let (due, _) = player.timers.pop().unwrap();
        assert_eq!(due, player.now.after(Duration::from_secs(seconds)));
        player.now = due;
        player.step(Event::TimerDue(TaskIndex(0)));
    }
}

#[test]
fn after_a_crash_a_try_waits_for_the_instant_for_which_it_was_put_off() {
    let (mut player, _) = after(failed(75, "busy"));
    let task_nos: Vec<_> = player.run.tasks.iter().map(|task| task.task_no).collect();
    let (row, rows) = (player.run.row.clone(), player.run.tasks.clone());
    let due = player.now.after(Duration::from_secs(77));
    player.run = Run::new(row, Arc::clone(&player.run.dag), &task_nos, rows);
    player.timers.clear();
    player.step(Event::Resume);
    assert_eq!(player.timers, [(due, TaskIndex(0))]);
}

#[test]
fn the_next_try_keeps_the_one_before_and_the_first_has_none() {
    let mut sketch = Sketch::default();
    sketch.add("task", &[]).retry.retries = 1;
    let mut player = Player::new(Arc::new(sketch.build()), 0, &[]);
    player.step(Event::Begin);
    let kept = |effects: &[Effect]| -> Vec<i32> {
        let kept = effects.iter().filter_map(|effect| match effect {
            Effect::KeepTry(row) => Some(row.try_number),
            _ => None,
        });
        kept.collect()
    };
    let (attempt, effects) = player.run.launch(TaskIndex(0), 1, player.now);
    assert!(kept(&effects).is_empty(), "nothing was before");
    player.report(attempt, failed(1, "no"));
    let (due, at) = player.timers.pop().unwrap();
    player.now = due;
    player.step(Event::TimerDue(at));
    let (_, effects) = player.run.launch(TaskIndex(0), 1, player.now);
    assert_eq!(kept(&effects), [1]);
}

#[test]
fn nothing_is_tried_again_in_a_run_that_is_being_ended_nor_what_was_cancelled_itself() {
    let begun = || {
        let mut sketch = Sketch::default();
        sketch.add("task", &[]).retry.retries = 3;
        sketch.add("other", &[]);
        let mut player = Player::new(Arc::new(sketch.build()), 0, &[]);
        player.step(Event::Begin);
        let (attempt, _) = player.run.launch(TaskIndex(0), 1, player.now);
        (player, attempt)
    };
    let (mut ended, attempt) = begun();
    ended.step(Event::Cancel);
    // It has failed by itself before the signal has reached it.
    ended.report(attempt, failed(1, "no"));
    assert_eq!(ended.run.tasks[0].state, TaskState::Failed);
    let (mut alone, attempt) = begun();
    alone.report(
        attempt,
        Outcome::without_process(Verdict::Failed, Reason::Cancelled, "killed"),
    );
    assert_eq!(alone.run.tasks[0].state, TaskState::Failed);
    let (mut plain, attempt) = begun();
    plain.report(attempt, failed(1, "no"));
    assert_eq!(plain.run.tasks[0].state, TaskState::UpForRetry);
}

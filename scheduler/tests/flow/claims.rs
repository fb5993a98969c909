//! Attempts that are given out, and the worker that claims one.

use crate::support::{Fate, Player, Sketch};
use std::sync::Arc;
use tidemill_model::attempt::Verdict;
use tidemill_model::row::UNCLAIMED;
use tidemill_model::{Attempt, Epoch, Outcome, TaskEvent, TaskIndex, TaskState, Ts};
use tidemill_scheduler::{Effect, Event, Run, Taken};

const ONLY: TaskIndex = TaskIndex(0);

/// A run whose only task was given out, and the attempt.
fn given_out() -> (Player, Attempt) {
    let mut sketch = Sketch::default();
    sketch.add("only", &[]);
    let mut player = Player::new(Arc::new(sketch.build()), 0, &[]);
    player.step(Event::Begin);
    let (attempt, effects) = player.run.dispatch(ONLY, Ts(5));
    assert_eq!(effects, [Effect::Task(ONLY)]);
    assert_eq!(player.run.n_live(), 1);
    (player, attempt)
}

fn claim(player: &mut Player, attempt: Attempt, worker: i64) -> Vec<Effect> {
    player.step(Event::Claimed { attempt, worker })
}

#[test]
fn an_attempt_is_queued_until_a_worker_claims_it_and_runs_from_then_on() {
    let (mut player, attempt) = given_out();
    let row = &player.run.tasks[0];
    assert_eq!(
        (row.state, row.worker),
        (TaskState::Queued, Some(UNCLAIMED))
    );
    assert_eq!((row.queued_at, row.started_at), (Some(Ts(5)), None));
    player.now = Ts(9);
    assert_eq!(claim(&mut player, attempt, 7), [Effect::Task(ONLY)]);
    let row = &player.run.tasks[0];
    assert_eq!((row.state, row.worker), (TaskState::Running, Some(7)));
    assert_eq!((row.queued_at, row.started_at), (Some(Ts(5)), Some(Ts(9))));
}

#[test]
fn a_claim_of_an_attempt_that_is_not_the_current_one_changes_nothing() {
    let (mut player, attempt) = given_out();
    let before = player.run.tasks.clone();
    let other = Attempt {
        epoch: Epoch(attempt.epoch.0 + 1),
        ..attempt
    };
    assert_eq!(claim(&mut player, other, 7), [Effect::Stale(other)]);
    assert_eq!(player.run.tasks, before);
    player.report(attempt, Fate::Ok.outcome());
    let over = player.run.tasks.clone();
    assert_eq!(claim(&mut player, attempt, 7), [Effect::Stale(attempt)]);
    assert_eq!(player.run.tasks, over);
}

#[test]
fn after_a_restart_a_deferred_attempt_is_its_workers_and_not_watched() {
    let (mut player, attempt) = given_out();
    claim(&mut player, attempt, 7);
    let deferred = Outcome {
        verdict: Verdict::Deferred,
        ..Outcome::success()
    };
    player.report(attempt, deferred);
    assert_eq!(player.run.tasks[0].state, TaskState::Deferred);
    let task_nos = [player.run.tasks[0].task_no];
    let rows = player.run.tasks.clone();
    player.run = Run::new(
        player.run.row.clone(),
        Arc::clone(&player.run.dag),
        &task_nos,
        rows,
    );
    assert_eq!(player.step(Event::Resume), []);
    player.report(attempt, Outcome::success());
    assert_eq!(player.run.tasks[0].state, TaskState::Success);
}

#[test]
fn each_event_is_counted_in_the_state_that_it_met() {
    use TaskState::{Failed, Queued, Success};
    let (mut player, _) = given_out();
    player.run.keep_count(Taken::new());
    for state in [Failed, Success, Failed, Success] {
        player.step(Event::Mark(vec![ONLY], state));
    }
    let counted = [
        ((Queued, TaskEvent::MarkFailed), 1),
        ((Failed, TaskEvent::MarkSuccess), 2),
        ((Success, TaskEvent::MarkFailed), 1),
    ];
    assert_eq!(player.run.counted(), Taken::from(counted));
    assert_eq!(player.run.counted(), Taken::new());
}

//! Mapped tasks that are cleared while others still look at them, and runs that wait again.

use crate::support::{Fate, Player, Sketch};
use std::sync::Arc;
use std::time::Duration;
use tidemill_model::dag::{Dag, Mapping, OnEmpty, OnLost, Over, RetryScope, RunRetry, Values};
use tidemill_model::{MapItem, Outcome, Reason, RunState, TaskIndex, TaskRow, TaskState};
use tidemill_scheduler::{Event, Run};

const MANY: TaskIndex = TaskIndex(0);
const LAST: TaskIndex = TaskIndex(1);

/// `many`, which is mapped, then `last`.
fn mapped() -> Dag {
    let mut sketch = Sketch::default();
    sketch.add("many", &[]).mapping = Some(Mapping {
        over: Over::Objects(Values::List(Vec::new())),
        label: None,
        on_empty: OnEmpty::Skip,
    });
    sketch.add("last", &["many"]);
    sketch.build()
}

fn expansion(n_items: usize) -> Outcome {
    let item = |n: usize| MapItem {
        values: serde_json::Map::from_iter([("n".to_string(), n.into())]),
        label: None,
    };
    Outcome {
        items: Some((0..n_items).map(item).collect()),
        ..Outcome::success()
    }
}

fn finish(player: &mut Player, at: TaskIndex, outcome: Outcome) {
    assert!(player.run.wants_slot(at), "{at:?}");
    let (attempt, _) = player.run.launch(at, 1, player.now);
    player.report(attempt, outcome);
}

fn state(player: &Player, at: TaskIndex) -> TaskState {
    player.run.tasks[at.at()].state
}

/// A run in which `many` was expanded to so many instances, which have not begun.
fn expanded(n_items: usize) -> (Player, Vec<TaskIndex>) {
    let mut player = Player::new(Arc::new(mapped()), 0, &[]);
    player.step(Event::Begin);
    finish(&mut player, MANY, expansion(n_items));
    let instances = player.run.instances(MANY).to_vec();
    (player, instances)
}

fn read_again(player: &mut Player) {
    let run = &player.run;
    let rows = run.places().filter(|at| !run.is_expanded(*at));
    let rows: Vec<TaskRow> = rows.map(|at| run.tasks[at.at()].clone()).collect();
    let task_nos: Vec<_> = run.tasks[..2].iter().map(|row| row.task_no).collect();
    player.run = Run::new(run.row.clone(), Arc::clone(&run.dag), &task_nos, rows);
}

#[test]
fn what_is_below_goes_on_when_every_instance_was_marked_before_the_expansion() {
    let (mut player, instances) = expanded(2);
    player.step(Event::Clear(instances.clone()));
    player.step(Event::Mark(instances, TaskState::Success));
    finish(&mut player, MANY, expansion(2));
    assert_eq!(state(&player, LAST), TaskState::Scheduled);
}

#[test]
fn a_mapped_task_is_expanded_anew_only_after_the_last_attempt_of_an_instance() {
    let (mut player, instances) = expanded(2);
    let (attempt, _) = player.run.launch(instances[1], 1, player.now);
    player.step(Event::Clear(instances.clone()));
    assert_eq!(state(&player, MANY), TaskState::None);
    player.report(attempt, Fate::Fail.outcome());
    assert_eq!(state(&player, MANY), TaskState::Scheduled);
    finish(&mut player, MANY, expansion(1));
    assert_eq!(state(&player, instances[1]), TaskState::Removed);
    player.play();
    assert_eq!(player.run.row.state, RunState::Success);
}

#[test]
fn no_epoch_comes_twice_when_a_task_is_expanded_again_and_again_with_restarts_between() {
    let (mut player, instances) = expanded(2);
    let mut epochs = vec![player.run.tasks[MANY.at()].epoch];
    for _ in 0..3 {
        player.step(Event::Clear(instances.clone()));
        finish(&mut player, MANY, expansion(2));
        epochs.push(player.run.tasks[MANY.at()].epoch);
        read_again(&mut player);
        player.step(Event::Resume);
    }
    assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
}

#[test]
fn instances_of_a_task_that_ended_without_being_expanded_anew_are_gone() {
    let (mut player, instances) = expanded(2);
    player.step(Event::Clear(instances.clone()));
    player.step(Event::Mark(vec![MANY], TaskState::Success));
    for at in instances {
        assert_eq!(state(&player, at), TaskState::Removed);
    }
    assert_eq!(state(&player, LAST), TaskState::Scheduled);
    player.play();
    assert_eq!(player.run.row.state, RunState::Success);
}

/// A run that is tried again as a whole, of one task that says what a loss means for it.
fn tried_again(on_lost: OnLost) -> Player {
    let mut sketch = Sketch::default();
    sketch.add("pay", &[]).on_lost = on_lost;
    sketch.add("also", &[]);
    let mut dag = sketch.build();
    dag.retry = RunRetry {
        retries: 1,
        delay: Duration::from_secs(5),
        scope: RetryScope::Failed,
    };
    let mut player = Player::new(Arc::new(dag), 0, &[]);
    player.step(Event::Begin);
    player
}

#[test]
fn a_run_is_not_tried_again_over_a_task_that_was_lost_and_must_not_be_repeated() {
    let mut player = tried_again(OnLost::Fail);
    let (attempt, _) = player.run.launch(TaskIndex(0), 1, player.now);
    let blame = true;
    player.step(Event::AttemptLost { attempt, blame });
    finish(&mut player, TaskIndex(1), Fate::Fail.outcome());
    assert_eq!(player.run.row.state, RunState::Failed);
    assert_eq!(player.run.tasks[0].reason, Some(Reason::Lost));
    assert_eq!(player.run.row.retries_used, 0);

    let mut player = tried_again(OnLost::Fail);
    finish(&mut player, TaskIndex(0), Fate::Fail.outcome());
    finish(&mut player, TaskIndex(1), Fate::Ok.outcome());
    assert_eq!(player.run.row.state, RunState::Queued, "it failed, and is");
}

#[test]
fn nothing_is_scheduled_in_a_run_that_waits_for_its_turn_until_it_begins() {
    let (mut player, instances) = expanded(1);
    finish(&mut player, instances[0], Fate::Ok.outcome());
    finish(&mut player, LAST, Fate::Fail.outcome());
    assert_eq!(player.run.row.state, RunState::Failed);
    player.step(Event::Clear(vec![LAST]));
    player.step(Event::Mark(vec![instances[0]], TaskState::Failed));
    player.step(Event::Mark(vec![instances[0]], TaskState::Success));
    assert_eq!(player.run.row.state, RunState::Queued);
    assert_eq!(state(&player, LAST), TaskState::None);
    player.step(Event::Begin);
    assert_eq!(state(&player, LAST), TaskState::Scheduled);
}

#[test]
fn only_a_row_that_nothing_stored_contradicts_may_be_written_later() {
    let mut player = tried_again(OnLost::Fail);
    let first = TaskIndex(0);
    assert!(player.run.only_waits(first));
    player.step(Event::Mark(vec![first], TaskState::Failed));
    player.step(Event::Clear(vec![first]));
    assert_eq!(state(&player, first), TaskState::Scheduled);
    assert!(!player.run.only_waits(first), "the store says `failed`");
}

#[test]
fn what_waits_for_its_slot_stays_when_what_is_above_runs_again_and_fails() {
    let mut sketch = Sketch::default();
    sketch.add("above", &[]);
    sketch.add("below", &["above"]);
    let (above, below) = (TaskIndex(0), TaskIndex(1));
    let mut player = Player::new(Arc::new(sketch.build()), 0, &[]);
    player.step(Event::Begin);
    finish(&mut player, above, Fate::Ok.outcome());
    assert_eq!(state(&player, below), TaskState::Scheduled);
    player.step(Event::Clear(vec![above]));
    finish(&mut player, above, Fate::Fail.outcome());
    assert_eq!(state(&player, below), TaskState::Scheduled);
}

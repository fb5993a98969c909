//! Mapped tasks: one instance for each value, and what others see of them.

use crate::support::{Fate, Player, Sketch};
use std::sync::Arc;
use tidemill_model::dag::{Dag, Mapping, OnEmpty, Over, Values};
use tidemill_model::{
    MapIndex, MapItem, Outcome, Reason, RunState, TaskIndex, TaskState, TriggerRule,
};
use tidemill_scheduler::{ClearChoice, Effect, Event, Run, plan_clear};

/// `first`, then `many` which is mapped, then `last`.
fn mapped(on_empty: OnEmpty, last: TriggerRule) -> Dag {
    let mut sketch = Sketch::default();
    sketch.add("first", &[]);
    sketch.add("many", &["first"]).mapping = Some(Mapping {
        over: Over::Objects(Values::List(Vec::new())),
        label: None,
        on_empty,
    });
    sketch.add("last", &["many"]).trigger_rule = last;
    sketch.build()
}

fn item(number: usize) -> MapItem {
    MapItem {
        values: serde_json::Map::from_iter([("n".to_string(), number.into())]),
        label: Some(format!("number {number}")),
    }
}

fn expansion(n_items: usize) -> Outcome {
    Outcome {
        items: Some((0..n_items).map(item).collect()),
        ..Outcome::success()
    }
}

const MANY: TaskIndex = TaskIndex(1);

/// A run whose first task has ended and whose mapped task has been expanded.
fn expanded(dag: Dag, n_items: usize) -> (Player, Vec<Effect>) {
    let mut player = Player::new(Arc::new(dag), 0, &[]);
    player.step(Event::Begin);
    finish(&mut player, TaskIndex(0), Fate::Ok.outcome());
    let effects = finish(&mut player, MANY, expansion(n_items));
    (player, effects)
}

fn finish(player: &mut Player, at: TaskIndex, outcome: Outcome) -> Vec<Effect> {
    assert!(player.run.wants_slot(at), "{at:?}");
    let (attempt, _) = player.run.launch(at, 1, player.now);
    player.report(attempt, outcome)
}

/// The states of the mapped task's instances, or of its own.
fn states(run: &Run) -> Vec<TaskState> {
    let places = run.places_of(MANY);
    places.iter().map(|at| run.tasks[at.at()].state).collect()
}

fn finish_all(player: &mut Player, fates: &[Fate]) {
    for (at, fate) in player.run.places_of(MANY).into_iter().zip(fates) {
        finish(player, at, fate.outcome());
    }
}

#[test]
fn the_one_row_is_replaced_by_as_many_as_there_are_values_in_the_same_pass() {
    for n_items in [1, 3, 1_000] {
        let (player, effects) = expanded(mapped(OnEmpty::Skip, TriggerRule::AllSuccess), n_items);
        assert!(effects.contains(&Effect::Replace(MANY)));
        assert!(!effects.contains(&Effect::Task(MANY)));
        let rows: Vec<_> = player
            .run
            .instances(MANY)
            .iter()
            .map(|at| &player.run.tasks[at.at()])
            .collect();
        assert_eq!(rows.len(), n_items);
        for (index, row) in rows.iter().enumerate() {
            assert_eq!(row.map_index, MapIndex(index as i32));
            assert_eq!(row.state, TaskState::Scheduled);
            assert_eq!(row.map_item.as_deref(), Some(&item(index)));
        }
        let last = player.run.upstream(TaskIndex(2)).near;
        assert_eq!((last.n(), last.open()), (n_items as u32, n_items as u32));
    }
}

#[test]
fn each_instance_counts_for_the_tasks_below() {
    let cases = [
        (
            TriggerRule::AllSuccess,
            [Fate::Ok, Fate::Ok],
            TaskState::Success,
        ),
        (
            TriggerRule::AllSuccess,
            [Fate::Ok, Fate::Fail],
            TaskState::UpstreamFailed,
        ),
        (
            TriggerRule::AllSuccess,
            [Fate::Ok, Fate::Skip],
            TaskState::Skipped,
        ),
        (
            TriggerRule::OneSuccess,
            [Fate::Fail, Fate::Ok],
            TaskState::Success,
        ),
        (
            TriggerRule::NoneFailed,
            [Fate::Skip, Fate::Ok],
            TaskState::Success,
        ),
    ];
    for (rule, fates, expect) in cases {
        let (mut player, _) = expanded(mapped(OnEmpty::Skip, rule), 2);
        finish_all(&mut player, &fates);
        player.play();
        assert_eq!(player.run.tasks[2].state, expect, "{rule} over {fates:?}");
    }
}

#[test]
fn nothing_to_map_over_is_what_the_file_says() {
    let cases = [
        (OnEmpty::Skip, TaskState::Skipped, TaskState::Skipped),
        (OnEmpty::Continue, TaskState::Success, TaskState::Success),
        (OnEmpty::Fail, TaskState::Failed, TaskState::UpstreamFailed),
    ];
    for (on_empty, own, last) in cases {
        let (mut player, effects) = expanded(mapped(on_empty, TriggerRule::AllSuccess), 0);
        assert!(effects.contains(&Effect::Task(MANY)));
        assert_eq!(states(&player.run), [own]);
        player.play();
        assert_eq!(player.run.tasks[2].state, last);
        assert!(player.run.row.state.is_terminal());
    }
}

#[test]
fn an_expansion_that_fails_fails_the_task() {
    let mut player = Player::new(
        Arc::new(mapped(OnEmpty::Skip, TriggerRule::AllDone)),
        0,
        &[("many", Fate::Fail)],
    );
    player.play();
    assert_eq!(states(&player.run), [TaskState::Failed]);
    assert_eq!(player.run.row.state, RunState::Success);
}

#[test]
fn a_lost_expansion_is_done_again_even_without_retries() {
    let dag = mapped(OnEmpty::Skip, TriggerRule::AllSuccess);
    let mut player = Player::new(Arc::new(dag), 0, &[]);
    player.step(Event::Begin);
    finish(&mut player, TaskIndex(0), Fate::Ok.outcome());
    let (attempt, _) = player.run.launch(MANY, 1, player.now);
    player.step(Event::AttemptLost {
        attempt,
        blame: false,
    });
    assert_eq!(states(&player.run), [TaskState::Scheduled]);
    finish(&mut player, MANY, expansion(2));
    assert_eq!(states(&player.run).len(), 2);
}

/// The rows that a store would hold, read again.
fn restarted(player: &mut Player) {
    let run = &player.run;
    let rows = run.places().filter(|at| !run.is_expanded(*at));
    let rows = rows.map(|at| run.tasks[at.at()].clone()).collect();
    let task_nos: Vec<_> = run.tasks[..3].iter().map(|row| row.task_no).collect();
    player.run = Run::new(run.row.clone(), Arc::clone(&run.dag), &task_nos, rows);
    player.ready.clear();
    player.step(Event::Resume);
}

#[test]
fn a_restart_knows_which_tasks_were_expanded() {
    let (mut player, _) = expanded(mapped(OnEmpty::Skip, TriggerRule::AllSuccess), 3);
    finish_all(&mut player, &[Fate::Ok]);
    let before = (states(&player.run), player.run.upstream(TaskIndex(2)));
    restarted(&mut player);
    assert!(player.run.is_expanded(MANY));
    let after = (states(&player.run), player.run.upstream(TaskIndex(2)));
    assert_eq!(before, after);
    player.play();
    assert_eq!(player.run.row.state, RunState::Success);
}

fn clear(player: &mut Player, tasks: Vec<TaskIndex>, downstream: bool) {
    let choice = ClearChoice {
        tasks,
        downstream,
        ..ClearChoice::default()
    };
    let chosen = plan_clear(&player.run, &choice);
    player.step(Event::Clear(chosen));
    player.step(Event::Begin); // a run that was over has its turn again
}

#[test]
fn one_instance_can_be_cleared_and_keeps_its_value() {
    let (mut player, _) = expanded(mapped(OnEmpty::Skip, TriggerRule::AllSuccess), 3);
    finish_all(&mut player, &[Fate::Ok, Fate::Fail, Fate::Ok]);
    player.play();
    assert_eq!(player.run.row.state, RunState::Failed);
    let second = player.run.instances(MANY)[1];
    clear(&mut player, vec![second], true);
    assert!(player.run.is_expanded(MANY));
    player.play();
    assert_eq!(player.run.row.state, RunState::Success);
    let row = &player.run.tasks[second.at()];
    assert_eq!(
        (row.try_number, row.map_item.as_deref()),
        (2, Some(&item(1)))
    );
    assert_eq!(player.run.tasks[2].state, TaskState::Success);
}

#[test]
fn all_instances_cleared_are_expanded_anew_to_more_or_fewer() {
    for (n_now, n_then) in [(3, 5), (3, 1), (3, 0), (1, 3)] {
        let (mut player, _) = expanded(mapped(OnEmpty::Skip, TriggerRule::AllDone), n_now);
        finish_all(&mut player, &vec![Fate::Ok; n_now]);
        player.play();
        let all = player.run.places_of(MANY);
        clear(&mut player, all, true);
        assert_eq!(states(&player.run), [TaskState::Scheduled], "{n_now}");
        restarted(&mut player);
        let epoch = player.run.tasks[MANY.at()].epoch;
        let newest = player.run.instances(MANY).iter();
        let newest = newest.map(|at| player.run.tasks[at.at()].epoch).max();
        assert!(
            Some(epoch) >= newest,
            "an old report could be taken for a new one"
        );
        finish(&mut player, MANY, expansion(n_then));
        player.play();
        assert_eq!(
            player.run.row.state,
            RunState::Success,
            "{n_now} to {n_then}"
        );
        let all = player.run.instances(MANY).iter();
        let all: Vec<TaskState> = all.map(|at| player.run.tasks[at.at()].state).collect();
        assert_eq!(all.len(), n_now.max(n_then));
        let n_done = all.iter().filter(|state| **state == TaskState::Success);
        assert_eq!(n_done.count(), n_then);
        let n_removed = all.iter().filter(|state| **state == TaskState::Removed);
        assert_eq!(n_removed.count(), n_now.saturating_sub(n_then));
        assert_eq!(player.run.tasks[2].try_number, 2);
    }
}

#[test]
fn a_report_of_an_instance_that_is_gone_changes_nothing() {
    let (mut player, _) = expanded(mapped(OnEmpty::Skip, TriggerRule::AllDone), 2);
    finish_all(&mut player, &[Fate::Ok, Fate::Ok]);
    player.play();
    let old = player.run.attempt(player.run.instances(MANY)[1]);
    let all = player.run.places_of(MANY);
    clear(&mut player, all, true);
    finish(&mut player, MANY, expansion(1));
    let before = player.run.tasks.clone();
    let effects = player.report(old, Fate::Fail.outcome());
    assert_eq!(effects, [Effect::Stale(old)]);
    assert_eq!(before, player.run.tasks);
    let beyond = tidemill_model::Attempt {
        map_index: MapIndex(77),
        ..old
    };
    assert_eq!(
        player.report(beyond, Fate::Ok.outcome()),
        [Effect::Stale(beyond)]
    );
}

#[test]
fn a_cancel_ends_every_instance() {
    let (mut player, _) = expanded(mapped(OnEmpty::Skip, TriggerRule::AllDone), 3);
    let first = player.run.instances(MANY)[0];
    player.start(first);
    player.step(Event::Cancel);
    player.play();
    assert_eq!(player.run.row.reason, Some(Reason::Cancelled));
    assert_eq!(
        states(&player.run),
        [TaskState::Failed, TaskState::Skipped, TaskState::Skipped]
    );
}

#[test]
fn instances_that_are_not_in_step_wait_for_all_of_those_above_whatever_their_index() {
    let mut sketch = Sketch::default();
    let list = || {
        Some(Mapping {
            over: Over::Objects(Values::List(Vec::new())),
            label: None,
            on_empty: OnEmpty::Skip,
        })
    };
    sketch.add("above", &[]).mapping = list();
    sketch.add("below", &["above"]).mapping = list();
    let mut player = Player::new(Arc::new(sketch.build()), 0, &[]);
    player.step(Event::Begin);
    for task in [TaskIndex(0), TaskIndex(1)] {
        finish(&mut player, task, expansion(2));
        for at in player.run.instances(task).to_vec() {
            finish(&mut player, at, Fate::Ok.outcome());
        }
    }
    let first_above = player.run.instances(TaskIndex(0))[0];
    let all_below = player.run.instances(TaskIndex(1)).to_vec();
    let choice = ClearChoice {
        tasks: vec![first_above],
        downstream: true,
        ..ClearChoice::default()
    };
    let expect = [vec![first_above], all_below.clone()].concat();
    assert_eq!(plan_clear(&player.run, &choice), expect);
    player.step(Event::Clear(vec![first_above, all_below[1]]));
    player.step(Event::Begin);
    finish(&mut player, first_above, Fate::Ok.outcome());
    assert!(player.run.wants_slot(all_below[1]));
}

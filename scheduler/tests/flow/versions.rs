//! Runs that are over and go on by another version of their DAG.

use crate::support::{Fate, Player, Sketch};
use std::sync::Arc;
use tidemill_model::dag::{Mapping, OnEmpty, Over, Values};
use tidemill_model::{
    Epoch, MapIndex, MapItem, Outcome, RunState, TaskIndex, TaskNo, TaskRow, TaskState, VersionNo,
};
use tidemill_scheduler::{Effect, Event, Pin, Repinned, Run, repin};

/// Tasks one after another; a `*` behind a name makes a mapped one. The number of a task is that
/// of its letter.
fn version(no: i64, names: &[&str]) -> Pin {
    let mut sketch = Sketch::default();
    for (at, name) in names.iter().enumerate() {
        let above: Vec<&str> = names[..at].iter().rev().take(1).copied().collect();
        let above: Vec<&str> = above
            .iter()
            .map(|name| name.trim_end_matches('*'))
            .collect();
        let task = sketch.add(name.trim_end_matches('*'), &above);
        task.mapping = name.ends_with('*').then_some(Mapping {
            over: Over::Objects(Values::List(Vec::new())),
            label: None,
            on_empty: OnEmpty::Skip,
        });
    }
    let number = |name: &&str| TaskNo(i32::from(name.as_bytes()[0] - b'a') + 1);
    Pin {
        version: VersionNo(no),
        dag: Arc::new(sketch.build()),
        task_nos: names.iter().map(number).collect(),
    }
}

/// A run by a version, played to its end; mapped tasks have two instances.
fn over(pin: &Pin) -> Player {
    let mut player = Player::new(Arc::clone(&pin.dag), 0, &[]);
    player.run = run_by(pin, &player.run, Vec::new());
    player.step(Event::Begin);
    while let Some(at) = player.run.places().find(|at| player.run.wants_slot(*at)) {
        let is_expansion = player.run.task(at).mapping.is_some() && at.at() < pin.dag.tasks.len();
        let (attempt, _) = player.run.launch(at, 1, player.now);
        let item = || MapItem {
            values: serde_json::Map::new(),
            label: None,
        };
        let outcome = Outcome {
            items: is_expansion.then(|| vec![item(), item()]),
            ..Fate::Ok.outcome()
        };
        player.report(attempt, outcome);
    }
    assert!(player.run.row.state.is_terminal());
    player
}

fn run_by(pin: &Pin, run: &Run, rows: Vec<TaskRow>) -> Run {
    Run::new(run.row.clone(), Arc::clone(&pin.dag), &pin.task_nos, rows)
}

/// What a store holds of a run.
fn rows_of(run: &Run) -> Vec<TaskRow> {
    let there = run.places().filter(|at| !run.is_expanded(*at));
    there.map(|at| run.tasks[at.at()].clone()).collect()
}

/// The stored rows after a move: those before it, those gone, those that it wrote.
fn stored_after(before: Vec<TaskRow>, moved: &Repinned) -> Vec<TaskRow> {
    let mut rows = before;
    let written = moved.effects.iter().map(|effect| match effect {
        Effect::Task(at) => moved.run.tasks[at.at()].clone(),
        other => panic!("{other:?}"),
    });
    for row in moved.gone.iter().cloned().chain(written) {
        rows.retain(|old| (old.task_no, old.map_index) != (row.task_no, row.map_index));
        rows.push(row);
    }
    rows
}

fn state(run: &Run, name: &str) -> TaskState {
    let at = run.dag.index_of(name).unwrap();
    run.tasks[at.at()].state
}

/// Clears a task on another version; answers the run as it is and as a restart reads it.
fn moved(player: &mut Player, to: &Pin, cleared: &str) -> (Repinned, Run) {
    let run = &player.run;
    let chosen = run.places_of(run.dag.index_of(cleared).unwrap());
    let stored = rows_of(run);
    let moved = repin(run, to.clone(), stored.clone(), &chosen);
    let again = run_by(to, &moved.run, stored_after(stored, &moved));
    (moved, again)
}

#[test]
fn a_task_that_left_stays_as_removed_and_one_that_came_is_new() {
    let mut player = over(&version(1, &["a", "b"]));
    let (moved, again) = moved(&mut player, &version(2, &["a", "c"]), "a");
    assert_eq!(moved.run.row.version, VersionNo(2));
    let gone: Vec<_> = moved
        .gone
        .iter()
        .map(|row| (row.task_no, row.state))
        .collect();
    assert_eq!(gone, [(TaskNo(2), TaskState::Removed)]);
    for run in [&moved.run, &again] {
        assert_eq!(state(run, "a"), TaskState::Success);
        assert_eq!(state(run, "c"), TaskState::None);
    }
    assert_eq!(moved.chosen, [TaskIndex(0)]);
}

#[test]
fn a_task_that_comes_back_is_open_again_also_after_a_restart() {
    let first = version(1, &["a", "b"]);
    let mut player = over(&first);
    let (without, stored) = moved(&mut player, &version(2, &["a"]), "a");
    let mut rows = rows_of(&stored);
    rows.extend(without.gone);
    let back = repin(&without.run, first.clone(), rows.clone(), &[TaskIndex(0)]);
    let again = run_by(&first, &back.run, stored_after(rows, &back));
    for run in [&back.run, &again] {
        assert_eq!(state(run, "b"), TaskState::None);
        assert_eq!(run.tasks[1].try_number, 1, "its tries stay with it");
        assert!(run.tasks[1].clears > 0);
    }
}

#[test]
fn a_task_that_is_no_longer_mapped_runs_once_also_after_a_restart() {
    let mut player = over(&version(1, &["a", "b*"]));
    let newest = player.run.tasks.iter().map(|row| row.epoch).max().unwrap();
    assert!(newest > Epoch(0));
    let plain = version(2, &["a", "b"]);
    let (moved, again) = moved(&mut player, &plain, "b");
    assert!(moved.chosen.is_empty(), "it is open already");
    for mut run in [moved.run, again] {
        assert_eq!(state(&run, "b"), TaskState::None);
        assert!(run.tasks[1].epoch >= newest, "an old report could count");
        run.row.state = RunState::Queued;
        let mut player = Player::new(Arc::clone(&plain.dag), 0, &[]);
        player.run = run;
        player.play();
        assert_eq!(state(&player.run, "b"), TaskState::Success);
    }
}

#[test]
fn a_task_that_has_become_mapped_is_expanded_when_it_is_cleared() {
    let mut player = over(&version(1, &["a", "b"]));
    let to = version(2, &["a", "b*"]);
    let (moved, mut again) = moved(&mut player, &to, "b");
    let chosen = moved.chosen;
    let _ = tidemill_scheduler::step(&mut again, Event::Clear(chosen), player.now);
    let _ = tidemill_scheduler::step(&mut again, Event::Begin, player.now);
    let at = again.place(TaskNo(2), MapIndex::NONE).unwrap();
    assert!(again.wants_slot(at));
    assert!(again.instances(at).is_empty());
}

#[test]
fn one_instance_that_is_to_run_again_is_that_one_by_the_new_version_too() {
    let player = over(&version(1, &["a", "b*", "c"]));
    let run = &player.run;
    let second = run.instances(TaskIndex(1))[1];
    for (names, expect) in [
        (["a", "b*", "d"], vec![MapIndex(1)]),
        (["b*", "c", "d"], vec![MapIndex(1)]),
        // No longer mapped: what ran then is gone, and what is there now has yet to run.
        (["a", "b", "c"], vec![]),
    ] {
        let moved = repin(run, version(2, &names), rows_of(run), &[second]);
        let chosen = moved.chosen.iter();
        let chosen: Vec<MapIndex> = chosen
            .map(|at| moved.run.tasks[at.at()].map_index)
            .collect();
        assert_eq!(chosen, expect, "{names:?}");
    }
}

#[test]
fn every_row_that_the_new_version_knows_is_written_and_none_of_an_expanded_task() {
    let player = over(&version(1, &["a", "b*"]));
    let run = &player.run;
    let moved = repin(run, version(2, &["a", "b*", "c"]), rows_of(run), &[]);
    let of_b = moved.run.instances(TaskIndex(1)).iter().copied();
    let expect: Vec<Effect> = std::iter::once(TaskIndex(0))
        .chain(of_b)
        .map(Effect::Task)
        .collect();
    assert_eq!(moved.effects, expect);
    assert_eq!(moved.run.instances(TaskIndex(1)).len(), 2);
    assert!(moved.gone.is_empty() && moved.chosen.is_empty());
}

//! A case played by our scheduler, in an order that chance decides.

use crate::answers::{Answer, Asked, Case, Follow};
use crate::support::{Fate, Player, Sketch, TEARDOWN, branch, gate};
use std::sync::Arc;
use tidemill_model::dag::{Dag, Mapping, OnEmpty, Over, Role, Values};
use tidemill_model::{MapIndex, MapItem, Outcome, TaskIndex, TaskState, TriggerRule};
use tidemill_scheduler::Event;

/// Plays a case to its end.
pub fn play(case: &Case, seed: u64) -> Answer {
    let mut player = Player::new(Arc::new(dag(case)), seed, &[]);
    player.step(Event::Begin);
    while !player.run.row.state.is_terminal() {
        act(&mut player, case);
    }
    let states = case.tasks.iter().enumerate().map(|(at, task)| {
        let places = player.run.places_of(TaskIndex(at as u32));
        let states = places.iter().map(|at| player.run.tasks[at.at()].state);
        let there = states.filter(|state| *state != TaskState::Removed);
        (
            task.id.clone(),
            there.map(|state| state.name().to_string()).collect(),
        )
    });
    Answer {
        states: states.collect(),
        run: player.run.row.state.name().to_string(),
    }
}

fn dag(case: &Case) -> Dag {
    let mut sketch = Sketch::default();
    for asked in &case.tasks {
        let above: Vec<&str> = asked.after.iter().map(String::as_str).collect();
        let task = sketch.add(&asked.id, &above);
        task.trigger_rule = TriggerRule::from_name(&asked.rule).unwrap();
        task.retry.retries = asked.retries;
        match asked.kind.as_str() {
            "branch" => task.operator = branch(),
            "gate" => task.operator = gate(false),
            "hard_gate" => task.operator = gate(true),
            "setup" => task.role = Role::Setup,
            "teardown" => task.role = TEARDOWN,
            "loud_teardown" => task.role = Role::Teardown { fails_run: true },
            "mapped" => {
                task.mapping = Some(Mapping {
                    over: Over::Objects(Values::List(Vec::new())),
                    label: None,
                    on_empty: OnEmpty::Skip,
                });
            }
            "work" | "items" => {}
            other => panic!("{other}"),
        }
    }
    let mut dag = sketch.build();
    dag.fail_fast = case.fast;
    dag
}

/// A start, or an end, or when there is neither the next timer.
fn act(player: &mut Player, case: &Case) {
    let (n_ready, n_live) = (player.ready.len() as u64, player.live.len() as u64);
    if n_ready + n_live == 0 {
        player.timers.sort_unstable();
        let (due, at) = player.timers.remove(0);
        player.now = player.now.max(due);
        player.step(Event::TimerDue(at));
        return;
    }
    let which = player.chance.below(n_ready + n_live);
    if which < n_ready {
        let at = player.ready.swap_remove(which as usize);
        player.start(at);
        return;
    }
    let (at, attempt) = player.live.swap_remove((which - n_ready) as usize);
    let row = &player.run.tasks[at.at()];
    let (asked, try_number) = (&case.tasks[player.run.index_of(at).at()], row.try_number);
    let outcome = outcome(asked, row.map_index, try_number);
    player.report(attempt, outcome);
}

fn outcome(asked: &Asked, instance: MapIndex, try_number: i32) -> Outcome {
    match &asked.follow {
        Some(Follow::All(true)) => return Fate::Ok.outcome(),
        Some(Follow::All(false)) => return Fate::follow(&[]).outcome(),
        Some(Follow::These(names)) => return Fate::Follow(names.clone()).outcome(),
        None => {}
    }
    let is_expansion = asked.kind == "mapped" && instance == MapIndex::NONE;
    if is_expansion {
        let item = |_: &String| MapItem {
            values: serde_json::Map::new(),
            label: None,
        };
        return Outcome {
            items: Some(asked.fates.iter().map(item).collect()),
            ..Outcome::success()
        };
    }
    let fate = match usize::try_from(instance.0) {
        Ok(instance) => &asked.fates[instance],
        Err(_) => &asked.fate,
    };
    let (letter, n_failures) = fate.split_at(1);
    let n_failures: i32 = n_failures.parse().unwrap();
    match letter {
        _ if try_number <= n_failures => Fate::Fail.outcome(),
        "S" => Fate::Ok.outcome(),
        "K" => Fate::Skip.outcome(),
        _ => Fate::Fail.outcome(),
    }
}

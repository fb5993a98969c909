//! Over random DAGs the final states do not depend on which task ended first.

use crate::support::{Chance, Fate, Player, Sketch, TEARDOWN, branch, gate};
use std::sync::Arc;
use tidemill_model::dag::{Dag, Role};
use tidemill_model::{Operator, TaskIndex, TriggerRule};

const DAGS: u64 = 600;
const ORDERS: u64 = 6;

/// A DAG of up to fourteen tasks with every rule, role and kind of decision, and their fates.
fn random_dag(seed: u64) -> (Dag, Vec<(String, Fate)>) {
    let mut chance = Chance(seed);
    let n_tasks = 2 + chance.below(13) as u32;
    let mut sketch = Sketch::default();
    for to in 0..n_tasks {
        let task = sketch.add(&format!("t{to}"), &[]);
        match chance.below(12) {
            0 => task.operator = branch(),
            1 => task.operator = gate(chance.once_in(2)),
            2 => task.role = Role::Setup,
            3 if to > 0 => {
                task.role = TEARDOWN;
                task.trigger_rule = TriggerRule::AllDoneSetupSuccess;
            }
            _ => task.trigger_rule = *chance.pick(TriggerRule::ALL),
        }
        let near = (0..to).filter(|_| chance.once_in(4));
        sketch
            .edges
            .extend(near.map(|from| (from, to)).collect::<Vec<_>>());
    }
    let mut dag = sketch.build();
    tame(&mut dag);
    let fates = (0..n_tasks).map(|at| {
        let fate = match &dag.tasks[at as usize].operator {
            Operator::Branch(_) => {
                let below = dag.graph.downstream(TaskIndex(at)).iter();
                let some = below.filter(|_| chance.once_in(2));
                Fate::Follow(some.map(|at| format!("t{}", at.0)).collect())
            }
            Operator::ShortCircuit(_) if chance.once_in(2) => Fate::follow(&[]),
            _ => match chance.below(6) {
                0 | 1 => Fate::Fail,
                2 => Fate::Skip,
                _ => Fate::Ok,
            },
        };
        (format!("t{at}"), fate)
    });
    let fates = fates.collect();
    (dag, fates)
}

/// The named exceptions are kept out: a task that `always` or `one_*` starts early, while a
/// branch or a gate above it, or a setup task from afar, might still have forbidden it.
fn tame(dag: &mut Dag) {
    let early = [
        TriggerRule::Always,
        TriggerRule::OneSuccess,
        TriggerRule::OneFailed,
        TriggerRule::OneDone,
    ];
    for at in 0..dag.tasks.len() {
        let above = dag.graph.reach(&[TaskIndex(at as u32)], false);
        let is_decided = above
            .iter()
            .any(|up| dag.task(*up).operator.decides() && up.at() != at);
        if is_decided && early.contains(&dag.tasks[at].trigger_rule) {
            dag.tasks[at].trigger_rule = TriggerRule::AllDone;
        }
    }
}

#[test]
fn the_order_in_which_tasks_end_decides_nothing() {
    for seed in 0..DAGS {
        let (dag, fates) = random_dag(seed);
        let dag = Arc::new(dag);
        let fates: Vec<(&str, Fate)> = fates
            .iter()
            .map(|(name, fate)| (name.as_str(), fate.clone()))
            .collect();
        let mut first = None;
        for order in 0..ORDERS {
            let mut player = Player::new(Arc::clone(&dag), seed << 8 | order, &fates);
            player.play();
            let end = (player.run.row.state, player.run.row.reason, player.states());
            assert!(
                player.run.row.state.is_terminal(),
                "seed {seed}, order {order}: {end:?}"
            );
            let expect = first.get_or_insert_with(|| end.clone());
            assert_eq!(&end, expect, "seed {seed}, order {order}");
        }
    }
}

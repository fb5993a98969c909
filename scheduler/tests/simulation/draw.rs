//! Random definitions with every rule, role, operator and limit, and how their attempts end.

use crate::elsewhere;
use crate::support::{Chance, Fate, Sketch, TEARDOWN, branch, gate};
use std::sync::Arc;
use std::time::Duration;
use tidemill_model::dag::{
    Dag, Mapping, OnEmpty, OnLost, Operator, Over, PastRule, RetryScope, Role, RunRetry, Task,
    Values,
};
use tidemill_model::{MapItem, Outcome, TaskIndex, TaskNo, TriggerRule, VersionNo};
use tidemill_scheduler::{Pin, PoolLimit};

/// Names that tasks of all versions draw from.
const NAMES: u64 = 12;

/// A version of a DAG of up to ten tasks. The number of a task is that of its name.
pub fn version(no: i64, chance: &mut Chance) -> Pin {
    let n_tasks = 1 + chance.below(10);
    let mut names: Vec<u64> = (1..=NAMES).collect();
    while names.len() as u64 > n_tasks {
        names.remove(chance.below(names.len() as u64) as usize);
    }
    let mut sketch = Sketch::default();
    for (to, name) in names.iter().enumerate() {
        dress(sketch.add(&format!("t{name}"), &[]), to, chance);
        let near: Vec<u32> = (0..to as u32).filter(|_| chance.once_in(3)).collect();
        go_in_step(&mut sketch.tasks, to, &near, chance);
        let near = near.into_iter().map(|from| (from, to as u32));
        sketch.edges.extend(near);
    }
    Pin {
        version: VersionNo(no),
        dag: Arc::new(dress_dag(sketch.build(), chance)),
        task_nos: names.iter().map(|name| TaskNo(*name as i32)).collect(),
    }
}

/// A mapped task right below another may go in step with it.
fn go_in_step(tasks: &mut [Task], at: usize, near: &[u32], chance: &mut Chance) {
    let is_mapped = |from: &&u32| tasks[**from as usize].mapping.is_some();
    let mapped: Vec<u32> = near.iter().filter(is_mapped).copied().collect();
    if mapped.is_empty() || chance.once_in(3) {
        return;
    }
    let above = *chance.pick(&mapped);
    let task = tasks[above as usize].id.clone();
    if let Some(mapping) = &mut tasks[at].mapping {
        let name = "n".to_string();
        mapping.over = Over::Each { name, task };
    }
}

fn dress_dag(mut dag: Dag, chance: &mut Chance) -> Dag {
    dag.max_active_tasks = 1 + chance.below(6) as u32;
    dag.fail_fast = chance.once_in(8);
    dag.dagrun_timeout = chance.once_in(6).then_some(Duration::from_secs(600));
    if chance.once_in(4) {
        dag.retry = RunRetry {
            retries: 1 + chance.below(2) as u32,
            delay: Duration::from_secs(5),
            scope: *chance.pick(RetryScope::ALL),
        };
    }
    dag
}

fn dress(task: &mut Task, at: usize, chance: &mut Chance) {
    if chance.once_in(2) {
        task.trigger_rule = *chance.pick(TriggerRule::ALL);
    }
    task.retry.retries = chance.below(3) as u32;
    task.on_lost = *chance.pick(OnLost::ALL);
    task.pool_slots = *chance.pick(&[1, 1, 1, 2]);
    task.max_active_tis_per_dagrun = *chance.pick(&[None, None, None, Some(1)]);
    task.past = chance.once_in(10).then(|| PastRule {
        with_downstream: chance.once_in(2),
        passes_when_new: chance.once_in(2),
    });
    if chance.once_in(4) {
        task.outlets = vec!["an_asset".to_string()];
    }
    match chance.below(18) {
        0 => task.operator = branch(),
        1 => task.operator = gate(chance.once_in(2)),
        2 => task.role = Role::Setup,
        3 if at > 0 => {
            task.role = match chance.once_in(4) {
                true => Role::Teardown { fails_run: true },
                false => TEARDOWN,
            };
            task.trigger_rule = TriggerRule::AllDoneSetupSuccess;
        }
        4..8 => task.mapping = Some(mapping(chance)),
        8..11 => wait(task, chance),
        11 => {
            wait(task, chance);
            task.mapping = Some(mapping(chance));
        }
        _ => {}
    }
}

fn mapping(chance: &mut Chance) -> Mapping {
    Mapping {
        over: Over::Objects(Values::List(Vec::new())),
        label: None,
        on_empty: *chance.pick(OnEmpty::ALL),
    }
}

fn wait(task: &mut Task, chance: &mut Chance) {
    task.operator = elsewhere::waiting(chance);
    task.run_if = chance.once_in(3).then(String::new);
    task.execution_timeout = chance.once_in(2).then_some(Duration::from_secs(300));
}

/// A pool that has room for the widest task, unless there is a storm.
pub fn pools(is_stormy: bool, chance: &mut Chance) -> Vec<PoolLimit> {
    if is_stormy && chance.once_in(8) {
        return Vec::new(); // somebody has deleted it
    }
    let slots = match is_stormy {
        true => chance.below(6) as i64 - 1,
        false => 2 + chance.below(3) as i64,
    };
    vec![PoolLimit {
        name: "default_pool".to_string(),
        slots,
        include_deferred: chance.once_in(2),
    }]
}

/// How an attempt of a task ends, as its worker sees it.
pub fn outcome(dag: &Dag, task: TaskIndex, is_expansion: bool, chance: &mut Chance) -> Outcome {
    let fate = chance.below(10);
    if fate == 0 {
        return Fate::Fail.outcome();
    }
    if is_expansion {
        let n_items = chance.below(4);
        let item = |n: u64| MapItem {
            values: serde_json::Map::from_iter([("n".to_string(), n.into())]),
            label: None,
        };
        return Outcome {
            items: Some((0..n_items).map(item).collect()),
            ..Outcome::success()
        };
    }
    match &dag.task(task).operator {
        Operator::Branch(_) => {
            let below = dag.graph.downstream(task).iter();
            let some = below.filter(|_| chance.once_in(2));
            Fate::Follow(some.map(|at| dag.task(*at).id.clone()).collect()).outcome()
        }
        Operator::ShortCircuit(_) if fate < 5 => Fate::follow(&[]).outcome(),
        Operator::TriggerDagRun(_) if fate > 2 => elsewhere::wish(),
        _ => match fate {
            1 => Fate::Fail.outcome(),
            2 => Fate::Skip.outcome(),
            _ => Fate::Ok.outcome(),
        },
    }
}

//! What the instances of a mapped task have kept.

use crate::sample::*;
use serde_json::{Value, json};
use tidemill_model::{MapIndex, RunNo, TaskState};
use tidemill_store::*;

pub(crate) async fn instances_are_told_in_order_with_what_each_has_kept<S>(store: S)
where
    S: EngineStore + PageStore,
{
    let scene = Scene::new(store).await;
    let (run, a, b) = (RunNo(1), scene.kept.task_nos[0], scene.kept.task_nos[1]);
    let row = |task, index: i32, state| TaskRow {
        map_index: MapIndex(index),
        state,
        ..task_row(run, task)
    };
    let value = |index: i32, key: &str, value| ValueRow {
        map_index: MapIndex(index),
        ..value_row(run, a, key, value)
    };
    let tasks = (0..12).map(|index| match index {
        3 => row(a, index, TaskState::Failed),
        _ => row(a, index, TaskState::Success),
    });
    let pass = Pass {
        new_runs: vec![scene.run(1)],
        tasks: tasks.chain([row(b, 2, TaskState::Success)]).collect(),
        values: vec![
            value(10, "return_value", json!("ten")),
            value(2, "size", json!([2])),
            value(2, "return_value", json!(null)),
            value_row(run, b, "z", json!(2)),
        ],
        ..scene.pass()
    };
    scene.store.commit_pass(&pass).await.unwrap();
    let told = |index: i32, state, value: Option<(&str, Value)>| InstanceValue {
        map_index: MapIndex(index),
        state,
        value: value.map(|(key, value)| (key.to_string(), value)),
    };
    let (done, failed) = (TaskState::Success, TaskState::Failed);
    let found = scene.store.instance_values(run, a, 2..5).await.unwrap();
    let expected = [
        told(2, done, Some(("return_value", json!(null)))),
        told(2, done, Some(("size", json!([2])))),
        told(3, failed, None),
        told(4, done, None),
    ];
    assert_eq!(found, expected);
    let found = scene.store.instance_values(run, a, 10..99).await.unwrap();
    let expected = [
        told(10, done, Some(("return_value", json!("ten")))),
        told(11, done, None),
    ];
    assert_eq!(found, expected);
    let none = scene.store.instance_values(run, b, 3..9).await.unwrap();
    assert_eq!(none, []);
}

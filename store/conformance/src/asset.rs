//! Assets, their events, and which run of a DAG an event was part of.

use crate::sample::*;
use serde_json::json;
use tidemill_model::{AssetNo, DagNo, EventNo, RunNo, Ts};
use tidemill_store::*;

fn numbers(events: &[AssetEventRow]) -> Vec<i64> {
    events.iter().map(|event| event.event.0).collect()
}

fn delivery(dag: DagNo, event: i64, run: Option<i64>) -> AssetDelivery {
    AssetDelivery {
        dag,
        event: EventNo(event),
        run: run.map(RunNo),
    }
}

pub(crate) async fn assets_are_kept_with_their_events<S: EngineStore + PageStore>(store: S) {
    let scene = Scene::new(store).await;
    let pass = Pass {
        assets: vec![asset_row(2, "rates"), asset_row(1, "orders")],
        asset_events: vec![
            event_row(1, 1, None),
            event_row(2, 2, Some("etl")),
            event_row(3, 1, Some("etl")),
            event_row(4, 1, Some("other")),
        ],
        ..scene.pass()
    };
    scene.store.commit_pass(&pass).await.unwrap();
    let changed = AssetRow {
        uri: "s3://new".to_string(),
        updated_at: Ts(9),
        ..asset_row(1, "orders")
    };
    let other_name = AssetRow {
        name: "renamed".to_string(),
        created_at: Ts(8),
        ..changed.clone()
    };
    let pass = Pass {
        assets: vec![other_name],
        ..scene.pass()
    };
    scene.store.commit_pass(&pass).await.unwrap();
    let found = scene.store.assets().await.unwrap();
    assert_eq!(found, vec![changed, asset_row(2, "rates")]);

    let found = async |filter: EventFilter| {
        let list = scene.store.asset_events(&filter).await.unwrap();
        (numbers(&list.events), list.total)
    };
    let all = || EventFilter {
        limit: 10,
        ..EventFilter::default()
    };
    assert_eq!(found(all()).await, (vec![4, 3, 2, 1], 4));
    let page = EventFilter {
        offset: 1,
        limit: 2,
        ..all()
    };
    assert_eq!(found(page).await, (vec![3, 2], 4));
    let of_orders = EventFilter {
        asset: Some(AssetNo(1)),
        dag_id: Some("etl".to_string()),
        run_id: Some("run\0-1".to_string()),
        task_id: Some("a".to_string()),
        ..all()
    };
    assert_eq!(found(of_orders).await, (vec![3], 1));
    let last = scene.store.last_asset_events().await.unwrap();
    assert_eq!(numbers(&last), [2, 4]);
    assert_eq!(last[0], event_row(2, 2, Some("etl")));
    assert_eq!(scene.store.load().await.unwrap().last_event, 4);

    // An event of nothing, or for nothing.
    let stray = Pass {
        asset_events: vec![event_row(9, 9, None)],
        ..scene.pass()
    };
    assert!(scene.store.commit_pass(&stray).await.is_err());
    for one in [
        delivery(scene.dag(), 99, None),
        delivery(DagNo(99), 1, None),
    ] {
        let stray = Pass {
            deliveries: vec![one],
            ..scene.pass()
        };
        assert!(scene.store.commit_pass(&stray).await.is_err(), "{one:?}");
    }
}

pub(crate) async fn an_event_is_part_of_one_run_of_a_dag<S: EngineStore + PageStore>(store: S) {
    let scene = Scene::new(store).await;
    scene.make_runs(vec![scene.run(1), scene.run(2)]).await;
    let dag = scene.dag();
    let commit = async |deliveries: Vec<AssetDelivery>, dropped: Vec<i64>| {
        let dropped = dropped.into_iter().map(|event| (dag, EventNo(event)));
        let pass = Pass {
            deliveries,
            dropped_deliveries: dropped.collect(),
            ..scene.pass()
        };
        scene.store.commit_pass(&pass).await.unwrap();
    };
    let pass = Pass {
        assets: vec![asset_row(1, "orders")],
        asset_events: (1..=4).map(|event| event_row(event, 1, None)).collect(),
        ..scene.pass()
    };
    scene.store.commit_pass(&pass).await.unwrap();
    commit(
        (1..=4).map(|event| delivery(dag, event, None)).collect(),
        vec![],
    )
    .await;
    let waiting = async || {
        let waiting = scene.store.load().await.unwrap().waiting_events;
        let events: Vec<AssetEventRow> = waiting.into_iter().map(|(_, event)| event).collect();
        numbers(&events)
    };
    assert_eq!(waiting().await, [1, 2, 3, 4]);
    // It waits and is taken in one pass; what is taken stays so, and is not dropped.
    commit(
        vec![
            delivery(dag, 1, Some(1)),
            delivery(dag, 2, None),
            delivery(dag, 2, Some(1)),
        ],
        vec![3],
    )
    .await;
    commit(
        vec![delivery(dag, 1, Some(2)), delivery(dag, 2, None)],
        vec![1],
    )
    .await;
    assert_eq!(waiting().await, [4]);
    let part_of = |run: i64| EventFilter {
        part_of: Some(RunNo(run)),
        limit: 10,
        ..EventFilter::default()
    };
    let first = scene.store.asset_events(&part_of(1)).await.unwrap();
    assert_eq!((numbers(&first.events), first.total), (vec![2, 1], 2));
    assert_eq!(
        scene.store.asset_events(&part_of(2)).await.unwrap().total,
        0
    );
    let events = [EventNo(2), EventNo(4)];
    let taken = scene.store.asset_deliveries(&events).await.unwrap();
    assert_eq!(taken, [delivery(dag, 2, Some(1))]);
}

fn asset_row(asset: i64, name: &str) -> AssetRow {
    AssetRow {
        asset: AssetNo(asset),
        name: format!("{name}\0"),
        uri: format!("s3://\u{1}{name}"),
        group: "lake".to_string(),
        description: Some("w\0rds".to_string()),
        extra: json!({"n": asset}),
        created_at: Ts(3),
        updated_at: Ts(4),
    }
}

fn event_row(event: i64, asset: i64, dag: Option<&str>) -> AssetEventRow {
    AssetEventRow {
        event: EventNo(event),
        asset: AssetNo(asset),
        at: Ts(10 * event),
        extra: json!({"rows": event}),
        source: dag.map(|dag| EventSource {
            dag_id: dag.to_string(),
            run_id: "run\0-1".to_string(),
            task_id: "a".to_string(),
            map_index: 3,
        }),
        emitted_by: dag.is_none().then(|| "c\0li".to_string()),
    }
}

//! Workers of other processes: claims, reports, leases.

use crate::sample::*;
use std::time::{Duration, UNIX_EPOCH};
use tidemill_model::{Attempt, Epoch, MapIndex, Outcome, Reason, RunNo, TaskNo, Ts};
use tidemill_store::*;

const LONG: Duration = Duration::from_secs(600);

fn worker(queues: &[&str], lease: Duration) -> NewWorker {
    NewWorker {
        host: "mill".to_string(),
        pid: 7,
        slots: 4,
        queues: queues.iter().map(|queue| (*queue).to_string()).collect(),
        logs: Some(LogDoor {
            url: "http://127.0.0.1:9".to_string(),
            token: "t".to_string(),
        }),
        lease,
    }
}

fn attempt(run: i64, task: i32, epoch: i64) -> Attempt {
    Attempt {
        run: RunNo(run),
        task_no: TaskNo(task),
        map_index: MapIndex::NONE,
        epoch: Epoch(epoch),
    }
}

/// A store with run 1 and three attempts in `dispatch`: a and c for `default`, b for `gpu`.
async fn dispatched<S: EngineStore + PageStore>(store: S) -> Scene<S> {
    let scene = Scene::new(store).await;
    scene.make_runs(vec![scene.run(1)]).await;
    let dispatch = |task: i32, queue: &str, priority: i64| Dispatch {
        attempt: attempt(1, task, 1),
        queue: queue.to_string(),
        priority,
        version: scene.kept.version,
        try_number: 1,
        sealed: (task == 3).then(|| vec![0, 1, 255]),
    };
    let dispatches = vec![
        dispatch(1, "default", 1),
        dispatch(2, "gpu", 9),
        dispatch(3, "default", 5),
    ];
    let pass = Pass {
        dispatches,
        ..scene.pass()
    };
    scene.store.commit_pass(&pass).await.unwrap();
    scene
}

fn tasks(claims: &[Claim]) -> Vec<i32> {
    let attempts = claims.iter().map(|claim| claim.attempt);
    attempts.map(|attempt| attempt.task_no.0).collect()
}

pub(crate) async fn an_attempt_is_claimed_once_by_priority_and_queue<S>(store: S)
where
    S: EngineStore + PageStore + DispatchStore + WorkerStore,
{
    let scene = dispatched(store).await;
    let store = &scene.store;
    let one = store.enter(&worker(&["default"], LONG)).await.unwrap();
    let two = store
        .enter(&worker(&["default", "gpu"], LONG))
        .await
        .unwrap();
    assert!(one > UNCLAIMED && two > one, "{one} {two}");
    let first = store.claim(one, 1).await.unwrap();
    assert_eq!(tasks(&first), [3], "the higher priority comes first");
    assert_eq!(first[0].dag_id, "etl");
    assert_eq!(first[0].sealed, Some(vec![0, 1, 255]));
    assert_eq!(first[0].run, scene.run(1));
    assert_eq!(first[0].version, scene.kept.version);
    assert_eq!(tasks(&store.claim(two, 9).await.unwrap()), [2, 1]);
    assert_eq!(store.claim(one, 9).await.unwrap(), []);
    let mut held = store.dispatched().await.unwrap();
    held.sort();
    let expected = [(1, two), (2, two), (3, one)].map(|(task, by)| (attempt(1, task, 1), by));
    assert_eq!(held, expected);
    assert_eq!(store.held(one).await.unwrap(), first);
    let definition = store.definition(scene.kept.version).await.unwrap().unwrap();
    assert_eq!(definition.files.len(), 1);
    let names = store.task_numbers(scene.dag()).await.unwrap();
    assert_eq!(names.len(), 3);
}

pub(crate) async fn a_claim_and_a_report_stay_until_a_pass_applies_them<S>(store: S)
where
    S: EngineStore + PageStore + DispatchStore + WorkerStore,
{
    let scene = dispatched(store).await;
    let store = &scene.store;
    let by = store.enter(&worker(&["gpu"], LONG)).await.unwrap();
    assert!(store.arrivals(10).await.unwrap().is_empty());
    store.claim(by, 1).await.unwrap();
    let report = WorkerReport {
        attempt: attempt(1, 2, 1),
        worker: by,
        outcome: Outcome {
            values: vec![("return_value".to_string(), serde_json::json!({"é": 1}))],
            ..Outcome::success()
        },
    };
    let arrived = store.arrivals(10).await.unwrap();
    assert_eq!(arrived.claims, [(attempt(1, 2, 1), by)]);
    let claimed = Pass {
        claimed: vec![attempt(1, 2, 1)],
        ..scene.pass()
    };
    store.commit_pass(&claimed).await.unwrap();
    assert!(store.arrivals(10).await.unwrap().is_empty());
    store.report(std::slice::from_ref(&report)).await.unwrap();
    let again = WorkerReport {
        outcome: Outcome::without_process(
            tidemill_model::attempt::Verdict::Failed,
            Reason::Lost,
            "a second word",
        ),
        ..report.clone()
    };
    store.report(&[again]).await.unwrap();
    assert_eq!(store.arrivals(10).await.unwrap().reports, [report]);
    let settled = Pass {
        settled: vec![attempt(1, 2, 1)],
        ..scene.pass()
    };
    store.commit_pass(&settled).await.unwrap();
    assert!(store.arrivals(10).await.unwrap().is_empty());
    assert_eq!(store.dispatched().await.unwrap().len(), 2);
}

pub(crate) async fn a_stale_pass_dispatches_nothing<S>(store: S)
where
    S: EngineStore + PageStore + DispatchStore + WorkerStore,
{
    let scene = dispatched(store).await;
    scene
        .store
        .take_term("another", tidemill_model::Ts(9))
        .await
        .unwrap();
    let stale = Pass {
        settled: vec![attempt(1, 1, 1)],
        claimed: vec![attempt(1, 3, 1)],
        ..scene.pass()
    };
    let refused = scene.store.commit_pass(&stale).await;
    assert!(matches!(refused, Err(StoreError::TermLost)), "{refused:?}");
    assert_eq!(scene.store.dispatched().await.unwrap().len(), 3);
}

pub(crate) async fn an_unclaimed_attempt_is_withdrawn_and_a_claimed_one_is_told<S>(store: S)
where
    S: EngineStore + PageStore + DispatchStore + WorkerStore,
{
    let scene = dispatched(store).await;
    let store = &scene.store;
    let by = store
        .enter(&worker(&["gpu", "default"], LONG))
        .await
        .unwrap();
    assert_eq!(tasks(&store.claim(by, 1).await.unwrap()), [2]);
    let kill = |task: i32| Kill {
        attempt: attempt(1, task, 1),
        worker: UNCLAIMED,
        reason: Reason::Cancelled,
    };
    let pass = Pass {
        kills: vec![kill(1), kill(2)],
        ..scene.pass()
    };
    store.commit_pass(&pass).await.unwrap();
    assert_eq!(tasks(&store.claim(by, 9).await.unwrap()), [3]);
    for _ in 0..2 {
        let arrived = store.arrivals(10).await.unwrap();
        assert_eq!(arrived.withdrawn, [attempt(1, 1, 1)]);
    }
    let kills = store.kills(by).await.unwrap();
    assert_eq!(kills, [(attempt(1, 2, 1), Reason::Cancelled)]);
    let settled = Pass {
        settled: vec![attempt(1, 1, 1), attempt(1, 2, 1)],
        ..scene.pass()
    };
    store.commit_pass(&settled).await.unwrap();
    assert_eq!(store.kills(by).await.unwrap(), []);
    assert_eq!(store.arrivals(10).await.unwrap().withdrawn, []);
}

pub(crate) async fn a_worker_whose_lease_is_over_claims_nothing_and_is_ended_once<S>(store: S)
where
    S: EngineStore + PageStore + DispatchStore + WorkerStore,
{
    let scene = dispatched(store).await;
    let store = &scene.store;
    let short = worker(&["default"], Duration::from_millis(1));
    let (dead, alive) = (
        store.enter(&short).await.unwrap(),
        store.enter(&worker(&["default"], LONG)).await.unwrap(),
    );
    while store.renew(dead).await.unwrap().is_alive {}
    assert_eq!(store.claim(dead, 9).await.unwrap(), []);
    assert_eq!(store.expire_workers().await.unwrap(), [dead]);
    assert_eq!(store.expire_workers().await.unwrap(), [] as [i64; 0]);
    let left = store.workers().await.unwrap();
    assert_eq!(
        left.iter().map(|left| left.worker).collect::<Vec<_>>(),
        [alive]
    );
    assert!(store.renew(alive).await.unwrap().is_alive);
}

pub(crate) async fn a_draining_worker_claims_nothing_and_one_that_left_is_gone<S>(store: S)
where
    S: EngineStore + PageStore + DispatchStore + WorkerStore,
{
    let scene = dispatched(store).await;
    let store = &scene.store;
    let by = store.enter(&worker(&["default"], LONG)).await.unwrap();
    assert!(store.set_draining(by, true).await.unwrap());
    assert!(store.renew(by).await.unwrap().is_draining);
    assert_eq!(store.claim(by, 9).await.unwrap(), []);
    assert!(store.set_draining(by, false).await.unwrap());
    assert_eq!(store.claim(by, 9).await.unwrap().len(), 2);
    let shown = store.workers().await.unwrap();
    assert_eq!((shown[0].slots, shown[0].pid), (4, 7));
    assert_eq!(shown[0].logs, worker(&[], LONG).logs);
    store.leave(by).await.unwrap();
    assert!(!store.renew(by).await.unwrap().is_alive);
    assert_eq!(store.workers().await.unwrap(), []);
    assert!(!store.set_draining(by, true).await.unwrap());
}

pub(crate) async fn a_scheduler_is_heard_of_from_its_first_term_on<S>(store: S)
where
    S: EngineStore + DispatchStore,
{
    assert_eq!(store.heartbeat().await.unwrap(), None);
    let now = || UNIX_EPOCH.elapsed().unwrap().as_micros() as i64;
    let before = now();
    store.take_term("conformance", Ts(1)).await.unwrap();
    let heard = store.heartbeat().await.unwrap().unwrap().0;
    assert!((before..=now()).contains(&heard), "{before} {heard}");
}

pub(crate) async fn what_a_template_reads_comes_with_states<S>(store: S)
where
    S: EngineStore + PageStore + DispatchStore + WorkerStore,
{
    let scene = dispatched(store).await;
    let value = ValueRow {
        run: RunNo(1),
        task_no: TaskNo(1),
        map_index: MapIndex::NONE,
        key: "return_value".to_string(),
        value: serde_json::json!([1, "two"]),
    };
    let pass = Pass {
        tasks: vec![task_row(RunNo(1), TaskNo(1)), task_row(RunNo(1), TaskNo(2))],
        values: vec![value.clone()],
        ..scene.pass()
    };
    scene.store.commit_pass(&pass).await.unwrap();
    let (store, run, asked) = (&scene.store, RunNo(1), [TaskNo(1)]);
    let states = store.task_states(run, &asked).await.unwrap();
    let values = store.values(run, &asked).await.unwrap();
    assert_eq!(states, [(TaskNo(1), task_row(RunNo(1), TaskNo(1)).state)]);
    assert_eq!(values, [value]);
}

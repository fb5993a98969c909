//! Lists that pages ask for: runs by dates, pages of tasks, pools and notes.

use crate::sample::*;
use tidemill_model::{DagNo, MapIndex, RunNo, RunState, RunType, TaskNo, TaskState, Ts};
use tidemill_store::*;

pub(crate) async fn runs_are_found_by_dates_and_ordered<S: EngineStore + PageStore>(store: S) {
    let scene = Scene::new(store).await;
    let date = |run: i64| (run != 3).then_some(Ts(run * 10));
    let runs = (1..=5).map(|run| RunRow {
        logical_date: date(run),
        started_at: (run > 2).then_some(Ts(100 - run)),
        ..scene.run(run)
    });
    scene.make_runs(runs.collect()).await;
    let order = |by, descending| RunFilter {
        order: Some(RunOrder { by, descending }),
        ..every_run()
    };
    let dated = |from: Option<i64>, until: Option<i64>| RunFilter {
        logical_date: (from.map(Ts), until.map(Ts)),
        ..every_run()
    };
    let of = |dag_id: &str| RunFilter {
        dag_id: Some(dag_id.to_string()),
        ..order(RunColumn::Id, false)
    };
    let cases = [
        (order(RunColumn::LogicalDate, false), vec![1, 2, 4, 5, 3]),
        (order(RunColumn::LogicalDate, true), vec![5, 4, 2, 1, 3]),
        (order(RunColumn::StartDate, false), vec![5, 4, 3, 2, 1]),
        (order(RunColumn::StartDate, true), vec![3, 4, 5, 2, 1]),
        (order(RunColumn::Id, false), vec![1, 2, 3, 4, 5]),
        (dated(Some(20), Some(40)), vec![4, 2]),
        (dated(Some(41), None), vec![5]),
        (dated(None, Some(10)), vec![1]),
        (of("etl"), vec![1, 2, 3, 4, 5]),
        (of("none"), vec![]),
    ];
    for (filter, expected) in cases {
        let list = scene.store.runs(&filter).await.unwrap();
        let shown: Vec<i64> = list.runs.iter().map(|run| run.row.run.0).collect();
        assert_eq!(list.total, expected.len() as i64, "{filter:?}");
        assert_eq!(shown, expected, "{filter:?}");
    }
    let second = RunFilter {
        limit: 2,
        offset: 1,
        ..order(RunColumn::LogicalDate, false)
    };
    let list = scene.store.runs(&second).await.unwrap();
    let shown: Vec<i64> = list.runs.iter().map(|run| run.row.run.0).collect();
    assert_eq!((shown, list.total), (vec![2, 4], 5));
}

pub(crate) async fn tasks_are_paged_and_counted<S: EngineStore + PageStore>(store: S) {
    let scene = Scene::new(store).await;
    scene.make_runs(vec![scene.run(1), scene.run(2)]).await;
    let task = |at: usize, state: TaskState| TaskRow {
        state,
        ..task_row(RunNo(1), scene.kept.task_nos[at])
    };
    let tasks = vec![
        task(0, TaskState::Success),
        task(1, TaskState::Failed),
        task(2, TaskState::Success),
    ];
    let pass = Pass {
        tasks: tasks.clone(),
        ..scene.pass()
    };
    scene.store.commit_pass(&pass).await.unwrap();
    let page = async |states: &[TaskState], offset: u32, limit: u32| {
        let page = scene.store.task_page(RunNo(1), states, offset, limit);
        page.await.unwrap()
    };
    assert_eq!(page(&[], 0, 10).await, tasks);
    assert_eq!(page(&[], 1, 1).await, tasks[1..2]);
    assert_eq!(page(&[TaskState::Success], 1, 9).await, tasks[2..]);
    let counts = scene.store.task_counts(RunNo(1)).await.unwrap();
    assert_eq!(counts, [(TaskState::Success, 2), (TaskState::Failed, 1)]);
    assert_eq!(scene.store.task_counts(RunNo(2)).await.unwrap(), []);
    let one = async |run: i64| {
        let task = scene.kept.task_nos[1];
        scene
            .store
            .task(RunNo(run), task, MapIndex::NONE)
            .await
            .unwrap()
    };
    assert_eq!(one(1).await, Some(tasks[1].clone()));
    assert_eq!(one(2).await, None);
}

pub(crate) async fn pools_are_kept_by_name<S: EngineStore + PageStore>(store: S) {
    let scene = Scene::new(store).await;
    let pool = |name: &str, slots: i64| PoolRecord {
        name: name.to_string(),
        slots,
        description: format!("for {name}"),
        include_deferred: slots > 1,
        from_file: slots < 0,
    };
    let keep = |dropped: &[&str], pools: &[PoolRecord]| Pass {
        dropped_pools: dropped.iter().map(|name| (*name).to_string()).collect(),
        pools: pools.to_vec(),
        ..scene.pass()
    };
    let first = keep(&[], &[pool("b", 2), pool("a", -1)]);
    scene.store.commit_pass(&first).await.unwrap();
    let both = vec![pool("a", -1), pool("b", 2)];
    assert_eq!(scene.store.pools().await.unwrap(), both);
    assert_eq!(scene.store.load().await.unwrap().pools, both);
    let second = keep(&["a", "nowhere"], &[pool("b", 0)]);
    scene.store.commit_pass(&second).await.unwrap();
    assert_eq!(scene.store.pools().await.unwrap(), vec![pool("b", 0)]);
    let wrong = keep(&["b"], &[pool("c", -2)]);
    assert!(scene.store.commit_pass(&wrong).await.is_err());
    assert_eq!(scene.store.pools().await.unwrap(), vec![pool("b", 0)]);
}

pub(crate) async fn notes_are_kept_until_they_are_emptied<S: EngineStore + PageStore>(store: S) {
    let scene = Scene::new(store).await;
    scene.make_runs(vec![scene.run(1)]).await;
    let note = |map_index: i32, note: &str| TaskNote {
        run: RunNo(1),
        task_no: scene.kept.task_nos[0],
        map_index: MapIndex(map_index),
        note: note.to_string(),
    };
    let keep = async |notes: Vec<TaskNote>| {
        let pass = Pass {
            notes,
            ..scene.pass()
        };
        scene.store.commit_pass(&pass).await.unwrap();
        scene.store.task_notes(RunNo(1)).await.unwrap()
    };
    let both = vec![note(-1, "why"), note(3, "because")];
    assert_eq!(keep(both.iter().rev().cloned().collect()).await, both);
    assert_eq!(keep(vec![note(-1, "")]).await, vec![note(3, "because")]);
    assert_eq!(keep(vec![note(3, "so")]).await, vec![note(3, "so")]);
}

pub(crate) async fn the_newest_run_of_a_span_and_earlier_tasks_are_found<
    S: EngineStore + PageStore,
>(
    store: S,
) {
    let scene = Scene::new(store).await;
    let dated = |run: i64, at: i64, run_type: RunType| RunRow {
        logical_date: Some(Ts(at)),
        run_type,
        ..scene.run(run)
    };
    let (by_hand, by_schedule) = (RunType::Manual, RunType::Scheduled);
    let runs = vec![
        dated(1, 30, by_hand),
        dated(2, 10, by_schedule),
        dated(3, -20, by_schedule),
        scene.run(4),
    ];
    scene.make_runs(runs).await;
    let found = async |from: Option<i64>, until: i64, with_manual: bool| {
        let span = DateSpan {
            from: from.map(Ts),
            until: Ts(until),
            with_manual,
        };
        let found = scene.store.newest_run(scene.dag(), &span).await.unwrap();
        found.map_or(0, |row| row.run.0)
    };
    assert_eq!(found(None, 99, true).await, 1);
    assert_eq!(found(None, 99, false).await, 2);
    assert_eq!(found(Some(30), 30, true).await, 1);
    assert_eq!(found(None, 29, true).await, 2);
    assert_eq!(found(None, 9, true).await, 3);
    assert_eq!(found(Some(11), 29, true).await, 0);
    assert_eq!(found(None, -21, true).await, 0);

    let (first, second) = (scene.kept.task_nos[0], scene.kept.task_nos[1]);
    let pass = Pass {
        tasks: vec![task_row(RunNo(2), first), task_row(RunNo(4), second)],
        ..scene.pass()
    };
    scene.store.commit_pass(&pass).await.unwrap();
    let earlier = async |task: TaskNo, before: i64| {
        let store = &scene.store;
        store
            .has_earlier_task(scene.dag(), task, Ts(before))
            .await
            .unwrap()
    };
    assert!(earlier(first, 11).await);
    assert!(!earlier(first, 10).await);
    // A run without a logical date is not earlier than any.
    assert!(!earlier(second, 99).await);
}

pub(crate) async fn the_last_success_before_an_instant_is_found<S: EngineStore + PageStore>(
    store: S,
) {
    let scene = Scene::new(store).await;
    let dated = |run: i64, at: i64, state: RunState| RunRow {
        logical_date: Some(Ts(at)),
        data_interval_start: Some(Ts(at - 1)),
        data_interval_end: (run != 2).then_some(Ts(at + 1)),
        started_at: Some(Ts(at + 100)),
        ended_at: Some(Ts(at + 200)),
        state,
        ..scene.run(run)
    };
    let undated = RunRow {
        state: RunState::Success,
        ..scene.run(5)
    };
    let runs = vec![
        dated(1, 10, RunState::Success),
        dated(2, 20, RunState::Success),
        dated(3, 30, RunState::Failed),
        dated(4, 40, RunState::Running),
        undated,
    ];
    scene.make_runs(runs).await;
    let found = async |dag: DagNo, before: i64| {
        let found = scene.store.last_success(dag, Ts(before)).await.unwrap();
        found.map(|last| (last.data_interval_start, last.data_interval_end))
    };
    let dag = scene.dag();
    assert_eq!(found(dag, 99).await, Some((Some(Ts(19)), None)));
    assert_eq!(found(dag, 21).await, Some((Some(Ts(19)), None)));
    assert_eq!(found(dag, 20).await, Some((Some(Ts(9)), Some(Ts(11)))));
    assert_eq!(found(dag, 10).await, None);
    assert_eq!(found(DagNo(999), 99).await, None);
    let last = scene
        .store
        .last_success(dag, Ts(99))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (last.started_at, last.ended_at),
        (Some(Ts(120)), Some(Ts(220)))
    );
}

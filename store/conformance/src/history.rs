//! Versions, lists of runs, changes and import errors.

use crate::sample::*;
use serde_json::json;
use tidemill_model::{DagNo, RunNo, RunState, RunType, TaskNo, Ts};
use tidemill_store::memory::{CHANGES_KEPT, CHANGES_TRIMMED_EVERY};
use tidemill_store::*;

pub(crate) async fn the_same_hash_is_the_same_version<S: EngineStore + PageStore>(store: S) {
    let first = store
        .put_version(&version("etl", "h1", &["a"]))
        .await
        .unwrap();
    assert!(first.is_new);
    assert_eq!(
        (first.dag.version, first.dag.version_number),
        (first.version, 1)
    );
    let second = store
        .put_version(&NewVersion {
            now: Ts(3),
            ..version("etl", "h2", &["a"])
        })
        .await
        .unwrap();
    assert!(second.is_new && second.version != first.version);
    assert_eq!(
        (second.dag.version_number, second.dag.updated_at),
        (2, Ts(3))
    );
    let again = NewVersion {
        now: Ts(4),
        source: "# other".to_string(),
        ..version("etl", "h1", &["a"])
    };
    let back = store.put_version(&again).await.unwrap();
    assert!(!back.is_new);
    assert_eq!(
        (back.version, back.dag.version_number, back.dag.updated_at),
        (first.version, 1, Ts(4))
    );
    let unchanged = store
        .put_version(&NewVersion {
            now: Ts(5),
            ..again
        })
        .await
        .unwrap();
    assert_eq!(
        unchanged, back,
        "a version that is current already is not newer by that"
    );
    let elsewhere = store
        .put_version(&version("other", "h1", &["a"]))
        .await
        .unwrap();
    assert!(elsewhere.is_new, "a hash is unique within its DAG");

    let list = store.versions(first.dag.dag).await.unwrap();
    let shown: Vec<_> = list
        .iter()
        .map(|version| (version.number, version.source.as_str()))
        .collect();
    assert_eq!(shown, [(2, ""), (1, "")], "newest first, without texts");
    let kept = store.version(first.version).await.unwrap().unwrap();
    assert_eq!((kept.source.as_str(), kept.created_at), ("# h1\n", Ts(2)));
    assert_eq!(kept.files, version("etl", "h1", &[]).files);
}

pub(crate) async fn task_numbers_stay_by_name<S: EngineStore + PageStore>(store: S) {
    let first = store
        .put_version(&version("etl", "h1", &["b", "a"]))
        .await
        .unwrap();
    let second = store
        .put_version(&version("etl", "h2", &["c", "a", "it's \"é\"", "a"]))
        .await
        .unwrap();
    assert_eq!(second.task_nos[1], first.task_nos[1]);
    assert_eq!(second.task_nos[3], first.task_nos[1]);
    assert!(!first.task_nos.contains(&second.task_nos[0]));
    let back = store
        .put_version(&version("etl", "h1", &["b", "a"]))
        .await
        .unwrap();
    assert_eq!(back.task_nos, first.task_nos);
    let names = store.task_names(first.dag.dag).await.unwrap();
    let expected: Vec<(TaskNo, String)> = (1..)
        .map(TaskNo)
        .zip(["b", "a", "c", "it's \"é\""].map(str::to_string))
        .collect();
    assert_eq!(names, expected);
    assert_eq!(store.task_names(DagNo(99)).await.unwrap(), vec![]);
    let empty = store
        .put_version(&version("none", "h1", &[]))
        .await
        .unwrap();
    assert_eq!(empty.task_nos, vec![]);
}

pub(crate) async fn a_new_version_leaves_the_pause_alone<S: EngineStore + PageStore>(store: S) {
    let scene = Scene::new(store).await;
    let patch = DagPatch {
        dag: scene.dag(),
        is_paused: true,
        schedule_high: Some(Ts(9)),
        next_run: Some(Ts(10)),
    };
    scene
        .store
        .commit_pass(&Pass {
            dags: vec![patch],
            ..scene.pass()
        })
        .await
        .unwrap();
    let next = scene
        .store
        .put_version(&version("etl", "h2", &["a"]))
        .await
        .unwrap();
    assert!(next.dag.is_paused);
    assert_eq!(
        (next.dag.schedule_high, next.dag.next_run),
        (Some(Ts(9)), Some(Ts(10)))
    );
    let paused = NewVersion {
        paused_if_new: true,
        ..version("another", "h1", &["a"])
    };
    assert!(
        scene
            .store
            .put_version(&paused)
            .await
            .unwrap()
            .dag
            .is_paused
    );
    let dags = scene.store.dags().await.unwrap();
    assert_eq!(
        dags.iter()
            .map(|dag| dag.dag_id.as_str())
            .collect::<Vec<_>>(),
        ["another", "etl"]
    );
}

pub(crate) async fn a_patch_never_lowers_the_high_mark<S: EngineStore + PageStore>(store: S) {
    let scene = Scene::new(store).await;
    let marks = [
        (Some(50), Some(50)),
        (Some(40), Some(50)),
        (None, Some(50)),
        (Some(60), Some(60)),
    ];
    for (mark, expected) in marks {
        let patch = DagPatch {
            dag: scene.dag(),
            is_paused: true,
            schedule_high: mark.map(Ts),
            next_run: mark.map(Ts),
        };
        scene
            .store
            .commit_pass(&Pass {
                dags: vec![patch],
                ..scene.pass()
            })
            .await
            .unwrap();
        let dag = scene.store.dag("etl").await.unwrap().unwrap();
        assert!(dag.is_paused);
        assert_eq!(
            (dag.schedule_high, dag.next_run),
            (expected.map(Ts), mark.map(Ts))
        );
    }
}

pub(crate) async fn a_stale_dag_comes_back_with_its_file<S: EngineStore + PageStore>(store: S) {
    let scene = Scene::new(store).await;
    let other = scene
        .store
        .put_version(&version("other", "h1", &["a"]))
        .await
        .unwrap();
    scene.make_runs(vec![scene.run(1)]).await;
    scene
        .store
        .mark_stale(&[scene.dag(), DagNo(99)], Ts(8))
        .await
        .unwrap();
    let stale = scene.store.dag("etl").await.unwrap().unwrap();
    assert_eq!(
        stale,
        DagRecord {
            is_stale: true,
            ..scene.kept.dag.clone()
        }
    );
    assert_eq!(scene.store.dag("other").await.unwrap(), Some(other.dag));
    assert!(scene.store.run("etl", "run-1").await.unwrap().is_some());
    let moved = NewVersion {
        file: "moved/etl.toml".to_string(),
        ..version("etl", "h1", &["a"])
    };
    let back = scene.store.put_version(&moved).await.unwrap();
    assert_eq!(
        (back.dag.is_stale, back.dag.file.as_str(), back.is_new),
        (false, "moved/etl.toml", false)
    );
}

pub(crate) async fn runs_are_paged_and_filtered<S: EngineStore + PageStore>(store: S) {
    let scene = Scene::new(store).await;
    let other = scene
        .store
        .put_version(&version("other", "h1", &["a"]))
        .await
        .unwrap();
    let states = [RunState::Success, RunState::Failed, RunState::Running];
    let runs = (1..=9).map(|run| RunRow {
        state: states[run as usize % 3],
        ..scene.run(run)
    });
    let elsewhere = RunRow {
        run_type: RunType::Scheduled,
        ..run_row(10, other.dag.dag, other.version)
    };
    scene.make_runs(runs.chain([elsewhere]).collect()).await;
    let of_etl = || RunFilter {
        dag_id: Some("etl".to_string()),
        ..every_run()
    };
    let cases = [
        (every_run(), vec![10, 9, 8, 7, 6, 5, 4, 3, 2, 1], 10),
        (of_etl(), vec![9, 8, 7, 6, 5, 4, 3, 2, 1], 9),
        (
            RunFilter {
                limit: 2,
                offset: 1,
                ..of_etl()
            },
            vec![8, 7],
            9,
        ),
        (
            RunFilter {
                limit: 3,
                before: Some(RunNo(4)),
                ..of_etl()
            },
            vec![3, 2, 1],
            3,
        ),
        (
            RunFilter {
                limit: 2,
                before: Some(RunNo(9)),
                offset: 1,
                ..every_run()
            },
            vec![7, 6],
            8,
        ),
        (
            RunFilter {
                states: vec![RunState::Failed],
                ..every_run()
            },
            vec![7, 4, 1],
            3,
        ),
        (
            RunFilter {
                states: vec![RunState::Failed, RunState::Running],
                limit: 2,
                ..of_etl()
            },
            vec![8, 7],
            6,
        ),
        (
            RunFilter {
                run_type: Some(RunType::Scheduled),
                ..every_run()
            },
            vec![10],
            1,
        ),
        (
            RunFilter {
                run_type: Some(RunType::Scheduled),
                ..of_etl()
            },
            vec![],
            0,
        ),
        (
            RunFilter {
                limit: 0,
                ..every_run()
            },
            vec![],
            10,
        ),
        (
            RunFilter {
                offset: 50,
                ..every_run()
            },
            vec![],
            10,
        ),
    ];
    for (filter, expected, total) in cases {
        let list = scene.store.runs(&filter).await.unwrap();
        let shown: Vec<i64> = list.runs.iter().map(|run| run.row.run.0).collect();
        assert_eq!((shown, list.total), (expected, total), "{filter:?}");
    }
    let counts = scene.store.run_counts().await.unwrap();
    let expected = [
        (scene.dag(), RunState::Running, 3),
        (scene.dag(), RunState::Success, 3),
        (scene.dag(), RunState::Failed, 3),
        (other.dag.dag, RunState::Queued, 1),
    ];
    assert_eq!(counts, expected);
}

pub(crate) async fn changes_come_in_order_and_the_oldest_go<S: EngineStore + PageStore>(store: S) {
    let scene = Scene::new(store).await;
    let changes = vec![change(3), change(1), change(2)];
    scene
        .store
        .commit_pass(&Pass {
            changes,
            ..scene.pass()
        })
        .await
        .unwrap();
    let seqs = async |after: i64, limit: u32| {
        let changes = scene.store.changes_after(after, limit).await.unwrap();
        changes.iter().map(|change| change.seq).collect::<Vec<_>>()
    };
    assert_eq!(seqs(0, 10).await, [1, 2, 3]);
    assert_eq!(seqs(0, 2).await, [1, 2]);
    assert_eq!(seqs(2, 2).await, [3]);
    assert_eq!(seqs(3, 2).await, [0i64; 0]);
    let far = CHANGES_KEPT + CHANGES_TRIMMED_EVERY;
    let changes = vec![
        change(CHANGES_TRIMMED_EVERY + 1),
        change(far - 1),
        change(far),
        change(far + 1),
    ];
    scene
        .store
        .commit_pass(&Pass {
            changes,
            ..scene.pass()
        })
        .await
        .unwrap();
    assert_eq!(
        seqs(0, 10).await,
        [CHANGES_TRIMMED_EVERY + 1, far - 1, far, far + 1]
    );
    assert_eq!(scene.store.load().await.unwrap().last_seq, far + 1);
    let newest = scene.store.changes_after(0, u32::MAX).await.unwrap();
    let newest = newest.last().map_or(0, |change| change.seq);
    assert_eq!(scene.store.last_change().await.unwrap(), newest);
    let told = scene.store.changes_after(far, 1).await.unwrap();
    assert_eq!(told[0].body, json!({"dag_id": "etl", "tasks": []}));
}

pub(crate) async fn import_errors_are_kept_by_file<S: EngineStore + PageStore>(store: S) {
    store
        .put_import_errors("b.toml", &[mistake("one")], Ts(1))
        .await
        .unwrap();
    store
        .put_import_errors("a.toml", &[mistake("two")], Ts(2))
        .await
        .unwrap();
    store
        .put_import_errors("b.toml", &[mistake("three"), mistake("four")], Ts(3))
        .await
        .unwrap();
    let errors = vec![mistake("three"), mistake("four")];
    let of_b = ImportErrors {
        file: "b.toml".to_string(),
        errors,
        at: Ts(3),
    };
    let kept = store.import_errors().await.unwrap();
    assert_eq!(
        kept.iter()
            .map(|errors| errors.file.as_str())
            .collect::<Vec<_>>(),
        ["a.toml", "b.toml"]
    );
    assert_eq!(kept[1], of_b);
    store.put_import_errors("a.toml", &[], Ts(4)).await.unwrap();
    store
        .put_import_errors("never.toml", &[], Ts(4))
        .await
        .unwrap();
    assert_eq!(store.import_errors().await.unwrap(), vec![of_b]);
}

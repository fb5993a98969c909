//! Terms, passes, runs and tasks.

use crate::sample::*;
use crate::snapshot;
use serde_json::json;
use tidemill_model::{
    DagNo, Epoch, MapIndex, MapItem, Reason, RunNo, RunState, RunType, TaskNo, TaskState, Ts,
    VersionNo,
};
use tidemill_store::*;

pub(crate) async fn an_empty_store_has_nothing<S: EngineStore + PageStore>(store: S) {
    let loaded = store.load().await.unwrap();
    assert!(loaded.dags.is_empty() && loaded.runs.is_empty() && loaded.versions.is_empty());
    assert_eq!((loaded.last_run, loaded.last_seq), (0, 0));
    assert_eq!(store.dag("etl").await.unwrap(), None);
    assert_eq!(store.run("etl", "r").await.unwrap(), None);
    let id = store.installation().await.unwrap();
    assert!(!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_eq!(store.installation().await.unwrap(), id);
    assert_eq!(store.run_by_no(RunNo(1)).await.unwrap(), None);
    assert_eq!(store.run_with_tasks(RunNo(1)).await.unwrap(), None);
    assert_eq!(store.version(VersionNo(1)).await.unwrap(), None);
    assert_eq!(
        store.runs(&every_run()).await.unwrap(),
        RunList {
            runs: vec![],
            total: 0
        }
    );
    let unknown = RunFilter {
        dag_id: Some("etl".to_string()),
        ..every_run()
    };
    assert_eq!(
        store.runs(&unknown).await.unwrap(),
        RunList {
            runs: vec![],
            total: 0
        }
    );
}

pub(crate) async fn a_later_term_ends_the_earlier<S: EngineStore + PageStore>(store: S) {
    let without_term = store
        .commit_pass(&Pass {
            term: 0,
            ..Pass::default()
        })
        .await;
    assert!(
        matches!(without_term, Err(StoreError::TermLost)),
        "{without_term:?}"
    );
    let scene = Scene::new(store).await;
    let later = scene.store.take_term("another", Ts(9)).await.unwrap();
    assert!(later > scene.term, "{later} follows {}", scene.term);
    let before = snapshot(&scene.store).await;
    let stale = scene
        .store
        .commit_pass(&Pass {
            new_runs: vec![scene.run(1)],
            ..scene.pass()
        })
        .await;
    assert!(matches!(stale, Err(StoreError::TermLost)), "{stale:?}");
    assert_eq!(snapshot(&scene.store).await, before);
    let current = Pass {
        term: later,
        new_runs: vec![scene.run(1)],
        ..Pass::default()
    };
    scene.store.commit_pass(&current).await.unwrap();
    assert!(scene.store.run_by_no(RunNo(1)).await.unwrap().is_some());
}

pub(crate) async fn a_pass_is_written_whole<S: EngineStore + PageStore>(store: S) {
    let scene = Scene::new(store).await;
    let (run, task) = (RunNo(1), scene.kept.task_nos[0]);
    let mut mapped = task_row(run, task);
    mapped.map_index = MapIndex(3);
    let ended = full_task(run, task);
    let pass = Pass {
        new_runs: vec![scene.run(1)],
        tasks: vec![
            mapped.clone(),
            ended.clone(),
            task_row(run, scene.kept.task_nos[1]),
        ],
        values: vec![value_row(run, task, "return_value", json!("done"))],
        changes: vec![change(1)],
        ..scene.pass()
    };
    scene.store.commit_pass(&pass).await.unwrap();
    let (row, tasks) = scene.store.run_with_tasks(run).await.unwrap().unwrap();
    assert_eq!(row, scene.run(1));
    let expected = vec![ended, mapped, task_row(run, scene.kept.task_nos[1])];
    assert_eq!(tasks, expected, "by task number and map index");
    assert_eq!(
        scene.store.tasks(&[RunNo(5), run, run]).await.unwrap(),
        expected
    );
    assert_eq!(
        scene.store.changes_after(0, 10).await.unwrap(),
        vec![change(1)]
    );
    assert_eq!(
        scene.store.find_run(scene.dag(), "run-1").await.unwrap(),
        Some(scene.run(1))
    );
    let record = scene.store.run("etl", "run-1").await.unwrap().unwrap();
    assert_eq!((record.dag_id.as_str(), record.version_number), ("etl", 1));
    one_row_again(&scene, task_row(run, task)).await;
}

/// A task row on its own: the usual pass.
async fn one_row_again<S: EngineStore + PageStore>(scene: &Scene<S>, row: TaskRow) {
    let pass = Pass {
        tasks: vec![row.clone()],
        ..scene.pass()
    };
    scene.store.commit_pass(&pass).await.unwrap();
    let tasks = scene.store.tasks(&[row.run]).await.unwrap();
    assert_eq!(tasks.len(), 3);
    assert_eq!(tasks[0], row);
}

/// A task row with every column filled.
fn full_task(run: RunNo, task_no: TaskNo) -> TaskRow {
    TaskRow {
        state: TaskState::Failed,
        try_number: 2,
        max_tries: i32::MAX,
        epoch: Epoch(i64::MAX),
        worker: Some(8),
        losses: 1,
        scheduled_at: Some(Ts(i64::MIN)),
        queued_at: Some(Ts(11)),
        started_at: Some(Ts(12)),
        ended_at: Some(Ts(13)),
        not_before: Some(Ts(i64::MAX)),
        reason: Some(Reason::ExitStatus),
        message: Some("exit status 3: ‘häßlich’; \"\u{0}\"".to_string()),
        exit_code: Some(-3),
        followed: Some(vec![TaskNo(2), TaskNo(i32::MAX)]),
        map_item: Some(Box::new(MapItem {
            values: serde_json::Map::from_iter([("day".to_string(), json!([1, "ö"]))]),
            label: Some("ö \u{0}".to_string()),
        })),
        clears: i32::MAX,
        ..task_row(run, task_no)
    }
}

pub(crate) async fn a_pass_that_breaks_a_rule_leaves_nothing<S: EngineStore + PageStore>(store: S) {
    let scene = Scene::new(store).await;
    scene.make_runs(vec![scene.run(1)]).await;
    scene
        .store
        .commit_pass(&Pass {
            changes: vec![change(1)],
            ..scene.pass()
        })
        .await
        .unwrap();
    let before = snapshot(&scene.store).await;
    let good = || Pass {
        new_runs: vec![scene.run(2)],
        changes: vec![change(2)],
        ..scene.pass()
    };
    let task = scene.kept.task_nos[0];
    let patch = DagPatch {
        dag: DagNo(99),
        is_paused: true,
        schedule_high: None,
        next_run: None,
    };
    let bad = [
        Pass {
            new_runs: vec![scene.run(2), scene.run(1)],
            ..good()
        },
        Pass {
            new_runs: vec![run_row(2, DagNo(99), scene.kept.version)],
            ..good()
        },
        Pass {
            new_runs: vec![run_row(2, scene.dag(), VersionNo(99))],
            ..good()
        },
        Pass {
            runs: vec![scene.run(99)],
            ..good()
        },
        Pass {
            tasks: vec![task_row(RunNo(99), task)],
            ..good()
        },
        Pass {
            tries: vec![TryRow {
                task: task_row(RunNo(99), task),
            }],
            ..good()
        },
        Pass {
            values: vec![value_row(RunNo(99), task, "k", json!(1))],
            ..good()
        },
        Pass {
            changes: vec![change(2), change(2)],
            ..good()
        },
        Pass {
            changes: vec![change(1)],
            ..good()
        },
        Pass {
            dags: vec![patch],
            ..good()
        },
    ];
    for pass in bad {
        let refused = scene.store.commit_pass(&pass).await;
        assert!(
            matches!(refused, Err(ref err) if !matches!(err, StoreError::TermLost)),
            "{refused:?}: {pass:?}"
        );
        assert_eq!(snapshot(&scene.store).await, before, "after {pass:?}");
    }
    scene.store.commit_pass(&good()).await.unwrap();
}

pub(crate) async fn a_run_is_unique_by_name_date_and_cause<S: EngineStore + PageStore>(store: S) {
    let scene = Scene::new(store).await;
    let other = scene
        .store
        .put_version(&version("other", "h1", &["a"]))
        .await
        .unwrap();
    let named = RunRow {
        run_id: "named".to_string(),
        ..scene.run(1)
    };
    let dated = RunRow {
        logical_date: Some(Ts(70)),
        ..scene.run(2)
    };
    let caused = RunRow {
        cause: Some("schedule:80".to_string()),
        ..scene.run(3)
    };
    scene
        .make_runs(vec![named.clone(), dated.clone(), caused.clone()])
        .await;
    let key = |run_id: &str, logical_date: Option<i64>, cause: Option<&str>| RunKey {
        run_id: run_id.to_string(),
        logical_date: logical_date.map(Ts),
        cause: cause.map(str::to_string),
    };
    let cases = [
        (key("new", None, None), None),
        (key("new", Some(71), Some("schedule:81")), None),
        (key("named", None, None), Some(&named)),
        (key("new", Some(70), None), Some(&dated)),
        (key("new", None, Some("schedule:80")), Some(&caused)),
        (key("named", Some(70), Some("schedule:80")), Some(&caused)),
        (key("named", Some(70), Some("schedule:81")), Some(&named)),
    ];
    for (key, expected) in cases {
        let found = scene
            .store
            .conflicting_run(scene.dag(), &key)
            .await
            .unwrap();
        assert_eq!(found.as_ref(), expected, "{key:?}");
        assert_eq!(
            scene
                .store
                .conflicting_run(other.dag.dag, &key)
                .await
                .unwrap(),
            None
        );
        let row = RunRow {
            run_id: key.run_id,
            logical_date: key.logical_date,
            cause: key.cause,
            ..scene.run(9)
        };
        if expected.is_some() {
            let refused = scene
                .store
                .commit_pass(&Pass {
                    new_runs: vec![row],
                    ..scene.pass()
                })
                .await;
            assert!(refused.is_err(), "{refused:?}");
        }
    }
    let elsewhere = [named, dated, caused].map(|row| RunRow {
        run: RunNo(row.run.0 + 10),
        dag: other.dag.dag,
        version: other.version,
        ..row
    });
    scene.make_runs(elsewhere.to_vec()).await;
}

pub(crate) async fn the_identity_of_a_run_stays<S: EngineStore + PageStore>(store: S) {
    let scene = Scene::new(store).await;
    scene.make_runs(vec![scene.run(1)]).await;
    let changed = RunRow {
        state: RunState::Failed,
        started_at: Some(Ts(20)),
        ended_at: Some(Ts(30)),
        reason: Some(Reason::TaskFailed),
        note: Some("why".to_string()),
        conf: json!({}),
        ..scene.run(1)
    };
    let renamed = RunRow {
        run_id: "another".to_string(),
        run_type: RunType::Backfill,
        cause: Some("c".to_string()),
        logical_date: Some(Ts(1)),
        ..changed.clone()
    };
    scene
        .store
        .commit_pass(&Pass {
            runs: vec![renamed],
            ..scene.pass()
        })
        .await
        .unwrap();
    assert_eq!(
        scene.store.run_by_no(RunNo(1)).await.unwrap().unwrap().row,
        changed
    );
}

pub(crate) async fn only_open_runs_are_loaded<S: EngineStore + PageStore>(store: S) {
    let scene = Scene::new(store).await;
    let newer = scene
        .store
        .put_version(&version("etl", "h2", &["a"]))
        .await
        .unwrap();
    let unused = scene
        .store
        .put_version(&version("etl", "h3", &["a"]))
        .await
        .unwrap();
    let current = scene
        .store
        .put_version(&version("etl", "h4", &["d"]))
        .await
        .unwrap();
    let open = RunRow {
        state: RunState::Running,
        ..scene.run(1)
    };
    let waiting = run_row(2, scene.dag(), newer.version);
    let over = RunRow {
        state: RunState::Success,
        ..run_row(3, scene.dag(), unused.version)
    };
    let task = task_row(RunNo(1), scene.kept.task_nos[0]);
    let tasks = vec![task.clone(), task_row(RunNo(3), scene.kept.task_nos[0])];
    let pass = Pass {
        new_runs: vec![open.clone(), waiting.clone(), over],
        tasks,
        ..scene.pass()
    };
    scene.store.commit_pass(&pass).await.unwrap();
    let loaded = scene.store.load().await.unwrap();
    assert_eq!(loaded.runs, vec![(open, vec![task]), (waiting, vec![])]);
    let versions: Vec<VersionNo> = loaded
        .versions
        .iter()
        .map(|version| version.version)
        .collect();
    assert_eq!(
        versions,
        vec![scene.kept.version, newer.version, current.version]
    );
    assert_eq!(loaded.versions[0].source, "# h1\n");
    assert_eq!(loaded.versions[0].files, version("etl", "h1", &[]).files);
    assert_eq!(loaded.dags, vec![current.dag]);
    assert_eq!(loaded.task_names.len(), 4);
}

pub(crate) async fn run_numbers_are_never_given_again<S: EngineStore + PageStore>(store: S) {
    let scene = Scene::new(store).await;
    scene.make_runs(vec![scene.run(40), scene.run(12)]).await;
    scene.make_runs(vec![scene.run(13)]).await;
    scene
        .store
        .commit_pass(&Pass {
            changes: vec![change(6), change(7)],
            ..scene.pass()
        })
        .await
        .unwrap();
    let loaded = scene.store.load().await.unwrap();
    assert_eq!((loaded.last_run, loaded.last_seq), (40, 7));
}

pub(crate) async fn values_are_cleared_before_they_are_kept<S: EngineStore + PageStore>(store: S) {
    let scene = Scene::new(store).await;
    let (run, a, b) = (RunNo(1), scene.kept.task_nos[0], scene.kept.task_nos[1]);
    let big = json!({"z": 1, "a": [true, null, {"deep": "x".repeat(70_000)}]});
    let values = vec![
        value_row(run, b, "z", json!(2)),
        value_row(run, a, "return_value", json!("old")),
        value_row(run, a, "k", big.clone()),
    ];
    scene
        .store
        .commit_pass(&Pass {
            new_runs: vec![scene.run(1)],
            values,
            ..scene.pass()
        })
        .await
        .unwrap();
    let keys = |rows: &[ValueRow]| rows.iter().map(|row| row.key.clone()).collect::<Vec<_>>();
    let all = scene.store.run_values(run).await.unwrap();
    assert_eq!(keys(&all), ["k", "return_value", "z"]);
    assert_eq!(all[0].value, big);
    assert_eq!(
        keys(&scene.store.values(run, &[b, TaskNo(99)]).await.unwrap()),
        ["z"]
    );
    assert_eq!(scene.store.values(run, &[]).await.unwrap(), vec![]);
    let pass = Pass {
        cleared_values: vec![(run, a, MapIndex::NONE), (RunNo(9), a, MapIndex::NONE)],
        values: vec![
            value_row(run, a, "return_value", json!("new")),
            value_row(run, b, "z", json!(3)),
        ],
        ..scene.pass()
    };
    scene.store.commit_pass(&pass).await.unwrap();
    let left = scene.store.values(run, &[b, a]).await.unwrap();
    assert_eq!(
        left,
        vec![
            value_row(run, a, "return_value", json!("new")),
            value_row(run, b, "z", json!(3))
        ]
    );
}

pub(crate) async fn tries_are_told_oldest_first<S: EngineStore + PageStore>(store: S) {
    let scene = Scene::new(store).await;
    let (run, a) = (RunNo(1), scene.kept.task_nos[0]);
    let attempt = |try_number: i32, epoch: i64| TryRow {
        task: TaskRow {
            try_number,
            epoch: Epoch(epoch),
            ..full_task(run, a)
        },
    };
    let elsewhere = TryRow {
        task: task_row(run, scene.kept.task_nos[1]),
    };
    let tries = vec![attempt(2, 5), attempt(1, 4), elsewhere, attempt(2, 3)];
    scene
        .store
        .commit_pass(&Pass {
            new_runs: vec![scene.run(1)],
            tries,
            ..scene.pass()
        })
        .await
        .unwrap();
    let told = scene.store.tries(run, a, MapIndex::NONE).await.unwrap();
    assert_eq!(told, vec![attempt(1, 4), attempt(2, 3), attempt(2, 5)]);
    assert_eq!(
        scene.store.tries(run, a, MapIndex(0)).await.unwrap(),
        vec![]
    );
}

//! Backfills and their dates.

use crate::sample::*;
use tidemill_model::{BackfillNo, RunNo, RunState, SkipReason, Ts};
use tidemill_store::*;

fn date(backfill: i64, tick: i64, run: Option<i64>) -> BackfillDate {
    BackfillDate {
        backfill: BackfillNo(backfill),
        tick: Ts(tick),
        logical_date: Ts(tick - 1),
        run: run.map(RunNo),
        skipped: run.is_none().then_some(SkipReason::AlreadyExists),
    }
}

pub(crate) async fn backfills_are_kept_with_their_dates<S: EngineStore + PageStore>(store: S) {
    let scene = Scene::new(store).await;
    let commit = async |backfills: Vec<BackfillRow>, backfill_dates: Vec<BackfillDate>| {
        let pass = Pass {
            backfills,
            backfill_dates,
            ..scene.pass()
        };
        scene.store.commit_pass(&pass).await
    };
    scene.make_runs(vec![scene.run(1)]).await;
    let first = backfill_row(1, scene.dag());
    let dates = vec![date(1, 12, Some(1)), date(1, 11, None)];
    commit(vec![first.clone(), backfill_row(2, scene.dag())], dates)
        .await
        .unwrap();
    let found = scene.store.backfills().await.unwrap();
    let numbers: Vec<i64> = found.iter().map(|record| record.row.backfill.0).collect();
    assert_eq!(numbers, [2, 1]);
    assert_eq!((&found[1].row, found[1].dag_id.as_str()), (&first, "etl"));
    let dates = scene.store.backfill_dates(BackfillNo(1)).await.unwrap();
    assert_eq!(dates, vec![date(1, 11, None), date(1, 12, Some(1))]);

    // What was wished for stays; how far it is changes.
    let changed = BackfillRow {
        is_paused: true,
        position: Some(Ts(12)),
        updated_at: Ts(40),
        completed_at: Some(Ts(41)),
        ..first
    };
    let wished_anew = BackfillRow {
        to_date: Ts(99),
        max_active_runs: 1,
        on_latest_version: false,
        ..changed.clone()
    };
    commit(vec![wished_anew], Vec::new()).await.unwrap();
    assert_eq!(scene.store.backfills().await.unwrap()[1].row, changed);

    // Nothing of what belongs to nothing.
    let stray = backfill_row(3, tidemill_model::DagNo(999));
    assert!(commit(vec![stray], Vec::new()).await.is_err());
    assert!(commit(Vec::new(), vec![date(9, 1, None)]).await.is_err());
    assert!(
        commit(Vec::new(), vec![date(1, 1, Some(99))])
            .await
            .is_err()
    );
    assert_eq!(scene.store.backfills().await.unwrap().len(), 2);
}

pub(crate) async fn an_open_backfill_is_loaded_with_its_active_runs<S: EngineStore + PageStore>(
    store: S,
) {
    let scene = Scene::new(store).await;
    let over = RunRow {
        state: RunState::Success,
        ..scene.run(1)
    };
    scene
        .make_runs(vec![over, scene.run(2), scene.run(3)])
        .await;
    let open = BackfillRow {
        on_latest_version: false,
        ..backfill_row(4, scene.dag())
    };
    let complete = BackfillRow {
        completed_at: Some(Ts(50)),
        ..backfill_row(7, scene.dag())
    };
    let pass = Pass {
        backfills: vec![complete, open.clone()],
        backfill_dates: vec![
            date(4, 11, Some(1)),
            date(4, 12, Some(3)),
            date(4, 13, Some(2)),
            date(7, 13, Some(2)),
        ],
        ..scene.pass()
    };
    scene.store.commit_pass(&pass).await.unwrap();
    let loaded = scene.store.load().await.unwrap();
    assert_eq!(loaded.last_backfill, 7);
    assert_eq!(loaded.backfills, vec![(open, vec![RunNo(2), RunNo(3)])]);
}

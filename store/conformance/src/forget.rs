//! Old runs, and how they go.

use crate::sample::*;
use serde_json::json;
use tidemill_model::{BackfillNo, MapIndex, RunNo, RunState, TaskState, Ts};
use tidemill_store::*;

/// Six runs, ended at 10, 20, …; the third has not ended.
async fn history<S: EngineStore + PageStore>(store: S) -> Scene<S> {
    let scene = Scene::new(store).await;
    let runs = (1..=6).map(|run| RunRow {
        state: match run {
            3 => RunState::Running,
            _ => RunState::Success,
        },
        ended_at: (run != 3).then_some(Ts(run * 10)),
        queued_at: Ts(run),
        ..scene.run(run)
    });
    scene.make_runs(runs.collect()).await;
    scene
}

pub(crate) async fn old_runs_are_those_that_ended_long_ago<S: EngineStore + PageStore>(store: S) {
    let scene = history(store).await;
    let old = async |after: i64, look_at: u32, ended_before: i64, keep_last: u32| {
        let which = OldRuns {
            after: RunNo(after),
            look_at,
            ended_before: Ts(ended_before),
            keep_last,
        };
        let found = scene.store.old_runs(&which).await.unwrap();
        assert!(found.iter().all(|run| run.queued_at == Ts(run.run.0)));
        let told = found.iter().map(|run| (run.run.0, run.is_old));
        told.collect::<Vec<_>>()
    };
    let first_three = [(1, true), (2, true), (3, false)];
    assert_eq!(old(0, 3, 100, 0).await, first_three);
    assert_eq!(old(3, 9, 50, 0).await, [(4, true), (5, false), (6, false)]);
    assert_eq!(old(3, 9, 100, 2).await, [(4, true), (5, false), (6, false)]);
    assert_eq!(old(6, 9, 100, 0).await, []);
}

pub(crate) async fn a_forgotten_run_leaves_nothing<S: EngineStore + PageStore>(store: S) {
    let scene = history(store).await;
    scene.store.commit_pass(&belongings(&scene)).await.unwrap();
    let forget = async |runs: &[i64], rows_max: u32| {
        let runs: Vec<RunNo> = runs.iter().map(|run| RunNo(*run)).collect();
        let done = scene.store.forget_runs(&runs, rows_max).await.unwrap();
        let numbers = |runs: Vec<RunNo>| runs.iter().map(|run| run.0).collect::<Vec<_>>();
        (numbers(done.gone), numbers(done.left))
    };
    // A piece at a time; run 3 is not over, and there is no run 77.
    assert_eq!(forget(&[2, 3], 2).await, (vec![], vec![2]));
    assert_eq!(forget(&[2, 3, 77], 2).await, (vec![2], vec![]));
    assert_eq!(forget(&[2], 2).await, (vec![], vec![]));
    let (run, pages) = (RunNo(2), &scene.store);
    assert!(pages.run_by_no(run).await.unwrap().is_none());
    assert!(pages.tasks(&[run]).await.unwrap().is_empty());
    assert!(pages.run_values(run).await.unwrap().is_empty());
    assert!(pages.task_notes(run).await.unwrap().is_empty());
    let task = scene.kept.task_nos[0];
    let tries = pages.tries(run, task, MapIndex::NONE).await.unwrap();
    assert!(tries.is_empty());
    assert_eq!(pages.backfill_dates(BackfillNo(1)).await.unwrap(), []);
    assert_eq!(pages.tasks(&[RunNo(3)]).await.unwrap().len(), 3);
    assert_eq!(pages.runs(&every_run()).await.unwrap().total, 5);
}

/// Something of every kind, for the runs 2 and 3.
fn belongings<S: EngineStore + PageStore>(scene: &Scene<S>) -> Pass {
    let mut pass = scene.pass();
    for run in [RunNo(2), RunNo(3)] {
        for task_no in &scene.kept.task_nos {
            let task = TaskRow {
                state: TaskState::Success,
                ..task_row(run, *task_no)
            };
            pass.values.push(ValueRow {
                run,
                task_no: *task_no,
                map_index: MapIndex::NONE,
                key: "return_value".to_string(),
                value: json!([1]),
            });
            pass.notes.push(TaskNote {
                run,
                task_no: *task_no,
                map_index: MapIndex::NONE,
                note: "why".to_string(),
            });
            pass.tries.push(TryRow { task: task.clone() });
            pass.tasks.push(task);
        }
    }
    pass.backfills.push(backfill_row(1, scene.dag()));
    pass.backfill_dates.push(BackfillDate {
        backfill: BackfillNo(1),
        tick: Ts(1),
        logical_date: Ts(1),
        run: Some(RunNo(2)),
        skipped: None,
    });
    pass
}

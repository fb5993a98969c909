//! Everything that a store would tell, as text.

use crate::sample::every_run;
use tidemill_model::{RunNo, TaskState};
use tidemill_store::{EngineStore, PageStore};

/// Everything stored, as one text: equal stores have equal texts.
///
/// # Panics
/// When the store cannot be read.
pub async fn snapshot<S: EngineStore + PageStore>(store: &S) -> String {
    let mut lines = vec![format!("load {:#?}", store.load().await.unwrap())];
    let dags = store.dags().await.unwrap();
    for dag in &dags {
        lines.push(format!(
            "names {:?}",
            store.task_names(dag.dag).await.unwrap()
        ));
        for version in store.versions(dag.dag).await.unwrap() {
            lines.push(format!(
                "{version:?} {:?}",
                store.version(version.version).await.unwrap()
            ));
        }
    }
    lines.push(format!("dags {dags:#?}"));
    let runs = store.runs(&every_run()).await.unwrap();
    let numbers: Vec<RunNo> = runs.runs.iter().map(|run| run.row.run).collect();
    lines.push(format!("runs {runs:#?}"));
    let tasks = store.tasks(&numbers).await.unwrap();
    for task in &tasks {
        let tries = store
            .tries(task.run, task.task_no, task.map_index)
            .await
            .unwrap();
        lines.push(format!("{task:?} {tries:?}"));
        let same = store.task(task.run, task.task_no, task.map_index).await;
        assert_eq!(same.unwrap().as_ref(), Some(task));
    }
    for run in numbers {
        lines.push(format!("values {:?}", store.run_values(run).await.unwrap()));
        let counts = store.task_counts(run).await.unwrap();
        let page = store.task_page(run, &[TaskState::Running], 1, 2).await;
        lines.push(format!("counts {counts:?} page {:?}", page.unwrap()));
        lines.push(format!("notes {:?}", store.task_notes(run).await.unwrap()));
    }
    for record in store.backfills().await.unwrap() {
        let dates = store.backfill_dates(record.row.backfill).await.unwrap();
        lines.push(format!("backfill {record:?} {dates:?}"));
    }
    lines.push(format!("pools {:?}", store.pools().await.unwrap()));
    lines.push(format!("errors {:?}", store.import_errors().await.unwrap()));
    lines.push(format!(
        "changes {:?}",
        store.changes_after(i64::MIN, u32::MAX).await.unwrap()
    ));
    lines.push(format!("counts {:?}", store.run_counts().await.unwrap()));
    lines.join("\n")
}

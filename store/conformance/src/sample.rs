//! Rows to write.

use serde_json::json;
use tidemill_model::{
    BackfillNo, DagNo, MapIndex, Reprocess, RunNo, RunState, RunType, TaskNo, Ts, VersionNo,
};
use tidemill_store::*;

/// A store with a term, a DAG of three tasks and nothing else.
pub(crate) struct Scene<S> {
    pub(crate) store: S,
    pub(crate) term: i64,
    pub(crate) kept: StoredVersion,
}

impl<S: EngineStore + PageStore> Scene<S> {
    pub(crate) async fn new(store: S) -> Scene<S> {
        let term = store.take_term("conformance", Ts(1)).await.unwrap();
        let kept = store
            .put_version(&version("etl", "h1", &["a", "b", "c"]))
            .await
            .unwrap();
        Scene { store, term, kept }
    }

    pub(crate) fn dag(&self) -> DagNo {
        self.kept.dag.dag
    }

    pub(crate) fn pass(&self) -> Pass {
        Pass {
            term: self.term,
            now: Some(Ts(5)),
            ..Pass::default()
        }
    }

    pub(crate) fn run(&self, run: i64) -> RunRow {
        run_row(run, self.dag(), self.kept.version)
    }

    /// Writes new runs.
    pub(crate) async fn make_runs(&self, runs: Vec<RunRow>) {
        self.store
            .commit_pass(&Pass {
                new_runs: runs,
                ..self.pass()
            })
            .await
            .unwrap();
    }
}

/// A version with a file beside it.
pub(crate) fn version(dag_id: &str, hash: &str, task_ids: &[&str]) -> NewVersion {
    NewVersion {
        dag_id: dag_id.to_string(),
        file: format!("{dag_id}.toml"),
        hash: hash.to_string(),
        source: format!("# {hash}\n"),
        files: vec![PinnedFile {
            path: "run.sh".to_string(),
            mode: 0o755,
            bytes: vec![0, 255, b'x'],
        }],
        task_ids: task_ids.iter().map(|task| (*task).to_string()).collect(),
        paused_if_new: false,
        now: Ts(2),
    }
}

/// A queued run that only its number tells apart.
pub(crate) fn run_row(run: i64, dag: DagNo, version: VersionNo) -> RunRow {
    RunRow {
        run: RunNo(run),
        dag,
        run_id: format!("run-{run}"),
        run_type: RunType::Manual,
        state: RunState::Queued,
        version,
        cause: None,
        logical_date: None,
        data_interval_start: Some(Ts(-1)),
        data_interval_end: None,
        run_after: Ts(3),
        queued_at: Ts(4),
        started_at: None,
        ended_at: None,
        conf: json!({"name": "wörld", "n": [1, null, "\u{0}'"]}),
        triggered_by: Some("cli".to_string()),
        note: None,
        reason: None,
        retries_used: 0,
    }
}

/// A task instance before its first try.
pub(crate) fn task_row(run: RunNo, task_no: TaskNo) -> TaskRow {
    TaskRow::new(run, task_no, MapIndex::NONE, 1)
}

/// A backfill that nothing has happened to.
pub(crate) fn backfill_row(backfill: i64, dag: DagNo) -> BackfillRow {
    BackfillRow {
        backfill: BackfillNo(backfill),
        dag,
        from_date: Ts(10),
        to_date: Ts(20),
        is_backwards: false,
        reprocess: Reprocess::None,
        max_active_runs: 10,
        conf: json!({"name": "wörld"}),
        is_paused: false,
        position: None,
        created_at: Ts(30),
        updated_at: Ts(30),
        completed_at: None,
        on_latest_version: true,
    }
}

/// A value that a task has kept.
pub(crate) fn value_row(
    run: RunNo,
    task_no: TaskNo,
    key: &str,
    value: serde_json::Value,
) -> ValueRow {
    ValueRow {
        run,
        task_no,
        map_index: MapIndex::NONE,
        key: key.to_string(),
        value,
    }
}

/// A change of a run.
pub(crate) fn change(seq: i64) -> Change {
    Change {
        seq,
        at: Ts(seq),
        run: 1,
        body: json!({"dag_id": "etl", "tasks": []}),
    }
}

/// A mistake in a file.
pub(crate) fn mistake(message: &str) -> ImportError {
    ImportError {
        code: "TM0104".to_string(),
        severity: "error".to_string(),
        file: "etl.toml".to_string(),
        line: 1,
        column: 2,
        end_line: 3,
        end_column: 4,
        message: message.to_string(),
        help: None,
    }
}

/// All runs, newest first.
pub(crate) fn every_run() -> RunFilter {
    RunFilter {
        limit: u32::MAX,
        ..RunFilter::default()
    }
}

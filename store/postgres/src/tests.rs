//! What is particular to the PostgreSQL store. What all stores share is in `store/conformance`.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod answers;
mod asked_again;
mod bells;
mod schema;
mod snapshot;
mod statement;
mod term;
mod tls;
mod wish;

use crate::{Address, PostgresStore};
use std::time::{Duration, Instant};
use tidemill_model::{
    Attempt, Epoch, MapIndex, RunNo, RunState, RunType, TaskNo, TaskState, TriggerNo, Ts,
};
use tidemill_store::*;
use tidemill_store_conformance::server::Server;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

fn address(url: &str) -> Address {
    Address::parse(url, None).unwrap()
}

async fn open(url: &str) -> PostgresStore {
    PostgresStore::open(&address(url)).await.unwrap()
}

/// The name of the database in an address of the shared server.
fn database(url: &str) -> &str {
    let (_, rest) = url.split_once(":///").unwrap();
    rest.split('?').next().unwrap()
}

fn sql(url: &str, text: &str) -> String {
    Server::shared().sql(database(url), text)
}

/// Asks until there is an answer.
async fn wait_for<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begin.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn a_version(hash: &str, tasks: usize) -> NewVersion {
    NewVersion {
        dag_id: "etl".to_string(),
        file: "etl.toml".to_string(),
        hash: hash.to_string(),
        source: String::new(),
        files: Vec::new(),
        task_ids: (0..tasks).map(|task| format!("task_{task}")).collect(),
        paused_if_new: false,
        now: Ts(1),
    }
}

fn a_run(run: i64, kept: &StoredVersion) -> RunRow {
    RunRow {
        run: RunNo(run),
        dag: kept.dag.dag,
        run_id: format!("manual {run}"),
        run_type: RunType::Manual,
        state: RunState::Running,
        version: kept.version,
        cause: None,
        logical_date: None,
        data_interval_start: None,
        data_interval_end: None,
        run_after: Ts(1),
        queued_at: Ts(1),
        started_at: None,
        ended_at: None,
        conf: serde_json::json!({}),
        triggered_by: None,
        note: None,
        reason: None,
        retries_used: 0,
    }
}

fn a_task(task_no: TaskNo, state: TaskState) -> TaskRow {
    TaskRow {
        state,
        try_number: 1,
        epoch: Epoch(1),
        ..TaskRow::new(RunNo(1), task_no, MapIndex::NONE, 1)
    }
}

fn a_change(seq: i64) -> Change {
    Change {
        seq,
        at: Ts(seq),
        run: 1,
        body: serde_json::json!({"seq": seq}),
    }
}

/// A store with a term and one running run of so many tasks.
struct Scene {
    url: String,
    store: PostgresStore,
    term: i64,
    kept: StoredVersion,
}

async fn scene(n_tasks: usize) -> Scene {
    let url = Server::shared().new_database();
    scene_at(url, n_tasks).await
}

async fn scene_at(url: String, n_tasks: usize) -> Scene {
    let store = open(&url).await;
    let term = store.take_term("the first", Ts(1)).await.unwrap();
    let kept = store.put_version(&a_version("h1", n_tasks)).await.unwrap();
    let tasks = kept.task_nos.iter();
    let pass = Pass {
        term,
        new_runs: vec![a_run(1, &kept)],
        tasks: tasks.map(|no| a_task(*no, TaskState::None)).collect(),
        ..Pass::default()
    };
    store.commit_pass(&pass).await.unwrap();
    Scene {
        url,
        store,
        term,
        kept,
    }
}

impl Scene {
    /// A pass that moves the first task to a state and tells so.
    fn pass(&self, seq: i64, state: TaskState) -> Pass {
        Pass {
            term: self.term,
            tasks: vec![a_task(self.kept.task_nos[0], state)],
            changes: vec![a_change(seq)],
            ..Pass::default()
        }
    }

    /// A try of one of its tasks.
    fn attempt(&self, task: usize, epoch: i64) -> Attempt {
        Attempt {
            run: RunNo(1),
            task_no: self.kept.task_nos[task],
            map_index: MapIndex::NONE,
            epoch: Epoch(epoch),
        }
    }

    /// A try that any worker may take.
    fn dispatch(&self, attempt: Attempt) -> Dispatch {
        Dispatch {
            attempt,
            queue: "default".to_string(),
            priority: 1,
            version: self.kept.version,
            try_number: 1,
            sealed: None,
        }
    }

    async fn first_task(&self) -> TaskState {
        self.store.tasks(&[RunNo(1)]).await.unwrap()[0].state
    }
}

/// An error with its causes.
fn chain(err: &dyn std::error::Error) -> String {
    match err.source() {
        Some(source) => format!("{err}: {}", chain(source)),
        None => err.to_string(),
    }
}

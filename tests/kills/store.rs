//! What the store says while no server runs.

use super::support::Place;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tidemill_store::{PageStore, RunFilter};
use tidemill_store_postgres::{Address, PostgresStore};
use tidemill_store_sqlite::SqliteStore;

/// A run as the store has it.
#[derive(Debug)]
pub struct Run {
    /// Its state.
    pub state: String,
    /// Its tasks by name.
    pub tasks: BTreeMap<String, Task>,
}

/// A task instance as the store has it.
#[derive(Debug)]
pub struct Task {
    /// Its state.
    pub state: String,
    /// Why; empty when the state says it all.
    pub reason: String,
}

/// Which tasks were over.
pub struct States {
    terminal: BTreeSet<(String, String)>,
}

impl States {
    /// These and no others were over.
    pub fn of(terminal: impl IntoIterator<Item = (String, String)>) -> States {
        States {
            terminal: terminal.into_iter().collect(),
        }
    }

    /// Was it over, so that nothing may start it again?
    pub fn is_terminal(&self, run: &str, task: &str) -> bool {
        self.terminal.contains(&(run.to_string(), task.to_string()))
    }
}

/// The tasks that are over, in a place without a server.
pub fn states(place: &Place) -> States {
    let mut terminal = BTreeSet::new();
    for (name, run) in runs(place) {
        for (task, row) in run.tasks {
            if ["success", "failed", "skipped", "upstream_failed"].contains(&row.state.as_str()) {
                terminal.insert((name.clone(), task));
            }
        }
    }
    States::of(terminal)
}

/// All runs by `dag/run`, in a place without a server.
pub fn runs(place: &Place) -> BTreeMap<String, Run> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    match place.database() {
        None => runtime.block_on(read_file(&place.home())),
        Some(url) => runtime.block_on(read_server(url)),
    }
}

/// The files are copied first, so that looking does not replay the log for the next server.
async fn read_file(home: &Path) -> BTreeMap<String, Run> {
    let copy = tempfile::tempdir().unwrap();
    for file in ["tidemill.db", "tidemill.db-wal"] {
        if home.join(file).exists() {
            std::fs::copy(home.join(file), copy.path().join(file)).unwrap();
        }
    }
    let path = copy.path().join("tidemill.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let found = read(&store).await;
    store.close().await.unwrap();
    found
}

async fn read_server(url: &str) -> BTreeMap<String, Run> {
    let address = Address::parse(url, None).unwrap();
    let store = PostgresStore::open_read_only(&address).await.unwrap();
    read(&store).await
}

async fn read(store: &impl PageStore) -> BTreeMap<String, Run> {
    let mut found = BTreeMap::new();
    let list = store
        .runs(&RunFilter {
            limit: 100_000,
            ..RunFilter::default()
        })
        .await
        .unwrap();
    assert_eq!(list.runs.len() as i64, list.total);
    let mut names = BTreeMap::new();
    for dag in store.dags().await.unwrap() {
        names.insert(
            dag.dag,
            store
                .task_names(dag.dag)
                .await
                .unwrap()
                .into_iter()
                .collect::<BTreeMap<_, _>>(),
        );
    }
    for record in list.runs {
        let mut tasks = BTreeMap::new();
        for row in store.tasks(&[record.row.run]).await.unwrap() {
            let reason = row
                .reason
                .map(|reason| reason.to_string())
                .unwrap_or_default();
            let name = names[&record.row.dag][&row.task_no].clone();
            tasks.insert(
                name,
                Task {
                    state: row.state.to_string(),
                    reason,
                },
            );
        }
        let name = format!("{}/{}", record.dag_id, record.row.run_id);
        found.insert(
            name,
            Run {
                state: record.row.state.to_string(),
                tasks,
            },
        );
    }
    found
}

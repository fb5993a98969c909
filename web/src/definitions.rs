//! The definitions behind stored versions: read from their text, kept for a while.

use crate::error::Fault;
use crate::view::names::Names;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tidemill_model::{Dag, DagNo, Ts, VersionNo};
use tidemill_store::{DagRecord, PageStore, VersionRecord};

const DEFINITIONS_MAX: usize = 512;
const TASKS_MAX: usize = 500_000;

/// A bounded cache. A version never changes, so nothing in it grows stale. Names of tasks come in
/// with versions only, so they are kept until their DAG is at another one.
#[derive(Default)]
pub(crate) struct Definitions {
    kept: Mutex<Kept>,
    names: Mutex<HashMap<DagNo, KeptNames>>,
}

/// The names of a DAG's tasks, and the version that it was at when they were read.
struct KeptNames {
    version: VersionNo,
    since: Ts,
    names: Arc<Names>,
}

#[derive(Default)]
struct Kept {
    by_version: HashMap<VersionNo, Option<Arc<Dag>>>,
    order: VecDeque<VersionNo>,
    n_tasks: usize,
}

impl Definitions {
    /// The definition of a version; `None` when this program cannot read it.
    pub(crate) async fn get(
        &self,
        pages: &dyn PageStore,
        version: VersionNo,
    ) -> Result<Option<Arc<Dag>>, Fault> {
        let known = self.lock().by_version.get(&version).cloned();
        if let Some(dag) = known {
            return Ok(dag);
        }
        let Some(record) = pages.version(version).await? else {
            return Ok(None);
        };
        let dag = tokio::task::spawn_blocking(move || read(&record))
            .await
            .ok()
            .flatten();
        self.keep(version, dag.clone());
        Ok(dag)
    }

    /// The names of a DAG's tasks.
    pub(crate) async fn names(
        &self,
        pages: &dyn PageStore,
        record: &DagRecord,
    ) -> Result<Arc<Names>, Fault> {
        if let Some(names) = self.known_names(record) {
            return Ok(names);
        }
        let names = Arc::new(Names::new(pages.task_names(record.dag).await?));
        let kept = KeptNames {
            version: record.version,
            since: record.updated_at,
            names: Arc::clone(&names),
        };
        let mut known = self.lock_names();
        if known.len() >= DEFINITIONS_MAX {
            known.clear();
        }
        known.insert(record.dag, kept);
        Ok(names)
    }

    fn known_names(&self, record: &DagRecord) -> Option<Arc<Names>> {
        let known = self.lock_names();
        let kept = known.get(&record.dag)?;
        let is_fresh = kept.version == record.version && kept.since == record.updated_at;
        is_fresh.then(|| Arc::clone(&kept.names))
    }

    fn lock_names(&self) -> std::sync::MutexGuard<'_, HashMap<DagNo, KeptNames>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a definition that was read.
    pub(crate) fn keep(&self, version: VersionNo, dag: Option<Arc<Dag>>) {
        let n_tasks = |dag: &Option<Arc<Dag>>| dag.as_ref().map_or(0, |dag| dag.tasks.len());
        let mut kept = self.lock();
        if kept.by_version.contains_key(&version) {
            return;
        }
        kept.n_tasks += n_tasks(&dag);
        kept.by_version.insert(version, dag);
        kept.order.push_back(version);
        while kept.order.len() > DEFINITIONS_MAX
            || (kept.n_tasks > TASKS_MAX && kept.order.len() > 1)
        {
            let Some(oldest) = kept.order.pop_front() else {
                break;
            };
            if let Some(dag) = kept.by_version.remove(&oldest) {
                kept.n_tasks -= n_tasks(&dag);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(record: &VersionRecord) -> Option<Arc<Dag>> {
    tidemill_dagfile::load(record.source.as_bytes(), stem(&record.file))
        .dag
        .map(Arc::new)
}

/// The name that a file gives its DAG: `x` of `x.toml` and of `x/dag.toml`.
fn stem(file: &str) -> &str {
    let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
    let stem = name.strip_suffix(".toml").unwrap_or(name);
    if stem == "dag" && !folder.is_empty() {
        return folder.rsplit('/').next().unwrap_or(folder);
    }
    stem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_name_to_the_dag_file_in_it() {
        assert_eq!(stem("hello.toml"), "hello");
        assert_eq!(stem("orders/dag.toml"), "orders");
        assert_eq!(stem("a/orders.toml"), "orders");
    }
}

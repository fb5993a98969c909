//! The DAG folder: reads files, keeps versions, watches for changes.
//!
//! A bad file never takes down its last good version, nor another file. The folder is watched;
//! a slow scan, which reads only what has changed, finds what the watch has missed.

use crate::daemon::dag_files::{
    ReadFile, Stamp, dag_files, import_errors, read_file, relative, stamps_of,
};
use crate::daemon::database::Database;
use crate::daemon::engine::{EngineDoor, Input};
use crate::daemon::{clock, definition};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tidemill_model::{Dag, DagNo};
use tidemill_scheduler::{n_owed, owes_many};
use tidemill_store::{NewVersion, PinnedFile, StoreError};
use tokio::sync::mpsc;

/// A scan without a reason, for what the watch has missed.
const SLOW_SCAN: Duration = Duration::from_secs(30);
/// Events of one save come close together; a scan waits until they have.
const SETTLE: Duration = Duration::from_millis(50);
/// So many files are taken in by one transaction.
const BATCH: usize = 500;

/// The folder, as it was last seen.
pub struct DagFolder {
    folder: PathBuf,
    database: Database,
    door: EngineDoor,
    versions: PathBuf,
    seen: HashMap<PathBuf, Seen>,
    known: BTreeMap<String, DagNo>,
    /// The DAG of each file, as the store knew it at the start.
    files: HashMap<String, String>,
    /// Files about which the store keeps mistakes.
    with_errors: HashSet<String>,
}

struct Seen {
    stamp: Vec<Stamp>,
    dag_id: Option<String>,
}

impl DagFolder {
    /// The folder, with what the store knows of it already.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn new(
        folder: PathBuf,
        database: Database,
        door: EngineDoor,
        versions: PathBuf,
    ) -> Result<Self, StoreError> {
        let dags = database.pages.dags().await?;
        let errors = database.pages.import_errors().await?;
        Ok(DagFolder {
            folder,
            database,
            door,
            versions,
            seen: HashMap::new(),
            files: dags
                .iter()
                .map(|dag| (dag.file.clone(), dag.dag_id.clone()))
                .collect(),
            known: dags.into_iter().map(|dag| (dag.dag_id, dag.dag)).collect(),
            with_errors: errors.into_iter().map(|errors| errors.file).collect(),
        })
    }

    /// Scans once, then whenever something changes, for as long as the program lives.
    pub async fn watch(mut self, first_scan_done: tokio::sync::oneshot::Sender<()>) {
        let (sender, mut changed) = mpsc::channel::<()>(1);
        let watcher = start_watcher(&self.folder, sender);
        self.scan_and_report().await;
        if let Err(err) = self.mark_missing().await {
            tracing::error!(error = %crate::exit::chain(&err), "Cannot mark DAGs whose file is gone");
        }
        let _ = first_scan_done.send(());
        loop {
            let _ = tokio::time::timeout(SLOW_SCAN, changed.recv()).await;
            tokio::time::sleep(SETTLE).await;
            while changed.try_recv().is_ok() {}
            self.scan_and_report().await;
            let _ = &watcher; // it watches for as long as it lives
        }
    }

    async fn scan_and_report(&mut self) {
        if let Err(err) = self.scan().await {
            tracing::error!(error = %crate::exit::chain(&err), "Cannot take in the DAG folder; it is tried again");
        }
    }

    async fn scan(&mut self) -> Result<(), StoreError> {
        let files = dag_files(&self.folder);
        let mut changed: Vec<PathBuf> = Vec::new();
        let mut stamps: HashMap<PathBuf, Vec<Stamp>> = HashMap::new();
        let mut scripts = HashMap::new();
        for file in &files {
            let stamp = stamps_of(file, &mut scripts);
            if self.seen.get(file).is_none_or(|seen| seen.stamp != stamp) {
                changed.push(file.clone());
            }
            stamps.insert(file.clone(), stamp);
        }
        let gone: Vec<PathBuf> = self
            .seen
            .keys()
            .filter(|file| !stamps.contains_key(*file))
            .cloned()
            .collect();
        if changed.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let folder = self.folder.clone();
        let read = tokio::task::spawn_blocking(move || {
            changed
                .into_iter()
                .map(|file| (file.clone(), read_file(&folder, &file)))
                .collect::<Vec<_>>()
        });
        let mut read = read.await.unwrap_or_default();
        self.refuse_duplicates(&mut read);
        for file in gone {
            self.forget(&file).await?;
        }
        let mut read = read.into_iter();
        loop {
            let batch: Vec<_> = read.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(());
            }
            self.take(batch, &mut stamps).await?;
        }
    }

    /// Two files with one id are wrong both, wherever the other was read before.
    fn refuse_duplicates(&self, read: &mut [(PathBuf, ReadFile)]) {
        let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let now_read: HashSet<&PathBuf> = read.iter().map(|(file, _)| file).collect();
        for (file, seen) in &self.seen {
            if let Some(id) = seen
                .dag_id
                .as_ref()
                .filter(|_| !now_read.contains(file) && file.exists())
            {
                owners
                    .entry(id.clone())
                    .or_default()
                    .push(relative(&self.folder, file));
            }
        }
        for (_, file) in read.iter() {
            if let Some(dag) = &file.loaded.dag {
                owners
                    .entry(dag.id.clone())
                    .or_default()
                    .push(file.name.clone());
            }
        }
        for (_, file) in read.iter_mut() {
            let Some(dag) = &file.loaded.dag else {
                continue;
            };
            let other = owners
                .get(&dag.id)
                .and_then(|names| names.iter().find(|name| **name != file.name));
            if let Some(other) = other {
                let diagnostic =
                    tidemill_dagfile::duplicate_id(&dag.id, other, file.loaded.id_span.clone());
                file.loaded.diagnostics.push(diagnostic);
                file.loaded.dag = None;
            }
        }
    }

    /// Takes in files: their mistakes, and in one transaction their versions.
    async fn take(
        &mut self,
        batch: Vec<(PathBuf, ReadFile)>,
        stamps: &mut HashMap<PathBuf, Vec<Stamp>>,
    ) -> Result<(), StoreError> {
        let mut seen = Vec::new();
        let (mut versions, mut dags) = (Vec::new(), Vec::new());
        for (path, file) in batch {
            let errors = import_errors(&file.name, &file.source, &file.loaded.diagnostics);
            if !errors.is_empty() || self.with_errors.contains(&file.name) {
                self.database
                    .engine
                    .put_import_errors(&file.name, &errors, clock::now())
                    .await?;
            }
            if errors.is_empty() {
                self.with_errors.remove(&file.name);
            } else {
                self.with_errors.insert(file.name.clone());
            }
            // A file with errors keeps the DAG that it was.
            let was = self.seen.get(&path).and_then(|seen| seen.dag_id.clone());
            let was = was.or_else(|| self.files.get(&file.name).cloned());
            let is = file.loaded.dag.as_ref().map(|dag| dag.id.clone());
            let stamp = stamps.remove(&path).unwrap_or_default();
            seen.push((
                path,
                Seen {
                    stamp,
                    dag_id: is.or(was),
                },
            ));
            match file.loaded.dag {
                Some(dag) => {
                    versions.push(new_version(
                        &dag,
                        file.name,
                        file.source,
                        file.hash,
                        file.files,
                    ));
                    dags.push(dag);
                }
                None => {
                    tracing::warn!(file = %file.name, n_errors = errors.len(), "File not loaded: it has errors");
                }
            }
        }
        self.keep(&versions, dags).await?;
        self.seen.extend(seen);
        Ok(())
    }

    async fn keep(&mut self, versions: &[NewVersion], dags: Vec<Dag>) -> Result<(), StoreError> {
        let stored = self.database.engine.put_versions(versions).await?;
        let mut taken = Vec::with_capacity(stored.len());
        for ((version, dag), stored) in versions.iter().zip(dags).zip(stored) {
            if let Err(err) = definition::lay_out(&self.versions, stored.version, &version.files) {
                tracing::error!(dag.id = %dag.id, %err, "Cannot lay out the files of a version");
            }
            if stored.is_new {
                tracing::info!(dag.id = %dag.id, version = stored.dag.version_number, "Loaded {}", version.file);
            }
            if stored.is_new && stored.dag.version_number == 1 && owes_many(&dag, version.now) {
                let n_owed = n_owed(&dag, None, version.now);
                tracing::warn!(dag.id = %dag.id, n_owed, "A new DAG owes many runs by its catchup: it starts paused, and makes them when it is unpaused");
            }
            self.known.insert(dag.id.clone(), stored.dag.dag);
            taken.push((stored, Arc::new(dag)));
        }
        if !taken.is_empty() {
            self.door.send(Input::Dags(taken));
        }
        Ok(())
    }

    async fn forget(&mut self, file: &Path) -> Result<(), StoreError> {
        let Some(seen) = self.seen.remove(file) else {
            return Ok(());
        };
        let name = relative(&self.folder, file);
        if self.with_errors.remove(&name) {
            self.database
                .engine
                .put_import_errors(&name, &[], clock::now())
                .await?;
        }
        let Some(id) = seen.dag_id else { return Ok(()) };
        if self
            .seen
            .values()
            .any(|other| other.dag_id.as_ref() == Some(&id))
        {
            return Ok(());
        }
        if let Some(dag) = self.known.get(&id).copied() {
            tracing::info!(dag.id = %id, "File is gone; the DAG makes no new runs");
            self.database
                .engine
                .mark_stale(&[dag], clock::now())
                .await?;
            self.door.send(Input::Stale(vec![dag]));
        }
        Ok(())
    }

    /// DAGs of the store whose file is not there any more: known after the first scan.
    async fn mark_missing(&mut self) -> Result<(), StoreError> {
        let here: Vec<&String> = self
            .seen
            .values()
            .filter_map(|seen| seen.dag_id.as_ref())
            .collect();
        let missing: Vec<DagNo> = self
            .known
            .iter()
            .filter(|(id, _)| !here.contains(id))
            .map(|(_, dag)| *dag)
            .collect();
        if !missing.is_empty() {
            self.database
                .engine
                .mark_stale(&missing, clock::now())
                .await?;
            self.door.send(Input::Stale(missing));
        }
        self.door.send(Input::FolderRead);
        Ok(())
    }
}

fn new_version(
    dag: &Dag,
    file: String,
    source: String,
    hash: String,
    files: Vec<PinnedFile>,
) -> NewVersion {
    let now = clock::now();
    NewVersion {
        dag_id: dag.id.clone(),
        file,
        hash,
        source,
        files,
        task_ids: dag.tasks.iter().map(|task| task.id.clone()).collect(),
        paused_if_new: dag.is_paused_upon_creation || owes_many(dag, now),
        now,
    }
}

fn start_watcher(folder: &Path, changed: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    use notify::Watcher;
    let on_event = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            let _ = changed.try_send(()); // one is waiting already: it will see this too
        }
    };
    let watcher = notify::recommended_watcher(on_event).and_then(|mut watcher| {
        watcher.watch(folder, notify::RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    watcher
        .map_err(|err| tracing::warn!(%err, "Cannot watch the DAG folder; it is scanned every 30 s instead"))
        .ok()
}

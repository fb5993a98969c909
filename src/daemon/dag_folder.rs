//! The DAG folder: reads files, keeps versions, watches for changes.
//!
//! A bad file never takes down its last good version, nor another file. The folder is watched;
//! a slow scan, which reads only what has changed, finds what the watch has missed.

use crate::daemon::engine::{EngineDoor, Input};
use crate::daemon::{clock, definition};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tidemill_dagfile::{Diagnostic, Loaded};
use tidemill_model::{Dag, DagNo};
use tidemill_store::{EngineStore, ImportError, NewVersion, PageStore, PinnedFile, StoreError};
use tokio::sync::mpsc;

/// A scan without a reason, for what the watch has missed.
const SLOW_SCAN: Duration = Duration::from_secs(30);
/// Events of one save come close together; a scan waits until they have.
const SETTLE: Duration = Duration::from_millis(50);
/// So many files are taken in by one transaction.
const BATCH: usize = 500;
/// A folder DAG pins at most so many files.
const PINNED_FILES_MAX: usize = 1000;
/// A folder DAG pins at most so many bytes.
const PINNED_BYTES_MAX: u64 = 64 << 20;
/// Folders are not followed deeper than this.
const DEPTH_MAX: usize = 16;

/// What a file looked like when it was last read.
type Stamp = (i64, i64, u64, u64);

/// The folder, as it was last seen.
pub struct DagFolder<S> {
    folder: PathBuf,
    store: Arc<S>,
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

/// A file that was read.
pub struct ReadFile {
    /// Its path, relative to the folder.
    pub name: String,
    /// Its text, as far as it is text.
    pub source: String,
    /// What it became.
    pub loaded: Loaded,
    /// The files that are pinned with it.
    pub files: Vec<PinnedFile>,
    /// The hash of the definition and those files.
    pub hash: String,
}

impl<S: EngineStore + PageStore + 'static> DagFolder<S> {
    /// The folder, with what the store knows of it already.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn new(
        folder: PathBuf,
        store: Arc<S>,
        door: EngineDoor,
        versions: PathBuf,
    ) -> Result<Self, StoreError> {
        let dags = store.dags().await?;
        let errors = store.import_errors().await?;
        Ok(DagFolder {
            folder,
            store,
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
                self.store
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
        let stored = self.store.put_versions(versions).await?;
        for ((version, dag), stored) in versions.iter().zip(dags).zip(stored) {
            if let Err(err) = definition::lay_out(&self.versions, stored.version, &version.files) {
                tracing::error!(dag.id = %dag.id, %err, "Cannot lay out the files of a version");
            }
            if stored.is_new {
                tracing::info!(dag.id = %dag.id, version = stored.dag.version_number, "Loaded {}", version.file);
            }
            self.known.insert(dag.id.clone(), stored.dag.dag);
            self.door.send(Input::Dag(Box::new(stored), Arc::new(dag)));
        }
        Ok(())
    }

    async fn forget(&mut self, file: &Path) -> Result<(), StoreError> {
        let Some(seen) = self.seen.remove(file) else {
            return Ok(());
        };
        let name = relative(&self.folder, file);
        if self.with_errors.remove(&name) {
            self.store
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
            self.store.mark_stale(&[dag], clock::now()).await?;
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
            self.store.mark_stale(&missing, clock::now()).await?;
            self.door.send(Input::Stale(missing));
        }
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
    // More than three runs at once, at the first sight of a file, are better asked for.
    let owes_many = dag.catchup && tidemill_scheduler::due(dag, None, now, 4).fires.len() > 3;
    NewVersion {
        dag_id: dag.id.clone(),
        file,
        hash,
        source,
        files,
        task_ids: dag.tasks.iter().map(|task| task.id.clone()).collect(),
        paused_if_new: dag.is_paused_upon_creation || owes_many,
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

/// Every file that may hold a DAG, in the order of names. Hidden ones are passed over. A folder
/// with a `dag.toml` is one DAG.
pub fn dag_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![(folder.to_path_buf(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        let own = folder.join("dag.toml");
        if own.is_file() {
            files.push(own);
            continue;
        }
        for entry in entries.flatten() {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if path.is_dir() {
                if depth < DEPTH_MAX {
                    folders.push((path, depth + 1));
                }
            } else if path.extension().is_some_and(|ext| ext == "toml") && is_dag(&path) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Does it hold a `[dag]` or `[tasks]` table, or nothing that can be read as one or the other?
fn is_dag(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name != "tidemill.toml" && name != "Cargo.toml")
}

/// Reads a file and what is pinned with it.
pub fn read_file(folder: &Path, path: &Path) -> ReadFile {
    let bytes = std::fs::read(path).unwrap_or_default();
    let loaded = tidemill_dagfile::load(&bytes, &definition::stem_of(path));
    let home = path.parent().unwrap_or(folder);
    let files = if path.file_name().is_some_and(|name| name == "dag.toml") {
        whole_folder(home)
    } else {
        loaded
            .files
            .iter()
            .filter_map(|name| pinned(home, &home.join(name)))
            .collect()
    };
    let mut hash = Sha256::new();
    hash.update(loaded.hash.as_bytes());
    for file in &files {
        hash.update(file.path.as_bytes());
        hash.update([0]);
        hash.update(Sha256::digest(&file.bytes));
        hash.update(file.mode.to_be_bytes());
    }
    let hash = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let source = String::from_utf8_lossy(&bytes).into_owned();
    ReadFile {
        name: relative(folder, path),
        source,
        loaded,
        files,
        hash,
    }
}

fn whole_folder(home: &Path) -> Vec<PinnedFile> {
    let mut found = Vec::new();
    let mut folders = vec![home.to_path_buf()];
    let mut n_bytes = 0u64;
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
            if is_hidden || kind.is_symlink() {
                continue;
            }
            if kind.is_dir() {
                folders.push(entry.path());
                continue;
            }
            n_bytes += entry.metadata().map_or(0, |meta| meta.len());
            if found.len() >= PINNED_FILES_MAX || n_bytes > PINNED_BYTES_MAX {
                tracing::warn!(folder = %home.display(), "Only the first 1,000 files or 64 MiB of a DAG's folder are pinned");
                break;
            }
            found.extend(pinned(home, &entry.path()));
        }
    }
    found.sort_by(|one: &PinnedFile, other| one.path.cmp(&other.path));
    found
}

fn pinned(home: &Path, path: &Path) -> Option<PinnedFile> {
    let meta = std::fs::metadata(path).ok()?;
    let bytes = std::fs::read(path).ok()?;
    Some(PinnedFile {
        path: relative(home, path),
        mode: meta.permissions().mode() & 0o777,
        bytes,
    })
}

fn relative(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder)
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned()
}

/// The file's own stamp with those of the files that may be pinned with it: everything beside a
/// `dag.toml`, the scripts beside a flat file. `scripts` remembers folders within one scan.
fn stamps_of(path: &Path, scripts: &mut HashMap<PathBuf, Vec<Stamp>>) -> Vec<Stamp> {
    let mut stamps: Vec<Stamp> = stamp(path).into_iter().collect();
    let Some(home) = path.parent() else {
        return stamps;
    };
    let is_folder_dag = path.file_name().is_some_and(|name| name == "dag.toml");
    let beside = scripts
        .entry(home.to_path_buf())
        .or_insert_with(|| stamps_beside(home, is_folder_dag));
    stamps.extend_from_slice(beside);
    stamps
}

fn stamps_beside(home: &Path, everything: bool) -> Vec<Stamp> {
    let mut stamps = Vec::new();
    let mut folders = vec![home.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let is_script = path.extension().is_none_or(|ext| ext != "toml") && path.is_file();
            if everything && path.is_dir() && stamps.len() < PINNED_FILES_MAX {
                folders.push(path);
            } else if (everything || is_script) && stamps.len() < PINNED_FILES_MAX {
                stamps.extend(stamp(&path));
            }
        }
    }
    stamps.sort_unstable();
    stamps
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.mtime(), meta.mtime_nsec(), meta.size(), meta.ino()))
}

/// Diagnostics in the form that is stored and shown.
pub fn import_errors(file: &str, source: &str, diagnostics: &[Diagnostic]) -> Vec<ImportError> {
    tidemill_dagfile::reports(file, source, diagnostics)
        .into_iter()
        .map(|report| ImportError {
            code: report.code,
            severity: report.severity,
            file: report.file,
            line: report.line,
            column: report.column,
            end_line: report.end_line,
            end_column: report.end_column,
            message: report.message,
            help: report.help,
        })
        .collect()
}

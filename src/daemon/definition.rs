//! Definitions in memory: versions by number, and the files that are pinned with them on disk.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidemill_model::{Dag, DagNo, TaskNo, VersionNo};
use tidemill_store::{PinnedFile, VersionRecord};

/// A definition and the stored numbers of its tasks, in its order.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The DAG.
    pub dag: Arc<Dag>,
    /// The numbers of its tasks.
    pub task_nos: Arc<[TaskNo]>,
}

/// Task numbers by name, for each DAG.
pub type TaskNames = HashMap<DagNo, HashMap<String, TaskNo>>;

/// Reads a stored version again. `None` when this program can no longer read it.
pub fn from_version(version: &VersionRecord, names: &TaskNames) -> Option<Definition> {
    let loaded = tidemill_dagfile::load(
        version.source.as_bytes(),
        &stem_of(Path::new(&version.file)),
    );
    let dag = loaded.dag?;
    let names = names.get(&version.dag)?;
    let task_nos = dag
        .tasks
        .iter()
        .map(|task| names.get(&task.id).copied())
        .collect::<Option<_>>()?;
    Some(Definition {
        dag: Arc::new(dag),
        task_nos,
    })
}

/// The name that a DAG has when its file gives none: the file's stem, or its folder's name.
pub fn stem_of(file: &Path) -> String {
    let named = match file.file_name() {
        Some(name) if name == "dag.toml" => file.parent().and_then(Path::file_name),
        _ => file.file_stem(),
    };
    named.map_or_else(
        || "dag".to_string(),
        |stem| stem.to_string_lossy().into_owned(),
    )
}

/// The folder that tasks of a version see as `$TIDEMILL_DAG_DIR`.
pub fn folder(versions: &Path, version: VersionNo, has_files: bool) -> PathBuf {
    if has_files {
        versions.join(version.to_string())
    } else {
        versions.join("none")
    }
}

/// Lays out the pinned files of a version, read-only. Does nothing when they are there.
///
/// # Errors
/// When the folder cannot be written.
pub fn lay_out(versions: &Path, version: VersionNo, files: &[PinnedFile]) -> io::Result<()> {
    let target = folder(versions, version, !files.is_empty());
    if target.exists() {
        return Ok(());
    }
    let draft = versions.join(format!(".{version}.new"));
    if draft.exists() {
        std::fs::remove_dir_all(&draft)?;
    }
    std::fs::create_dir_all(&draft)?;
    for file in files {
        let path = draft.join(&file.path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, &file.bytes)?;
        std::fs::set_permissions(
            &path,
            std::fs::Permissions::from_mode(file.mode & 0o555 | 0o400),
        )?;
    }
    std::fs::rename(draft, target)
}

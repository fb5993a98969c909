//! DAG files on disk: which there are, what each became, what is pinned with it.

use crate::daemon::definition;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tidemill_dagfile::{Diagnostic, Loaded};
use tidemill_store::{ImportError, PinnedFile};

/// A folder DAG pins at most so many files.
const PINNED_FILES_MAX: usize = 1000;
/// A folder DAG pins at most so many bytes.
const PINNED_BYTES_MAX: u64 = 64 << 20;
/// Folders are not followed deeper than this.
const DEPTH_MAX: usize = 16;

/// What a file looked like when it was last read: times, size, inode.
pub type Stamp = (i64, i64, u64, u64);

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

/// A path below a folder, as a name.
pub fn relative(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder)
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned()
}

/// The file's own stamp with those of the files that may be pinned with it: everything beside a
/// `dag.toml`, the scripts beside a flat file. `scripts` remembers folders within one scan.
pub fn stamps_of(path: &Path, scripts: &mut HashMap<PathBuf, Vec<Stamp>>) -> Vec<Stamp> {
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

//! What a local run leaves behind.

use crate::daemon::clock;
use crate::daemon::home::Home;
use crate::exit::{Exit, Failure};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Local records that are kept for each file.
const RECORDS_KEPT: usize = 10;

/// The folder that a local run leaves as its record.
pub(super) struct LocalRecord {
    pub(super) folder: PathBuf,
    siblings: PathBuf,
}

impl LocalRecord {
    pub(super) fn create(home: &Path, dag_id: &str) -> Result<LocalRecord, Failure> {
        let siblings = home.join("local").join(dag_id);
        let name = format!("{:020}-{}", clock::now().0, std::process::id());
        let folder = siblings.join(name);
        let made = Home::create(&folder);
        made.map_err(|err| {
            Failure::new(
                Exit::Unreachable,
                format!("cannot make {}: {err}", folder.display()),
            )
        })?;
        Ok(LocalRecord { folder, siblings })
    }

    /// Writes the record, and drops what only the run needed and the oldest records.
    pub(super) fn keep(&self, result: &Value) {
        let text = serde_json::to_vec_pretty(result).unwrap_or_default();
        let _ = std::fs::write(self.folder.join("run.json"), text);
        for leftover in ["slots", "trash", "versions", "worker.lock"] {
            let path = self.folder.join(leftover);
            let _ = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path));
        }
        let mut records: Vec<PathBuf> = std::fs::read_dir(&self.siblings)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        records.sort();
        for old in records
            .iter()
            .take(records.len().saturating_sub(RECORDS_KEPT))
        {
            let _ = std::fs::remove_dir_all(old);
        }
    }
}

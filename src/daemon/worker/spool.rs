//! Results that could not be delivered: they wait on this machine's disk until the store is back.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tidemill_model::Attempt;
use tidemill_store::WorkerReport;

/// The folder of undelivered results.
pub struct Spool {
    folder: PathBuf,
}

impl Spool {
    /// Makes the folder, readable by its owner alone: results may hold a task's output.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(folder: PathBuf) -> io::Result<Spool> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        Ok(Spool { folder })
    }

    fn path(&self, attempt: Attempt) -> PathBuf {
        self.folder.join(format!("{attempt}.json"))
    }

    /// Keeps a result, whole or not at all.
    ///
    /// # Errors
    /// When the disk refuses it.
    pub fn keep(&self, report: &WorkerReport) -> io::Result<()> {
        let draft = self.folder.join(format!("{}.new", report.attempt));
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(&serde_json::to_vec(report)?)?;
        file.sync_all()?;
        std::fs::rename(draft, self.path(report.attempt))
    }

    /// Forgets a delivered result.
    pub fn forget(&self, attempt: Attempt) {
        let _ = std::fs::remove_file(self.path(attempt)); // most were never kept
    }

    /// What an earlier process has left. A file that cannot be read is said and left alone.
    pub fn left(&self) -> Vec<WorkerReport> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten();
        let paths = entries.flatten().map(|entry| entry.path());
        paths
            .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
            .filter_map(|path| read(&path))
            .collect()
    }
}

fn read(path: &Path) -> Option<WorkerReport> {
    let read = std::fs::read(path).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
    read.map_err(|err| {
        tracing::error!(file = %path.display(), %err, "Cannot read an undelivered result");
    })
    .ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

    use super::*;
    use tidemill_model::{Epoch, MapIndex, Outcome, RunNo, TaskNo};

    fn report(task: i32) -> WorkerReport {
        WorkerReport {
            attempt: Attempt {
                run: RunNo(1),
                task_no: TaskNo(task),
                map_index: MapIndex::NONE,
                epoch: Epoch(3),
            },
            worker: 5,
            outcome: Outcome::success(),
        }
    }

    #[test]
    fn what_was_kept_is_found_by_the_next_process_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path().join("spool")).unwrap();
        spool.keep(&report(1)).unwrap();
        spool.keep(&report(2)).unwrap();
        std::fs::write(folder.path().join("spool/half.json"), "{").unwrap();
        let next = Spool::open(folder.path().join("spool")).unwrap();
        let mut left = next.left();
        left.sort_by_key(|report| report.attempt);
        assert_eq!(left, [report(1), report(2)]);
        next.forget(report(1).attempt);
        next.forget(report(9).attempt);
        assert_eq!(next.left(), [report(2)]);
    }
}

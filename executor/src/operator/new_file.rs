//! A file that an operator writes: it appears whole or not at all.

use super::{Failure, Job};
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt;

/// A file under another name until it is whole. Dropped before that, it is gone.
pub struct NewFile {
    path: PathBuf,
    hidden: PathBuf,
    file: tokio::fs::File,
    is_kept: bool,
    /// How many bytes have been written.
    pub written: u64,
}

impl NewFile {
    /// Opens one beside `path`; a relative path is in the run's folder. Folders are made.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn create(job: &Job, path: &str) -> Result<NewFile, Failure> {
        let path = job.run_dir()?.join(path);
        let failed = |err: std::io::Error| cannot_write(&path, &err);
        let name = path.file_name().ok_or_else(|| {
            Failure::could_not_start(format!("save_to: {} names no file", path.display()))
        })?;
        let attempt = job.attempt();
        let hidden = path.with_file_name(format!(".{}.{attempt}", name.to_string_lossy()));
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await.map_err(failed)?;
        }
        let mut options = tokio::fs::OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&hidden).await.map_err(failed)?;
        Ok(NewFile {
            path,
            hidden,
            file,
            is_kept: false,
            written: 0,
        })
    }

    /// Writes more.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.written += bytes.len() as u64;
        let written = self.file.write_all(bytes).await;
        written.map_err(|err| cannot_write(&self.path, &err))
    }

    /// Makes it appear under its name, which it gives.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub async fn keep(mut self) -> Result<PathBuf, Failure> {
        let failed = |err: std::io::Error| cannot_write(&self.path, &err);
        self.file.flush().await.map_err(failed)?;
        self.file.sync_all().await.map_err(failed)?;
        tokio::fs::rename(&self.hidden, &self.path)
            .await
            .map_err(failed)?;
        self.is_kept = true;
        Ok(std::mem::take(&mut self.path))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = std::fs::remove_file(&self.hidden);
        }
    }
}

fn cannot_write(path: &Path, err: &std::io::Error) -> Failure {
    Failure::refused(format!("save_to: cannot write {}: {err}", path.display()))
}

//! In a program that was built without S3 there is no archive; a file that asks for one is refused
//! when it is read.

use super::Logins;
use crate::daemon::config::ArchiveSettings;
use crate::exit::Failure;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidemill_log::LogSource;
use tidemill_store::PageStore;
use tokio::sync::mpsc::Receiver;

/// There is none.
#[derive(Clone, Debug)]
pub enum LogArchive {}

impl LogArchive {
    /// None.
    ///
    /// # Errors
    /// Never.
    pub async fn open(
        _settings: Option<&ArchiveSettings>,
        _pages: &dyn PageStore,
        _logins: Logins,
    ) -> Result<Option<LogArchive>, Failure> {
        Ok(None)
    }

    /// Finds a log.
    pub async fn find(&self, _name: &Path) -> Option<Arc<dyn LogSource>> {
        match *self {}
    }

    /// Sends finished logs.
    pub fn send(&self, _logs: PathBuf, _finished: Receiver<PathBuf>) {
        match *self {}
    }

    /// Removes logs of runs that are gone.
    pub fn forget_with_runs(&self, _pages: Arc<dyn PageStore>) {
        match *self {}
    }
}

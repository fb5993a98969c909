//! The archive: opened as the file says, fed, read, and swept.

use super::Logins;
use crate::daemon::config::ArchiveSettings;
use crate::daemon::outside::by_name;
use crate::daemon::server::store_failure;
use crate::exit::{Exit, Failure};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tidemill_archive::{Archive, ArchiveError, Away, LoginDoor, Settings};
use tidemill_connection::{Connection, Found};
use tidemill_log::LogSource;
use tidemill_model::Uses;
use tidemill_store::PageStore;
use tokio::sync::mpsc::Receiver;

/// Runs that are gone are looked for so often.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// The archive of this installation's logs.
#[derive(Clone, Debug)]
pub struct LogArchive(Archive);

impl LogArchive {
    /// The archive that the settings name. Nothing is asked of it yet: a server starts without it.
    ///
    /// # Errors
    /// When the settings make no address, or the database cannot be read.
    pub async fn open(
        settings: Option<&ArchiveSettings>,
        pages: &dyn PageStore,
        logins: Logins,
    ) -> Result<Option<LogArchive>, Failure> {
        let Some(asked) = settings else {
            return Ok(None);
        };
        let settings = Settings {
            bucket: asked.bucket.clone(),
            prefix: asked.prefix.clone(),
            endpoint: asked.endpoint.clone(),
            region: asked.region.clone(),
        };
        let installation = pages.installation().await.map_err(store_failure)?;
        let logins = Arc::new(logins);
        let login = asked.connection.clone().map(|id| -> LoginDoor {
            Arc::new(move || {
                let (id, logins) = (id.clone(), Arc::clone(&logins));
                Box::pin(async move { connection(&id, &logins).await })
            })
        });
        let archive = Archive::open(&settings, &installation, login);
        let archive = archive.map_err(|err| Failure::new(Exit::Usage, err.to_string()))?;
        Ok(Some(LogArchive(archive)))
    }

    /// Finds a log by its place in the folder of logs.
    pub async fn find(&self, name: &Path) -> Option<Arc<dyn LogSource>> {
        match self.0.has(name).await {
            Ok(true) => Some(Arc::new(self.0.log(name))),
            Ok(false) => None,
            Err(err) => {
                tracing::warn!(%err, "a log is looked for in vain");
                Some(Arc::new(Away(err))) // so that whoever reads is told
            }
        }
    }

    /// Sends the finished logs of a folder for as long as somebody tells of them.
    pub fn send(&self, logs: PathBuf, finished: Receiver<PathBuf>) {
        tokio::spawn(tidemill_archive::send_all(self.0.clone(), logs, finished));
    }

    /// Removes the logs of runs that are gone, now and then, until the server ends.
    pub fn forget_with_runs(&self, pages: Arc<dyn PageStore>) {
        let archive = self.0.clone();
        tokio::spawn(async move {
            loop {
                if let Err(err) = sweep(&archive, &*pages).await {
                    tracing::warn!(%err, "logs of runs that are gone stay in the archive for now");
                }
                tokio::time::sleep(SWEEP_EVERY).await;
            }
        });
    }
}

async fn sweep(archive: &Archive, pages: &dyn PageStore) -> Result<(), ArchiveError> {
    for run in archive.runs().await? {
        // A database that does not answer says nothing about the run.
        if let Ok(None) = pages.run_by_no(run).await {
            archive.forget(run).await?;
        }
    }
    Ok(())
}

async fn connection(id: &str, logins: &Logins) -> Result<Connection, String> {
    if let Some(keeper) = &logins.keeper {
        return by_name(id, &logins.places, keeper).await;
    }
    let mut uses = Uses::default();
    uses.add_connection(id);
    let (mut found, open) = Found::look(&uses, &logins.places);
    found.close(&open, &logins.places);
    match found.trouble() {
        Some(what) => Err(what),
        None => found.connection(id).cloned(),
    }
}

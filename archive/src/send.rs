//! Sending finished logs, beside everything else: nothing waits for it, and what cannot be sent
//! now is sent later, for as long as it lies in its folder.

use crate::{Archive, ArchiveError};
use object_store::path::Path as Place;
use object_store::{ObjectStoreExt, PutPayload, WriteMultipart};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidemill_log::Frames;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc::Receiver;

/// A larger log goes in parts of this size. Amazon takes 10,000 of them.
const PART: usize = 8 << 20;
/// Parts of one log that are on their way at once.
const PARTS_AT_ONCE: usize = 2;
/// Logs that one look through the folder brings.
const LOOK_FOR: usize = 500;
/// Between two looks for logs of which nobody told: those of earlier processes, and what failed.
const LOOK_AROUND: Duration = Duration::from_secs(600);
/// After so many failures in a row the archive is left alone for a while.
const FAILURES_MAX: u32 = 3;
/// That while, at first and at last.
const PAUSE_MIN: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Sends the logs of a folder as they get their lasting form, those that have it already first.
/// Ends when nobody can tell of a log any more.
pub async fn send_all(archive: Archive, folder: PathBuf, mut finished: Receiver<PathBuf>) {
    let mut sender = Sender {
        archive,
        folder,
        n_failures: 0,
    };
    let mut pause = PAUSE_MIN;
    loop {
        let is_all_sent = sender.send_waiting().await;
        let wait = if is_all_sent { LOOK_AROUND } else { pause };
        pause = if is_all_sent {
            PAUSE_MIN
        } else {
            PAUSE_MAX.min(pause * 2)
        };
        let look_again = tokio::time::Instant::now() + wait;
        loop {
            match tokio::time::timeout_at(look_again, finished.recv()).await {
                Ok(Some(log)) if is_all_sent => {
                    if !sender.send(&log).await {
                        break; // the look finds it, and whatever else comes meanwhile
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => break,
            }
        }
    }
}

struct Sender {
    archive: Archive,
    folder: PathBuf,
    /// In a row.
    n_failures: u32,
}

impl Sender {
    /// Sends what lies in the folder; `false` when something of it is left for later.
    async fn send_waiting(&mut self) -> bool {
        let mut is_all_sent = true;
        self.n_failures = 0;
        loop {
            let folder = self.folder.clone();
            let look = move || tidemill_log::to_send(&folder, LOOK_FOR);
            let found = match tokio::task::spawn_blocking(look).await {
                Ok(Ok(found)) => found,
                Ok(Err(err)) => {
                    tracing::warn!(%err, "the logs cannot be looked through");
                    return false;
                }
                Err(_) => return false,
            };
            let mut n_sent = 0;
            for log in &found {
                if self.send(log).await {
                    n_sent += 1;
                } else {
                    is_all_sent = false;
                }
                if self.n_failures >= FAILURES_MAX {
                    return false;
                }
            }
            // The last look, or one that brings nothing but what fails.
            if n_sent == 0 || found.len() < LOOK_FOR {
                return is_all_sent;
            }
        }
    }

    /// Sends one log, and notes it. One that is gone meanwhile counts as sent.
    async fn send(&mut self, log: &Path) -> bool {
        match self.archive.send(&self.folder, log).await {
            Ok(()) => {
                self.n_failures = 0;
                true
            }
            Err(err) => {
                // A log that nobody can read keeps no other from being sent.
                if matches!(err, ArchiveError::There(_)) {
                    self.n_failures += 1;
                }
                let err = &err as &dyn std::error::Error;
                tracing::warn!(err, log = %log.display(), "a log is not in the archive yet; it is sent again later");
                false
            }
        }
    }
}

impl Archive {
    /// Sends a log of a folder, if it has its lasting form, and notes that beside it.
    ///
    /// # Errors
    /// When it cannot be read, or the archive does not take it.
    pub async fn send(&self, folder: &Path, log: &Path) -> Result<(), ArchiveError> {
        let name = log.strip_prefix(folder).unwrap_or(log);
        let place = self.place(name);
        let refused = |err: object_store::Error| ArchiveError::new("take a log", &err);
        match File::open(tidemill_log::stored_path(log)).await {
            Ok(packed) => self.send_packed(&place, packed).await?,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                let Some(packed) = pack_small(log.to_path_buf())
                    .await
                    .map_err(ArchiveError::Here)?
                else {
                    return Ok(());
                };
                let sent = self.store.put(&place, PutPayload::from(packed)).await;
                sent.map_err(refused)?;
            }
            Err(err) => return Err(ArchiveError::Here(err)),
        }
        match tidemill_log::note_sent(log) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => Err(ArchiveError::Here(err)),
            _ => Ok(()), // without its folder the run is forgotten, and the archive forgets it too
        }
    }

    /// A file as it is, in parts where it is large.
    async fn send_packed(&self, place: &Place, mut packed: File) -> Result<(), ArchiveError> {
        let refused = |err: object_store::Error| ArchiveError::new("take a log", &err);
        let first = read_part(&mut packed).await?;
        if first.len() < PART {
            let sent = self.store.put(place, PutPayload::from(first)).await;
            return sent.map(drop).map_err(refused);
        }
        let upload = self.store.put_multipart(place).await.map_err(refused)?;
        let mut parts = WriteMultipart::new_with_chunk_size(upload, PART);
        let mut part = first;
        while !part.is_empty() {
            let room = parts.wait_for_capacity(PARTS_AT_ONCE).await;
            parts.put(part.into());
            let next = match room {
                Ok(()) => read_part(&mut packed).await,
                Err(err) => Err(refused(err)),
            };
            part = match next {
                Ok(next) => next,
                Err(err) => {
                    let _ = parts.abort().await; // else its parts are the storage's to remove
                    return Err(err);
                }
            };
        }
        parts.finish().await.map(drop).map_err(refused)
    }
}

/// The next part of a file; shorter at its end.
async fn read_part(file: &mut File) -> Result<Vec<u8>, ArchiveError> {
    let mut part = Vec::new();
    let read = file.take(PART as u64).read_to_end(&mut part).await;
    read.map_err(ArchiveError::Here)?;
    Ok(part)
}

/// A log that is too small to be packed on disk, in the form of the others. `None` when it is gone
/// or grows.
async fn pack_small(log: PathBuf) -> io::Result<Option<Vec<u8>>> {
    let pack = move || {
        let Some(folder) = log.parent() else {
            return Ok(None);
        };
        if !tidemill_log::is_lasting(&log) || !folder.exists() {
            return Ok(None);
        }
        let mut frames = Frames::new(Vec::new())?;
        frames.copy(&mut std::fs::File::open(&log)?)?;
        frames.finish().map(Some)
    };
    tokio::task::spawn_blocking(pack)
        .await
        .map_err(io::Error::other)?
}

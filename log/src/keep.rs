//! Looks after a folder of logs in the background: what is finished is packed, what has lost its
//! writer gets its last words, what is too old or too much is dropped.
//!
//! Any step may be cut off by a crash: a log is whole in at least one of its forms at any time,
//! and the next start goes on from what it finds.

use crate::frames::Frames;
use crate::sent::{SENT, number, unsent};
use crate::write::{State, settle};
use crate::{DRAFT, STORED, stored_path, with_suffix};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

/// A log no larger than a block of the disk gains nothing by being packed.
pub(crate) const PACK_MIN: u64 = 4096;
/// Finished logs that may wait to be packed; more are found by the next look around.
const WAITING_MAX: usize = 4096;
/// Between two looks around.
const LOOK_AROUND: Duration = Duration::from_secs(600);
/// Runs whose logs are dropped at once; then finished logs have their turn.
const DROP_MAX: usize = 500;

/// What a folder of logs keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepRules {
    /// Logs of runs in which nothing was written for so long are dropped; kept for ever when `None`.
    pub max_age: Option<Duration>,
    /// With more bytes than this on disk the logs of the oldest runs are dropped; no limit when `None`.
    pub max_bytes: Option<u64>,
    /// Do logs go to an archive? Then those that have not arrived there stay whatever their age,
    /// and are the last to go for `max_bytes`.
    pub archived: bool,
}

/// The thread that looks after a folder of logs. It ends when this is dropped; a log that it is
/// packing then stays plain until the next start.
#[derive(Debug)]
pub struct Keeper {
    stop: Arc<AtomicBool>,
    finished: Option<SyncSender<PathBuf>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts to look after a folder. `lasts` hears of each log that has just got its lasting form.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        folder: PathBuf,
        rules: KeepRules,
        lasts: impl Fn(PathBuf) + Send + 'static,
    ) -> io::Result<Keeper> {
        let (finished, inbox) = sync_channel(WAITING_MAX);
        let stop = Arc::new(AtomicBool::new(false));
        let stops = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("log-keeper".to_string())
            .spawn(move || look_after(&folder, &rules, &inbox, &stops, &lasts))?;
        Ok(Keeper {
            stop,
            finished: Some(finished),
            thread: Some(thread),
        })
    }

    /// A log is complete. Never blocks: one that finds no room waits for the next look around.
    pub fn finished(&self, log: PathBuf) {
        if let Some(finished) = &self.finished {
            let _ = finished.try_send(log);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.finished = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn look_after(
    folder: &Path,
    rules: &KeepRules,
    inbox: &Receiver<PathBuf>,
    stop: &AtomicBool,
    lasts: &dyn Fn(PathBuf),
) {
    let told = |what: &str, result: io::Result<()>| {
        if let Err(err) = result {
            tracing::warn!(%err, folder = %folder.display(), "cannot {what}");
        }
    };
    loop {
        told("look after the logs", sweep_until(folder, stop));
        let mut is_more = rules.max_age.is_some() || rules.max_bytes.is_some();
        loop {
            if is_more {
                let kept = trim(folder, rules, SystemTime::now(), DROP_MAX);
                is_more = kept.as_ref().is_ok_and(|kept| kept.is_more);
                told("drop old logs", kept.map(drop));
            }
            let wait = if is_more { Duration::ZERO } else { LOOK_AROUND };
            match inbox.recv_timeout(wait) {
                _ if stop.load(Ordering::Relaxed) => return,
                Ok(log) => {
                    told("pack a log", store_until(&log, stop));
                    lasts(log);
                }
                Err(RecvTimeoutError::Timeout) if is_more => {}
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// Packs a finished log, if that is worth it. At each moment it can be read in one of its forms.
///
/// # Errors
/// When it cannot be read or written; it then stays as it is.
pub fn store(path: &Path) -> io::Result<()> {
    store_until(path, &AtomicBool::new(false))
}

fn store_until(path: &Path, stop: &AtomicBool) -> io::Result<()> {
    let plain = match File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(err) => return Err(err),
    };
    let found = plain.metadata()?;
    if found.len() <= PACK_MIN || found.mode() & 0o200 != 0 {
        return Ok(());
    }
    let draft = with_suffix(path, DRAFT);
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o400);
    let packed = pack(Reading { file: plain, stop }, &draft, &options);
    if packed.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    let Some(file) = packed? else {
        return Ok(());
    };
    // A log is as old as its last line, not as its packing.
    file.set_modified(found.modified()?)?;
    file.sync_all()?;
    std::fs::rename(&draft, stored_path(path))?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    std::fs::remove_file(path)
}

/// A log that is read until its end, or until it is to stop.
struct Reading<'a> {
    file: File,
    stop: &'a AtomicBool,
}

impl Read for Reading<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Ok(0);
        }
        self.file.read(into)
    }
}

/// `None` when it was stopped.
fn pack(
    mut plain: Reading<'_>,
    draft: &Path,
    options: &std::fs::OpenOptions,
) -> io::Result<Option<File>> {
    match std::fs::remove_file(draft) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        _ => {}
    }
    let mut frames = Frames::new(options.open(draft)?)?;
    frames.copy(&mut plain)?;
    let file = frames.finish()?;
    if plain.stop.load(Ordering::Relaxed) {
        std::fs::remove_file(draft)?;
        return Ok(None);
    }
    Ok(Some(file))
}

/// Goes through a folder of logs once: gives those whose writer died their last words, packs what
/// is finished and removes what a crash has left half done.
///
/// # Errors
/// When the folder cannot be read. A single log that cannot be worked on is passed over.
pub fn sweep(folder: &Path) -> io::Result<()> {
    sweep_until(folder, &AtomicBool::new(false))
}

fn sweep_until(folder: &Path, stop: &AtomicBool) -> io::Result<()> {
    for run in folders(folder)? {
        for entry in std::fs::read_dir(&run)?.flatten() {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let done = if name.ends_with(DRAFT) {
                std::fs::remove_file(&path)
            } else if name.ends_with(STORED) || name == SENT {
                Ok(())
            } else {
                settle(&path).and_then(|state| match state {
                    State::Grows => Ok(()),
                    State::Finished | State::Died => store_until(&path, stop),
                })
            };
            if let Err(err) = done {
                tracing::warn!(%err, log = %path.display(), "cannot look after a log");
            }
        }
    }
    Ok(())
}

/// What a pass of [`trim`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Runs whose logs were dropped.
    pub n_dropped: usize,
    /// Bytes on disk that are left.
    pub bytes: u64,
    /// Is there more to drop than one pass may?
    pub is_more: bool,
}

/// The logs of one run.
struct Run {
    path: PathBuf,
    number: u64,
    bytes: u64,
    newest: SystemTime,
    grows: bool,
    /// Has it logs that have not arrived in the archive to which they go?
    is_unsent: bool,
}

/// Drops the logs of whole runs, the oldest first, at most `n_max` of them: those that are too
/// old, and as many more as the rules ask for. A run with a log that still grows is passed over,
/// and one whose logs are not yet in their archive has its turn last.
///
/// # Errors
/// When the folder cannot be read or a log cannot be removed.
pub fn trim(folder: &Path, rules: &KeepRules, now: SystemTime, n_max: usize) -> io::Result<Kept> {
    let mut runs = Vec::new();
    for path in folders(folder)? {
        runs.push(look(path, rules.archived)?);
    }
    runs.sort_by_key(|run| (run.is_unsent, run.number));
    let mut kept = Kept {
        bytes: runs.iter().map(|run| run.bytes).sum(),
        ..Kept::default()
    };
    for run in runs.iter().filter(|run| !run.grows) {
        let age = now.duration_since(run.newest).unwrap_or_default();
        let is_old = !run.is_unsent && rules.max_age.is_some_and(|max| age > max);
        let is_too_much = rules.max_bytes.is_some_and(|max| kept.bytes > max);
        if !is_old && !is_too_much {
            continue;
        }
        if kept.n_dropped == n_max {
            kept.is_more = true;
            break;
        }
        if run.is_unsent {
            tracing::warn!(
                run = run.number,
                "logs are dropped before they are in the archive, for there are too many"
            );
        }
        std::fs::remove_dir_all(&run.path)?;
        kept.n_dropped += 1;
        kept.bytes -= run.bytes;
    }
    Ok(kept)
}

fn look(path: PathBuf, archived: bool) -> io::Result<Run> {
    let mut run = Run {
        number: number(&path),
        bytes: 0,
        newest: SystemTime::UNIX_EPOCH,
        grows: false,
        is_unsent: archived && !unsent(&path)?.is_empty(),
        path: path.clone(),
    };
    for entry in std::fs::read_dir(path)?.flatten() {
        // Packed and gone since the folder was read: the next look counts it.
        let Ok(found) = entry.metadata() else {
            continue;
        };
        run.bytes += found.blocks() * 512;
        let name = entry.file_name();
        if name == SENT {
            continue;
        }
        run.newest = run.newest.max(found.modified()?);
        let is_plain = !name.to_string_lossy().ends_with(STORED);
        run.grows |= is_plain && found.mode() & 0o200 != 0;
    }
    Ok(run)
}

/// The folders of runs: all whose name is a number. Nothing else is touched.
pub(crate) fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(err) => return Err(err),
    };
    let is_number = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
    };
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths
        .filter(is_number)
        .filter(|path| path.is_dir())
        .collect())
}

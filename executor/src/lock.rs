//! The lock of a home: whoever holds it, or waited for it, finds no process of the one before.

use crate::WorkerError;
use rustix::fs::FlockOperation;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The longest pause between two looks at the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Takes the lock of a home. Whoever waited for it finds no process of the one before alive.
pub(crate) fn take_lock(path: PathBuf, wait: Duration) -> Result<File, WorkerError> {
    let failed = |err: io::Error| {
        let what = format!("cannot lock {}", path.display());
        WorkerError::System { what, err }
    };
    let mut options = File::options();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    let file = file.open(&path).map_err(failed)?;
    let until = Instant::now() + wait;
    let mut pause = Duration::from_millis(1);
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < until => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(LOCK_PAUSE);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(WorkerError::Locked { lock: path }),
            Err(err) => return Err(failed(err.into())),
        }
    }
}

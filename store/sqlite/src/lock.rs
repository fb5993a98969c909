//! Who owns the database: a lock on a file beside it.
//!
//! The kernel gives the lock back when its process ends, however that happens. The database
//! itself is not locked by this, so readers of the same process are not shut out.

use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tidemill_store::StoreError;

/// The longest process number that is read back, in bytes.
const PID_BYTES: u64 = 20;
/// So long an owner waits for those who only read: a listing at the wrong moment must not keep a server from
/// starting.
const READERS_GONE_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Held while the database is open.
#[derive(Debug)]
pub(crate) struct OwnerLock {
    _file: File,
}

/// Takes the lock for one owner, once those who only read have gone, and writes this process's
/// number into it.
pub(crate) async fn own(database: &Path) -> Result<OwnerLock, StoreError> {
    let (mut file, path) = open(database)?;
    let began = Instant::now();
    let alone = FlockOperation::NonBlockingLockExclusive;
    while let Err(holder) = take(&mut file, database, alone)? {
        if holder != Holder::Readers || began.elapsed() >= READERS_GONE_WITHIN {
            return Err(owned(database, holder));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let written = file
        .set_len(0)
        .and_then(|()| write!(file, "{}", std::process::id()));
    written.map_err(|err| unavailable(&path, err))?;
    Ok(OwnerLock { _file: file })
}

/// Takes the lock with other readers, while there is no owner.
pub(crate) fn share(database: &Path) -> Result<OwnerLock, StoreError> {
    let (mut file, _) = open(database)?;
    let with_others = FlockOperation::NonBlockingLockShared;
    while let Err(holder) = take(&mut file, database, with_others)? {
        // Readers keep no reader out: the owner has gone since.
        if holder != Holder::Readers {
            return Err(owned(database, holder));
        }
    }
    Ok(OwnerLock { _file: file })
}

fn open(database: &Path) -> Result<(File, PathBuf), StoreError> {
    let mut name = database.as_os_str().to_os_string();
    name.push(".lock");
    let path = PathBuf::from(name);
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    let file = options.open(&path).map_err(|err| unavailable(&path, err))?;
    Ok((file, path))
}

/// Who holds the lock.
#[derive(Debug, PartialEq, Eq)]
enum Holder {
    /// Some who only read; they do not write their numbers.
    Readers,
    /// The owner with this number.
    Owner(String),
}

/// Takes the lock, or says who holds it.
fn take(
    file: &mut File,
    database: &Path,
    operation: FlockOperation,
) -> Result<Result<(), Holder>, StoreError> {
    match flock(&*file, operation) {
        Ok(()) => Ok(Ok(())),
        Err(err) if err == rustix::io::Errno::WOULDBLOCK => Ok(Err(holder(file))),
        Err(err) => Err(unavailable(database, err.into())),
    }
}

fn owned(database: &Path, holder: Holder) -> StoreError {
    StoreError::Owned {
        what: database.display().to_string(),
        pid: match holder {
            Holder::Readers => "of a reader".to_string(),
            Holder::Owner(pid) => pid,
        },
    }
}

/// Who holds the lock, as far as that can be told.
fn holder(file: &mut File) -> Holder {
    if flock(&*file, FlockOperation::NonBlockingLockShared).is_ok() {
        // Given back at once: two that want to own would take each other for readers.
        let _ = flock(&*file, FlockOperation::Unlock);
        return Holder::Readers;
    }
    let mut pid = String::new();
    let read = file
        .rewind()
        .and_then(|()| (&*file).take(PID_BYTES).read_to_string(&mut pid));
    Holder::Owner(match read {
        Ok(1..) => pid.trim().to_string(),
        _ => "unknown".to_string(),
    })
}

fn unavailable(path: &Path, err: std::io::Error) -> StoreError {
    StoreError::Unavailable {
        what: path.display().to_string(),
        err: err.into(),
    }
}

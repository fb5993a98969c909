//! Writing a log. Its writer holds the file's lock, and takes the permission to write away when
//! the log is complete: so whoever finds a log can tell one that grows, one that is finished and
//! one whose writer died, whatever crashed in between.

use crate::line::{Clock, NOTE};
use rustix::fs::{FlockOperation, Mode};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The owner may read and write.
const GROWS: u32 = 0o600;
/// The owner may read.
const FINISHED: u32 = 0o400;

/// The one writer of a log.
#[derive(Debug)]
pub struct Writer {
    file: File,
}

impl Writer {
    /// Opens a log for appending; makes its folders.
    ///
    /// # Errors
    /// When the file cannot be made, or another process writes it.
    pub fn open(path: &Path) -> io::Result<Writer> {
        let open = || {
            File::options()
                .append(true)
                .create(true)
                .mode(GROWS)
                .open(path)
        };
        let file = match (open(), path.parent()) {
            (Err(err), Some(folder)) if err.kind() == io::ErrorKind::NotFound => {
                std::fs::create_dir_all(folder)?;
                open()?
            }
            (result, _) => result?,
        };
        // Before the first byte: a log with bytes and without a lock has lost its writer. Whoever
        // looks for such logs leaves empty ones alone.
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Writer { file }),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let message = "another process writes this log";
                Err(io::Error::new(io::ErrorKind::WouldBlock, message))
            }
            Err(err) => Err(err.into()),
        }
    }

    /// Appends whole lines.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines)
    }

    /// The log is complete: nobody writes it any more.
    ///
    /// # Errors
    /// When the file's permissions cannot be changed.
    pub fn finish(self) -> io::Result<()> {
        Ok(rustix::fs::fchmod(
            &self.file,
            Mode::from_raw_mode(FINISHED),
        )?)
    }
}

/// Writes a note of Tidemill's as the last words of a log that nobody else writes.
///
/// # Errors
/// When the file cannot be made or written.
pub fn append_note(path: &Path, text: &str) -> io::Result<()> {
    let mut writer = Writer::open(path)?;
    writer.write(note(text).as_bytes())?;
    writer.finish()
}

fn note(text: &str) -> String {
    let at = Clock::default().now();
    let line = |line: &str| format!("{at} {NOTE} {line}\n");
    text.lines().map(line).collect()
}

/// How a plain log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its writer is alive, or it is not there.
    Grows,
    /// It is complete.
    Finished,
    /// Its writer died; now it says so and is complete.
    Died,
}

/// What stands at the end of a log whose writer died.
const DIED: &str = "the worker died here; what the task wrote after this is lost";

/// Finds out how a log stands, and completes one whose writer died.
///
/// # Errors
/// When the file cannot be read, or its last words cannot be written.
pub(crate) fn settle(path: &Path) -> io::Result<State> {
    let file = match File::options().read(true).open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(State::Grows),
        Err(err) => return Err(err),
    };
    let found = file.metadata()?;
    if found.mode() & 0o200 == 0 {
        return Ok(State::Finished);
    }
    if found.len() == 0 {
        return Ok(State::Grows);
    }
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(State::Grows),
        Err(err) => return Err(err.into()),
    }
    // It may have been finished since the first look.
    if file.metadata()?.mode() & 0o200 == 0 {
        return Ok(State::Finished);
    }
    let cut = !ends_with_a_line(&file)?;
    let mut append = File::options().append(true).open(path)?;
    if cut {
        append.write_all(b"\n")?;
    }
    append.write_all(note(DIED).as_bytes())?;
    rustix::fs::fchmod(&append, Mode::from_raw_mode(FINISHED))?;
    Ok(State::Died)
}

fn ends_with_a_line(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let mut last = [0u8];
    let size = file.metadata()?.len();
    file.read_exact_at(&mut last, size.saturating_sub(1))?;
    Ok(last[0] == b'\n')
}

//! The log of one try: how it is written while the task runs, and how it is read.
//!
//! One line of the file is `2026-11-21T09:14:02.123456Z O text`. The letter says whose it is:
//! `O` standard output, `E` standard error, `T` Tidemill's own notes.

mod read;
pub(crate) mod sink;
pub(crate) mod thread;

pub use read::{LogLine, read_lines, tail};

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use tidemill_model::Ts;

/// The longest text of one line in the file; longer ones are cut in pieces of this size.
pub const LINE_MAX: usize = 64 * 1024;

/// Standard output.
pub const STDOUT: char = 'O';
/// Standard error.
pub const STDERR: char = 'E';
/// Tidemill's own notes.
pub const NOTE: char = 'T';

/// The start of the lines that are written now. Keeps the text of the current second.
#[derive(Default)]
pub(crate) struct Clock {
    second: i64,
    text: String,
}

impl Clock {
    /// `2026-11-21T09:14:02.123456Z`.
    pub(crate) fn now(&mut self) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let second = i64::try_from(now.as_secs()).unwrap_or(0);
        if self.text.is_empty() || self.second != second {
            self.second = second;
            self.text = Ts(second.saturating_mul(1_000_000)).to_string();
            self.text.truncate(19);
        }
        format!("{}.{:06}Z", self.text, now.subsec_micros())
    }
}

/// Opens a log for appending; makes its folders.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let open = || {
        File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
    };
    match (open(), path.parent()) {
        (Err(err), Some(folder)) if err.kind() == io::ErrorKind::NotFound => {
            std::fs::create_dir_all(folder)?;
            open()
        }
        (result, _) => result,
    }
}

/// Writes a note of Tidemill's into a log that nobody else writes now.
///
/// # Errors
/// When the file cannot be made or written.
pub fn append_note(path: &Path, text: &str) -> io::Result<()> {
    let at = Clock::default().now();
    let mut lines = String::new();
    for line in text.lines() {
        lines.push_str(&format!("{at} {NOTE} {line}\n"));
    }
    open(path)?.write_all(lines.as_bytes())
}

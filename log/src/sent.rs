//! What of a folder of logs has gone to an archive: the file `sent` beside the logs of a run, one
//! name a line. It goes with them. A line that a crash has lost only means that a log is sent again.

use crate::keep::{PACK_MIN, folders};
use crate::{DRAFT, STORED};
use std::collections::HashSet;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The name of the file; no log has it, for theirs are numbers.
pub(crate) const SENT: &str = "sent";

/// Logs that have their lasting form and have not been sent, those of the oldest runs first and
/// at most about `n_max`.
///
/// # Errors
/// When the folder cannot be read.
pub fn to_send(folder: &Path, n_max: usize) -> io::Result<Vec<PathBuf>> {
    let mut runs = folders(folder)?;
    runs.sort_by_key(|run| number(run));
    let mut found = Vec::new();
    for run in runs {
        if found.len() >= n_max {
            break;
        }
        let logs = unsent(&run)?.into_iter();
        found.extend(logs.filter_map(|(log, lasts)| lasts.then_some(log)));
    }
    Ok(found)
}

/// Writes down that a log has arrived.
///
/// # Errors
/// When it cannot be written.
pub fn note_sent(log: &Path) -> io::Result<()> {
    let name = log.file_name().unwrap_or_default().to_string_lossy();
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    let mut file = options.open(log.with_file_name(SENT))?;
    file.write_all(format!("{name}\n").as_bytes())
}

/// The logs of a run that have not been sent, and whether each has its lasting form.
pub(crate) fn unsent(run: &Path) -> io::Result<Vec<(PathBuf, bool)>> {
    let noted = match std::fs::read_to_string(run.join(SENT)) {
        Ok(noted) => noted,
        Err(err) if err.kind() == io::ErrorKind::NotFound => String::new(),
        Err(err) => return Err(err),
    };
    let noted: HashSet<&str> = noted.lines().collect();
    let mut unsent = Vec::new();
    for entry in std::fs::read_dir(run)?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name == SENT || name.ends_with(DRAFT) {
            continue;
        }
        let log = name.strip_suffix(STORED).unwrap_or(&name);
        if !noted.contains(log) {
            let lasts = name.ends_with(STORED) || is_lasting(&entry.path());
            unsent.push((run.join(log), lasts));
        }
    }
    unsent.sort();
    Ok(unsent)
}

/// Is this a plain log that is complete and too small to be packed?
pub fn is_lasting(log: &Path) -> bool {
    let found = std::fs::metadata(log).ok();
    found.is_some_and(|found| found.mode() & 0o200 == 0 && found.len() <= PACK_MIN)
}

/// A run's number, by the name of its folder.
pub(crate) fn number(run: &Path) -> u64 {
    let name = run.file_name().unwrap_or_default().to_string_lossy();
    name.parse().unwrap_or(0)
}

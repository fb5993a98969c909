//! The log of one try: what a line of it is, how its file is written, kept and read.
//!
//! While a task runs, its log is a plain file that grows. A finished log is read-only, and a
//! large one becomes independent zstd frames with an index, so that any part of it opens at once.
//! Whoever reads sees the same bytes at the same places in both, so a place stays good over the
//! change.

mod colour;
mod frames;
mod inert;
mod keep;
mod line;
mod lines;
mod read;
mod search;
mod sent;
mod write;

pub use colour::{Piece, Style, coloured};
pub use frames::{FRAME, Frames};
pub use inert::inert;
pub use keep::{KeepRules, Keeper, Kept, store, sweep, trim};
pub use line::{Clock, LINE_MAX, LogLine, NOTE, STDERR, STDOUT};
pub use lines::{CHUNK_MAX, Chunk, Ends, ends, line_start, read_from, tail};
pub use read::{Log, LogSource, ReadAt};
pub use search::{Found, Query, SearchError, search};
pub use sent::{is_lasting, note_sent, to_send};
pub use write::{Writer, append_note};

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The name of a log that has become frames: its own name and this.
const STORED: &str = ".zst";
/// The same while it is written.
const DRAFT: &str = ".zst.new";

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Where the frames of a log lie, whether they are there or not. Logs themselves are always
/// named without it.
pub fn stored_path(path: &Path) -> PathBuf {
    with_suffix(path, STORED)
}

/// Is there a log of this name, in either form?
pub fn exists(path: &Path) -> bool {
    path.exists() || stored_path(path).exists()
}

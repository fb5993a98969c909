//! Reads the log of one try while it may still grow, in bounded memory.
//!
//! Each line is `RFC3339 S text`; `S` is `O` (standard output), `E` (standard error) or `T`
//! (Tidemill's own note).

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use tidemill_model::{MapIndex, RunNo, TaskNo};

/// The most bytes that one answer reads.
pub const CHUNK_MAX: usize = 1 << 20;
const LINE_MAX: usize = 16 * 1024;

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written, RFC 3339; empty when the line does not say.
    pub at: String,
    /// `O`, `E` or `T`.
    pub stream: char,
    /// What it says, without control over its length: lines are cut at 16 KiB.
    pub text: String,
}

/// Some lines, and where the next ones begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogChunk {
    /// The lines, in order.
    pub lines: Vec<LogLine>,
    /// The byte after the last line.
    pub next: u64,
    /// The size of the file when it was read.
    pub size: u64,
}

/// The first and the last lines of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogEnds {
    /// From the beginning.
    pub head: Vec<LogLine>,
    /// Bytes between the head and the tail that are not here.
    pub gap: u64,
    /// Where the gap begins.
    pub gap_from: u64,
    /// To the end; empty when the head is all.
    pub tail: Vec<LogLine>,
    /// The byte after the last line.
    pub next: u64,
    /// The size of the file.
    pub size: u64,
}

/// The file of a try's log, brought here from its worker if it has to be.
pub(crate) async fn located(
    doors: &crate::Doors,
    run: RunNo,
    task: TaskNo,
    map_index: MapIndex,
    try_number: i32,
) -> PathBuf {
    let here = path(&doors.logs, run, task, map_index, try_number);
    let Some(elsewhere) = doors.elsewhere.as_ref().filter(|_| !here.exists()) else {
        return here;
    };
    let name = path(Path::new(""), run, task, map_index, try_number);
    elsewhere(name).await.unwrap_or(here)
}

fn path(logs: &Path, run: RunNo, task: TaskNo, map_index: MapIndex, try_number: i32) -> PathBuf {
    logs.join(run.to_string())
        .join(format!("{task}.{map_index}.{try_number}"))
}

/// Whole lines from a byte on, at most `bytes_max` bytes of them. A file that is not there yet is
/// empty. The last line may be without an end only when `complete` says that nobody writes it.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn read_from(path: &Path, from: u64, bytes_max: usize, complete: bool) -> io::Result<LogChunk> {
    let Some((mut file, size)) = open(path)? else {
        return Ok(LogChunk {
            next: from,
            ..LogChunk::default()
        });
    };
    let from = from.min(size);
    let (bytes, at_end) = read_bytes(&mut file, from, size, bytes_max)?;
    let n_whole = whole(&bytes, at_end && complete, bytes.len() == bytes_max);
    Ok(LogChunk {
        lines: split(&bytes[..n_whole]),
        next: from + n_whole as u64,
        size,
    })
}

/// At most `n_head` first and `n_tail` last lines.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn ends(path: &Path, n_head: usize, n_tail: usize, complete: bool) -> io::Result<LogEnds> {
    let Some((mut file, size)) = open(path)? else {
        return Ok(LogEnds::default());
    };
    let (bytes, at_end) = read_bytes(&mut file, 0, size, CHUNK_MAX)?;
    if at_end {
        let n_whole = whole(&bytes, complete, false);
        let all = split(&bytes[..n_whole]);
        if all.len() <= n_head + n_tail {
            return Ok(LogEnds {
                head: all,
                next: n_whole as u64,
                size,
                ..LogEnds::default()
            });
        }
    }
    let head_bytes = first_lines(&bytes, n_head);
    let tail_from = size.saturating_sub(CHUNK_MAX as u64).max(head_bytes as u64);
    let (last, _) = read_bytes(&mut file, tail_from, size, CHUNK_MAX)?;
    let n_whole = whole(&last, complete, false);
    let skip = last_lines(&last[..n_whole], n_tail, tail_from == head_bytes as u64);
    let begin = tail_from + skip as u64;
    Ok(LogEnds {
        head: split(&bytes[..head_bytes]),
        gap: begin - head_bytes as u64,
        gap_from: head_bytes as u64,
        tail: split(&last[skip..n_whole]),
        next: tail_from + n_whole as u64,
        size,
    })
}

/// At most `n` last lines.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn tail(path: &Path, n: usize) -> io::Result<Vec<LogLine>> {
    let Some((mut file, size)) = open(path)? else {
        return Ok(Vec::new());
    };
    let from = size.saturating_sub(64 * 1024);
    let (bytes, _) = read_bytes(&mut file, from, size, 64 * 1024)?;
    let skip = last_lines(&bytes, n, from == 0);
    Ok(split(&bytes[skip..]))
}

fn open(path: &Path) -> io::Result<Option<(File, u64)>> {
    match File::open(path) {
        Ok(file) => {
            let size = file.metadata()?.len();
            Ok(Some((file, size)))
        }
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

/// Bytes from a place on, and whether they reach the end as `size` says it.
fn read_bytes(
    file: &mut File,
    from: u64,
    size: u64,
    bytes_max: usize,
) -> io::Result<(Vec<u8>, bool)> {
    let wanted = (size - from).min(bytes_max as u64);
    let mut bytes = Vec::with_capacity(wanted as usize);
    file.seek(SeekFrom::Start(from))?;
    file.take(wanted).read_to_end(&mut bytes)?;
    let at_end = from + bytes.len() as u64 >= size;
    Ok((bytes, at_end))
}

/// How many bytes are whole lines. A line longer than the whole chunk is cut where the chunk ends.
fn whole(bytes: &[u8], last_counts: bool, is_full: bool) -> usize {
    if last_counts {
        return bytes.len();
    }
    match bytes.iter().rposition(|&byte| byte == b'\n') {
        Some(at) => at + 1,
        None if is_full => bytes.len(),
        None => 0,
    }
}

fn first_lines(bytes: &[u8], n: usize) -> usize {
    if n == 0 {
        return 0;
    }
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    ends.map(|(at, _)| at + 1).take(n).last().unwrap_or(0)
}

/// Where the last `n` lines begin. A first line that may be a part is passed over.
fn last_lines(bytes: &[u8], n: usize, starts_whole: bool) -> usize {
    let end = bytes.len() - usize::from(bytes.last() == Some(&b'\n'));
    let mut starts = bytes[..end]
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, byte)| **byte == b'\n');
    match starts.nth(n.saturating_sub(1)) {
        Some((at, _)) => at + 1,
        None if starts_whole => 0,
        None => bytes
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1),
    }
}

fn split(bytes: &[u8]) -> Vec<LogLine> {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    body.split(|&byte| byte == b'\n').map(line).collect()
}

fn line(bytes: &[u8]) -> LogLine {
    let cut = &bytes[..bytes.len().min(LINE_MAX)];
    let text = String::from_utf8_lossy(cut);
    let mut parts = text.splitn(3, ' ');
    if let (Some(at), Some(stream @ ("O" | "E" | "T"))) = (parts.next(), parts.next()) {
        let stream = stream.chars().next().unwrap_or('O');
        return LogLine {
            at: at.to_string(),
            stream,
            text: parts.next().unwrap_or_default().to_string(),
        };
    }
    LogLine {
        at: String::new(),
        stream: 'O',
        text: text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn file(n_lines: usize, tail: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let lines: String = (0..n_lines)
            .map(|n| format!("2026-11-21T06:00:00Z O line {n}\n"))
            .collect();
        std::fs::write(&path, lines + tail).unwrap();
        (folder, path)
    }

    #[test]
    fn a_line_that_is_being_written_waits_for_its_end() {
        let (_folder, path) = file(2, "2026-11-21T06:00:00Z E ha");
        let chunk = read_from(&path, 0, CHUNK_MAX, false).unwrap();
        assert_eq!(chunk.lines.len(), 2);
        let rest = read_from(&path, chunk.next, CHUNK_MAX, true).unwrap();
        assert_eq!(rest.lines[0].text, "ha");
        assert_eq!(rest.lines[0].stream, 'E');
        assert_eq!(rest.next, rest.size);
    }

    #[test]
    fn a_long_log_shows_its_ends_and_the_gap() {
        let (_folder, path) = file(10_000, "");
        let ends = ends(&path, 500, 2000, true).unwrap();
        assert_eq!((ends.head.len(), ends.tail.len()), (500, 2000));
        assert_eq!(ends.head[499].text, "line 499");
        assert_eq!(ends.tail[0].text, "line 8000");
        assert_eq!(ends.tail[1999].text, "line 9999");
        let middle = read_from(&path, ends.gap_from, ends.gap as usize, false).unwrap();
        assert_eq!(middle.lines.len(), 7500);
        assert_eq!(ends.next, ends.size);
    }

    #[test]
    fn a_log_that_is_not_there_is_empty() {
        let missing = Path::new("/nonexistent/log");
        assert_eq!(ends(missing, 1, 1, true).unwrap(), LogEnds::default());
        assert!(tail(missing, 5).unwrap().is_empty());
        assert!(read_from(missing, 7, 10, true).unwrap().lines.is_empty());
    }

    #[test]
    fn the_tail_of_a_log_is_its_last_lines() {
        let (_folder, path) = file(50, "");
        let lines = tail(&path, 20).unwrap();
        assert_eq!(lines.len(), 20);
        assert_eq!(lines[19].text, "line 49");
        let (_folder, path) = file(3, "");
        assert_eq!(tail(&path, 20).unwrap().len(), 3);
    }
}

//! Lines of a log, in bounded memory, also while it is written.

use crate::line::{LogLine, WHOLE_MAX};
use crate::read::{Log, LogSource};
use std::io;

/// The most bytes that one answer reads.
pub const CHUNK_MAX: usize = 1 << 20;
/// The most that [`tail`] holds.
const TAIL_MAX: u64 = 8 << 20;

/// Some lines, and where the next ones begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The lines, in order.
    pub lines: Vec<LogLine>,
    /// Where the first of them begins.
    pub from: u64,
    /// The byte after the last line.
    pub next: u64,
    /// The size of the log when it was read.
    pub size: u64,
}

/// The first and the last lines of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ends {
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
    /// The size of the log.
    pub size: u64,
}

/// Whole lines from a byte on, about `bytes_max` bytes of them but at least one line. A log that
/// is not there yet is empty. The last line may be without an end only when `complete` says that
/// nobody writes it. A place within a line gives the rest of that line.
///
/// # Errors
/// When the log is there and cannot be read.
pub fn read_from(
    log: &(impl LogSource + ?Sized),
    from: u64,
    bytes_max: usize,
    complete: bool,
) -> io::Result<Chunk> {
    let Some(mut log) = log.open()? else {
        return Ok(Chunk {
            from,
            next: from,
            ..Chunk::default()
        });
    };
    let from = from.min(log.size());
    let mut bytes = log.bytes(from, bytes_max.clamp(1, CHUNK_MAX))?;
    let is_last = |bytes: &[u8]| from + bytes.len() as u64 >= log.size();
    let mut n_whole = whole(&bytes, complete && is_last(&bytes));
    if n_whole == 0 && !is_last(&bytes) {
        // One line that is longer than asked for; no line of ours is longer than this.
        bytes = log.bytes(from, bytes.len() + WHOLE_MAX)?;
        let at_end = complete && from + bytes.len() as u64 >= log.size();
        let first = bytes.iter().position(|&byte| byte == b'\n');
        let all = if at_end || bytes.len() > WHOLE_MAX {
            bytes.len()
        } else {
            0
        };
        n_whole = first.map_or(all, |at| at + 1);
    }
    Ok(Chunk {
        lines: parse(&bytes[..n_whole]),
        from,
        next: from + n_whole as u64,
        size: log.size(),
    })
}

/// At most `n_head` first and `n_tail` last lines, each from at most a mebibyte.
///
/// # Errors
/// When the log is there and cannot be read.
pub fn ends(
    log: &(impl LogSource + ?Sized),
    n_head: usize,
    n_tail: usize,
    complete: bool,
) -> io::Result<Ends> {
    let Some(mut log) = log.open()? else {
        return Ok(Ends::default());
    };
    let size = log.size();
    let bytes = log.bytes(0, CHUNK_MAX)?;
    if bytes.len() as u64 >= size {
        let n_whole = whole(&bytes, complete);
        let all = parse(&bytes[..n_whole]);
        if all.len() <= n_head + n_tail {
            return Ok(Ends {
                head: all,
                next: n_whole as u64,
                size,
                ..Ends::default()
            });
        }
    }
    let head_bytes = first_lines(&bytes, n_head);
    let tail_from = size.saturating_sub(CHUNK_MAX as u64).max(head_bytes as u64);
    let last = log.bytes(tail_from, CHUNK_MAX)?;
    let n_whole = whole(&last, complete);
    let skip = last_lines(&last[..n_whole], n_tail, tail_from == head_bytes as u64);
    let begin = tail_from + skip as u64;
    Ok(Ends {
        head: parse(&bytes[..head_bytes]),
        gap: begin - head_bytes as u64,
        gap_from: head_bytes as u64,
        tail: parse(&last[skip..n_whole]),
        next: tail_from + n_whole as u64,
        size,
    })
}

/// The last `n` whole lines; fewer when they are larger than 8 MiB together.
///
/// # Errors
/// When the log is there and cannot be read.
pub fn tail(log: &(impl LogSource + ?Sized), n: usize) -> io::Result<Vec<LogLine>> {
    let Some(mut log) = log.open()? else {
        return Ok(Vec::new());
    };
    let size = log.size();
    let mut room = 64 * 1024;
    loop {
        let from = size.saturating_sub(room);
        let bytes = log.bytes(from, usize::try_from(room).unwrap_or(usize::MAX))?;
        let n_whole = whole(&bytes, false);
        let n_lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
        // One end more than lines: that of the line before them.
        if n_lines > n || from == 0 || room >= TAIL_MAX {
            let skip = last_lines(&bytes[..n_whole], n, from == 0);
            return Ok(parse(&bytes[skip..n_whole]));
        }
        room *= 4;
    }
}

/// How many bytes are whole lines.
fn whole(bytes: &[u8], last_counts: bool) -> usize {
    if last_counts {
        return bytes.len();
    }
    let end = bytes.iter().rposition(|&byte| byte == b'\n');
    end.map_or(0, |at| at + 1)
}

fn first_lines(bytes: &[u8], n: usize) -> usize {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    ends.map(|(at, _)| at + 1).take(n).last().unwrap_or(0)
}

/// Where the last `n` lines begin. A first line that may be a part is passed over.
fn last_lines(bytes: &[u8], n: usize, starts_whole: bool) -> usize {
    if n == 0 {
        return bytes.len();
    }
    let end = bytes.len() - usize::from(bytes.last() == Some(&b'\n'));
    let breaks = bytes[..end].iter().enumerate();
    let mut breaks = breaks.rev().filter(|(_, byte)| **byte == b'\n');
    match breaks.nth(n - 1) {
        Some((at, _)) => at + 1,
        None if starts_whole => 0,
        None => bytes
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1),
    }
}

/// Where the line begins that holds a byte. Looks back no further than the longest line.
///
/// # Errors
/// When the log cannot be read.
pub fn line_start(log: &mut Log, at: u64) -> io::Result<u64> {
    let at = at.min(log.size());
    let from = at.saturating_sub(WHOLE_MAX as u64);
    let before = log.bytes(from, usize::try_from(at - from).unwrap_or(0))?;
    let end = before.iter().rposition(|&byte| byte == b'\n');
    Ok(end.map_or(from, |place| from + place as u64 + 1))
}

fn parse(bytes: &[u8]) -> Vec<LogLine> {
    let lines = bytes.split_inclusive(|&byte| byte == b'\n');
    lines
        .map(|line| LogLine::parse(line.strip_suffix(b"\n").unwrap_or(line)))
        .collect()
}

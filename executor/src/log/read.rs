//! Reading a log, also while it is written.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was read from the task, RFC 3339 in UTC; empty where the file is damaged.
    pub at: String,
    /// Whose it is: [`super::STDOUT`], [`super::STDERR`] or [`super::NOTE`].
    pub stream: char,
    /// Its text, without the line's end.
    pub text: String,
}

/// The length of `2026-11-21T09:14:02.123456Z`.
const STAMP: usize = 27;
/// Read at once when looking from the end.
const BLOCK: u64 = 64 * 1024;
/// The most that [`tail`] holds.
const TAIL_MAX: u64 = 8 * 1024 * 1024;

impl LogLine {
    fn parse(line: &[u8]) -> LogLine {
        let text = String::from_utf8_lossy(line);
        if let (Some(at), Some(rest)) = (text.get(..STAMP), text.get(STAMP..))
            && at.ends_with('Z')
            && let [b' ', mark @ (b'O' | b'E' | b'T'), b' ', ..] = rest.as_bytes()
        {
            return LogLine {
                at: at.to_string(),
                stream: *mark as char,
                text: rest[3..].to_string(),
            };
        }
        LogLine {
            at: String::new(),
            stream: super::NOTE,
            text: text.into_owned(),
        }
    }
}

/// Whole lines from a byte on, about `max_bytes` of them but at least one, and the byte to go on
/// from. A log that does not exist yet has no lines.
///
/// # Errors
/// When the file cannot be read.
pub fn read_lines(
    path: &Path,
    from_byte: u64,
    max_bytes: usize,
) -> io::Result<(Vec<LogLine>, u64)> {
    let Some(mut file) = open(path)? else {
        return Ok((Vec::new(), from_byte));
    };
    file.seek(SeekFrom::Start(from_byte))?;
    let room = max_bytes.max(1) as u64;
    let mut bytes = Vec::new();
    (&mut file).take(room).read_to_end(&mut bytes)?;
    let whole = match bytes.iter().rposition(|&b| b == b'\n') {
        Some(at) => at + 1,
        None => {
            // One line that is longer than asked for; no line of ours is longer than this.
            let longest = (3 * super::LINE_MAX + 64) as u64;
            let before = bytes.len();
            file.take(longest).read_to_end(&mut bytes)?;
            bytes[before..]
                .iter()
                .position(|&b| b == b'\n')
                .map_or(0, |at| before + at + 1)
        }
    };
    let lines = bytes[..whole].split_inclusive(|&b| b == b'\n');
    let lines = lines
        .map(|line| LogLine::parse(&line[..line.len() - 1]))
        .collect();
    Ok((lines, from_byte + whole as u64))
}

/// The last `n_lines` whole lines; fewer when they are larger than 8 MiB together.
///
/// # Errors
/// When the file cannot be read.
pub fn tail(path: &Path, n_lines: usize) -> io::Result<Vec<LogLine>> {
    let Some(mut file) = open(path)? else {
        return Ok(Vec::new());
    };
    let end = file.metadata()?.len();
    let mut start = end;
    let mut bytes: Vec<u8> = Vec::new();
    let mut n_ends = 0;
    // One more end than lines: that of the line before them.
    while start > 0 && n_ends <= n_lines && end - start < TAIL_MAX {
        let size = BLOCK.min(start);
        start -= size;
        let mut block = vec![0; size as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut block)?;
        n_ends += block.iter().filter(|&&b| b == b'\n').count();
        block.append(&mut bytes);
        bytes = block;
    }
    let whole = bytes
        .iter()
        .rposition(|&b| b == b'\n')
        .map_or(0, |at| at + 1);
    let mut lines: Vec<&[u8]> = bytes[..whole].split_inclusive(|&b| b == b'\n').collect();
    if start > 0 && !lines.is_empty() {
        lines.remove(0); // its beginning was not read
    }
    let skip = lines.len().saturating_sub(n_lines);
    Ok(lines[skip..]
        .iter()
        .map(|line| LogLine::parse(&line[..line.len() - 1]))
        .collect())
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn log_of(n: usize) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut text = String::new();
        for at in 0..n {
            let stream = if at % 2 == 0 { 'O' } else { 'E' };
            text.push_str(&format!("2026-11-21T09:14:02.123456Z {stream} line {at}\n"));
        }
        text.push_str("2026-11-21T09:14:02.123456Z O unfini");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn a_log_can_be_read_in_parts_of_any_size() {
        let (_folder, path) = log_of(100);
        for max_bytes in [1, 50, 1000, 1 << 20] {
            let (mut all, mut from) = (Vec::new(), 0);
            loop {
                let (lines, next) = read_lines(&path, from, max_bytes).unwrap();
                if lines.is_empty() {
                    break;
                }
                all.extend(lines);
                from = next;
            }
            assert_eq!(all.len(), 100);
            assert_eq!(all[99].text, "line 99");
            assert_eq!(all[99].stream, 'E');
            assert_eq!(all[99].at, "2026-11-21T09:14:02.123456Z");
        }
    }

    #[test]
    fn the_tail_is_the_last_whole_lines() {
        let (_folder, path) = log_of(5000);
        let lines = tail(&path, 3).unwrap();
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["line 4997", "line 4998", "line 4999"]);
        assert_eq!(tail(&path, 10_000).unwrap().len(), 5000);
        assert!(tail(&path, 0).unwrap().is_empty());
        assert!(tail(Path::new("/no/such/log"), 3).unwrap().is_empty());
    }
}

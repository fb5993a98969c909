//! One line of a log: `2026-11-21T09:14:02.123456Z O text`. The letter says whose it is.

use std::time::{SystemTime, UNIX_EPOCH};
use tidemill_model::Ts;

/// The longest text of one line in the file, in bytes; longer ones are cut in pieces of this size.
pub const LINE_MAX: usize = 64 * 1024;
/// The longest line of the file: what is not UTF-8 grows to three bytes for each.
pub(crate) const WHOLE_MAX: usize = 3 * LINE_MAX + 64;

/// Standard output.
pub const STDOUT: char = 'O';
/// Standard error.
pub const STDERR: char = 'E';
/// Tidemill's own notes.
pub const NOTE: char = 'T';

/// The length of `2026-11-21T09:14:02.123456Z`.
const STAMP: usize = 27;

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was read from the task, RFC 3339 in UTC; empty where the file is damaged.
    pub at: String,
    /// Whose it is: [`STDOUT`], [`STDERR`] or [`NOTE`].
    pub stream: char,
    /// Its text, without the line's end. Control characters are as the task wrote them: show it
    /// through [`crate::inert`].
    pub text: String,
}

impl LogLine {
    /// Reads a line without its end, also where that was CR LF. Bytes that are no UTF-8 become U+FFFD; what does not begin
    /// as a line of ours is taken whole, as a note.
    pub fn parse(line: &[u8]) -> LogLine {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match split(line) {
            Some((at, stream, text)) => LogLine {
                at: at.to_string(),
                stream,
                text: String::from_utf8_lossy(text).into_owned(),
            },
            None => LogLine {
                at: String::new(),
                stream: NOTE,
                text: String::from_utf8_lossy(line).into_owned(),
            },
        }
    }
}

/// The parts of a line of ours: when, whose, what.
pub(crate) fn split(line: &[u8]) -> Option<(&str, char, &[u8])> {
    let at = std::str::from_utf8(line.get(..STAMP)?).ok()?;
    let [b' ', mark @ (b'O' | b'E' | b'T'), b' ', text @ ..] = line.get(STAMP..)? else {
        return None;
    };
    at.ends_with('Z').then_some((at, char::from(*mark), text))
}

/// The beginning of lines that are written now. Keeps the text of the current second.
#[derive(Debug, Default)]
pub struct Clock {
    second: i64,
    text: String,
}

impl Clock {
    /// `2026-11-21T09:14:02.123456Z`.
    pub fn now(&mut self) -> String {
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

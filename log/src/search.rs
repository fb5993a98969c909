//! Looks for a text in a whole log, block by block.

use crate::inert::inert;
use crate::line::{LogLine, split};
use crate::read::LogSource;
use regex::bytes::{Regex, RegexBuilder};
use std::borrow::Cow;
use std::io;

/// Read at once.
const BLOCK: usize = 1 << 20;
/// No query is longer, in bytes.
const QUERY_MAX: usize = 1000;
/// The most memory of a compiled query, in bytes.
const COMPILED_MAX: usize = 1 << 20;

/// What is looked for. It is held against a line's text as people see it: without the time and
/// without colours.
#[derive(Clone, Debug)]
pub struct Query {
    regex: Regex,
}

/// A query that cannot be looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SearchError(String);

impl Query {
    /// Lines that contain a text.
    ///
    /// # Errors
    /// When it is empty or longer than 1,000 bytes.
    pub fn text(text: &str, ignores_case: bool) -> Result<Query, SearchError> {
        Query::pattern(&regex::escape(text), ignores_case)
    }

    /// Lines that match a regular expression (syntax of the `regex` crate; time linear in the
    /// log's size, whatever the expression).
    ///
    /// # Errors
    /// When it is none, is empty or is too large.
    pub fn pattern(text: &str, ignores_case: bool) -> Result<Query, SearchError> {
        if text.is_empty() {
            return Err(SearchError("there is nothing to look for".to_string()));
        }
        if text.len() > 2 * QUERY_MAX {
            let message = format!("what is looked for is longer than {QUERY_MAX} bytes");
            return Err(SearchError(message));
        }
        let regex = RegexBuilder::new(text)
            .case_insensitive(ignores_case)
            .size_limit(COMPILED_MAX)
            .dfa_size_limit(COMPILED_MAX)
            .build();
        let regex = regex.map_err(|err| SearchError(err.to_string()))?;
        Ok(Query { regex })
    }

    fn matches(&self, line: &[u8]) -> bool {
        let text = split(line).map_or(line, |(_, _, text)| text);
        self.regex.is_match(&as_seen(text))
    }
}

/// A line's text as pages show it.
fn as_seen(text: &[u8]) -> Cow<'_, [u8]> {
    let is_plain = |byte: &u8| matches!(byte, b'\t' | 0x20..=0x7e);
    if text.iter().all(is_plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(inert(&String::from_utf8_lossy(text)).into_bytes())
}

/// Some lines that match, and where to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The lines, each with the byte at which it begins.
    pub lines: Vec<(u64, LogLine)>,
    /// Everything before this byte has been looked through.
    pub next: u64,
    /// The size of the log when it was read.
    pub size: u64,
}

/// Looks for lines from a byte on, until `lines_max` have matched or about `bytes_max` bytes have
/// been read. A log that is not there has none.
///
/// # Errors
/// When the log is there and cannot be read.
pub fn search(
    log: &(impl LogSource + ?Sized),
    query: &Query,
    from: u64,
    lines_max: usize,
    bytes_max: u64,
) -> io::Result<Found> {
    let Some(mut log) = log.open()? else {
        return Ok(Found::default());
    };
    let mut found = Found {
        next: from.min(log.size()),
        size: log.size(),
        ..Found::default()
    };
    let until = from.saturating_add(bytes_max);
    while found.next < found.size && found.next < until {
        let block = log.bytes(found.next, BLOCK)?;
        if block.is_empty() {
            break; // it became shorter under our hands
        }
        let is_last = found.next + block.len() as u64 >= found.size;
        let end = block.iter().rposition(|&byte| byte == b'\n');
        let n_whole = end.map_or(block.len(), |at| if is_last { block.len() } else { at + 1 });
        for line in block[..n_whole].split_inclusive(|&byte| byte == b'\n') {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            if query.matches(text) {
                if found.lines.len() == lines_max {
                    return Ok(found);
                }
                found.lines.push((found.next, LogLine::parse(text)));
            }
            found.next += line.len() as u64;
        }
    }
    Ok(found)
}

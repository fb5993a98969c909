//! The one place where a test waits.

use std::path::Path;
use std::time::{Duration, Instant};

/// Asks until there is an answer; panics, saying what was awaited, when `limit` is over.
pub fn wait_for<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    match within(limit, &mut ask) {
        Some(answer) => answer,
        None => panic!("waited {limit:?} for {what}"),
    }
}

/// Asks until there is an answer or `limit` is over.
pub fn within<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if begin.elapsed() >= limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5).min(limit));
    }
}

/// Lets a moment pass, for tests that do something at a random instant.
pub fn let_pass(moment: Duration) {
    let end = Instant::now() + moment;
    within(moment, || (Instant::now() >= end).then_some(()));
}

/// The lines of a file that others write to while it is read, none before it is there. A line
/// whose end has not been written is not there yet.
pub fn whole_lines(path: &Path) -> String {
    let mut bytes = std::fs::read(path).unwrap_or_default();
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    bytes.truncate(end.map_or(0, |end| end + 1));
    String::from_utf8(bytes).unwrap()
}

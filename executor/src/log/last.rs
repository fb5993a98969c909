//! The last line of a stream.

use tidemill_log::LINE_MAX;

/// Keeps the last line that is not blank.
#[derive(Debug, Default)]
pub(crate) struct LastLine {
    /// The beginning of the current line.
    current: Vec<u8>,
    last: Option<Vec<u8>>,
}

impl LastLine {
    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|&b| b == b'\n') {
            let room = LINE_MAX - self.current.len();
            self.current
                .extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    /// The stream is over, or the line is.
    pub(crate) fn end_line(&mut self) {
        let line = self.current.trim_ascii_end();
        if !line.trim_ascii_start().is_empty() {
            self.last = Some(line.to_vec());
        }
        self.current.clear();
    }

    /// The last line; the stream is over.
    pub(crate) fn take(&mut self) -> Option<String> {
        self.end_line();
        let last = self.last.take();
        last.map(|line| String::from_utf8_lossy(&line).into_owned())
    }
}

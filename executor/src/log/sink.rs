//! The log of one running attempt: both pipes, masked, cut into lines, capped, written.

use super::last::LastLine;
use crate::operator::Stream as Whose;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidemill_connection::Masker;
use tidemill_log::{Clock, Keeper, LINE_MAX, NOTE, STDERR, STDOUT, Writer};

/// An unfinished line is written when this long nothing has come to finish it.
const FLUSH_AFTER: Duration = Duration::from_millis(200);
/// The most of standard output that is kept for outputs.
pub(crate) const STDOUT_MAX: usize = 1024 * 1024;

/// What a log is for.
pub(crate) struct LogPlan {
    /// The file, made with the first byte.
    pub path: PathBuf,
    /// What to hide.
    pub masker: Arc<Masker>,
    /// The most that is written.
    pub bytes_max: u64,
    /// Keep standard output whole?
    pub keep_stdout: bool,
    /// Whom to tell when it is complete.
    pub keeper: Option<Arc<Keeper>>,
}

/// What the worker needs of the output, masked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Captured {
    /// Standard output, up to [`STDOUT_MAX`], if it was to be kept.
    pub stdout: String,
    /// Was there more?
    pub is_cut: bool,
    /// The last line of standard output that is not blank.
    pub last_line: Option<String>,
    /// The same of standard error.
    pub last_error: Option<String>,
}

#[derive(Default)]
struct Stream {
    pipe: Option<OwnedFd>,
    /// May be the beginning of a secret.
    held: Vec<u8>,
    /// The line that is not written yet.
    line: Vec<u8>,
    /// When it is written though it is unfinished.
    due: Option<Instant>,
    last: LastLine,
}

pub(crate) struct Sink {
    plan: LogPlan,
    streams: [Stream; 2],
    clock: Clock,
    file: Option<Writer>,
    is_broken: bool,
    written: u64,
    dropped: u64,
    stdout: Vec<u8>,
    is_cut: bool,
    /// Until when it waits for whoever still holds the pipes; set when the task is over.
    pub drain_until: Option<Instant>,
    notes: Vec<String>,
    is_finished: bool,
}

impl Sink {
    /// Reads these pipes, or has none and is written to.
    pub(crate) fn new(plan: LogPlan, stdout: Option<OwnedFd>, stderr: Option<OwnedFd>) -> Sink {
        let stream = |pipe| Stream {
            pipe,
            ..Stream::default()
        };
        Sink {
            plan,
            streams: [stream(stdout), stream(stderr)],
            clock: Clock::default(),
            file: None,
            is_broken: false,
            written: 0,
            dropped: 0,
            stdout: Vec::new(),
            is_cut: false,
            drain_until: None,
            notes: Vec::new(),
            is_finished: false,
        }
    }

    /// Both pipes are at their end.
    pub(crate) fn is_drained(&self) -> bool {
        self.streams.iter().all(|stream| stream.pipe.is_none())
    }

    /// Adds a note that is written at the end.
    pub(crate) fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// Does the end need no file work? Then any thread may do it.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_drained()
            && self.notes.is_empty()
            && self.dropped == 0
            && self
                .streams
                .iter()
                .all(|stream| stream.line.is_empty() && stream.held.is_empty())
    }

    /// Takes bytes that did not come through a pipe. An unfinished line waits for its rest.
    pub(crate) fn write_to(&mut self, stream: Whose, bytes: &[u8]) {
        if self.is_finished {
            return;
        }
        let masker = Arc::clone(&self.plan.masker);
        let which = match stream {
            Whose::Output => 0,
            Whose::Error => 1,
            Whose::Note => {
                let at = self.clock.now();
                let mut out = Vec::new();
                for line in masker.text(&String::from_utf8_lossy(bytes)).lines() {
                    put_line(&mut out, &at, NOTE, &mut line.as_bytes().to_vec());
                }
                return self.write(&out);
            }
        };
        let mut plain = Vec::new();
        masker.feed(&mut self.streams[which].held, bytes, &mut plain);
        self.take(which, &plain);
    }

    /// Hides other values from now on.
    pub(crate) fn hide(&mut self, masker: Masker) {
        self.plan.masker = Arc::new(masker);
    }

    /// Reads once from a pipe that has something to say.
    pub(crate) fn read(&mut self, which: usize, buffer: &mut [u8]) {
        let Some(pipe) = &self.streams[which].pipe else {
            return;
        };
        let masker = Arc::clone(&self.plan.masker);
        let mut plain = Vec::new();
        match rustix::io::read(pipe, &mut *buffer) {
            Ok(0) => {
                masker.finish(&mut self.streams[which].held, &mut plain);
                self.take(which, &plain);
                self.streams[which].pipe = None;
                if self.is_drained() {
                    self.flush(); // here, so that the end itself has no file work to do
                }
            }
            Ok(n) => {
                masker.feed(&mut self.streams[which].held, &buffer[..n], &mut plain);
                self.take(which, &plain);
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(err) => {
                tracing::warn!(%err, log = %self.plan.path.display(), "cannot read a task's output");
                self.streams[which].pipe = None;
            }
        }
    }

    fn take(&mut self, which: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.remember(which, bytes);
        let at = self.clock.now();
        let mark = [STDOUT, STDERR][which];
        let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 2 + 64);
        let Stream { line, due, .. } = &mut self.streams[which];
        for part in bytes.split_inclusive(|&b| b == b'\n') {
            let (text, is_whole) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (part, false),
            };
            let mut text = text;
            while line.len() + text.len() > LINE_MAX {
                let (now, later) = text.split_at(LINE_MAX - line.len());
                line.extend_from_slice(now);
                put_line(&mut out, &at, mark, line);
                text = later;
            }
            line.extend_from_slice(text);
            if is_whole {
                put_line(&mut out, &at, mark, line);
                *due = None; // the time of what follows begins anew
            }
        }
        if !line.is_empty() && due.is_none() {
            *due = Some(Instant::now() + FLUSH_AFTER);
        }
        self.write(&out);
    }

    /// Keeps what may become the task's output.
    fn remember(&mut self, which: usize, bytes: &[u8]) {
        if which == 0 && self.plan.keep_stdout {
            let room = STDOUT_MAX - self.stdout.len();
            self.stdout
                .extend_from_slice(&bytes[..bytes.len().min(room)]);
            self.is_cut |= bytes.len() > room;
        }
        self.streams[which].last.feed(bytes);
    }

    /// When the next unfinished line is due.
    pub(crate) fn flush_at(&self) -> Option<Instant> {
        self.streams.iter().filter_map(|stream| stream.due).min()
    }

    /// Writes the unfinished lines that are due. One whose rest is in the pipe already waits for
    /// it: on a busy machine a line would be torn otherwise.
    pub(crate) fn flush_due(&mut self, now: Instant) {
        for stream in &mut self.streams {
            let is_due = stream.due.is_some_and(|due| due <= now);
            let pipe = stream.pipe.as_ref();
            let waits = |pipe| rustix::io::ioctl_fionread(pipe).is_ok_and(|n_bytes| n_bytes > 0);
            if is_due && pipe.is_some_and(waits) {
                stream.due = Some(now + FLUSH_AFTER);
            }
        }
        self.flush_where(|due| due <= now);
    }

    /// Writes all unfinished lines. What may be the beginning of a secret stays.
    pub(crate) fn flush(&mut self) {
        self.flush_where(|_| true);
    }

    fn flush_where(&mut self, is_due: impl Fn(Instant) -> bool) {
        let at = self.clock.now();
        let mut out = Vec::new();
        for (stream, mark) in self.streams.iter_mut().zip([STDOUT, STDERR]) {
            if stream.due.take_if(|due| is_due(*due)).is_some() && !stream.line.is_empty() {
                put_line(&mut out, &at, mark, &mut stream.line);
            }
        }
        self.write(&out);
    }

    fn write(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let room = usize::try_from(self.plan.bytes_max.saturating_sub(self.written)).unwrap_or(0);
        let fits = if self.dropped > 0 {
            0
        } else if lines.len() <= room {
            lines.len()
        } else {
            // Up to the last whole line that fits.
            lines[..room]
                .iter()
                .rposition(|&b| b == b'\n')
                .map_or(0, |at| at + 1)
        };
        self.dropped += (lines.len() - fits) as u64;
        self.written += fits as u64;
        self.write_uncapped(&lines[..fits]);
    }

    fn write_uncapped(&mut self, lines: &[u8]) {
        if lines.is_empty() || self.is_broken {
            return;
        }
        let result = match &mut self.file {
            Some(file) => file.write(lines),
            None => Writer::open(&self.plan.path).and_then(|mut file| {
                let result = file.write(lines);
                self.file = Some(file);
                result
            }),
        };
        if let Err(err) = result {
            self.is_broken = true;
            tracing::warn!(%err, log = %self.plan.path.display(), "cannot write a task's log");
        }
    }

    /// The end: whatever is left is written, the pipes are closed.
    pub(crate) fn finish(&mut self) -> Captured {
        if !self.is_finished {
            self.is_finished = true;
            self.end_streams();
            self.flush();
            self.write_notes();
            self.complete();
        }
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let [stdout, stderr] = &mut self.streams;
        Captured {
            stdout: text(std::mem::take(&mut self.stdout)),
            is_cut: self.is_cut,
            last_line: stdout.last.take(),
            last_error: stderr.last.take(),
        }
    }

    /// Nobody writes the file any more.
    fn complete(&mut self) {
        let Some(writer) = self.file.take() else {
            return;
        };
        let path = &self.plan.path;
        match writer.finish() {
            Ok(()) => {
                if let Some(keeper) = &self.plan.keeper {
                    keeper.finished(path.clone());
                }
            }
            Err(err) => tracing::warn!(%err, log = %path.display(), "cannot complete a log"),
        }
    }

    fn end_streams(&mut self) {
        let masker = Arc::clone(&self.plan.masker);
        for which in 0..2 {
            let mut plain = Vec::new();
            masker.finish(&mut self.streams[which].held, &mut plain);
            self.take(which, &plain);
            self.streams[which].pipe = None;
        }
    }

    fn write_notes(&mut self) {
        if self.dropped > 0 {
            let (max, dropped) = (self.plan.bytes_max, self.dropped);
            self.notes.insert(
                0,
                format!("the log is full at {max} bytes; {dropped} more dropped"),
            );
        }
        let at = self.clock.now();
        let mut out = Vec::new();
        for note in std::mem::take(&mut self.notes) {
            put_line(&mut out, &at, NOTE, &mut note.into_bytes());
        }
        self.write_uncapped(&out);
    }
}

/// Appends a line of the file and empties `line`.
fn put_line(out: &mut Vec<u8>, at: &str, mark: char, line: &mut Vec<u8>) {
    out.extend_from_slice(at.as_bytes());
    out.extend_from_slice(&[b' ', mark as u8, b' ']);
    out.extend_from_slice(line);
    out.push(b'\n');
    line.clear();
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_line_has_its_own_time_and_not_that_of_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let plan = LogPlan {
            path: folder.path().join("log"),
            masker: Arc::default(),
            bytes_max: 1_000,
            keep_stdout: false,
            keeper: None,
        };
        let mut sink = Sink::new(plan, None, None);
        sink.write_to(Whose::Output, b"one");
        let first = sink.flush_at().unwrap();
        sink.write_to(Whose::Output, b" two\nthree");
        let second = sink.flush_at().unwrap();
        assert!(second > first);
        sink.flush_due(first);
        sink.write_to(Whose::Output, b" four");
        sink.flush_due(second);
        assert_eq!(sink.flush_at(), None);
        sink.write_to(Whose::Output, b"five\n");
        sink.finish();
        let text = std::fs::read_to_string(folder.path().join("log")).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(
            text.contains(" one two\n") && text.contains(" three four\n"),
            "{text}"
        );
    }
}

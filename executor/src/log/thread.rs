//! The one thread that reads the output of all tasks of a worker.

use super::sink::{Captured, LogPlan, Sink};
use crate::operator::Stream;
use rustix::event::{EventfdFlags, Timespec, epoll};
use rustix::pipe::PipeFlags;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tidemill_connection::Masker;

/// How long a task's end waits for whoever still holds its pipes.
const DRAIN: Duration = Duration::from_secs(1);
const READ_SIZE: usize = 64 * 1024;
/// The event of our own wake-up; the others are an attempt's number and which pipe.
const WAKE: u64 = u64::MAX;

/// A task's output, from its first byte until its end has been taken.
pub(crate) struct Logs {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    epoll: OwnedFd,
    wake: OwnedFd,
    /// Rung when the engine should look at `finished`.
    bell: OwnedFd,
    sinks: Mutex<HashMap<u64, Arc<Mutex<Sink>>>>,
    /// Ended tasks whose pipes are still open.
    draining: Mutex<Vec<u64>>,
    finished: Mutex<Vec<(u64, Captured)>>,
    stop: AtomicBool,
}

/// The writing ends of a task's pipes.
pub(crate) struct Pipes {
    /// For its standard output.
    pub stdout: OwnedFd,
    /// For its standard error.
    pub stderr: OwnedFd,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The log of an attempt that runs inside this process.
pub(crate) struct LogHandle(Arc<Mutex<Sink>>);

impl LogHandle {
    /// Writes bytes of one of its streams, as they come.
    pub(crate) fn write(&self, stream: Stream, bytes: &[u8]) {
        lock(&self.0).write_to(stream, bytes);
    }

    /// Hides other values from now on.
    pub(crate) fn hide(&self, masker: Masker) {
        lock(&self.0).hide(masker);
    }
}

/// Makes [`Logs::bell`] readable, from any thread.
#[derive(Clone)]
pub(crate) struct Ringer(Arc<Shared>);

impl Ringer {
    /// Rings.
    pub(crate) fn ring(&self) {
        ring(&self.0.bell);
    }
}

impl Logs {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Logs> {
        let eventfd = || rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let shared = Arc::new(Shared {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            wake: eventfd()?,
            bell: eventfd()?,
            sinks: Mutex::default(),
            draining: Mutex::default(),
            finished: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let data = epoll::EventData::new_u64(WAKE);
        epoll::add(&shared.epoll, &shared.wake, data, epoll::EventFlags::IN)?;
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("task-logs".to_string())
            .spawn(move || for_thread.run())?;
        Ok(Logs {
            shared,
            thread: Some(thread),
        })
    }

    /// Readable when there is a finished log.
    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.shared.bell.as_fd()
    }

    /// Makes [`Logs::bell`] readable.
    pub(crate) fn ring(&self) {
        ring(&self.shared.bell);
    }

    /// Makes it unreadable again.
    pub(crate) fn hush(&self) {
        let _ = rustix::io::read(&self.shared.bell, &mut [0u8; 8]);
    }

    /// Rings [`Logs::bell`] for whoever has it.
    pub(crate) fn ringer(&self) -> Ringer {
        Ringer(Arc::clone(&self.shared))
    }

    /// Opens the log of an attempt that has no pipes.
    pub(crate) fn open_here(&self, id: u64, plan: LogPlan) -> LogHandle {
        let sink = Arc::new(Mutex::new(Sink::new(plan, None, None)));
        lock(&self.shared.sinks).insert(id, Arc::clone(&sink));
        LogHandle(sink)
    }

    /// Opens the pipes of a new task.
    pub(crate) fn open(&self, id: u64, plan: LogPlan) -> io::Result<Pipes> {
        let (read_out, stdout) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (read_err, stderr) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let epoll = &self.shared.epoll;
        let data = |which: u64| epoll::EventData::new_u64(id * 2 + which);
        // Held until both are known, so that the thread does not meet a pipe without a sink.
        let mut sinks = lock(&self.shared.sinks);
        epoll::add(epoll, &read_out, data(0), epoll::EventFlags::IN)?;
        epoll::add(epoll, &read_err, data(1), epoll::EventFlags::IN)?;
        sinks.insert(
            id,
            Arc::new(Mutex::new(Sink::new(plan, Some(read_out), Some(read_err)))),
        );
        Ok(Pipes { stdout, stderr })
    }

    /// Writes a note into the log of a task that is about to start.
    pub(crate) fn note(&self, id: u64, text: &str) {
        let sink = lock(&self.shared.sinks).get(&id).map(Arc::clone);
        if let Some(sink) = sink {
            lock(&sink).write_to(Stream::Note, text.as_bytes());
        }
    }

    /// The task is over. Gives its output if that is complete and there is nothing to write;
    /// otherwise it comes by [`Logs::finished`], after a second at most.
    pub(crate) fn ended(&self, id: u64, note: Option<String>) -> Option<Captured> {
        let sink = lock(&self.shared.sinks).get(&id).map(Arc::clone);
        let Some(sink) = sink else {
            return Some(Captured::default());
        };
        let mut sink = lock(&sink);
        if let Some(note) = note {
            sink.note(note);
        }
        if sink.is_quiet() {
            lock(&self.shared.sinks).remove(&id);
            return Some(sink.finish());
        }
        sink.drain_until = Some(Instant::now() + DRAIN);
        drop(sink);
        lock(&self.shared.draining).push(id);
        ring(&self.shared.wake);
        None
    }

    /// Logs that have been completed since the last call.
    pub(crate) fn finished(&self) -> Vec<(u64, Captured)> {
        std::mem::take(&mut lock(&self.shared.finished))
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        ring(&self.shared.wake);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ring(eventfd: &OwnedFd) {
    let _ = rustix::io::write(eventfd, &1u64.to_ne_bytes());
}

impl Shared {
    fn run(&self) {
        let mut buffer = vec![0u8; READ_SIZE];
        let mut times: BTreeSet<(Instant, u64)> = BTreeSet::new();
        let mut events = Vec::with_capacity(64);
        while !self.stop.load(Ordering::Acquire) {
            let wait = times
                .first()
                .map(|(at, _)| at.saturating_duration_since(Instant::now()))
                .and_then(|wait| Timespec::try_from(wait).ok());
            events.clear();
            let into = rustix::buffer::spare_capacity(&mut events);
            if epoll::wait(&self.epoll, into, wait.as_ref()).is_err() {
                continue; // interrupted by a signal
            }
            for event in &events {
                match event.data.u64() {
                    WAKE => {
                        let _ = rustix::io::read(&self.wake, &mut [0u8; 8]);
                        for id in std::mem::take(&mut *lock(&self.draining)) {
                            self.visit(id, None, &mut buffer, &mut times);
                        }
                    }
                    key => self.visit(key / 2, Some(key % 2), &mut buffer, &mut times),
                }
            }
            let now = Instant::now();
            while let Some(&(at, id)) = times.first()
                && at <= now
            {
                times.pop_first();
                self.visit(id, None, &mut buffer, &mut times);
            }
        }
    }

    /// Reads a pipe, and does what is due for its log.
    fn visit(
        &self,
        id: u64,
        which: Option<u64>,
        buffer: &mut [u8],
        times: &mut BTreeSet<(Instant, u64)>,
    ) {
        let Some(sink) = lock(&self.sinks).get(&id).map(Arc::clone) else {
            return;
        };
        let mut sink = lock(&sink);
        if let Some(which) = which {
            sink.read(usize::from(which == 1), buffer);
        }
        let now = Instant::now();
        sink.flush_due(now);
        let is_late = sink.drain_until.is_some_and(|until| until <= now);
        if is_late || (sink.is_drained() && sink.drain_until.is_some()) {
            let captured = sink.finish();
            lock(&self.sinks).remove(&id);
            lock(&self.finished).push((id, captured));
            ring(&self.bell);
            return;
        }
        times.extend(
            [sink.flush_at(), sink.drain_until]
                .into_iter()
                .flatten()
                .map(|at| (at, id)),
        );
    }
}

//! The supervisor: a tiny process with one thread that starts tasks, owns their process trees
//! and outlives its worker just long enough to kill them.

pub(crate) mod client;
pub(crate) mod message;
mod reap;
mod spawn;
pub(crate) mod tree;

use crate::sys::{self, ChildStack, Exit};
use message::{Cause, Order, Received, Report};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::SendFlags;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tree::Process;

/// Where the worker's socket and the lock of its home are at start.
pub(crate) const SOCKET_FD: RawFd = 3;
pub(crate) const LOCK_FD: RawFd = 4;

/// A task that lives so long is reported as started; a shorter one only as ended.
const ANNOUNCE_AFTER: Duration = Duration::from_millis(50);
/// How long an end waits for processes that do not die (stuck in the kernel, or not ours to kill).
const HOLD_MAX: Duration = Duration::from_secs(5);
/// How often we look again for what has not died.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How often a main process that does not die is killed again.
const KILL_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// One task, from its start until its tree is gone.
struct Running {
    attempt: String,
    pid: i32,
    announce_at: Option<Instant>,
    deadline: Option<Instant>,
    grace: Duration,
    cause: Option<Cause>,
    /// When TERM turns into KILL, or KILL is said again.
    kill_at: Option<Instant>,
    /// Its control group.
    group: Option<PathBuf>,
    /// Its processes as seen before the kill.
    family: HashSet<Process>,
    exit: Option<Exit>,
    /// Until when its end waits for the last of its processes.
    hold_until: Option<Instant>,
}

struct Supervisor {
    socket: OwnedFd,
    children_ended: OwnedFd,
    null: OwnedFd,
    own_children: Option<std::fs::File>,
    stack: ChildStack,
    buffer: Vec<u8>,
    worker: Option<(i32, OwnedFd)>,
    silence_max: Duration,
    heard: Instant,
    tasks: HashMap<u64, Running>,
    by_pid: HashMap<i32, u64>,
    /// Orphans that nothing ties to one task, with the tasks that may have left them.
    strays: HashMap<i32, HashSet<u64>>,
    unsent: VecDeque<Vec<u8>>,
}

/// Why the supervisor stops.
#[derive(PartialEq)]
enum Stop {
    WorkerGone,
    WorkerSilent,
}

/// The supervisor's own main function, run by the hidden first argument `supervise` before
/// anything else is started. Returns the exit status.
pub fn supervise() -> i32 {
    match run() {
        Ok(()) => 0,
        Err(err) => {
            eprintln!("tidemill supervise: {err}; this command is for Tidemill's own use");
            1
        }
    }
}

fn run() -> io::Result<()> {
    let socket = sys::take_descriptor(SOCKET_FD)?;
    // Held until this process ends, which is after the last of its children.
    let _lock = sys::take_descriptor(LOCK_FD)?;
    let children_ended = sys::become_supervisor()?;
    let me = std::process::id();
    let mut supervisor = Supervisor {
        socket,
        children_ended,
        null: std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")?
            .into(),
        own_children: std::fs::File::open(format!("/proc/self/task/{me}/children")).ok(),
        stack: ChildStack::new(),
        buffer: message::receive_buffer(),
        worker: None,
        silence_max: Duration::from_secs(3600),
        heard: Instant::now(),
        tasks: HashMap::new(),
        by_pid: HashMap::new(),
        strays: HashMap::new(),
        unsent: VecDeque::new(),
    };
    let stop = supervisor.serve();
    supervisor.end_everything(stop);
    Ok(())
}

impl Supervisor {
    fn serve(&mut self) -> Stop {
        loop {
            let (from_worker, child_ended) = self.wait();
            if from_worker && let Some(stop) = self.take_orders() {
                return stop;
            }
            if child_ended {
                let mut record = [0u8; 512];
                while rustix::io::read(&self.children_ended, &mut record).is_ok_and(|n| n > 0) {}
                self.reap();
            }
            if self.on_time(Instant::now()) {
                return Stop::WorkerSilent;
            }
            if self.send_reports().is_err() {
                return Stop::WorkerGone;
            }
        }
    }

    fn wait(&self) -> (bool, bool) {
        let mut of_socket = PollFlags::IN;
        if !self.unsent.is_empty() {
            of_socket |= PollFlags::OUT;
        }
        let mut fds = [
            PollFd::new(&self.socket, of_socket),
            PollFd::new(&self.children_ended, PollFlags::IN),
        ];
        let wait = self.next_time().saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(wait).ok();
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {
                let got = fds[0].revents();
                (
                    got.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR),
                    { !fds[1].revents().is_empty() },
                )
            }
            Err(_) => (false, false),
        }
    }

    /// The next moment at which something is due even if nothing happens.
    fn next_time(&self) -> Instant {
        let tasks = self.tasks.values().flat_map(|task| {
            let again = task.exit.map(|_| Instant::now() + AGAIN_AFTER);
            [task.announce_at, task.deadline, task.kill_at, again]
        });
        tasks
            .flatten()
            .fold(self.heard + self.silence_max, Instant::min)
    }

    /// Handles all orders that are there.
    fn take_orders(&mut self) -> Option<Stop> {
        loop {
            let (order, fds) = match message::receive::<Order>(&self.socket, &mut self.buffer) {
                Ok(Received::Message(order, fds)) => (order, fds),
                Ok(Received::Empty) => return None,
                Ok(Received::Closed) => return Some(Stop::WorkerGone),
                Err(err) => {
                    // Speaking past each other: nothing that we hold can be steered any more.
                    eprintln!("tidemill supervise: cannot read the worker's order: {err}");
                    return Some(Stop::WorkerSilent);
                }
            };
            self.heard = Instant::now();
            match order {
                Order::Hello { worker, lease_ms } => {
                    let lease = Duration::from_millis(lease_ms);
                    self.silence_max = lease - lease / 6;
                    self.worker = worker_handle(worker);
                }
                Order::Start(start) => self.start(*start, fds),
                Order::Kill { id } => self.terminate(id, Cause::Kill),
                Order::KillAll => {
                    for id in self.tasks.keys().copied().collect::<Vec<_>>() {
                        self.kill_tree(id, Cause::Kill);
                    }
                }
                Order::Beat => {}
            }
        }
    }

    /// Does what is due; says whether the worker has been silent for too long.
    fn on_time(&mut self, now: Instant) -> bool {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let mut again = false;
        for id in self.tasks.keys().copied().collect::<Vec<_>>() {
            let Some(task) = self.tasks.get_mut(&id) else {
                continue;
            };
            if task.exit.is_some() {
                again = true;
                continue;
            }
            if is_due(task.announce_at) {
                task.announce_at = None;
                let pid = task.pid;
                self.report(&Report::Started { id, pid });
            }
            let Some(task) = self.tasks.get_mut(&id) else {
                continue;
            };
            if is_due(task.kill_at) {
                let cause = task.cause.unwrap_or(Cause::Kill);
                self.kill_tree(id, cause);
            } else if is_due(task.deadline) {
                task.deadline = None;
                self.terminate(id, Cause::Timeout);
            }
        }
        if again {
            self.reap();
            self.sweep();
        }
        now.saturating_duration_since(self.heard) > self.silence_max
    }

    fn report(&mut self, report: &Report) {
        match message::encode(report) {
            Ok(bytes) => self.unsent.push_back(bytes),
            Err(err) => eprintln!("tidemill supervise: cannot report: {err}"),
        }
    }

    /// Sends what the socket takes; never waits, because a frozen worker must not freeze us.
    fn send_reports(&mut self) -> io::Result<()> {
        while let Some(bytes) = self.unsent.front() {
            match message::send(&self.socket, bytes, &[], SendFlags::DONTWAIT) {
                Ok(()) => {
                    self.unsent.pop_front();
                }
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(err) => return Err(err),
            }
        }
        Ok(())
    }

    /// Kills all trees, and the worker too if it is only silent; waits until no child is left.
    fn end_everything(&mut self, stop: Stop) {
        let worker = self.worker.take().filter(|_| stop == Stop::WorkerSilent);
        let worker_at = Instant::now() + KILL_AGAIN_AFTER;
        let mut worker = worker.map(|(_, handle)| handle);
        loop {
            let roots = self.unreaped_children();
            for (_, stat) in tree::family(&roots) {
                tree::signal(stat.process, Signal::KILL);
            }
            while let Some(pid) = sys::ended_child() {
                if self.by_pid.contains_key(&pid) {
                    tree::signal_group(pid, Signal::KILL);
                }
                sys::reap(pid, false);
            }
            let is_empty = self.unreaped_children().is_empty();
            if (is_empty || Instant::now() >= worker_at)
                && let Some(handle) = worker.take()
            {
                let _ = rustix::process::pidfd_send_signal(&handle, Signal::KILL);
            }
            if is_empty {
                return;
            }
            let mut fds = [PollFd::new(&self.children_ended, PollFlags::IN)];
            let pause = Timespec::try_from(AGAIN_AFTER).ok();
            let _ = rustix::event::poll(&mut fds, pause.as_ref());
            let mut record = [0u8; 512];
            while rustix::io::read(&self.children_ended, &mut record).is_ok_and(|n| n > 0) {}
        }
    }

    /// Our children, ended ones included.
    fn unreaped_children(&self) -> Vec<i32> {
        let Some(file) = &self.own_children else {
            return tree::children(std::process::id() as i32);
        };
        let mut text = vec![0u8; 4096];
        let mut filled = 0;
        loop {
            match rustix::io::pread(file.as_fd(), &mut text[filled..], filled as u64) {
                Ok(0) | Err(_) => break,
                Ok(n) => filled += n,
            }
            if filled == text.len() {
                text.resize(filled * 2, 0);
            }
        }
        tree::numbers(&String::from_utf8_lossy(&text[..filled])).collect()
    }
}

/// A handle on the worker, so that its number cannot come to mean somebody else.
fn worker_handle(worker: i32) -> Option<(i32, OwnedFd)> {
    let handle = rustix::process::pidfd_open(Pid::from_raw(worker)?, PidfdFlags::empty()).ok()?;
    let parent = Pid::as_raw(rustix::process::getppid());
    (parent == worker).then_some((worker, handle))
}

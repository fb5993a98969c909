//! The worker's end of its supervisor.

use super::message::{self, Order, Received, Report};
use super::{LOCK_FD, SOCKET_FD, tree};
use crate::sys::{self, ChildStack, Program, SpawnError};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use rustix::process::Signal;
use std::collections::HashSet;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Descriptors that are passed on are first moved up here, out of the way of their new numbers.
const ABOVE: i32 = 10;

/// A running supervisor.
pub(crate) struct Client {
    socket: OwnedFd,
    pid: i32,
    buffer: Vec<u8>,
}

impl Client {
    /// Starts `program` as supervisor, with the lock of the home.
    pub(crate) fn start(program: &Path, lock: &File, lease: Duration) -> io::Result<Client> {
        sys::become_subreaper()?;
        let (ours, its) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let pid = spawn(program, &its, lock.as_fd())?;
        let client = Client {
            socket: ours,
            pid,
            buffer: message::receive_buffer(),
        };
        let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        client.send(
            &Order::Hello {
                worker: std::process::id() as i32,
                lease_ms,
            },
            &[],
        )?;
        Ok(client)
    }

    /// Readable when there is a report.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Sends an order. Waits while the socket is full; the supervisor never waits for us.
    pub(crate) fn send(&self, order: &Order, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        message::send(
            &self.socket,
            &message::encode(order)?,
            fds,
            SendFlags::empty(),
        )
    }

    /// Takes one report, without waiting.
    pub(crate) fn receive(&mut self) -> io::Result<Received<Report>> {
        message::receive(&self.socket, &mut self.buffer)
    }

    /// After the supervisor's death: kills what it held. Its tasks' main processes die with it
    /// by themselves, and what they leave becomes our child.
    pub(crate) fn bury(self, groups: &[i32], attempts: &HashSet<String>) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.pid) {
            let _ = rustix::process::kill_process(pid, Signal::KILL); // ours, and not reaped yet
        }
        sys::reap(self.pid, true);
        let until = Instant::now() + Duration::from_secs(2);
        loop {
            let mut left = false;
            for pid in tree::children(std::process::id() as i32) {
                let Some(stat) = tree::stat(pid) else {
                    continue;
                };
                let is_its = groups.contains(&stat.session)
                    || groups.contains(&stat.group)
                    || tree::attempt_of(pid).is_some_and(|name| attempts.contains(&name));
                if is_its {
                    left = true;
                    for (_, stat) in tree::family(&[pid]) {
                        tree::signal(stat.process, Signal::KILL);
                    }
                    sys::reap(pid, false);
                }
            }
            if !left || Instant::now() >= until {
                return;
            }
            std::thread::sleep(Duration::from_millis(1)); // nothing tells us of a strange child
        }
    }

    /// Lets the supervisor end all tasks and itself; waits for that, for at most `wait`.
    pub(crate) fn close(self, wait: Duration) {
        let Client { socket, pid, .. } = self;
        drop(socket);
        let until = Instant::now() + wait;
        let mut pause = Duration::from_micros(200);
        while sys::reap(pid, false).is_none() && Instant::now() < until {
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }
}

fn spawn(program: &Path, socket: &OwnedFd, lock: BorrowedFd<'_>) -> io::Result<i32> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let moved = [
        rustix::io::fcntl_dupfd_cloexec(&null, ABOVE)?,
        rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), ABOVE)?,
        rustix::io::fcntl_dupfd_cloexec(socket, ABOVE)?,
        rustix::io::fcntl_dupfd_cloexec(lock, ABOVE)?,
    ];
    let [null, stderr, socket, lock] = &moved;
    let nul = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let path = CString::new(program.as_os_str().as_bytes()).map_err(nul)?;
    let name = std::env::current_exe().unwrap_or_else(|_| program.to_path_buf());
    let program = Program {
        path,
        argv: vec![
            CString::new(name.as_os_str().as_bytes()).map_err(nul)?,
            c"supervise".into(),
        ],
        env: Vec::new(),
        cwd: Some(c"/".into()),
        descriptors: vec![
            (null.as_raw_fd(), 0),
            (null.as_raw_fd(), 1),
            (stderr.as_raw_fd(), 2),
            (socket.as_raw_fd(), SOCKET_FD),
            (lock.as_raw_fd(), LOCK_FD),
        ],
        limits: Vec::new(),
        group: None,
        user: None,
        dies_with_parent: false,
        unblock_signals: false,
    };
    sys::spawn(&program, &mut ChildStack::new())
        .map_err(|SpawnError { step, err }| io::Error::new(err.kind(), format!("{step}: {err}")))
}

//! Starting a task.

use super::message::{Report, Start};
use super::{ANNOUNCE_AFTER, Running, Supervisor};
use crate::resources;
use crate::sys::{self, Program, SpawnError};
use std::collections::HashSet;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

impl Supervisor {
    /// Starts a task, or reports that it cannot be started.
    pub(super) fn start(&mut self, start: Start, fds: Vec<OwnedFd>) {
        let id = start.id;
        let attempt = start.attempt.clone();
        let group = start.group.clone();
        let grace = Duration::from_millis(start.grace_ms);
        let timeout = start.timeout_ms.map(Duration::from_millis);
        match self.spawn(start, &fds) {
            Ok(pid) => {
                let now = Instant::now();
                self.by_pid.insert(pid, id);
                let task = Running {
                    attempt,
                    pid,
                    announce_at: Some(now + ANNOUNCE_AFTER),
                    deadline: timeout.and_then(|timeout| now.checked_add(timeout)),
                    grace,
                    cause: None,
                    kill_at: None,
                    family: HashSet::new(),
                    group,
                    exit: None,
                    hold_until: None,
                };
                self.tasks.insert(id, task);
            }
            Err(SpawnError { step, err }) => {
                if let Some(group) = &group {
                    resources::close_group(group);
                }
                let errno = err.raw_os_error().unwrap_or(0);
                self.report(&Report::Refused {
                    id,
                    step: step.to_string(),
                    errno,
                });
            }
        }
    }

    fn spawn(&mut self, start: Start, fds: &[OwnedFd]) -> Result<i32, SpawnError> {
        let wrong = |err: io::Error| SpawnError {
            step: "reading the order",
            err,
        };
        let nul = |_| wrong(io::Error::from_raw_os_error(libc::EINVAL));
        let [stdout, stderr, stdin @ ..] = fds else {
            return Err(wrong(io::Error::from_raw_os_error(libc::EBADF)));
        };
        let stdin = stdin.first().unwrap_or(&self.null);
        let group = start.group.map(|group| {
            let file = std::fs::File::options();
            let file = file.clone().write(true).open(group.join("cgroup.procs"));
            file.map_err(|err| SpawnError {
                step: "opening the control group",
                err,
            })
        });
        let group = group.transpose()?;
        let program = Program {
            path: CString::new(start.path).map_err(nul)?,
            argv: sys::c_strings(start.argv).map_err(nul)?,
            env: sys::c_strings(start.env).map_err(nul)?,
            cwd: Some(CString::new(start.cwd).map_err(nul)?),
            descriptors: vec![
                (stdin.as_raw_fd(), 0),
                (stdout.as_raw_fd(), 1),
                (stderr.as_raw_fd(), 2),
            ],
            limits: start.limits,
            group: group.as_ref().map(AsRawFd::as_raw_fd),
            user: start.user,
            dies_with_parent: true,
            unblock_signals: true,
        };
        sys::spawn(&program, &mut self.stack)
    }
}

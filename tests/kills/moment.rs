//! What a kill hit: a task that ran, a commit, or nothing.

use crate::journal::{Journal, Kill};
use crate::support::Server;
use std::fmt;

/// What the server was doing when it was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A task had started and never ended.
    Task,
    /// No task ran, but a thread was writing or syncing.
    Commit,
    /// Neither.
    Idle,
}

/// How many kills hit what. A kill may hit a task and a commit at once; it counts for both.
#[derive(Default)]
pub struct Tally {
    kills: usize,
    tasks: usize,
    commits: usize,
    idle: usize,
    in_commit: bool,
}

impl Tally {
    /// Kills the server without a warning, noting what its threads were doing.
    pub fn kill(&mut self, server: &mut Server) {
        self.in_commit = is_writing(server.child.id());
        server.child.kill().unwrap();
        server.child.wait().unwrap();
    }

    /// Says what the last kill hit, by the journal as it is after everything has ended.
    pub fn judge(&mut self, journal: &Journal, before: Option<&Kill>) {
        let hit_task = journal.unfinished(before.map_or(0, |kill| kill.lines)) > 0;
        self.kills += 1;
        self.tasks += usize::from(hit_task);
        self.commits += usize::from(self.in_commit);
        self.idle += usize::from(!hit_task && !self.in_commit);
    }

    /// The share of kills that hit such a moment.
    pub fn percent(&self, moment: Moment) -> usize {
        let hits = match moment {
            Moment::Task => self.tasks,
            Moment::Commit => self.commits,
            Moment::Idle => self.idle,
        };
        hits * 100 / self.kills.max(1)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [task, commit, idle] =
            [Moment::Task, Moment::Commit, Moment::Idle].map(|moment| self.percent(moment));
        write!(
            f,
            "hit a running task: {} ({task} %), a commit: {} ({commit} %), idle: {} ({idle} %)",
            self.tasks, self.commits, self.idle
        )
    }
}

/// Is a thread of the process inside a call that writes a file at an offset or syncs one? Only
/// the store does that. The answer is a sample: the kill comes a few microseconds later.
fn is_writing(pid: u32) -> bool {
    let calls = [libc::SYS_fdatasync, libc::SYS_fsync, libc::SYS_pwrite64];
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    threads.flatten().any(|thread| {
        let text = std::fs::read_to_string(thread.path().join("syscall")).unwrap_or_default();
        text.split(' ')
            .next()
            .and_then(|number| number.parse::<libc::c_long>().ok())
            .is_some_and(|number| calls.contains(&number))
    })
}

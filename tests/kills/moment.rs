//! What a kill hit: a task that ran, a commit, or nothing.

use super::journal::{Journal, Kill};
use std::fmt;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

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
    /// Kills a program without a warning, noting what its threads were doing. With `aim`, waits
    /// a little for the store's log to grow, since a commit is short and seldom hit by chance.
    pub fn kill(&mut self, child: &mut Child, log: &Path, aim: bool) {
        if aim {
            wait_for_growth(log);
        }
        let is_writing = is_writing(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        self.in_commit = is_writing || ends_in_a_commit(&std::fs::read(log).unwrap_or_default());
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

/// Looks without a pause, so that a kill follows within microseconds.
fn wait_for_growth(log: &Path) {
    let look = || std::fs::metadata(log).and_then(|meta| meta.modified()).ok();
    let before = look();
    let until = Instant::now() + Duration::from_millis(200);
    while look() == before && Instant::now() < until {
        std::hint::spin_loop();
    }
}

/// Does SQLite's write-ahead log end with pages of a transaction that was not complete? Frames
/// follow a header of 32 bytes; the second word of a frame is zero in all but the last one of a
/// transaction, and frames of an earlier use of the file have other salts.
fn ends_in_a_commit(log: &[u8]) -> bool {
    let word = |at: usize| {
        log.get(at..at + 4)
            .map(|four| [four[0], four[1], four[2], four[3]])
            .map(u32::from_be_bytes)
    };
    let (Some(page), Some(salts)) = (word(8), log.get(16..24)) else {
        return false;
    };
    let frame = 24 + page as usize;
    let mut at = 32;
    let mut is_open = false;
    while log.get(at + 8..at + 16) == Some(salts) {
        is_open = word(at + 4) == Some(0) || log.len() < at + frame;
        at += frame;
    }
    is_open
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

//! Who is whose child, read from `/proc`, and signals that cannot hit a stranger.

use rustix::process::{Pid, PidfdFlags, Signal};
use std::collections::{HashMap, HashSet};
use std::fs;

/// A process at one moment. Process numbers are used again; the start time tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    /// Its number.
    pub pid: i32,
    /// When it started, in the kernel's ticks.
    pub start: u64,
}

/// What `/proc/PID/stat` says.
pub(crate) struct Stat {
    /// The process itself.
    pub process: Process,
    /// Its parent.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
}

/// Reads a process's state, while it exists.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    // The name in parentheses may hold anything, so the fields are counted from its end.
    let fields: Vec<&str> = text.get(text.rfind(')')? + 2..)?.split(' ').collect();
    Some(Stat {
        process: Process {
            pid,
            start: fields.get(19)?.parse().ok()?,
        },
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
    })
}

/// The `TIDEMILL_ATTEMPT` that a process was started with, where that can be read.
pub(crate) fn attempt_of(pid: i32) -> Option<String> {
    let text = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = text
        .split(|&b| b == 0)
        .find_map(|pair| pair.strip_prefix(b"TIDEMILL_ATTEMPT="))?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// The children of a process, of all its threads.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(text) => found.extend(numbers(&text)),
            // A kernel without this file, or a thread that has just ended.
            Err(_) => return children_by_scan(pid),
        }
    }
    found
}

pub(crate) fn numbers(text: &str) -> impl Iterator<Item = i32> + '_ {
    text.split_ascii_whitespace()
        .filter_map(|word| word.parse().ok())
}

fn children_by_scan(pid: i32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&candidate| stat(candidate).is_some_and(|stat| stat.parent == pid))
        .collect()
}

/// All processes below `roots`, the roots themselves included.
pub(crate) fn family(roots: &[i32]) -> HashMap<i32, Stat> {
    let mut found = HashMap::new();
    let mut seen: HashSet<i32> = HashSet::new();
    let mut open = roots.to_vec();
    while let Some(pid) = open.pop() {
        if seen.insert(pid)
            && let Some(stat) = stat(pid)
        {
            found.insert(pid, stat);
            open.extend(children(pid));
        }
    }
    found
}

/// Signals exactly this process: not another one that has got its number since.
pub(crate) fn signal(process: Process, signal: Signal) {
    let Some(pid) = Pid::from_raw(process.pid) else {
        return;
    };
    let Ok(handle) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else {
        return;
    };
    if stat(process.pid).is_some_and(|now| now.process == process) {
        let _ = rustix::process::pidfd_send_signal(&handle, signal);
    }
}

/// Signals the group of a child of ours that is not reaped yet, so that its number is its own.
pub(crate) fn signal_group(leader: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(leader) {
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}

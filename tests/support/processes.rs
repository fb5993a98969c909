//! Which processes a test has caused: by their parents, and by a word in their environment.

use std::collections::BTreeSet;
use std::path::Path;

/// A process that cannot be mistaken for a later one of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it began, in ticks since boot.
    pub began: u64,
}

impl Process {
    /// Does it still run? A zombie does not.
    pub fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.began == self.began && !"ZX".contains(stat.state))
    }
}

struct Stat {
    state: char,
    parent: u32,
    began: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let words: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        state: words.first()?.chars().next()?,
        parent: words.get(1)?.parse().ok()?,
        began: words.get(19)?.parse().ok()?,
    })
}

fn all() -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Everything below a process, itself not counted.
pub fn below(top: u32) -> Vec<Process> {
    let known: Vec<(u32, Stat)> = all()
        .into_iter()
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .collect();
    let mut inside = BTreeSet::from([top]);
    loop {
        let before = inside.len();
        inside.extend(
            known
                .iter()
                .filter(|(_, stat)| inside.contains(&stat.parent))
                .map(|(pid, _)| *pid)
                .collect::<Vec<_>>(),
        );
        if inside.len() == before {
            break;
        }
    }
    known
        .iter()
        .filter(|(pid, _)| *pid != top && inside.contains(pid))
        .map(|(pid, stat)| Process {
            pid: *pid,
            began: stat.began,
        })
        .collect()
}

/// Every other living process whose arguments or environment name a folder.
pub fn naming(folder: &Path) -> Vec<Process> {
    let word = folder.as_os_str().as_encoded_bytes();
    let names = |pid: u32| {
        ["cmdline", "environ"].iter().any(|file| {
            let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            text.windows(word.len()).any(|part| part == word)
        })
    };
    let found = all()
        .into_iter()
        .filter(|pid| *pid != std::process::id() && names(*pid));
    found
        .filter_map(|pid| {
            Some(Process {
                pid,
                began: stat(pid)?.began,
            })
        })
        .filter(|process| process.is_alive())
        .collect()
}

/// A process number as the system calls want it.
#[allow(
    clippy::unwrap_used,
    reason = "a number of a process that was started is one"
)]
pub fn pid(number: u32) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(i32::try_from(number).unwrap()).unwrap()
}

//! What the kernel says about processes.

use std::collections::BTreeSet;

/// The unit of /proc/PID/stat, `USER_HZ`: 100 on every architecture that anybody still runs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Use of a family of processes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor time in seconds, ended children included.
    pub cpu_seconds: f64,
    /// Bytes given to write calls by the processes themselves.
    pub written: u64,
    /// Resident memory in KiB.
    pub resident_kib: u64,
}

fn fields(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(
        text.rsplit_once(')')?
            .1
            .split_whitespace()
            .map(String::from)
            .collect(),
    )
}

fn family(top: u32) -> BTreeSet<u32> {
    let all: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| Some((pid, fields(pid)?.get(1)?.parse().ok()?)))
        .collect();
    let mut inside = BTreeSet::from([top]);
    loop {
        let before = inside.len();
        let more: Vec<u32> = all
            .iter()
            .filter(|(_, parent)| inside.contains(parent))
            .map(|(pid, _)| *pid)
            .collect();
        inside.extend(more);
        if inside.len() == before {
            return inside;
        }
    }
}

fn resident_kib(pid: u32) -> u64 {
    status_kib(pid, "VmRSS:")
}

fn status_kib(pid: u32, key: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// The most memory that a process has held, in KiB.
pub fn peak_kib(pid: u32) -> u64 {
    status_kib(pid, "VmHWM:")
}

/// The use of a process and everything below it, so far.
pub fn usage(top: u32) -> Usage {
    let mut sum = Usage::default();
    for pid in family(top) {
        let Some(fields) = fields(pid) else { continue };
        // utime, stime, cutime, cstime; `fields` begins with the third of proc(5).
        let ticks: f64 = fields
            .iter()
            .skip(11)
            .take(4)
            .filter_map(|text| text.parse::<f64>().ok())
            .sum();
        sum.cpu_seconds += ticks / TICKS_PER_SECOND;
        sum.resident_kib += resident_kib(pid);
        let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        sum.written += io
            .lines()
            .find_map(|line| line.strip_prefix("wchar: ")?.parse::<u64>().ok())
            .unwrap_or(0);
    }
    sum
}

impl Usage {
    /// What was used since an earlier look; the memory is that of now.
    pub fn since(self, before: Usage) -> Usage {
        Usage {
            cpu_seconds: self.cpu_seconds - before.cpu_seconds,
            written: self.written.saturating_sub(before.written),
            resident_kib: self.resident_kib,
        }
    }
}

/// Processor time of this process's ended children, in seconds.
pub fn children_cpu_seconds() -> f64 {
    let fields = fields(std::process::id()).unwrap_or_default();
    fields
        .iter()
        .skip(13)
        .take(2)
        .filter_map(|text| text.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS_PER_SECOND
}

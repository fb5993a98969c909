//! A task's limits: a control group of its own where the machine lets us, limits of each process
//! where it does not.

use crate::sys::{self, Limit};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidemill_model::dag::Resources;

/// The group inside ours that this process moves to: a group with processes cannot have limited
/// groups below it.
const OWN: &str = "tidemill.main";
/// What the names of tasks' groups begin with.
const TASK: &str = "tidemill.task.";
/// The controllers that limits need.
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];
/// Over so many microseconds the kernel counts processor time.
const CPU_PERIOD_US: u64 = 100_000;
/// Seconds of processor time between the signal that a limit is reached and the kill.
const CPU_GRACE: u64 = 5;

/// The part of the machine's control groups that is ours.
pub(crate) enum Groups {
    /// This folder; a task's group is made in it.
    Delegated(PathBuf),
    /// There is none, for this reason.
    Missing(String),
}

/// What one task is started with.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    /// Its control group.
    pub group: Option<PathBuf>,
    /// Limits of each process.
    pub each: Vec<Limit>,
    /// What cannot be held, in one line for people.
    pub lacks: Option<String>,
}

impl Groups {
    /// Finds our part, moves this process out of the way and hands the controllers down. To be
    /// called before this process has children.
    pub(crate) fn open() -> Groups {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let base = base(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
        match base.and_then(|base| take_over(&base).map(|()| base)) {
            Ok(base) => Groups::Delegated(base),
            Err(why) => Groups::Missing(why),
        }
    }

    /// Makes what a task needs. `is_root` says whether it runs as root, whose processes the
    /// kernel does not count.
    ///
    /// # Errors
    /// When its group cannot be made: a limit that is asked for is held or spoken of, never
    /// forgotten.
    pub(crate) fn limits(
        &self,
        asked: &Resources,
        name: &str,
        is_root: bool,
    ) -> Result<Limits, String> {
        let mut limits = Limits {
            each: of_each(asked),
            ..Limits::default()
        };
        if !asked.wants_group() {
            return Ok(limits);
        }
        match self {
            Groups::Delegated(base) => {
                let group = base.join(format!("{TASK}{name}"));
                make(&group, asked).map_err(|err| {
                    let _ = fs::remove_dir(&group);
                    format!(
                        "resources: cannot set up the control group {}: {err}",
                        group.display()
                    )
                })?;
                limits.group = Some(group);
            }
            Groups::Missing(why) => without_group(asked, why, is_root, &mut limits),
        }
        Ok(limits)
    }
}

/// Limits that the kernel holds for each process, whatever group it is in.
fn of_each(asked: &Resources) -> Vec<Limit> {
    let files = asked
        .open_files
        .map(|n| exactly(libc::RLIMIT_NOFILE, u64::from(n)));
    let size = asked
        .file_size
        .map(|bytes| exactly(libc::RLIMIT_FSIZE, bytes));
    // First a signal that says why, then the kill.
    let time = asked.cpu_time.map(seconds).map(|soft| Limit {
        which: libc::RLIMIT_CPU,
        soft,
        hard: soft + CPU_GRACE,
    });
    [files, size, time].into_iter().flatten().collect()
}

fn exactly(which: u32, most: u64) -> Limit {
    Limit {
        which,
        soft: most,
        hard: most,
    }
}

/// The next whole second: the kernel counts no finer.
fn seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

/// The nearest that there is without a control group, and what is lacking then.
fn without_group(asked: &Resources, why: &str, is_root: bool, limits: &mut Limits) {
    let mut holds = Vec::new();
    if let Some(bytes) = asked.memory {
        limits.each.push(exactly(libc::RLIMIT_DATA, bytes));
        holds.push("`memory` holds for each process by itself");
    }
    match asked.processes {
        Some(n) if !is_root => {
            limits.each.push(exactly(libc::RLIMIT_NPROC, u64::from(n)));
            holds.push("`processes` holds for all of its user");
        }
        Some(_) => holds.push("`processes` is not held, for it runs as root"),
        None => {}
    }
    if asked.cpu.is_some() {
        holds.push("`cpu` is not held");
    }
    limits.lacks = Some(format!(
        "resources: no control group, {why}; so {}",
        holds.join(", ")
    ));
}

/// The folder of the group that this process is in, by what the kernel says of mounts and groups.
fn base(mounts: &str, groups: &str) -> Result<PathBuf, String> {
    let own = groups
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .ok_or("this machine has no cgroup v2")?;
    let mount = mounts.lines().find_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        let is_it = kind.split(' ').next() == Some("cgroup2");
        let fields: Vec<&str> = fields.split(' ').collect();
        is_it.then_some((*fields.get(3)?, *fields.get(4)?))
    });
    let (root, point) = mount.ok_or("cgroup v2 is not mounted")?;
    let below = own.strip_prefix(root.trim_end_matches('/')).unwrap_or(own);
    let path = Path::new(point).join(below.trim_start_matches('/'));
    // An earlier worker of this process has moved it already.
    match path.file_name() {
        Some(name) if name == OWN => Ok(path.parent().unwrap_or(&path).to_path_buf()),
        _ => Ok(path),
    }
}

/// Makes a group fit to have limited groups below it.
fn take_over(base: &Path) -> Result<(), String> {
    let words = |name: &str| fs::read_to_string(base.join(name)).unwrap_or_default();
    let there = words("cgroup.controllers");
    let has = |list: &str, one: &str| list.split_whitespace().any(|word| word == one);
    if let Some(missing) = CONTROLLERS.iter().find(|one| !has(&there, one)) {
        return Err(format!(
            "{} has no {missing} controller (cgroup v2; systemd: Delegate=yes)",
            base.display()
        ));
    }
    if rustix::fs::access(
        base.join("cgroup.subtree_control"),
        rustix::fs::Access::WRITE_OK,
    )
    .is_err()
    {
        return Err(format!(
            "{} is not ours to write (systemd: Delegate=yes)",
            base.display()
        ));
    }
    remove_old(base);
    let handed = words("cgroup.subtree_control");
    if CONTROLLERS.iter().all(|one| has(&handed, one)) {
        return Ok(());
    }
    let me = std::process::id().to_string();
    if words("cgroup.procs")
        .split_whitespace()
        .any(|pid| pid != me)
    {
        return Err(format!(
            "{} holds processes of others (systemd: a service of its own with Delegate=yes)",
            base.display()
        ));
    }
    let failed = |err: io::Error| format!("{} cannot be divided: {err}", base.display());
    let own = base.join(OWN);
    match fs::create_dir(&own) {
        Err(err) if err.kind() != io::ErrorKind::AlreadyExists => return Err(failed(err)),
        _ => {}
    }
    fs::write(own.join("cgroup.procs"), "0").map_err(failed)?;
    let all = CONTROLLERS.map(|one| format!("+{one}")).join(" ");
    fs::write(base.join("cgroup.subtree_control"), all).map_err(|err| {
        let _ = fs::write(base.join("cgroup.procs"), "0");
        let _ = fs::remove_dir(&own);
        failed(err)
    })
}

/// Groups that earlier workers have left; one with processes stays, for it cannot be removed.
fn remove_old(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(TASK) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Makes a task's group.
fn make(group: &Path, asked: &Resources) -> io::Result<()> {
    fs::create_dir(group)?;
    let put = |file: &str, value: String| fs::write(group.join(file), value);
    if let Some(bytes) = asked.memory {
        put("memory.max", bytes.to_string())?;
        // Without these two it would be slow to die, or half dead; a kernel may lack them.
        let _ = put("memory.swap.max", "0".to_string());
        let _ = put("memory.oom.group", "1".to_string());
    }
    if let Some(cpu) = asked.cpu {
        let quota = (cpu * CPU_PERIOD_US as f64).round().max(1_000.0) as u64;
        put("cpu.max", format!("{quota} {CPU_PERIOD_US}"))?;
    }
    match asked.processes {
        Some(n) => put("pids.max", n.to_string()),
        None => Ok(()),
    }
}

/// Ends whatever is in a group.
pub(crate) fn kill_group(group: &Path) {
    let _ = fs::write(group.join("cgroup.kill"), "1"); // kernels before 5.14 lack it
}

/// Removes a group whose processes are gone. Did the kernel end one of them for want of memory?
pub(crate) fn close_group(group: &Path) -> bool {
    let events = fs::read_to_string(group.join("memory.events")).unwrap_or_default();
    let _ = fs::remove_dir(group);
    has_killed(&events)
}

fn has_killed(events: &str) -> bool {
    let counts = events.lines().filter_map(|line| line.split_once(' '));
    counts
        .filter(|(name, _)| matches!(*name, "oom_kill" | "oom_group_kill"))
        .any(|(_, count)| count.trim() != "0")
}

/// What a program says when it is refused memory.
const REFUSED: [&str; 8] = [
    "MemoryError",
    "Cannot allocate memory",
    "cannot allocate memory",
    "memory allocation of",
    "std::bad_alloc",
    "OutOfMemoryError",
    "heap out of memory",
    "memory exhausted",
];

/// Has a failed process been refused memory, as far as that can be told without a group: by its
/// last words, or because it held nearly all that it may?
pub(crate) fn was_refused(asked: &Resources, last_error: Option<&str>, max_rss_kib: i64) -> bool {
    let Some(limit) = asked.memory else {
        return false;
    };
    let held = u64::try_from(max_rss_kib).unwrap_or(0).saturating_mul(1024);
    held >= limit / 8 * 7
        || last_error.is_some_and(|line| REFUSED.iter().any(|words| line.contains(words)))
}

/// The number of the user that a task runs as is root's?
pub(crate) fn is_root(user: Option<&sys::Ids>) -> bool {
    user.map_or_else(
        || rustix::process::geteuid().is_root(),
        |user| user.uid == 0,
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const MOUNTS: &str = "29 23 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro\n\
        30 29 0:27 / /sys/fs/cgroup/unified rw,relatime shared:10 - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_own_group_is_found_below_the_mount_whatever_part_of_the_tree_that_shows() {
        let found = |mounts, groups| base(mounts, groups).map(|path| path.display().to_string());
        let service = "1:name=systemd:/x\n0::/system.slice/tidemill.service\n";
        assert_eq!(
            found(MOUNTS, service).unwrap(),
            "/sys/fs/cgroup/unified/system.slice/tidemill.service"
        );
        let part = "30 29 0:27 /box/a /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(found(part, "0::/box/a/b\n").unwrap(), "/sys/fs/cgroup/b");
        let again = "0::/a/tidemill.main\n";
        assert_eq!(found(MOUNTS, again).unwrap(), "/sys/fs/cgroup/unified/a");
        assert!(found(MOUNTS, "4:memory:/x\n").is_err());
        assert!(found("", "0::/\n").is_err());
    }

    #[test]
    fn a_group_without_controllers_or_with_others_in_it_is_not_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        put("cgroup.controllers", "cpu pids\n");
        put("cgroup.subtree_control", "");
        let wrong = take_over(folder.path()).unwrap_err();
        assert!(wrong.contains("no memory controller"), "{wrong}");
        put("cgroup.controllers", "cpu memory pids io\n");
        put("cgroup.procs", "1\n2\n");
        let wrong = take_over(folder.path()).unwrap_err();
        assert!(wrong.contains("processes of others"), "{wrong}");
        put("cgroup.subtree_control", "cpu memory pids\n");
        assert_eq!(take_over(folder.path()), Ok(()));
    }

    #[test]
    fn a_delegated_group_gets_a_group_for_each_task_with_its_limits() {
        let folder = tempfile::tempdir().unwrap();
        let groups = Groups::Delegated(folder.path().to_path_buf());
        let asked = Resources {
            cpu: Some(1.5),
            memory: Some(512 << 20),
            processes: Some(50),
            open_files: Some(100),
            ..Resources::default()
        };
        let limits = groups.limits(&asked, "7", true).unwrap();
        assert_eq!((limits.lacks, limits.each.len()), (None, 1));
        let group = limits.group.unwrap();
        let read = |name: &str| fs::read_to_string(group.join(name)).unwrap();
        assert_eq!(read("memory.max"), "536870912");
        assert_eq!(read("cpu.max"), "150000 100000");
        assert_eq!(read("pids.max"), "50");
        // Another task of this name would share its limits.
        assert!(groups.limits(&asked, "7", true).is_err());
        let unlimited = groups.limits(&Resources::default(), "8", true).unwrap();
        assert!(unlimited.group.is_none());
    }

    #[test]
    fn without_a_group_the_nearest_is_held_and_the_rest_is_said() {
        let groups = Groups::Missing("there is none".to_string());
        let asked = Resources {
            cpu: Some(1.0),
            memory: Some(64 << 20),
            processes: Some(9),
            ..Resources::default()
        };
        let limits = groups.limits(&asked, "1", false).unwrap();
        assert_eq!(
            limits.each,
            [
                exactly(libc::RLIMIT_DATA, 64 << 20),
                exactly(libc::RLIMIT_NPROC, 9)
            ]
        );
        let said = limits.lacks.unwrap();
        assert!(said.contains("there is none") && said.contains("`cpu` is not held"));
        let as_root = groups.limits(&asked, "1", true).unwrap();
        assert_eq!(as_root.each.len(), 1);
    }

    #[test]
    fn the_kernel_says_whether_memory_ended_a_group() {
        assert!(has_killed("low 0\noom 1\noom_kill 1\n"));
        assert!(!has_killed("low 0\noom 3\noom_kill 0\noom_group_kill 0\n"));
        assert!(!has_killed(""));
    }
}

//! The system calls that have no safe wrapper: one way to start a process, and its end.
//!
//! All `unsafe` of this room stands here.
#![allow(
    unsafe_code,
    reason = "clone, wait4, signals and prctl have no safe wrapper"
)]

use std::ffi::{CString, NulError, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// What a process is started with.
pub(crate) struct Program {
    /// The file to execute; relative to the folder it starts in.
    pub path: CString,
    /// `argv`, the name first.
    pub argv: Vec<CString>,
    /// `NAME=value`.
    pub env: Vec<CString>,
    /// The folder it starts in; the caller's when `None`.
    pub cwd: Option<CString>,
    /// Descriptors it gets, (ours, its); applied in order, the rest is closed. Ours are either
    /// equal to its or above all of its.
    pub descriptors: Vec<(RawFd, RawFd)>,
    /// Limits of the process, by the kernel's number.
    pub limits: Vec<Limit>,
    /// The file of its control group that takes it in; one of our descriptors.
    pub group: Option<RawFd>,
    /// Whom it becomes.
    pub user: Option<Ids>,
    /// Kill it when the thread that started it ends?
    pub dies_with_parent: bool,
    /// Let all signals through? Only for a parent without signal handlers of its own.
    pub unblock_signals: bool,
}

/// A limit of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Limit {
    /// The kernel's number of what is limited.
    pub which: u32,
    /// Where it speaks up.
    pub soft: u64,
    /// Where it ends the process.
    pub hard: u64,
}

/// The numbers of a user.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Ids {
    /// User.
    pub uid: u32,
    /// Main group.
    pub gid: u32,
    /// All other groups.
    pub groups: Vec<u32>,
}

/// A process could not be started.
#[derive(Debug)]
pub(crate) struct SpawnError {
    /// The step that failed.
    pub step: &'static str,
    /// Why.
    pub err: io::Error,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Exit {
    /// Its status, if it exited.
    pub code: Option<i32>,
    /// The signal, if one ended it.
    pub signal: Option<i32>,
    /// Processor time of it and of the children it waited for, in microseconds.
    pub cpu_us: i64,
    /// The most memory that it or one of those children held, in KiB.
    pub max_rss_kib: i64,
}

/// Turns texts into C strings.
pub(crate) fn c_strings(texts: impl IntoIterator<Item = String>) -> Result<Vec<CString>, NulError> {
    texts.into_iter().map(CString::new).collect()
}

/// Memory for the child's stack between clone and exec; reused for every child.
pub(crate) struct ChildStack(Box<[MaybeUninit<u128>]>);

impl ChildStack {
    /// 64 KiB; the child calls nothing but system calls.
    pub(crate) fn new() -> ChildStack {
        ChildStack(vec![MaybeUninit::uninit(); 4096].into_boxed_slice())
    }

    fn top(&mut self) -> *mut c_void {
        let end = self.0.len();
        // SAFETY: one past the end of the allocation is a valid pointer to compute.
        unsafe { self.0.as_mut_ptr().add(end).cast() }
    }
}

const STEPS: [&str; 12] = [
    "setsid",
    "passing descriptors",
    "setting the limits",
    "entering the control group",
    "setting the groups",
    "setting the group",
    "setting the user",
    "asking to die with the supervisor",
    "checking the supervisor",
    "entering the folder",
    "unblocking signals",
    "executing",
];

/// All that the child reads and writes; it shares our memory until it executes its program.
struct ChildPlan {
    path: *const c_char,
    argv: *const *const c_char,
    env: *const *const c_char,
    cwd: *const c_char,
    descriptors: *const (RawFd, RawFd),
    n_descriptors: usize,
    limits: *const Limit,
    n_limits: usize,
    group: RawFd,
    user: *const Ids,
    parent: c_int,
    dies_with_parent: bool,
    unblock_signals: bool,
    failed_step: usize,
    errno: c_int,
}

/// Starts a process in a session of its own. Returns when it executes its program or has
/// failed to: one clone and one exec, at a cost that does not depend on our size.
pub(crate) fn spawn(program: &Program, stack: &mut ChildStack) -> Result<i32, SpawnError> {
    let argv = pointers(&program.argv);
    let env = pointers(&program.env);
    let mut plan = ChildPlan {
        path: program.path.as_ptr(),
        argv: argv.as_ptr(),
        env: env.as_ptr(),
        cwd: program
            .cwd
            .as_ref()
            .map_or(ptr::null(), |path| path.as_ptr()),
        descriptors: program.descriptors.as_ptr(),
        n_descriptors: program.descriptors.len(),
        limits: program.limits.as_ptr(),
        n_limits: program.limits.len(),
        group: program.group.unwrap_or(-1),
        user: program.user.as_ref().map_or(ptr::null(), ptr::from_ref),
        parent: std::process::id() as c_int,
        dies_with_parent: program.dies_with_parent,
        unblock_signals: program.unblock_signals,
        failed_step: usize::MAX,
        errno: 0,
    };
    // No handler of ours may run in the child while it shares our memory.
    let before = set_signal_mask(true);
    // SAFETY: the stack is ours alone until clone returns, because of CLONE_VFORK; the plan and
    // all it points to live until then; the child only makes system calls.
    let pid = unsafe {
        libc::clone(
            child,
            stack.top(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            ptr::from_mut(&mut plan).cast(),
        )
    };
    let clone_error = io::Error::last_os_error();
    restore_signal_mask(&before);
    if pid < 0 {
        return Err(SpawnError {
            step: "clone",
            err: clone_error,
        });
    }
    // SAFETY: reads a field that the child may have written; it has ended or executed by now.
    let failed_step = unsafe { ptr::read_volatile(&raw const plan.failed_step) };
    if failed_step == usize::MAX {
        return Ok(pid);
    }
    let _ = reap(pid, true);
    // SAFETY: as above.
    let errno = unsafe { ptr::read_volatile(&raw const plan.errno) };
    let step = STEPS.get(failed_step).copied().unwrap_or("starting");
    Err(SpawnError {
        step,
        err: io::Error::from_raw_os_error(errno),
    })
}

fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts
        .iter()
        .map(|text| text.as_ptr())
        .chain([ptr::null()])
        .collect()
}

extern "C" fn child(plan: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes its plan and waits; nobody else touches it meanwhile.
    unsafe {
        let plan = &mut *plan.cast::<ChildPlan>();
        let step = child_steps(plan);
        plan.errno = *libc::__errno_location();
        plan.failed_step = step;
        libc::_exit(127)
    }
}

/// Returns the step that failed; on success it does not return.
///
/// SAFETY for the caller: the plan's pointers are valid, and this is the child of `spawn`. Only
/// raw system calls are made: glibc's `setuid` would signal threads that do not exist here.
unsafe fn child_steps(plan: &ChildPlan) -> usize {
    // SAFETY: see above.
    unsafe {
        if libc::setsid() < 0 {
            return 0;
        }
        for at in 0..plan.n_limits {
            let Limit { which, soft, hard } = *plan.limits.add(at);
            let limit = libc::rlimit64 {
                rlim_cur: soft,
                rlim_max: hard,
            };
            let null = ptr::null_mut::<libc::rlimit64>();
            if libc::syscall(libc::SYS_prlimit64, 0, which, &raw const limit, null) < 0 {
                return 2;
            }
        }
        // Before the descriptors, for those are closed, and before the user, who may not.
        if plan.group >= 0 && libc::write(plan.group, c"0".as_ptr().cast(), 1) < 0 {
            return 3;
        }
        let mut last = -1;
        for at in 0..plan.n_descriptors {
            let (ours, its) = *plan.descriptors.add(at);
            let done = if ours == its {
                libc::fcntl(its, libc::F_SETFD, 0)
            } else {
                libc::dup2(ours, its)
            };
            if done < 0 {
                return 1;
            }
            last = if its > last { its } else { last };
        }
        // Where the kernel has no close_range, CLOEXEC on every descriptor of ours does it.
        libc::syscall(
            libc::SYS_close_range,
            (last + 1) as libc::c_uint,
            libc::c_uint::MAX,
            0,
        );
        if !plan.user.is_null() {
            let user = &*plan.user;
            if libc::syscall(libc::SYS_setgroups, user.groups.len(), user.groups.as_ptr()) < 0 {
                return 4;
            }
            let gid = user.gid;
            if libc::syscall(libc::SYS_setresgid, gid, gid, gid) < 0 {
                return 5;
            }
            let uid = user.uid;
            if libc::syscall(libc::SYS_setresuid, uid, uid, uid) < 0 {
                return 6;
            }
        }
        if plan.dies_with_parent {
            // After the change of user, which clears it.
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) < 0 {
                return 7;
            }
            if libc::syscall(libc::SYS_getppid) != plan.parent as libc::c_long {
                return 8;
            }
        }
        if !plan.cwd.is_null() && libc::chdir(plan.cwd) < 0 {
            return 9;
        }
        if plan.unblock_signals {
            let mut none = MaybeUninit::<libc::sigset_t>::zeroed();
            libc::sigemptyset(none.as_mut_ptr());
            if libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut()) < 0 {
                return 10;
            }
        }
        libc::execve(plan.path, plan.argv, plan.env);
        11
    }
}

/// Blocks all signals of this thread, or none; returns what was blocked before.
fn set_signal_mask(block: bool) -> libc::sigset_t {
    // SAFETY: plain calls on sets that live here.
    unsafe {
        let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
        let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
        if block {
            libc::sigfillset(set.as_mut_ptr());
        } else {
            libc::sigemptyset(set.as_mut_ptr());
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, set.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    }
}

fn restore_signal_mask(mask: &libc::sigset_t) {
    // SAFETY: a plain call with a valid set.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, mask, ptr::null_mut());
    }
}

/// A child that has ended and is not reaped yet, if there is one.
pub(crate) fn ended_child() -> Option<i32> {
    // SAFETY: `waitid` fills the structure; zeros mean that nobody has ended.
    unsafe {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        if libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), flags) < 0 {
            return None;
        }
        let pid = info.assume_init().si_pid();
        (pid != 0).then_some(pid)
    }
}

/// Takes an ended child's status; `None` when it has not ended or is no child of ours.
pub(crate) fn reap(pid: i32, wait: bool) -> Option<Exit> {
    let flags = if wait { 0 } else { libc::WNOHANG };
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: plain call; both places live here. All-zero usage is valid.
    let usage = unsafe {
        loop {
            let got = libc::wait4(pid, &raw mut status, flags, usage.as_mut_ptr());
            if got == pid {
                break usage.assume_init();
            }
            if got < 0 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return None;
        }
    };
    let micros = |time: libc::timeval| time.tv_sec * 1_000_000 + time.tv_usec;
    Some(Exit {
        code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
        signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
        cpu_us: micros(usage.ru_utime) + micros(usage.ru_stime),
        max_rss_kib: usage.ru_maxrss,
    })
}

/// Makes this single-threaded process fit to be a supervisor: every signal has its default
/// action again (children inherit that) and is blocked, so that only the worker decides; the end
/// of children is read from the returned descriptor. No core dumps, no new privileges.
pub(crate) fn become_supervisor() -> io::Result<OwnedFd> {
    // SAFETY: plain calls; this process has one thread and installs no handlers.
    unsafe {
        // The kernel's own call: glibc's keeps two signals from us, which tasks would inherit as
        // ignored. All zeros is the default action. It fails for KILL and STOP, which is fine.
        let default = [0u64; 8];
        for signal in 1..=64 {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                0usize,
                8usize,
            );
        }
        set_signal_mask(true);
        let no_core = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core);
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_NAME, c"tidemill-superv".as_ptr());
        become_subreaper()?;
        let mut children = MaybeUninit::<libc::sigset_t>::zeroed();
        libc::sigemptyset(children.as_mut_ptr());
        libc::sigaddset(children.as_mut_ptr(), libc::SIGCHLD);
        let fd = libc::signalfd(
            -1,
            children.as_ptr(),
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        );
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Orphans below this process become its children.
pub(crate) fn become_subreaper() -> io::Result<()> {
    // SAFETY: a plain call.
    if unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Takes over a descriptor that whoever started this process left open at a fixed number.
pub(crate) fn take_descriptor(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the flag call fails when nothing is open there. Only `supervise` calls this, once
    // for each number, before this process opens anything, so nobody else owns it.
    unsafe {
        if libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(number))
    }
}

/// Gives a file to a user.
pub(crate) fn give_to(path: &std::path::Path, user: &Ids) -> io::Result<()> {
    std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))
}

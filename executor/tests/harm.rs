//! Tasks that would do harm: what they take is limited, what they leave is ended, and the reason
//! says which of it was.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use common::{Place, eventually, shell, shell_with, texts};
use std::time::Duration;
use tidemill_log::{NOTE, STDOUT};
use tidemill_model::attempt::Verdict;
use tidemill_model::dag::Resources;
use tidemill_model::{Reason, Task};

fn limited(command: &str, resources: Resources) -> Task {
    Task {
        resources,
        ..shell(command)
    }
}

/// A program that takes memory until it is stopped.
const GREEDY: &str = "exec python3 -c 'x = []\nwhile True: x.append(bytearray(1 << 24))'";

fn memory(bytes: u64) -> Resources {
    Resources {
        memory: Some(bytes),
        ..Resources::default()
    }
}

#[test]
fn memory_a_signal_and_time_are_told_apart() {
    let mut place = Place::new();
    let mut slow = shell("sleep 1000");
    slow.execution_timeout = Some(Duration::from_millis(100));
    for (task, reason, part) in [
        (
            limited(GREEDY, memory(128 << 20)),
            Reason::OutOfMemory,
            "memory",
        ),
        (shell("kill -KILL $$"), Reason::Signal, "not by Tidemill"),
        (shell("kill -SEGV $$"), Reason::Signal, "SIGSEGV"),
        (slow, Reason::TimedOut, "execution_timeout"),
        (shell("exit 3"), Reason::ExitStatus, "exit 3"),
    ] {
        let (outcome, log) = place.run(task);
        assert_eq!(outcome.verdict, Verdict::Failed);
        assert_eq!(outcome.reason, Some(reason), "{outcome:?} {log:?}");
        let message = outcome.message.unwrap();
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn what_the_machine_cannot_hold_is_said_in_one_line() {
    let mut place = Place::new();
    let resources = Resources {
        cpu: Some(1.0),
        ..memory(1 << 30)
    };
    let (outcome, log) = place.run(limited("cat /proc/self/cgroup", resources));
    assert_eq!(outcome.verdict, Verdict::Success, "{log:?}");
    let has_group = texts(&log, STDOUT)
        .iter()
        .any(|line| line.contains("tidemill.task."));
    let notes = texts(&log, NOTE);
    if has_group {
        assert!(notes.is_empty(), "{notes:?}");
        return;
    }
    assert_eq!(notes.len(), 1, "{notes:?}");
    for part in ["no control group", "`memory` holds", "`cpu` is not held"] {
        assert!(notes[0].contains(part), "{notes:?}");
    }
    let (_, log) = place.run(shell("true"));
    assert!(log.is_empty());
}

#[test]
fn open_files_the_size_of_files_and_processor_time_have_limits() {
    let mut place = Place::new();
    let resources = Resources {
        open_files: Some(20),
        file_size: Some(64 << 10),
        cpu_time: Some(Duration::from_millis(300)),
        ..Resources::default()
    };
    let (_, log) = place.run(limited("ulimit -n; ulimit -f; ulimit -t", resources));
    assert_eq!(texts(&log, STDOUT), ["20", "64", "1"]);
    let (outcome, _) = place.run(limited("exec head -c 1000000 /dev/zero > big", resources));
    assert_eq!(outcome.reason, Some(Reason::Signal));
    assert!(outcome.message.unwrap().contains("resources.file_size"));
    let (outcome, _) = place.run(limited("exec sh -c 'while :; do :; done'", resources));
    assert_eq!(outcome.reason, Some(Reason::Signal));
    assert!(outcome.message.unwrap().contains("resources.cpu_time"));
    // The next task has none of it.
    let (outcome, _) = place.run_shell("test $(ulimit -t) = unlimited");
    assert_eq!(outcome.verdict, Verdict::Success);
}

#[test]
fn a_task_that_starts_ever_more_processes_is_stopped_and_nothing_of_it_stays() {
    if !rustix::process::geteuid().is_root() {
        return; // only root can run it as somebody else, whose processes are counted
    }
    let mut place = Place::new();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(place.folder.path(), open).unwrap();
    let mut bomb = shell_with(
        "i=0; while [ $i -lt 300 ]; do sleep 1000 & i=$((i+1)); done; echo all",
        |shell| shell.interpreter = Some(vec!["sh".to_string(), "-c".to_string()]),
    );
    bomb.run_as_user = Some("nobody".to_string());
    bomb.resources.processes = Some(40);
    let attempt = place.launch(bomb);
    let outcome = place.outcome(attempt);
    assert_eq!(outcome.verdict, Verdict::Failed, "{outcome:?}");
    assert!(texts(&place.log(attempt), STDOUT).is_empty());
    assert_eq!(
        common::processes_of(&attempt.to_string()),
        Vec::<i32>::new()
    );
}

/// Processes whose command line holds this text.
fn with_argument(text: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|line| String::from_utf8_lossy(line).contains(text))
        .count()
}

#[test]
fn fifty_daemons_that_hide_and_ignore_term_end_with_their_task() {
    let mut place = Place::new();
    let mark = format!("1000.{}", std::process::id());
    // Each is forked twice, in a session of its own, without environment and without output.
    let command = format!(
        "trap '' TERM; for i in $(seq 50); do (env -i setsid sh -c 'trap \"\" TERM; sleep {mark} & wait' > /dev/null 2>&1 &) ; done
         while :; do sleep 100; done"
    );
    let attempt = place.launch(shell(&command));
    // The shells and their sleeps.
    eventually("all are there", || with_argument(&mark) >= 100);
    place.worker.kill(attempt, Reason::Cancelled);
    let outcome = place.outcome(attempt);
    assert_eq!(outcome.reason, Some(Reason::Cancelled));
    assert_eq!(with_argument(&mark), 0);
}

#[test]
fn a_thousand_children_that_nobody_waits_for_are_gone_with_their_task() {
    let mut place = Place::new();
    let command = "exec python3 -c '
import os, signal
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
for n in range(1000):
    if os.fork() == 0: os._exit(0)
print(\"forked\")'";
    let (outcome, log) = place.run_shell(command);
    assert_eq!(outcome.verdict, Verdict::Success, "{log:?}");
    assert_eq!(texts(&log, STDOUT), ["forked"]);
    assert_eq!(place.run_shell("true").0.verdict, Verdict::Success);
}

#[test]
fn the_run_folder_is_the_users_of_the_task_that_makes_it() {
    if !rustix::process::geteuid().is_root() {
        return; // only root can change the user
    }
    let mut place = Place::new();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(place.folder.path(), open).unwrap();
    let mut task = shell("echo x > \"$TIDEMILL_RUN_DIR/mine\"; stat -c %U \"$TIDEMILL_RUN_DIR\"");
    task.run_as_user = Some("nobody".to_string());
    let (outcome, log) = place.run(task);
    assert_eq!(outcome.verdict, Verdict::Success, "{log:?}");
    assert_eq!(texts(&log, STDOUT), ["nobody"]);
}

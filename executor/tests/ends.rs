//! Trees of processes end when they must, whatever they do against it.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use common::{Place, eventually, processes_of, shell, texts};
use rustix::process::{Pid, Signal};
use std::io::BufRead;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tidemill_executor::{Worker, WorkerError};
use tidemill_log::NOTE;
use tidemill_model::Reason;
use tidemill_model::attempt::Verdict;

/// Leaves a child in a session of its own, orphaned and deaf to TERM.
const LEAVES: &str = "trap '' TERM
    (setsid sh -c 'trap \"\" TERM; touch ready; while :; do sleep 100; done' > /dev/null 2>&1 &)
    while ! test -e ready; do sleep 0.01; done
    touch \"$TIDEMILL_RUN_DIR/ready\"";

/// The same, and stays.
fn stubborn() -> String {
    format!("{LEAVES}\nwhile :; do sleep 100; done")
}

#[test]
fn a_timeout_kills_children_that_left_the_tree_and_ignore_term() {
    let mut place = Place::new();
    // A slow machine may need longer until the task is ready to resist.
    for seconds in [1, 4, 16, 30] {
        let mut task = shell(&stubborn());
        task.execution_timeout = Some(Duration::from_secs(seconds));
        let attempt = place.launch(task);
        let outcome = place.outcome(attempt);
        assert_eq!(outcome.verdict, Verdict::Failed);
        assert_eq!(outcome.reason, Some(Reason::TimedOut));
        let message = format!("killed after execution_timeout {seconds}s");
        assert_eq!(outcome.message, Some(message.clone()));
        assert_eq!(texts(&place.log(attempt), NOTE), [message]);
        assert_eq!(processes_of(&attempt.to_string()), Vec::<i32>::new());
        if place.path("run/ready").exists() {
            return;
        }
    }
    panic!("never ready");
}

#[test]
fn nothing_is_left_when_a_task_ends_by_itself() {
    let mut place = Place::new();
    let attempt = place.launch(shell(LEAVES));
    let outcome = place.outcome(attempt);
    assert_eq!(outcome.verdict, Verdict::Success, "{outcome:?}");
    assert!(place.path("run/ready").exists());
    assert_eq!(processes_of(&attempt.to_string()), Vec::<i32>::new());
}

#[test]
fn nothing_is_left_when_a_task_is_killed() {
    let mut place = Place::new();
    let attempt = place.launch(shell(&stubborn()));
    eventually("the task is ready", || place.path("run/ready").exists());
    assert!(processes_of(&attempt.to_string()).len() >= 2);
    place.worker.kill(attempt, Reason::Cancelled);
    let outcome = place.outcome(attempt);
    assert_eq!(outcome.verdict, Verdict::Failed);
    assert_eq!(outcome.reason, Some(Reason::Cancelled));
    assert_eq!(processes_of(&attempt.to_string()), Vec::<i32>::new());
}

#[test]
fn an_orphan_without_environment_ends_with_its_task() {
    let mut place = Place::new();
    let pid_file = place.path("pid");
    let command = format!(
        "(env -i setsid sh -c 'echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000' >/dev/null 2>&1 &)
         while ! test -e {0}; do sleep 0.01; done",
        pid_file.display()
    );
    let (outcome, log) = place.run_shell(&command);
    assert_eq!(outcome.verdict, Verdict::Success, "{log:?}");
    let pid: i32 = std::fs::read_to_string(pid_file)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn an_orphan_of_one_task_outlives_the_end_of_another() {
    let mut place = Place::new();
    let file = place.path("go").display().to_string();
    let command = format!(
        "(setsid sh -c 'touch {file}.up; while ! test -e {file}; do sleep 0.01; done; touch {file}.seen' &)
         while ! test -e {file}.seen; do sleep 0.01; done"
    );
    let first = place.launch(shell(&command));
    eventually("the orphan runs", || place.path("go.up").exists());
    let second = place.launch(shell("true"));
    assert_eq!(place.outcome(second).verdict, Verdict::Success);
    std::fs::write(place.path("go"), "").unwrap();
    assert_eq!(place.outcome(first).verdict, Verdict::Success);
}

#[test]
fn a_task_that_ends_itself_on_term_is_still_killed_by_us() {
    let mut place = Place::new();
    let ready = place.path("ready");
    let command = format!(
        "trap 'echo bye; exit 0' TERM; touch {}; sleep 100 & wait",
        ready.display()
    );
    let attempt = place.launch(shell(&command));
    eventually("the trap is set", || ready.exists());
    place.worker.kill(attempt, Reason::Interrupted);
    let outcome = place.outcome(attempt);
    assert_eq!(
        (outcome.verdict, outcome.reason),
        (Verdict::Failed, Some(Reason::Interrupted))
    );
    assert_eq!(texts(&place.log(attempt), 'O'), ["bye"]);
}

#[test]
fn a_stopped_task_can_be_killed_and_all_can_be_killed_at_once() {
    let mut place = Place::with(|options| options.kill_grace = common::LONG);
    let attempts: Vec<_> = (0..5)
        .map(|_| place.launch(shell("trap '' TERM; kill -STOP $$; sleep 100")))
        .collect();
    place.worker.kill_all_now();
    for (attempt, outcome) in place.outcomes(5) {
        assert_eq!(outcome.reason, Some(Reason::Interrupted));
        assert!(processes_of(&attempt.to_string()).is_empty());
    }
    assert_eq!(attempts.len(), 5);
}

#[test]
fn a_dead_supervisor_loses_its_tasks_and_is_replaced() {
    let mut place = Place::new();
    let attempt = place.launch(shell(&stubborn()));
    eventually("the task is ready", || place.path("run/ready").exists());
    let task = processes_of(&attempt.to_string())[0];
    let supervisor = supervisor_of(task);
    rustix::process::kill_process(Pid::from_raw(supervisor).unwrap(), Signal::KILL).unwrap();
    let outcome = place.outcome(attempt);
    assert_eq!(
        (outcome.verdict, outcome.reason),
        (Verdict::Lost, Some(Reason::Lost))
    );
    assert_eq!(processes_of(&attempt.to_string()), Vec::<i32>::new());
    assert_eq!(place.run_shell("true").0.verdict, Verdict::Success);
}

/// The supervisor above a process.
fn supervisor_of(mut pid: i32) -> i32 {
    loop {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        if status.contains("Name:\ttidemill-superv\n") {
            return pid;
        }
        let parent = status
            .lines()
            .find_map(|line| line.strip_prefix("PPid:"))
            .unwrap();
        pid = parent.trim().parse().unwrap();
        assert!(pid > 1, "no supervisor");
    }
}

/// A worker in a process of its own that runs [`stubborn`], and its attempt.
fn foreign_worker(folder: &std::path::Path, lease: Duration) -> (Child, String) {
    std::fs::create_dir_all(folder.join("dag")).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_supervise_for_tests"))
        .args([
            "worker",
            &folder.display().to_string(),
            &lease.as_millis().to_string(),
            &stubborn(),
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut attempt = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut attempt)
        .unwrap();
    eventually("the task is ready", || folder.join("run/ready").exists());
    (child, attempt.trim().to_string())
}

#[test]
fn the_death_of_a_worker_ends_its_tasks_before_another_gets_its_home() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, attempt) = foreign_worker(folder.path(), common::LONG);
    let home = folder.path().join("home");
    let refused = Worker::start(common::options(&home), Duration::from_millis(10));
    assert!(matches!(refused, Err(WorkerError::Locked { .. })));
    assert!(!processes_of(&attempt).is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    let _next = Worker::start(common::options(&home), common::LONG).unwrap();
    assert_eq!(processes_of(&attempt), Vec::<i32>::new());
}

#[test]
fn a_frozen_worker_is_killed_with_its_tasks() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, attempt) = foreign_worker(folder.path(), Duration::from_secs(2));
    let pid = Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::STOP).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9)
    );
    assert_eq!(processes_of(&attempt), Vec::<i32>::new());
}

#[test]
fn signals_for_the_server_do_not_end_its_tasks() {
    let mut place = Place::new();
    let attempt = place.launch(shell(&stubborn()));
    eventually("the task is ready", || place.path("run/ready").exists());
    let supervisor = supervisor_of(processes_of(&attempt.to_string())[0]);
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        rustix::process::kill_process(Pid::from_raw(supervisor).unwrap(), signal).unwrap();
    }
    assert_eq!(place.run_shell("true").0.verdict, Verdict::Success);
    assert!(!processes_of(&attempt.to_string()).is_empty());
}

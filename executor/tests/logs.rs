//! What stands in a log, while the task runs and after it.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use common::{Place, eventually, shell, shell_with, texts, value};
use tidemill_log::{LINE_MAX, NOTE, STDERR, STDOUT, read_from};
use tidemill_model::Reason;
use tidemill_model::attempt::Verdict;

#[test]
fn both_streams_are_told_apart_and_a_silent_task_has_no_log() {
    let mut place = Place::new();
    let (_, log) = place.run_shell("echo one; echo two >&2; printf 'three\\r\\nlast'");
    assert_eq!(texts(&log, STDOUT), ["one", "three", "last"]);
    assert_eq!(texts(&log, STDERR), ["two"]);
    assert!(
        log.iter()
            .all(|line| line.at.len() == 27 && line.at.ends_with('Z')),
        "{log:?}"
    );
    let attempt = place.launch(shell("true"));
    place.outcome(attempt);
    assert!(!place.log_path(attempt).exists());
}

#[test]
fn a_log_can_be_read_while_it_grows_even_an_unfinished_line() {
    let mut place = Place::new();
    let go = place.path("go");
    let command = format!(
        "echo first; printf unfinished; while ! test -e {}; do sleep 0.01; done; echo more",
        go.display()
    );
    let attempt = place.launch(shell(&command));
    let path = place.log_path(attempt);
    let mut next = 0;
    let mut seen = Vec::new();
    eventually("both lines are there", || {
        let chunk = read_from(&path, next, 1 << 16, false).unwrap();
        next = chunk.next;
        seen.extend(chunk.lines.into_iter().map(|line| line.text));
        seen == ["first", "unfinished"]
    });
    std::fs::write(go, "").unwrap();
    let outcome = place.outcome(attempt);
    assert_eq!(value(&outcome, "return_value").unwrap(), "unfinishedmore");
    assert_eq!(
        texts(&place.log(attempt), STDOUT),
        ["first", "unfinished", "more"]
    );
}

#[test]
fn a_log_has_a_cap_and_says_what_is_missing() {
    let mut place = Place::with(|options| options.log_bytes_max = 10_000);
    let (outcome, log) = place.run_shell("seq 100000; echo end");
    assert_eq!(outcome.verdict, Verdict::Success);
    assert_eq!(value(&outcome, "return_value").unwrap(), "end");
    let notes = texts(&log, NOTE);
    assert_eq!(notes.len(), 1);
    assert!(
        notes[0].starts_with("the log is full at 10000 bytes; "),
        "{notes:?}"
    );
    assert!(log.len() < 400);
}

#[test]
fn endless_output_without_a_line_end_takes_bounded_memory() {
    let mut place = Place::with(|options| options.log_bytes_max = 1 << 20);
    let n_bytes = std::env::var("TIDEMILL_ENDLESS_BYTES").unwrap_or("100000000".to_string());
    let before = peak_kib();
    let (outcome, log) = place.run_shell(&format!("head -c {n_bytes} /dev/zero | tr '\\0' x"));
    assert_eq!(outcome.verdict, Verdict::Success);
    assert_eq!(
        value(&outcome, "return_value")
            .unwrap()
            .as_str()
            .unwrap()
            .len(),
        LINE_MAX
    );
    assert!(
        texts(&log, STDOUT)
            .iter()
            .all(|text| text.len() <= LINE_MAX)
    );
    assert!(
        peak_kib() - before < 50_000,
        "{} KiB more",
        peak_kib() - before
    );
}

fn peak_kib() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_task_that_closes_its_output_or_keeps_it_open_ends_all_the_same() {
    let mut place = Place::new();
    let (outcome, _) = place.run_shell("echo said; exec >&- 2>&-; exit 4");
    assert_eq!(outcome.exit_code, Some(4));
    let (outcome, log) = place.run_shell("setsid sleep 1000 & echo left");
    assert_eq!(outcome.verdict, Verdict::Success);
    assert_eq!(texts(&log, STDOUT), ["left"]);
}

#[test]
fn a_task_that_cannot_start_says_so_in_its_log() {
    let mut place = Place::new();
    let task = shell_with("x", |shell| {
        shell.interpreter = Some(vec!["./missing".to_string()])
    });
    let (outcome, log) = place.run(task);
    assert_eq!(outcome.reason, Some(Reason::CouldNotStart));
    assert_eq!(texts(&log, NOTE), [outcome.message.as_deref().unwrap()]);
}

//! WebAssembly tasks: what they are given, what they leave, and each way in which they end.
#![cfg(feature = "wasm")]
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use common::{Place, eventually, in_process, texts, value};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tidemill_executor::operator::Operators;
use tidemill_log::{NOTE, STDERR, STDOUT};
use tidemill_model::attempt::{Again, Verdict};
use tidemill_model::dag::Secret;
use tidemill_model::{Outcome, Reason, Task};
use tidemill_wasm::Settings;

/// A worker whose modules are compiled by the program of the tests.
fn place() -> Place {
    let place = Place::with(|options| {
        let settings = Settings {
            compiler: env!("CARGO_BIN_EXE_supervise_for_tests").into(),
            ..Settings::new(&options.home.join("wasm-cache"))
        };
        options.operators = Operators::default().with_wasm(settings);
    });
    std::fs::create_dir_all(place.path("run")).unwrap();
    place
}

/// Puts a module into the DAG's folder.
fn module(place: &Place, wat: &str) {
    std::fs::write(place.path("dag/m.wasm"), wat::parse_str(wat).unwrap()).unwrap();
}

/// The program of many tests, from its source in C.
fn probe(place: &Place) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wasm/tests/modules/probe.c");
    let built = Command::new("clang")
        .args(["--target=wasm32-wasi", "-O1", "-o"])
        .args([place.path("dag/m.wasm"), source])
        .output();
    let built = built.expect("this test needs clang and wasi-libc (scripts/install-test-needs)");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
}

fn wasm(mut settings: Value) -> Task {
    settings["module"] = json!("m.wasm");
    in_process("wasm", settings)
}

fn calls(args: &[&str]) -> Task {
    wasm(json!({ "args": args }))
}

fn failed_for(outcome: &Outcome, reason: Reason) -> &str {
    assert_eq!(
        (outcome.verdict, outcome.reason),
        (Verdict::Failed, Some(reason)),
        "{outcome:?}"
    );
    outcome.message.as_deref().unwrap()
}

#[test]
fn input_output_values_and_log_are_those_of_a_shell_task() {
    let mut place = place();
    probe(&place);
    let mut task =
        wasm(json!({ "args": ["sum"], "stdin": "{{ params['n-rows'] }} 8 9", "output": "json" }));
    task.outputs = vec![
        ("sum".to_string(), "{{ result.sum }}".to_string()),
        ("said".to_string(), "{{ stdout | length }}".to_string()),
        ("status".to_string(), "{{ exit_code }}".to_string()),
    ];
    let (outcome, log) = place.run(task);
    assert_eq!(outcome.verdict, Verdict::Success, "{outcome:?}");
    assert_eq!((outcome.exit_code, outcome.pid), (Some(0), None));
    assert_eq!(
        value(&outcome, "return_value"),
        Some(&json!({"n": 3, "sum": 24}))
    );
    assert_eq!(value(&outcome, "sum"), Some(&json!(24)));
    assert_eq!(value(&outcome, "status"), Some(&json!(0)));
    assert_eq!(texts(&log, STDOUT), ["{\"n\": 3, \"sum\": 24}"]);
    let (outcome, log) = place.run(calls(&["show", "{{ run_id }}"]));
    assert_eq!(
        value(&outcome, "return_value"),
        Some(&json!("stdin 0")),
        "the last line"
    );
    assert_eq!(
        texts(&log, STDOUT)[..3],
        ["arg m.wasm", "arg show", "arg manual__1"]
    );
    assert_eq!(texts(&log, STDERR), ["a word on stderr"]);
    let (outcome, _) = place.run(wasm(json!({ "args": ["show"], "output": "json" })));
    assert!(failed_for(&outcome, Reason::BadOutput).contains("not JSON"));
    let (outcome, _) = place.run(wasm(json!({ "args": ["show"], "output": "none" })));
    assert_eq!(
        (outcome.verdict, outcome.values.len()),
        (Verdict::Success, 0)
    );
}

#[test]
fn the_exit_status_says_failed_or_skipped() {
    let mut place = place();
    probe(&place);
    let (outcome, log) = place.run(calls(&["exit", "7"]));
    assert_eq!(failed_for(&outcome, Reason::ExitStatus), "exit 7");
    assert_eq!(
        (outcome.exit_code, texts(&log, NOTE)),
        (Some(7), vec!["exit 7"])
    );
    let (outcome, _) = place.run(calls(&["exit", "99"]));
    assert_eq!(
        (outcome.verdict, outcome.reason),
        (Verdict::Skipped, Some(Reason::SkippedItself))
    );
    let (outcome, _) = place.run(wasm(
        json!({ "args": ["exit", "99"], "skip_on_exit_code": 0 }),
    ));
    failed_for(&outcome, Reason::ExitStatus);
}

#[test]
fn each_limit_has_its_own_reason() {
    let mut place = place();
    let start = |body: &str| {
        format!("(module (table 1 funcref) (memory 1) (func $f (export \"_start\") {body}))")
    };
    let cases = [
        ("(loop (br 0))", Reason::OutOfFuel),
        (
            "(loop (drop (memory.grow (i32.const 100))) (br 0))",
            Reason::OutOfMemory,
        ),
        (
            "(loop (drop (table.grow (ref.null func) (i32.const 1000))) (br 0))",
            Reason::TableLimit,
        ),
        ("(call $f)", Reason::StackOverflow),
        ("unreachable", Reason::Trap),
    ];
    for (body, reason) in cases {
        module(&place, &start(body));
        let (outcome, log) = place.run(wasm(json!({ "fuel": 50_000_000, "max_memory": 64 << 20 })));
        let message = failed_for(&outcome, reason);
        assert_eq!(texts(&log, NOTE), [message], "{body}");
    }
    module(&place, &start("(loop (br 0))"));
    let mut task = wasm(json!({}));
    task.execution_timeout = Some(Duration::from_millis(300));
    let (outcome, _) = place.run(task);
    failed_for(&outcome, Reason::TimedOut);
}

#[test]
fn a_kill_ends_a_module_and_the_worker_goes_on() {
    let mut place = place();
    probe(&place);
    let attempt = place.launch(calls(&["shout"]));
    let log = place.log_path(attempt);
    eventually("it speaks", || {
        std::fs::metadata(&log).is_ok_and(|file| file.len() > 1000)
    });
    place.worker.kill(attempt, Reason::Cancelled);
    failed_for(&place.outcome(attempt), Reason::Cancelled);
    let (outcome, _) = place.run(calls(&["exit", "0"]));
    assert_eq!(outcome.verdict, Verdict::Success);
}

#[test]
fn a_file_of_output_appears_whole_or_not_at_all() {
    let mut place = place();
    probe(&place);
    std::fs::write(place.path("run/in"), "1 2 3\n").unwrap();
    let settings =
        json!({ "args": ["sum"], "stdin_file": "in", "stdout_file": "{{ run_dir }}/out" });
    let (outcome, log) = place.run(wasm(settings));
    assert_eq!(outcome.verdict, Verdict::Success, "{outcome:?}");
    let out = std::fs::read_to_string(place.path("run/out")).unwrap();
    assert_eq!(out, "{\"n\": 3, \"sum\": 6}\n");
    assert!(texts(&log, STDOUT).is_empty());
    let (outcome, _) = place.run(wasm(json!({ "args": ["abort"], "stdout_file": "other" })));
    failed_for(&outcome, Reason::Trap);
    let attempt = place.launch(wasm(json!({ "args": ["shout"], "stdout_file": "other" })));
    let part = place.path("run/other.part");
    eventually("it writes", || {
        std::fs::metadata(&part).is_ok_and(|file| file.len() > 1000)
    });
    place.worker.kill(attempt, Reason::Cancelled);
    place.outcome(attempt);
    eventually("nothing is left", || {
        !place.path("run/other").exists() && !place.path("run/other.part").exists()
    });
    let (outcome, _) = place.run(wasm(json!({ "args": ["sum"], "stdin_file": "missing" })));
    assert!(failed_for(&outcome, Reason::CouldNotStart).contains("missing"));
}

#[test]
fn the_environment_is_the_tasks_own_and_its_secrets_are_masked() {
    let mut place = place();
    probe(&place);
    let mut task = calls(&["show"]);
    task.env = vec![("REGION".to_string(), "{{ params.region }}".to_string())];
    task.secrets = vec![Secret {
        env: "API".to_string(),
        from: "var.token".to_string(),
        as_file: false,
    }];
    task.uses.add_variable("token", false);
    let (outcome, log) = place.run(task);
    assert_eq!(outcome.verdict, Verdict::Success, "{outcome:?}");
    let env: Vec<&str> = texts(&log, STDOUT)
        .into_iter()
        .filter(|line| line.starts_with("env "))
        .collect();
    assert_eq!(env, ["env REGION=eu", "env API=***"]);
}

#[test]
fn what_no_try_can_help_is_said_so() {
    let mut place = place();
    std::fs::write(place.path("dag/m.wasm"), "#!/bin/sh\n").unwrap();
    let (outcome, _) = place.run(wasm(json!({})));
    assert!(failed_for(&outcome, Reason::CouldNotStart).contains("neither a WebAssembly module"));
    assert_eq!(outcome.again, Some(Again::Never));
    std::fs::remove_file(place.path("dag/m.wasm")).unwrap();
    let (outcome, _) = place.run(wasm(json!({})));
    assert!(failed_for(&outcome, Reason::CouldNotStart).contains("m.wasm"));
}

#[test]
fn many_small_modules_need_no_process_and_no_log() {
    let mut place = place();
    module(&place, "(module (func (export \"_start\")))");
    let attempts: Vec<_> = (0..500).map(|_| place.launch(wasm(json!({})))).collect();
    let outcomes = place.outcomes(attempts.len());
    assert!(
        outcomes
            .values()
            .all(|outcome| outcome.verdict == Verdict::Success)
    );
    assert!(!place.path("logs").exists());
}

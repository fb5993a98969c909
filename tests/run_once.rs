//! `tidemill run`: a DAG, once, here, without a server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use support::{Place, stderr, stdout, told};

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

fn task<'a>(run: &'a Value, task: &str) -> &'a Value {
    run["task_instances"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["task_id"] == task)
        .unwrap()
}

/// Runs a DAG with `-o json`; the status it ended with and the one object it printed.
fn run_json(text: &str, more: &[&str]) -> (i32, Value) {
    let place = Place::new();
    let file = place.write_dag("once.toml", text);
    let mut args = vec!["run", file.to_str().unwrap(), "-o", "json"];
    args.extend(more);
    let output = place.call(&args);
    let run = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|err| panic!("{err}: {}", told(&output)));
    (output.status.code().unwrap(), run)
}

#[test]
fn a_run_that_succeeds_exits_with_0_and_names_its_tasks() {
    let place = Place::new();
    let file = place.write_dag(
        "two.toml",
        "[tasks]\nfirst = 'echo one'\n[tasks.second]\ndepends_on = ['first']\nshell = 'echo two'\n",
    );
    let output = place.call(&["run", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let printed = stdout(&output) + &stderr(&output);
    assert!(
        printed.contains("first") && printed.contains("second"),
        "{}",
        told(&output)
    );
    assert!(
        !printed.contains('\u{1b}'),
        "colours and cursor movements are for terminals: {}",
        told(&output)
    );
}

#[test]
fn json_output_is_one_object_with_exactly_the_promised_keys() {
    let (status, run) = run_json(
        "[tasks]\na = 'echo noise; echo last'\n[tasks.b]\ndepends_on = ['a']\noperator = 'empty'\n",
        &[],
    );
    assert_eq!(status, 0, "{run}");
    let promised = [
        "dag_id",
        "dag_run_id",
        "run_type",
        "state",
        "logical_date",
        "start_date",
        "end_date",
        "duration",
        "task_instances",
    ];
    assert_eq!(keys(&run), BTreeSet::from(promised));
    let promised = [
        "task_id",
        "map_index",
        "rendered_map_index",
        "state",
        "try_number",
        "max_tries",
        "start_date",
        "end_date",
        "duration",
        "operator",
        "output",
    ];
    for one in run["task_instances"].as_array().unwrap() {
        assert_eq!(keys(one), BTreeSet::from(promised));
        assert_eq!(one["state"], "success");
        assert_eq!(one["map_index"], -1);
    }
    assert_eq!(run["dag_id"], "once");
    assert_eq!(run["run_type"], "manual");
    assert_eq!(run["state"], "success");
    assert!(run["duration"].is_number());
    assert_eq!(task(&run, "a")["operator"], "shell");
    assert_eq!(task(&run, "a")["output"], "last");
    assert_eq!(task(&run, "b")["operator"], "empty");
}

#[test]
fn a_failing_task_ends_the_run_with_20_and_shows_its_last_lines() {
    let place = Place::new();
    let file = place.write_dag("bad.toml", "[tasks]\nbroken = 'echo the disk is full >&2; exit 7'\n[tasks.after]\ndepends_on = ['broken']\nshell = 'true'\n");
    let output = place.call(&["run", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(20), "{}", told(&output));
    let printed = stdout(&output) + &stderr(&output);
    assert!(printed.contains("the disk is full"), "{}", told(&output));
    assert!(
        printed.contains('7'),
        "the exit status is part of the story: {}",
        told(&output)
    );
}

#[test]
fn what_waits_for_a_failed_task_is_upstream_failed() {
    let (status, run) = run_json(
        "[tasks]\nbroken = 'exit 1'\n[tasks.after]\ndepends_on = ['broken']\nshell = 'true'\n",
        &[],
    );
    assert_eq!((status, run["state"].as_str()), (20, Some("failed")));
    assert_eq!(task(&run, "broken")["state"], "failed");
    assert_eq!(task(&run, "after")["state"], "upstream_failed");
}

#[test]
fn a_task_is_tried_again_as_often_as_it_has_retries() {
    let text = "[tasks.flaky]\nretries = 2\nretry_delay = '10ms'\nshell = 'test \"$TIDEMILL_TRY_NUMBER\" -ge 3'\n";
    let (status, run) = run_json(text, &[]);
    assert_eq!(status, 0, "{run}");
    assert_eq!(task(&run, "flaky")["try_number"], 3);
    let (status, run) = run_json(text, &["--no-retry"]);
    assert_eq!(status, 20, "{run}");
    assert_eq!(task(&run, "flaky")["try_number"], 1);
}

#[test]
fn params_are_typed_and_reach_templates_and_the_environment() {
    let text = "[params]\nname = 'nobody'\nlimit = 3\n[tasks.say]\nenv = { TWICE = \"{{ params.limit * 2 }}\" }\nshell = 'echo \"$TIDEMILL_PARAM_NAME $TWICE\"'\n";
    let (_, run) = run_json(text, &[]);
    assert_eq!(task(&run, "say")["output"], "nobody 6");
    let (_, run) = run_json(
        text,
        &["--param", "name=Ada; rm -rf", "--param", "limit=21"],
    );
    assert_eq!(task(&run, "say")["output"], "Ada; rm -rf 42");

    let place = Place::new();
    let file = place.write_dag("p.toml", text);
    for wrong in ["limit=many", "unknown=1"] {
        let output = place.call(&["run", file.to_str().unwrap(), "--param", wrong]);
        assert_eq!(output.status.code(), Some(2), "{wrong}: {}", told(&output));
    }
}

#[test]
fn exit_status_99_skips_the_task_and_what_waits_for_it() {
    let (status, run) = run_json(
        "[tasks]\nlook = 'exit 99'\nother = 'true'\n[tasks.after]\ndepends_on = ['look']\nshell = 'false'\n",
        &[],
    );
    assert_eq!(status, 0, "{run}");
    assert_eq!(task(&run, "look")["state"], "skipped");
    assert_eq!(task(&run, "after")["state"], "skipped");
    assert_eq!(task(&run, "other")["state"], "success");
}

#[test]
fn values_go_from_task_to_task() {
    let text = "[tasks.count]\noutputs = { rows = \"{{ result | int }}\" }\nshell = 'echo 41'\n[tasks.use]\ndepends_on = ['count']\nenv = { ROWS = \"{{ tasks.count.outputs.rows + 1 }}\" }\nshell = 'echo \"$ROWS\"'\n";
    let (status, run) = run_json(text, &[]);
    assert_eq!(status, 0, "{run}");
    assert_eq!(task(&run, "use")["output"], "42");
}

#[test]
fn a_date_fills_the_names_that_come_from_it() {
    let (status, run) = run_json(
        "[tasks]\nday = 'echo \"$TIDEMILL_DS\"'\n",
        &["--date", "2026-03-29"],
    );
    assert_eq!(status, 0, "{run}");
    assert_eq!(task(&run, "day")["output"], "2026-03-29");
    assert!(
        run["logical_date"]
            .as_str()
            .unwrap()
            .starts_with("2026-03-29T00:00:00"),
        "{run}"
    );
}

#[test]
fn a_dry_run_executes_nothing() {
    let place = Place::new();
    let mark = place.folder().join("mark");
    let file = place.write_dag(
        "dry.toml",
        &format!("[tasks]\ntouch = 'touch {}'\n", mark.display()),
    );
    let output = place.call(&["run", file.to_str().unwrap(), "--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(stdout(&output).contains("touch"), "{}", told(&output));
    assert!(!mark.exists());
}

#[test]
fn an_invalid_file_exits_with_10_and_says_where() {
    let place = Place::new();
    let file = place.write_dag(
        "wrong.toml",
        "[tasks.a]\nretry_dealy = '1s'\nshell = 'true'\n",
    );
    for command in ["run", "validate"] {
        let output = place.call(&[command, file.to_str().unwrap()]);
        assert_eq!(
            output.status.code(),
            Some(10),
            "{command}: {}",
            told(&output)
        );
        let printed = stdout(&output) + &stderr(&output);
        assert!(
            printed.contains("wrong.toml:2:1") && printed.contains("retry_delay"),
            "{command}: {}",
            told(&output)
        );
    }
}

#[test]
fn validate_prints_every_mistake_at_once_as_json() {
    let place = Place::new();
    let file = place.write_dag("wrong.toml", "[tasks.a]\nretry_dealy = '1s'\nshell = 'true'\ndepends_on = ['b']\n[tasks.b]\nshell = 'true'\nexecution_timeout = 900\n[tasks.c]\nshell = 'true'\ndepends_on = ['nowhere']\n");
    let output = place.call(&["validate", file.to_str().unwrap(), "-o", "json"]);
    assert_eq!(output.status.code(), Some(10), "{}", told(&output));
    let list: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(list.len() >= 3, "{list:?}");
    let promised = [
        "code",
        "severity",
        "file",
        "line",
        "column",
        "end_line",
        "end_column",
        "message",
        "help",
    ];
    for one in &list {
        assert_eq!(keys(one), BTreeSet::from(promised));
    }
    let lines: BTreeSet<u64> = list.iter().filter_map(|one| one["line"].as_u64()).collect();
    assert!(
        [2, 7, 10].iter().all(|line| lines.contains(line)),
        "{list:?}"
    );
}

#[test]
fn a_file_that_is_not_there_is_not_found() {
    let place = Place::new();
    let output = place.call(&["run", "nowhere.toml"]);
    assert_eq!(output.status.code(), Some(3), "{}", told(&output));
    assert!(
        stderr(&output).contains("nowhere.toml"),
        "{}",
        told(&output)
    );
}

#[test]
fn a_run_is_bounded_in_what_it_does_at_once() {
    let mut text = String::new();
    for number in 0..6 {
        text.push_str(&format!("[tasks.t{number}]\nshell = '''\nmkdir \"$TIDEMILL_RUN_DIR/only\"\nrmdir \"$TIDEMILL_RUN_DIR/only\"\n'''\n"));
    }
    let (status, run) = run_json(&text, &["-j", "1"]);
    assert_eq!(status, 0, "two tasks met: {run}");
}

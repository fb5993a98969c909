//! Logs as a person meets them: packed behind their back, searched, dropped, and honest about a
//! worker that died.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::path::PathBuf;
use std::process::Output;
use support::{PATIENCE, Place, stdout, told, waiting::wait_for};

const LONG: &str = r#"[tasks]
long = '''
for n in $(seq 1 50000); do echo "line $n with some words behind it"; done
printf 'a \033[31mred\033[0m word\n' '''
"#;

/// The files of the logs of a place.
fn logs(place: &Place) -> Vec<PathBuf> {
    let runs = std::fs::read_dir(place.home().join("logs"));
    let runs = runs.into_iter().flatten().flatten();
    let files = runs.flat_map(|run| std::fs::read_dir(run.path()).into_iter().flatten());
    files.flatten().map(|file| file.path()).collect()
}

fn is_packed(place: &Place) -> bool {
    let logs = logs(place);
    logs.len() == 1 && logs[0].extension().is_some_and(|end| end == "zst")
}

fn tasks_logs(place: &Place, run: &str, more: &[&str]) -> Output {
    let run = format!("long/{run}");
    let mut args = vec!["tasks", "logs", &run, "long"];
    args.extend(more);
    place.call(&args)
}

#[test]
fn a_finished_log_is_packed_and_everybody_reads_on_as_before() {
    let place = Place::new();
    place.write_dag("long.toml", LONG);
    let server = place.serve();
    server.wait_for_dag("long");
    let run = place.trigger("long", &[]);
    assert_eq!(server.wait_for_end("long", &run)["state"], "success");
    wait_for("the packed log", PATIENCE, || {
        is_packed(&place).then_some(())
    });

    let whole = tasks_logs(&place, &run, &[]);
    let text = stdout(&whole);
    assert_eq!(text.lines().count(), 50_001, "{}", told(&whole));
    assert_eq!(
        text.lines().next(),
        Some("line 1 with some words behind it")
    );
    assert_eq!(
        text.lines().last(),
        Some("a red word"),
        "harmless on a terminal"
    );
    let raw = stdout(&tasks_logs(&place, &run, &["--raw"]));
    assert!(raw.ends_with("a \u{1b}[31mred\u{1b}[0m word\n"));

    let found = tasks_logs(&place, &run, &["--grep", "^line 4999[0-9] .*(it|red)"]);
    assert_eq!(stdout(&found).lines().count(), 10, "{}", told(&found));
    let many = stdout(&tasks_logs(&place, &run, &["--grep", "0 with"]));
    assert_eq!(many.lines().count(), 5000);
    let none = tasks_logs(&place, &run, &["--grep", "no such words"]);
    assert_eq!((none.status.code(), stdout(&none).as_str()), (Some(1), ""));
    let wrong = tasks_logs(&place, &run, &["--grep", "("]);
    assert_eq!(wrong.status.code(), Some(2), "{}", told(&wrong));
    let last = place.call(&["runs", "logs", &format!("long/{run}"), "--tail", "2"]);
    assert_eq!(
        stdout(&last),
        "long | line 50000 with some words behind it\nlong | a red word\n"
    );
}

#[test]
fn a_log_says_where_its_worker_died() {
    let place = Place::new();
    let dag = "[tasks.long]\nshell = 'echo before; while :; do sleep 0.05; done'\n";
    place.write_dag("long.toml", dag);
    let mut server = place.serve();
    server.wait_for_dag("long");
    let run = place.trigger("long", &[]);
    wait_for("its first line", PATIENCE, || {
        let text = logs(&place).first().map(std::fs::read_to_string)?;
        text.ok()?.contains("before").then_some(())
    });
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let server = place.serve();
    server.wait_for_dag("long");
    wait_for("the mark", PATIENCE, || {
        let text = stdout(&tasks_logs(&place, &run, &["--try", "1"]));
        let is_marked = text.starts_with("before\n") && text.contains("the worker died here");
        is_marked.then_some(())
    });
}

#[test]
fn old_logs_are_dropped_as_the_configuration_says() {
    let place = Place::new();
    place.write_dag("long.toml", LONG);
    let server = place.serve();
    server.wait_for_dag("long");
    let run = place.trigger("long", &[]);
    server.wait_for_end("long", &run);
    wait_for("the packed log", PATIENCE, || {
        is_packed(&place).then_some(())
    });
    drop(server);
    std::fs::write(
        place.home().join("tidemill.toml"),
        "[logs]\nmax_bytes = '4KiB'\n",
    )
    .unwrap();
    let server = place.serve();
    server.wait_for_dag("long");
    wait_for("no log", PATIENCE, || logs(&place).is_empty().then_some(()));
    let gone = tasks_logs(&place, &run, &[]);
    assert_eq!((gone.status.code(), stdout(&gone).as_str()), (Some(0), ""));
    drop(server);
    std::fs::write(
        place.home().join("tidemill.toml"),
        "[logs]\nmax_age = 'soon'\n",
    )
    .unwrap();
    let refused = place.serve_command().output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        place.serve_log().contains("max_age"),
        "{}",
        place.serve_log()
    );
}

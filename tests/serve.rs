//! `tidemill serve` and the commands that steer it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use support::waiting::{wait_for, within};
use support::{PATIENCE, Place, http, processes, stderr, stdout, told};

const HELLO: &str = "[tasks]\nhello = 'echo good morning'\n";

#[test]
fn a_triggered_run_ends_and_keeps_its_log() {
    let place = Place::new();
    place.write_dag("hello.toml", HELLO);
    let server = place.serve();
    server.wait_for_dag("hello");
    let run = place.trigger("hello", &[]);
    let ended = server.wait_for_end("hello", &run);
    assert_eq!(ended["state"], "success", "{ended}");
    assert_eq!(ended["run_type"], "manual");

    let waited = place.call(&["runs", "wait", &format!("hello/{run}")]);
    assert_eq!(waited.status.code(), Some(0), "{}", told(&waited));
    let logs = place.call(&["tasks", "logs", &format!("hello/{run}"), "hello"]);
    assert!(stdout(&logs).contains("good morning"), "{}", told(&logs));
    let logs = place.call(&["runs", "logs", &format!("hello/{run}")]);
    assert!(stdout(&logs).contains("good morning"), "{}", told(&logs));

    let path = format!(
        "/api/v2/dags/hello/dagRuns/{}/taskInstances/hello/logs/1",
        http::escape(&run)
    );
    assert!(server.body(&path).to_string().contains("good morning"));
}

#[test]
fn lists_can_be_read_by_programs() {
    let place = Place::new();
    place.write_dag("hello.toml", HELLO);
    let server = place.serve();
    server.wait_for_dag("hello");
    let run = place.trigger("hello", &[]);
    server.wait_for_end("hello", &run);
    for args in [
        &["dags", "list", "-o", "json"][..],
        &["runs", "list", "-o", "json"],
        &["tasks", "list", &format!("hello/{run}"), "-o", "json"],
    ] {
        assert!(
            place.call_json(args).to_string().contains("hello"),
            "{args:?}"
        );
    }
    let shown = place.call(&["runs", "show", &format!("hello/{run}")]);
    assert!(
        shown.status.success() && stdout(&shown).contains(&run),
        "{}",
        told(&shown)
    );
    let latest = place.call(&["runs", "show", "hello@latest"]);
    assert!(
        latest.status.success() && stdout(&latest).contains(&run),
        "{}",
        told(&latest)
    );
}

#[test]
fn the_same_idempotency_key_makes_one_run() {
    let place = Place::new();
    place.write_dag("hello.toml", HELLO);
    let server = place.serve();
    server.wait_for_dag("hello");
    let first = place.trigger("hello", &["--idempotency-key", "k1"]);
    let again = place.trigger("hello", &["--idempotency-key", "k1"]);
    let other = place.trigger("hello", &["--idempotency-key", "k2"]);
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert_eq!(server.runs("hello").len(), 2);
}

#[test]
fn a_failed_run_is_told_by_exit_status_and_cleared_to_run_again() {
    let place = Place::new();
    let mark = place.folder().join("repaired");
    let text = format!(
        "[tasks.first]\nshell = 'true'\n[tasks.fragile]\ndepends_on = ['first']\nshell = 'test -e {}'\n[tasks.last]\ndepends_on = ['fragile']\nshell = 'true'\n",
        mark.display()
    );
    place.write_dag("fragile.toml", &text);
    let server = place.serve();
    server.wait_for_dag("fragile");
    let run = place.trigger("fragile", &[]);
    let name = format!("fragile/{run}");
    assert_eq!(place.call(&["runs", "wait", &name]).status.code(), Some(20));
    assert_eq!(
        server.task("fragile", &run, "last")["state"],
        "upstream_failed"
    );
    let began = server.task("fragile", &run, "first")["start_date"].clone();

    let listed = place.call(&[
        "tasks",
        "clear",
        &name,
        "--only-failed",
        "--downstream",
        "--dry-run",
    ]);
    let list = stdout(&listed) + &stderr(&listed);
    assert!(
        list.contains("fragile") && list.contains("last") && !list.contains("first"),
        "{}",
        told(&listed)
    );
    assert_eq!(
        server.run("fragile", &run)["state"],
        "failed",
        "a dry run changes nothing"
    );

    std::fs::write(&mark, "").unwrap();
    let cleared = place.call(&[
        "tasks",
        "clear",
        &name,
        "--only-failed",
        "--downstream",
        "-y",
    ]);
    assert!(cleared.status.success(), "{}", told(&cleared));
    let waited = place.call(&["runs", "wait", &name]);
    assert_eq!(waited.status.code(), Some(0), "{}", told(&waited));
    assert_eq!(
        server.task("fragile", &run, "first")["start_date"],
        began,
        "a task that was not cleared ran again"
    );
}

#[test]
fn a_cancelled_run_is_failed_and_its_processes_are_gone() {
    let place = Place::new();
    place.write_dag(
        "long.toml",
        "[tasks]\nlong = 'sleep 1000 & sleep 1000; wait'\n",
    );
    let server = place.serve();
    server.wait_for_dag("long");
    let run = place.trigger("long", &[]);
    server.wait_for_task("long", &run, "long", "running");
    let mut sleeping = Vec::new();
    wait_for("two sleeping processes", PATIENCE, || {
        sleeping = processes::below(server.child.id())
            .into_iter()
            .filter(|one| is_sleep(one.pid))
            .collect();
        (sleeping.len() == 2).then_some(())
    });
    let cancelled = place.call(&["runs", "cancel", &format!("long/{run}")]);
    assert!(cancelled.status.success(), "{}", told(&cancelled));
    assert_eq!(server.wait_for_end("long", &run)["state"], "failed");
    wait_for("the tree to end", PATIENCE, || {
        (!sleeping.iter().any(|one| one.is_alive())).then_some(())
    });
    assert_eq!(
        place
            .call(&["runs", "wait", &format!("long/{run}")])
            .status
            .code(),
        Some(21)
    );
}

fn is_sleep(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|text| text.starts_with(b"sleep\0"))
}

#[test]
fn a_task_that_takes_too_long_is_killed_with_its_tree() {
    let place = Place::new();
    place.write_dag(
        "slow.toml",
        "[tasks.slow]\nexecution_timeout = '200ms'\nshell = 'sleep 1000 & sleep 1000'\n",
    );
    let server = place.serve();
    server.wait_for_dag("slow");
    let run = place.trigger("slow", &[]);
    assert_eq!(server.wait_for_end("slow", &run)["state"], "failed");
    wait_for("the tree to end", PATIENCE, || {
        (!processes::below(server.child.id())
            .iter()
            .any(|one| is_sleep(one.pid)))
        .then_some(())
    });
}

#[test]
fn pausing_is_seen_in_lists_and_undone() {
    let place = Place::new();
    place.write_dag("hello.toml", HELLO);
    let server = place.serve();
    server.wait_for_dag("hello");
    for (command, paused) in [("pause", true), ("unpause", false)] {
        let output = place.call(&["dags", command, "hello"]);
        assert!(output.status.success(), "{}", told(&output));
        assert_eq!(server.body("/api/v2/dags/hello")["is_paused"], paused);
    }
}

#[test]
fn a_saved_file_is_live_and_a_broken_one_leaves_the_last_good_one() {
    let place = Place::new();
    place.write_dag("hello.toml", HELLO);
    let server = place.serve();
    server.wait_for_dag("hello");

    place.write_dag(
        "hello.toml",
        "[tasks]\nhello = 'echo good evening'\n[tasks.more]\nshell = 'true'\n",
    );
    wait_for("the new version", PATIENCE, || {
        (server.body("/api/v2/dags/hello/tasks")["tasks"]
            .as_array()?
            .len()
            == 2)
            .then_some(())
    });

    place.write_dag("hello.toml", "[tasks.hello]\nshel = 'echo never'\n");
    wait_for("the diagnostic", PATIENCE, || {
        server
            .body("/api/v2/importErrors")
            .to_string()
            .contains("shel")
            .then_some(())
    });
    let run = place.trigger("hello", &[]);
    assert_eq!(server.wait_for_end("hello", &run)["state"], "success");
    assert_eq!(server.tasks("hello", &run).len(), 2);

    place.write_dag("hello.toml", HELLO);
    wait_for("the mended version", PATIENCE, || {
        let errors = server.body("/api/v2/importErrors");
        (errors["total_entries"] == 0
            && server.body("/api/v2/dags/hello/tasks")["tasks"]
                .as_array()?
                .len()
                == 1)
            .then_some(())
    });
}

#[test]
fn a_new_file_appears_and_a_removed_one_is_stale() {
    let place = Place::new();
    let server = place.serve();
    let file = place.write_dag("hello.toml", HELLO);
    server.wait_for_dag("hello");
    std::fs::remove_file(file).unwrap();
    wait_for("the DAG to go", PATIENCE, || {
        let (status, body) = server.get("/api/v2/dags/hello");
        (status == 404 || body["is_stale"] == true).then_some(())
    });
}

#[test]
fn a_schedule_fires_once_for_each_tick() {
    let place = Place::new();
    place.write_dag(
        "tick.toml",
        "[dag]\nschedule = '@every 1s'\nmax_active_runs = 50\n[tasks]\ntock = 'true'\n",
    );
    let server = place.serve();
    server.wait_for_dag("tick");
    wait_for("three ticks", PATIENCE, || {
        (server.runs("tick").len() >= 3).then_some(())
    });
    assert!(place.call(&["dags", "pause", "tick"]).status.success());
    let runs = server.runs("tick");
    let dates: BTreeSet<&str> = runs
        .iter()
        .map(|run| run["logical_date"].as_str().unwrap())
        .collect();
    assert_eq!(dates.len(), runs.len(), "two runs for one tick: {runs:?}");
    for run in &runs {
        assert_eq!(run["run_type"], "scheduled");
        let date = run["logical_date"].as_str().unwrap();
        assert!(
            date.ends_with("Z")
                && (!date.contains('.') || date.trim_end_matches(['0', 'Z']).ends_with('.')),
            "not a whole second: {date}"
        );
        server.wait_for_end("tick", run["dag_run_id"].as_str().unwrap());
    }
}

#[test]
fn what_is_not_there_exits_with_3_and_without_a_server_with_6() {
    let place = Place::new();
    let output = place.call(&["dags", "trigger", "nothing"]);
    assert_eq!(output.status.code(), Some(6), "{}", told(&output));
    assert!(
        stderr(&output).contains("serve"),
        "it says which command starts one: {}",
        told(&output)
    );
    let server = place.serve();
    let output = place.call(&["dags", "trigger", "nothing"]);
    assert_eq!(output.status.code(), Some(3), "{}", told(&output));
    drop(server);
}

#[test]
fn a_second_server_on_the_same_home_is_refused() {
    let place = Place::new();
    let server = place.serve();
    let output = place.serve_command().output().unwrap();
    assert!(!output.status.success(), "{}", told(&output));
    assert_eq!(server.get("/livez").0, 200);
}

#[test]
fn other_addresses_than_loopback_are_refused_with_the_reason() {
    let place = Place::new();
    let output = place
        .tidemill()
        .args(["serve", "--listen", "0.0.0.0:0"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(stderr(&output).contains("loopback"), "{}", told(&output));
}

#[test]
fn no_page_is_shown_without_a_session_and_no_stranger_changes_anything() {
    let place = Place::new();
    place.write_dag("hello.toml", HELLO);
    let server = place.serve();
    server.wait_for_dag("hello");
    assert_eq!(over_tcp(&server.url, "GET", "/livez", "").0, 200);
    assert_eq!(over_tcp(&server.url, "GET", "/readyz", "").0, 200);
    for path in ["/", "/dags", "/dags/hello", "/api/v2/dags"] {
        let (status, body) = over_tcp(&server.url, "GET", path, "");
        assert!(
            status != 200 && !body.to_string().contains("hello.toml"),
            "{path}: {status} {body}"
        );
    }
    let (status, _) = over_tcp(
        &server.url,
        "POST",
        "/api/v2/dags/hello/dagRuns",
        "origin: http://evil.example\r\n",
    );
    assert!((400..500).contains(&status), "{status}");
    assert!(server.runs("hello").is_empty());
    let link = place.call(&["login-link"]);
    assert!(
        link.status.success() && stdout(&link).contains("http://127.0.0.1"),
        "{}",
        told(&link)
    );
}

fn over_tcp(url: &str, method: &str, path: &str, headers: &str) -> (u16, Value) {
    use std::io::{Read, Write};
    let host = url.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}content-length: 0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    http::read(&answer).unwrap()
}

#[test]
fn the_socket_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let server = place.serve();
    let mode = std::fs::metadata(&server.socket)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0, "mode {mode:o}");
}

#[test]
fn sigterm_lets_running_tasks_end_and_leaves_nothing_behind() {
    let place = Place::new();
    let gate = place.folder().join("gate");
    place.write_dag(
        "gated.toml",
        &format!(
            "[tasks]\nwait = 'while [ ! -e {} ]; do sleep 0.02; done'\n",
            gate.display()
        ),
    );
    let mut server = place.serve();
    server.wait_for_dag("gated");
    let run = place.trigger("gated", &[]);
    server.wait_for_task("gated", &run, "wait", "running");
    let family = processes::below(server.child.id());
    assert!(!family.is_empty());
    server.signal(Signal::TERM);
    std::fs::write(&gate, "").unwrap();
    server.wait_until_gone();
    wait_for("its processes to end", PATIENCE, || {
        (!family.iter().any(|one| one.is_alive())).then_some(())
    });
    assert_eq!(processes::naming(place.folder()), []);
    assert!(!server.socket.exists(), "the socket is still there");

    let server = place.serve();
    assert_eq!(server.wait_for_end("gated", &run)["state"], "success");
}

#[test]
fn a_second_sigterm_is_immediate() {
    let place = Place::new();
    place.write_dag(
        "stubborn.toml",
        "[tasks]\nstay = 'trap \"\" TERM; while true; do sleep 0.05; done'\n",
    );
    let mut server = place.serve();
    server.wait_for_dag("stubborn");
    let run = place.trigger("stubborn", &[]);
    server.wait_for_task("stubborn", &run, "stay", "running");
    server.signal(Signal::TERM);
    wait_for("the first signal to be seen", PATIENCE, || {
        http::ask(&server.socket, "GET", "/readyz", None)
            .map_or(Some(()), |(status, _)| (status != 200).then_some(()))
    });
    server.signal(Signal::TERM);
    server.wait_until_gone();
    wait_for("its processes to end", PATIENCE, || {
        processes::naming(place.folder()).is_empty().then_some(())
    });
}

#[test]
fn nothing_outlives_a_killed_server() {
    let place = Place::new();
    place.write_dag(
        "long.toml",
        "[tasks]\nlong = 'trap \"\" TERM; (sleep 1000 &) ; sleep 1000'\n",
    );
    let mut server = place.serve();
    server.wait_for_dag("long");
    let run = place.trigger("long", &[]);
    server.wait_for_task("long", &run, "long", "running");
    wait_for("two sleeping processes", PATIENCE, || {
        (processes::naming(place.folder())
            .iter()
            .filter(|one| is_sleep(one.pid))
            .count()
            == 2)
            .then_some(())
    });
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let left = within(PATIENCE, || {
        processes::naming(place.folder()).is_empty().then_some(())
    });
    assert!(
        left.is_some(),
        "left over: {:?}",
        processes::naming(place.folder())
    );
}

#[test]
fn a_mark_over_the_api_sticks() {
    let place = Place::new();
    place.write_dag("hello.toml", HELLO);
    let server = place.serve();
    server.wait_for_dag("hello");
    let run = place.trigger("hello", &[]);
    server.wait_for_end("hello", &run);
    let path = format!("/api/v2/dags/hello/dagRuns/{}", http::escape(&run));
    let (status, body) = server.send("PATCH", &path, &json!({"state": "failed"}));
    assert_eq!(status, 200, "{body}");
    assert_eq!(server.run("hello", &run)["state"], "failed");
}

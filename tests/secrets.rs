//! Connections and variables of a server: set by the command line, used by tasks, shown nowhere.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;
use support::{Place, stderr, stdout, told};

const USES: &str = r#"
[tasks.show]
secrets = { PASSWORD = "conn.dw.password", TOKEN = "var.api_token" }
env = { HOST = "{{ conn.dw.host }}", REGION = "{{ var.value.region }}" }
shell = 'echo "$HOST $REGION $(printf %s "$PASSWORD$TOKEN" | wc -c) $PASSWORD $TOKEN"'
"#;

/// Runs a command with something to read.
fn call_with(place: &Place, args: &[&str], input: &str) -> std::process::Output {
    let mut command = place.tidemill();
    command.args(args).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn set_all(place: &Place) {
    for (args, input) in [
        (
            &["connections", "set", "dw", "--uri-file", "-"][..],
            "postgres://me:hunter2-pw@db.example:5432/x\n",
        ),
        (
            &["variables", "set", "api_token", "--file", "-"][..],
            "hunter2-token\n",
        ),
        (&["variables", "set", "region", "eu-west"][..], ""),
    ] {
        let done = call_with(place, args, input);
        assert!(done.status.success(), "{args:?}: {}", told(&done));
        let said = stdout(&done) + &stderr(&done);
        assert!(!said.contains("hunter2"), "{said}");
    }
}

fn output_of(server: &support::Server, run: &str) -> Value {
    let path = format!(
        "/api/v2/dags/uses/dagRuns/{}/taskInstances/show/xcomEntries/return_value",
        support::http::escape(run)
    );
    server.body(&path)["value"].clone()
}

#[test]
fn what_is_set_reaches_the_tasks_that_name_it_over_a_restart_and_a_new_key() {
    let place = Place::new();
    place.write_dag("uses.toml", USES);
    let server = place.serve();
    server.wait_for_dag("uses");
    let early = place.trigger("uses", &[]);
    assert_eq!(server.wait_for_end("uses", &early)["state"], "failed");
    let task = server.task("uses", &early, "show");
    let log = place.call(&["tasks", "logs", &format!("uses/{early}"), "show"]);
    for hint in [
        "connection `dw` is missing",
        "TIDEMILL_CONN_DW",
        "tidemill connections set dw",
    ] {
        assert!(
            stdout(&log).contains(hint),
            "{hint} is not in {}; {task}",
            told(&log)
        );
    }
    set_all(&place);
    let expected = json!("db.example eu-west 23 *** ***");
    let run = place.trigger("uses", &[]);
    assert_eq!(server.wait_for_end("uses", &run)["state"], "success");
    assert_eq!(output_of(&server, &run), expected);
    let before = std::fs::read_to_string(place.home().join("secrets.key")).unwrap();
    let rotated = place.call_json(&["secrets", "rotate", "-o", "json"]);
    assert_eq!(rotated["sealed"], 3, "{rotated}");
    let after = std::fs::read_to_string(place.home().join("secrets.key")).unwrap();
    assert_ne!(before, after);
    drop(server);
    let server = place.serve();
    let run = place.trigger("uses", &[]);
    assert_eq!(server.wait_for_end("uses", &run)["state"], "success");
    assert_eq!(output_of(&server, &run), expected);
}

#[test]
fn the_command_line_lists_exports_imports_and_deletes() {
    let place = Place::new();
    let server = place.serve();
    set_all(&place);
    let listed = place.call_json(&["connections", "list", "-o", "json"]);
    assert_eq!(listed[0]["connection_id"], "dw");
    assert_eq!(listed[0]["password"], "***");
    let listed = place.call_json(&["variables", "list", "-o", "json"]);
    assert_eq!(listed[0]["value"], "***", "{listed}");
    assert_eq!(listed[1]["value"], "eu-west", "{listed}");
    assert_eq!(
        stdout(&place.call(&["variables", "get", "region"])),
        "eu-west\n"
    );
    for what in ["connections", "variables"] {
        let file = place.folder().join(format!("{what}.json"));
        let file = file.to_str().unwrap();
        let done = place.call(&[what, "export", file]);
        assert!(done.status.success(), "{}", told(&done));
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(file).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
        assert!(std::fs::read_to_string(file).unwrap().contains("hunter2"));
        let again = place.call(&[what, "import", file]);
        assert_eq!(
            again.status.code(),
            Some(5),
            "there already: {}",
            told(&again)
        );
        let over = place.call(&[what, "import", "--overwrite", file]);
        assert!(over.status.success(), "{}", told(&over));
    }
    let wrong = place.call(&["connections", "set", "x", "--uri", "http://me:hunter2@h"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(!stderr(&wrong).contains("hunter2"), "{}", told(&wrong));
    let wrong = place.call(&["variables", "set", "my_password", "hunter2"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        place
            .call(&["connections", "delete", "dw"])
            .status
            .success()
    );
    assert_eq!(
        place.call(&["connections", "get", "dw"]).status.code(),
        Some(3)
    );
    assert_eq!(
        place.call(&["connections", "delete", "dw"]).status.code(),
        Some(3)
    );
    let (status, _) = server.send(
        "PATCH",
        "/api/v2/variables/region",
        &json!({"value": "us", "key": "region"}),
    );
    assert_eq!(status, 200);
    drop(server);
    assert_eq!(
        stdout(&place.call(&["variables", "get", "region"])),
        "us\n",
        "without a server"
    );
}

#[test]
fn a_changed_connection_keeps_the_secrets_that_are_sent_back_hidden() {
    let place = Place::new();
    let server = place.serve();
    set_all(&place);
    let shown = server.body("/api/v2/connections/dw");
    let mut changed = shown.clone();
    changed["host"] = json!("other.example");
    let (status, body) = server.send("PATCH", "/api/v2/connections/dw", &changed);
    assert_eq!(
        (status, &body["host"]),
        (200, &json!("other.example")),
        "{body}"
    );
    let export = server.body("/api/tidemill/v1/secrets/export");
    assert_eq!(export["connections"]["dw"]["password"], "hunter2-pw");
    let (status, _) = server.send(
        "POST",
        "/api/v2/connections",
        &json!({"connection_id": "dw", "conn_type": "x"}),
    );
    assert_eq!(status, 409);
    let (status, body) = server.send(
        "POST",
        "/api/v2/connections",
        &json!({"connection_id": "../x", "conn_type": "x"}),
    );
    assert_eq!(status, 422, "{body}");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let near =
        json!({"connection_id": "near", "conn_type": "ssh", "host": "127.0.0.1", "port": port});
    let (_, told) = server.send("POST", "/api/v2/connections/test", &near);
    assert_eq!(told["status"], true, "{told}");
    drop(listener);
    let (_, told) = server.send("POST", "/api/v2/connections/test", &near);
    assert_eq!(told["status"], false, "{told}");
}

#[test]
fn run_takes_what_its_environment_lacks_from_the_home() {
    let place = Place::new();
    let file = place.write_dag("uses.toml", USES);
    let server = place.serve();
    set_all(&place);
    let run = |place: &Place| {
        let mut command = place.tidemill();
        command.arg("run").arg(&file).args(["-o", "json"]);
        command.env("AIRFLOW_VAR_REGION", "of-the-environment");
        let done = command.output().unwrap();
        assert!(done.status.success(), "{}", told(&done));
        let whole: Value = serde_json::from_slice(&done.stdout).unwrap();
        whole["task_instances"][0]["output"].clone()
    };
    let expected = json!("db.example of-the-environment 23 *** ***");
    assert_eq!(run(&place), expected, "beside a server");
    drop(server);
    assert_eq!(run(&place), expected, "from the database alone");
}

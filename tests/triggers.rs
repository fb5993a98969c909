//! Webhooks and files make runs: one for each thing that happens, however often it is told and
//! whatever is killed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use support::hook::{self, call, first_call};
use support::waiting::wait_for;
use support::{PATIENCE, Place, Server, http, told};

const KEY: &str = "a key that nobody guesses";

/// Signs by that key.
fn signed(id: &str, seconds_ago: i64, body: &str) -> Vec<(String, String)> {
    hook::signed(KEY, id, seconds_ago, body)
}

const HOOKED: &str = r#"
[params]
region = "eu"
[triggers.orders]
params = { region = "{{ trigger.json.region }}" }
[triggers.orders.webhook]
secret = "orders_hook"
max_bytes = "1KiB"
run_if = "{{ trigger.json.type == 'order.created' }}"
[tasks.show]
env = { REGION = "{{ params.region }}", BODY = "{{ trigger.body }}", SOURCE = "{{ trigger.headers['x-source'] }}", Q = "{{ trigger.query.q }}" }
shell = "echo \"$REGION $SOURCE $Q $BODY\"; echo {{ 'authorization' in trigger.headers }}"
"#;

fn serve(place: &Place) -> Server {
    let mut command = place.serve_command();
    command.env("TIDEMILL_VAR_ORDERS_HOOK", KEY);
    let server = place.serve_with(command);
    server.wait_for_dag("hooked");
    server
}

#[test]
fn a_signed_call_makes_one_run_however_often_it_comes_and_whatever_is_killed() {
    let place = Place::new();
    place.write_dag("hooked.toml", HOOKED);
    let mut server = serve(&place);
    let body = r#"{"type": "order.created", "region": "us"}"#;
    let good = signed("call-1", 0, body);
    let path = "/hooks/hooked/orders?q=a%20b";
    let (status, answer) = first_call(&server, path, &good, body);
    assert_eq!(status, 200, "{answer}");
    let run = answer["dag_run_id"].as_str().unwrap().to_string();
    assert_eq!(server.wait_for_end("hooked", &run)["state"], "success");
    let output = place.call(&["tasks", "logs", &format!("hooked/{run}"), "show"]);
    let shown = told(&output);
    assert!(shown.contains(&format!("us shop a b {body}")), "{shown}");
    assert!(shown.to_lowercase().contains("false"), "{shown}");

    assert_eq!(
        call(&server, path, &good, body).1["dag_run_id"],
        run.as_str()
    );
    server.signal(Signal::KILL);
    server.wait_until_gone();
    drop(server);
    let server = serve(&place);
    let again = wait_for("the webhook", PATIENCE, || {
        let answer = call(&server, path, &good, body);
        (answer.0 == 200).then_some(answer.1)
    });
    assert_eq!(again["dag_run_id"], run.as_str());
    assert_eq!(server.runs("hooked").len(), 1);

    let other = r#"{"type": "order.gone"}"#;
    let unwanted = call(&server, path, &signed("call-2", 0, other), other);
    assert_eq!(
        unwanted,
        (200, json!({ "dag_id": "hooked", "dag_run_id": null }))
    );
    let (status, _) = call(&server, path, &signed("call-3", 0, body), body);
    assert_eq!(status, 200);
    assert_eq!(server.runs("hooked").len(), 2);
}

#[test]
fn calls_that_are_unsigned_old_large_or_for_nobody_are_refused() {
    let place = Place::new();
    place.write_dag("hooked.toml", HOOKED);
    let server = serve(&place);
    let body = r#"{"type": "order.created", "region": "us"}"#;
    let path = "/hooks/hooked/orders";
    first_call(&server, path, &[], body);
    let large = format!("{{\"x\": \"{}\"}}", "x".repeat(2000));
    let odd = "not JSON";
    let mut other_key = signed("b", 0, body);
    other_key[2].1 = "v1,AAAA".to_string();
    for (headers, body, path, status) in [
        (Vec::new(), body, path, 401),
        (other_key, body, path, 401),
        (signed("a", 0, "another body"), body, path, 401),
        (signed("a", 3600, body), body, path, 401),
        (signed("a", -3600, body), body, path, 401),
        (signed("a", 0, &large), large.as_str(), path, 413),
        (signed("a", 0, odd), odd, path, 422),
        (signed("a", 0, body), body, "/hooks/hooked/nothing", 404),
        (signed("a", 0, body), body, "/hooks/nobody/orders", 404),
        (signed("a", 0, body), body, "/dags/hooked/pause", 421),
    ] {
        let answer = call(&server, path, &headers, body);
        // Pages refuse a strange host in their own way.
        let is_so = answer.0 == status || status == 421 && answer.0 >= 400;
        assert!(is_so, "{path} {headers:?}: {answer:?}");
    }
    assert!(server.runs("hooked").is_empty());
    let output = place.call(&["triggers", "pause", "hooked/orders"]);
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(call(&server, path, &signed("c", 0, body), body).0, 503);
    let output = place.call(&["triggers", "resume", "hooked/orders"]);
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(call(&server, path, &signed("c", 0, body), body).0, 200);
    let listed = wait_for("the list to tell of it", PATIENCE, || {
        let listed = place.call_json(&["triggers", "list", "-o", "json"]);
        (listed[0]["state"] == "listening").then_some(listed)
    });
    assert_eq!(listed[0]["kind"], "webhook", "{listed}");
    assert_eq!(listed[0]["taken"], 1, "{listed}");
    drop(server);
    assert!(!place.serve_log().contains("a key that nobody"));
}

/// Puts a file in place as those do who know better than to write it there.
fn put(path: &Path, text: &str) {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, text).unwrap();
    std::fs::rename(draft, path).unwrap();
}

/// The paths and sizes that the runs of a DAG were made for, once there are so many.
fn seen(server: &Server, n: usize) -> Vec<(String, String)> {
    let runs = wait_for("the runs", PATIENCE, || {
        let runs = server.runs("dropped");
        let is_over = |run: &Value| run["state"] == "success";
        (runs.len() >= n && runs.iter().all(is_over)).then_some(runs)
    });
    let value = |run: &Value, key: &str| {
        let run = http::escape(run["dag_run_id"].as_str().unwrap());
        let path =
            format!("/api/v2/dags/dropped/dagRuns/{run}/taskInstances/show/xcomEntries/{key}");
        server.body(&path)["value"].as_str().unwrap().to_string()
    };
    let mut found: Vec<_> = runs
        .iter()
        .map(|run| (value(run, "name"), value(run, "size")))
        .collect();
    found.sort();
    found
}

#[test]
fn a_file_that_appears_makes_one_run_and_one_that_is_put_there_anew_another() {
    let place = Place::new();
    let folder = place.folder().join("in");
    std::fs::create_dir(&folder).unwrap();
    put(&folder.join("a.csv"), "1");
    std::fs::write(folder.join("b.txt"), "not wanted").unwrap();
    let text = format!(
        r#"
[dag]
max_active_runs = 4
[params]
file = ""
[triggers.orders]
params = {{ file = "{{{{ trigger.path }}}}" }}
[triggers.orders.file]
path = "{}/*.csv"
settle = "30ms"
poke_interval = "20ms"
[tasks.show]
env = {{ FILE = "{{{{ params.file }}}}", SIZE = "{{{{ trigger.size }}}}" }}
shell = "echo \"name=$(basename $FILE)\" > $TIDEMILL_OUTPUT; echo \"size=$SIZE\" >> $TIDEMILL_OUTPUT"
"#,
        folder.display()
    );
    place.write_dag("dropped.toml", &text);
    let mut server = place.serve();
    let named = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        let owned = |(name, size): &(&str, &str)| (name.to_string(), size.to_string());
        list.iter().map(owned).collect()
    };
    assert_eq!(seen(&server, 1), named(&[("a.csv", "1")]));
    server.signal(Signal::KILL);
    server.wait_until_gone();
    drop(server);
    // A second run of a.csv would be there before that of c.csv: files are told in their order.
    put(&folder.join("c.csv"), "333");
    let server = place.serve();
    assert_eq!(seen(&server, 2), named(&[("a.csv", "1"), ("c.csv", "3")]));
    put(&folder.join("a.csv"), "22");
    let all = named(&[("a.csv", "1"), ("a.csv", "2"), ("c.csv", "3")]);
    assert_eq!(seen(&server, 3), all);
}

/// Seconds since 1970.
fn seconds_now() -> f64 {
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

#[test]
fn a_file_that_is_written_in_parts_makes_one_run_when_it_has_settled() {
    const SETTLE: f64 = 2.0;
    let place = Place::new();
    let file = place.folder().join("in.csv");
    let text = format!(
        "[triggers.orders.file]\npath = '{}'\nsettle = '2s'\npoke_interval = '20ms'\n\
         [tasks.show]\nenv = {{ SIZE = '{{{{ trigger.size }}}}' }}\nshell = 'echo \"size=$SIZE\" > $TIDEMILL_OUTPUT'\n",
        file.display()
    );
    std::fs::write(&file, "half").unwrap();
    place.write_dag("dropped.toml", &text);
    let server = place.serve();
    server.wait_for_dag("dropped");
    // It has been looked at many times by then, and has not settled.
    support::waiting::let_pass(std::time::Duration::from_millis(500));
    let written = seconds_now();
    std::fs::write(&file, "half and half").unwrap();
    let runs = wait_for("the run", PATIENCE, || {
        let runs = server.runs("dropped");
        let is_over = |run: &Value| run["state"] == "success";
        (!runs.is_empty() && runs.iter().all(is_over)).then_some(runs)
    });
    assert_eq!(runs.len(), 1, "{runs:?}");
    let made: jiff::Timestamp = runs[0]["queued_at"].as_str().unwrap().parse().unwrap();
    let made = made.as_microsecond() as f64 / 1e6;
    assert!(
        made >= written + SETTLE,
        "{made} is too soon after {written}"
    );
    let run = http::escape(runs[0]["dag_run_id"].as_str().unwrap());
    let path = format!("/api/v2/dags/dropped/dagRuns/{run}/taskInstances/show/xcomEntries/size");
    assert_eq!(server.body(&path)["value"], "13");
}

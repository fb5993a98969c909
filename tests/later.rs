//! Runs that are made for later: they wait for their instant, and for nothing else.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use serde_json::{Value, json};
use support::session::Session;
use support::waiting::wait_for;
use support::{PATIENCE, Place, Server, http, told};

const FAR: &str = "2100-01-01T00:00:00Z";

/// So many milliseconds from now, as the API writes it.
fn soon(milliseconds: i64) -> String {
    let now = jiff::Timestamp::now().as_microsecond();
    let at = jiff::Timestamp::from_microsecond(now + milliseconds * 1_000).unwrap();
    at.to_string()
}

fn at(body: &Value, key: &str) -> jiff::Timestamp {
    let text = body[key].as_str();
    let text = text.unwrap_or_else(|| panic!("no {key} in {body}"));
    text.parse().unwrap()
}

fn make(server: &Server, dag: &str, body: &Value) -> Value {
    let (status, made) = server.send("POST", &format!("/api/v2/dags/{dag}/dagRuns"), body);
    assert_eq!(status, 200, "{made}");
    made
}

fn id(run: &Value) -> &str {
    run["dag_run_id"].as_str().unwrap()
}

/// A condition of `runs why`, for a run of the DAG `one`.
fn condition(server: &Server, run: &str, name: &str) -> Option<Value> {
    server.condition(&format!("one/dagRuns/{}", http::escape(run)), name)
}

#[test]
fn a_run_for_later_waits_says_until_when_takes_no_place_and_survives_a_kill() {
    let place = Place::new();
    place.write_dag(
        "one.toml",
        "[dag]\nmax_active_runs = 1\n[tasks]\nt = 'true'\n",
    );
    let mut server = place.serve();
    server.wait_for_dag("one");
    let by_wish = place.trigger("one", &["--run-after", FAR]);
    let by_date = place.trigger("one", &["--logical-date", FAR]);
    for waiting in [&by_wish, &by_date] {
        let run = server.run("one", waiting);
        assert_eq!(
            (&run["state"], &run["run_after"]),
            (&json!("queued"), &json!(FAR))
        );
        let found = condition(&server, waiting, "run_after").unwrap();
        assert_eq!(found["ok"], false, "{found}");
        assert!(found["detail"].as_str().unwrap().contains(FAR), "{found}");
        assert_eq!(condition(&server, waiting, "run_turn"), None);
    }
    let page = format!("/dags/one/runs/{}", http::escape(&by_wish));
    let page = Session::of(&place, &server).get(&page);
    assert!(
        page.contains("<span>begins <time datetime=\"2100-01-01"),
        "{page}"
    );
    let now = place.trigger("one", &[]);
    assert_eq!(server.wait_for_end("one", &now)["state"], "success");

    server.signal(rustix::process::Signal::KILL);
    server.wait_until_gone();
    let server = place.serve();
    let now = place.trigger("one", &[]);
    assert_eq!(server.wait_for_end("one", &now)["state"], "success");
    assert_eq!(condition(&server, &now, "run_after"), None);
    for waiting in [&by_wish, &by_date] {
        assert_eq!(server.run("one", waiting)["state"], "queued");
        let cancelled = place.call(&["runs", "cancel", &format!("one/{waiting}")]);
        assert!(cancelled.status.success(), "{}", told(&cancelled));
        assert_eq!(server.wait_for_end("one", waiting)["note"], "cancelled");
    }
}

#[test]
fn a_run_begins_at_its_instant_and_not_before_also_over_a_kill() {
    let place = Place::new();
    place.write_dag("one.toml", "[tasks]\nt = 'true'\n");
    let mut server = place.serve();
    server.wait_for_dag("one");
    let wished = |at: &str| json!({ "logical_date": null, "run_after": at });
    let kept = make(&server, "one", &wished(&soon(4_000)));
    server.signal(rustix::process::Signal::KILL);
    server.wait_until_gone();
    let server = place.serve();
    let date = soon(2_000);
    let by_date = make(&server, "one", &json!({ "logical_date": date }));
    assert_eq!(at(&by_date, "run_after"), date.parse().unwrap());
    let wish = soon(2_500);
    let by_wish = make(&server, "one", &wished(&wish));
    assert_eq!(at(&by_wish, "run_after"), wish.parse().unwrap());
    for run in [&by_date, &by_wish, &kept] {
        let over = server.wait_for_end("one", id(run));
        assert_eq!(over["state"], "success");
        assert!(at(&over, "start_date") >= at(run, "run_after"), "{over}");
        assert_eq!(over["run_after"], run["run_after"]);
    }
}

#[test]
fn no_wish_lets_a_run_begin_before_the_date_that_it_is_about() {
    let place = Place::new();
    place.write_dag("one.toml", "[tasks]\nt = 'true'\n");
    let server = place.serve();
    server.wait_for_dag("one");
    let past = "2026-01-01T00:00:00Z";
    let early = make(
        &server,
        "one",
        &json!({ "logical_date": FAR, "run_after": past }),
    );
    assert_eq!(
        (&early["state"], &early["run_after"]),
        (&json!("queued"), &json!(FAR))
    );
    let old = make(&server, "one", &json!({ "logical_date": past }));
    assert_eq!(old["run_after"], past);
    assert_eq!(server.wait_for_end("one", id(&old))["state"], "success");
}

#[test]
fn a_wish_that_is_no_instant_makes_no_run() {
    let place = Place::new();
    place.write_dag("one.toml", "[tasks]\nt = 'true'\n");
    let server = place.serve();
    server.wait_for_dag("one");
    for odd in [json!("tomorrow"), json!(""), json!(5), json!([FAR])] {
        let body = json!({ "logical_date": null, "run_after": odd });
        let (status, refused) = server.send("POST", "/api/v2/dags/one/dagRuns", &body);
        assert_eq!(status, 422, "{refused}");
        assert!(refused.to_string().contains("run_after"), "{refused}");
    }
    let refused = place.call(&["dags", "trigger", "one", "--run-after", "tomorrow"]);
    assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));
    assert!(server.runs("one").is_empty());
}

#[test]
fn a_run_for_later_has_its_place_among_those_with_its_key_when_its_instant_has_come() {
    let place = Place::new();
    let hold = place.until("go");
    for policy in ["skip", "replace"] {
        let text =
            format!("[dag.concurrency]\npolicy = '{policy}'\n[tasks.t]\nshell = '''{hold}'''\n");
        place.write_dag(&format!("{policy}.toml"), &text);
    }
    let server = place.serve();
    server.wait_for_dag("skip");
    server.wait_for_dag("replace");
    let running = ["skip", "replace"].map(|dag| place.trigger(dag, &[]));
    // Late enough that both are made before it has come.
    let wish = soon(4_000);
    // It is made, though its key has no room now; and nothing makes room for it yet.
    let later = ["skip", "replace"].map(|dag| place.trigger(dag, &["--run-after", &wish]));
    assert_eq!(server.run("skip", &later[0])["state"], "queued");
    let replaced = server.wait_for_end("replace", &running[1]);
    assert_eq!(replaced["note"], "replaced");
    assert!(
        at(&replaced, "end_date") >= wish.parse().unwrap(),
        "{replaced}"
    );
    place.open("go");
    server.wait_for_good_ends(&[
        ("skip", &running[0]),
        ("skip", &later[0]),
        ("replace", &later[1]),
    ]);
}

#[test]
fn a_run_for_later_that_is_ended_and_cleared_before_its_instant_takes_its_place_once() {
    let place = Place::new();
    let text = "[dag.concurrency]\npolicy = 'replace'\n[tasks]\nt = 'true'\n";
    place.write_dag("one.toml", text);
    let server = place.serve();
    server.wait_for_dag("one");
    let wish = soon(5_000);
    let run = place.trigger("one", &["--run-after", &wish]);
    let named = format!("one/{run}");
    let cancelled = place.call(&["runs", "cancel", &named]);
    assert!(cancelled.status.success(), "{}", told(&cancelled));
    assert_eq!(server.wait_for_end("one", &run)["note"], "cancelled");
    let cleared = place.call(&["runs", "clear", &named, "-y"]);
    assert!(cleared.status.success(), "{}", told(&cleared));
    let over = server.wait_for_end("one", &run);
    assert_eq!(over["state"], "success", "{over}");
    assert!(at(&over, "start_date") >= wish.parse().unwrap(), "{over}");
}

#[test]
fn a_run_whose_instant_comes_while_no_server_runs_takes_its_place_at_the_next_start() {
    let place = Place::new();
    let hold = place.until("go");
    // The attempt that is lost with the server is tried again, much later: so the run goes on.
    let text = format!(
        "[dag.concurrency]\npolicy = 'replace'\n[tasks.t]\nretries = 1\nretry_delay = '1h'\nshell = '''{hold}'''\n"
    );
    place.write_dag("one.toml", &text);
    let mut server = place.serve();
    server.wait_for_dag("one");
    let running = place.trigger("one", &[]);
    server.wait_for_task("one", &running, "t", "running");
    let wish = soon(4_000);
    let later = place.trigger("one", &["--run-after", &wish]);
    server.signal(rustix::process::Signal::KILL);
    server.wait_until_gone();
    let wish: jiff::Timestamp = wish.parse().unwrap();
    wait_for("the instant", PATIENCE, || {
        (jiff::Timestamp::now() > wish).then_some(())
    });
    let server = place.serve();
    let replaced = server.wait_for_end("one", &running);
    assert_eq!(replaced["note"], "replaced", "{replaced}");
    place.open("go");
    assert_eq!(server.wait_for_end("one", &later)["state"], "success");
}

#[test]
fn a_run_for_later_does_not_hide_that_a_dag_fails() {
    let place = Place::new();
    place.write_dag(
        "broken.toml",
        "[dag]\nmax_consecutive_failed_dag_runs = 1\n[tasks]\nt = 'false'\n",
    );
    let server = place.serve();
    server.wait_for_dag("broken");
    place.trigger("broken", &["--run-after", FAR]);
    place.trigger("broken", &[]);
    wait_for("the pause", PATIENCE, || {
        let dag = server.body("/api/v2/dags/broken");
        (dag["is_paused"] == true).then_some(())
    });
}

#[test]
fn a_run_without_a_server_waits_for_no_date() {
    let place = Place::new();
    let file = place.write_dag("one.toml", "[tasks]\nt = 'true'\n");
    let ran = place.call(&["run", file.to_str().unwrap(), "--date", FAR]);
    assert!(ran.status.success(), "{}", told(&ran));
}

//! What people and machines ask of a process that is not the scheduler reaches the one that is: a
//! stand-by, and `serve --only api`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use rustix::process::Signal;
use serde_json::{Value, json};
use std::process::Child;
use support::hook::{call, first_call, signed};
use support::postgres::Server as Postgres;
use support::session::Session;
use support::waiting::wait_for;
use support::{PATIENCE, Place, Server, stderr, told};

const HELLO: &str = "[tasks]\nhello = 'echo good morning'\n";

/// Two homes on one database.
fn two_places() -> (Place, Place) {
    let place = Place::new();
    let beside = place.beside();
    (place, beside)
}

/// A process that only serves the API.
fn api(place: &Place) -> Server {
    let mut command = place.serve_command();
    place.follow(command.args(["--only", "api"]).spawn().unwrap())
}

/// A scheduler and a process beside it that only serves the API.
struct Pair {
    // First, so that the processes are gone before their folders.
    pages: Server,
    leader: Server,
    beside: Place,
    place: Place,
}

impl Pair {
    /// With this DAG.
    fn new(dag: &str, text: &str) -> Pair {
        let (place, beside) = two_places();
        place.write_dag(&format!("{dag}.toml"), text);
        let leader = place.serve();
        leader.wait_for_dag(dag);
        let pages = api(&beside);
        Pair {
            place,
            beside,
            leader,
            pages,
        }
    }
}

fn sql(place: &Place, text: &str) -> String {
    let name = place.database().unwrap().split(['/', '?']).nth(3).unwrap();
    Postgres::shared().sql(name, text)
}

fn n_wishes(place: &Place) -> String {
    sql(place, "select count(*) from wish")
}

/// How many wishes were ever written.
fn n_carried(place: &Place) -> String {
    let text = "select case when is_called then last_value else 0 end from wish_wish_seq";
    sql(place, text)
}

/// Starts a command that goes on.
fn start(place: &Place, args: &[&str]) -> Child {
    let mut command = place.tidemill();
    let piped = std::process::Stdio::piped;
    command.args(args).stdout(piped()).stderr(piped());
    command.spawn().unwrap()
}

#[test]
fn what_is_asked_of_a_process_that_only_serves_the_api_is_done_by_the_scheduler() {
    let Pair {
        place,
        beside,
        leader,
        pages,
    } = Pair::new("hello", HELLO);
    let by_hand = beside.trigger("hello", &["--run-id", "by_hand"]);
    assert_eq!(leader.wait_for_end("hello", &by_hand)["state"], "success");
    let path = "/api/v2/dags/hello/dagRuns";
    let wish = json!({ "dag_run_id": "by_program", "logical_date": null });
    let (status, made) = pages.send("POST", path, &wish);
    assert_eq!(status, 200, "{made}");
    assert_eq!(
        leader.wait_for_end("hello", "by_program")["state"],
        "success"
    );
    // A refusal is the same one, whoever is asked: by the engine, of a run that is there already,
    // and of a DAG that is not.
    for path in [path, "/api/v2/dags/nobody/dagRuns"] {
        let refused = pages.send("POST", path, &wish);
        assert!(refused.0 >= 400, "{refused:?}");
        assert_eq!(refused, leader.send("POST", path, &wish));
    }
    for args in [
        &["dags", "trigger", "hello", "--run-id", "by_hand"][..],
        &["pools", "delete", "nobody"],
        &["dags", "why", "hello"],
    ] {
        let (here, there) = (beside.call(args), place.call(args));
        assert_eq!(told(&here), told(&there));
    }
    assert_eq!(leader.runs("hello").len(), 2);
    // What only the engine knows is told too.
    let set = beside.call(&["pools", "set", "mill", "--slots", "3"]);
    assert!(set.status.success(), "{}", told(&set));
    let pools = "/api/v2/pools/mill";
    assert_eq!(pages.body(pools)["open_slots"], 3);
    assert_eq!(pages.body(pools), leader.body(pools));
    assert_eq!(n_wishes(&place), "0");
}

#[test]
fn secrets_are_not_carried_and_metrics_ask_nobody() {
    let Pair {
        place,
        beside,
        leader,
        pages,
    } = Pair::new("hello", HELLO);
    for args in [
        &["variables", "set", "api_token", "hunter2"][..],
        &["connections", "set", "dw", "--uri-file", "/dev/null"],
        &["variables", "delete", "api_token"],
    ] {
        let refused = beside.call(args);
        assert!(!refused.status.success(), "{}", told(&refused));
    }
    let wish = json!({ "key": "api_token", "value": "hunter2" });
    let (status, said) = pages.send("POST", "/api/v2/variables", &wish);
    assert_eq!(status, 503, "{said}");
    assert!(said.to_string().contains("not the scheduler"), "{said}");
    let (status, metrics) = pages.get("/metrics");
    assert_eq!(status, 200, "{metrics}");
    assert_eq!(n_carried(&place), "0");
    assert_eq!(leader.get("/api/v2/variables/api_token").0, 404);
}

const HOOKED: &str = r#"
[triggers.orders.webhook]
secret = "orders_hook"
[tasks.show]
shell = "true"
"#;

const KEY: &str = "a key that nobody guesses";
const BODY: &str = r#"{"region": "us"}"#;

/// A server that knows the webhook's key.
fn hooked(place: &Place) -> std::process::Command {
    let mut command = place.serve_command();
    command.env("TIDEMILL_VAR_ORDERS_HOOK", KEY);
    command
}

#[test]
fn a_webhook_that_is_called_at_a_stand_by_makes_one_run_and_its_trigger_is_paused_there() {
    let (place, beside) = two_places();
    place.write_dag("hooked.toml", HOOKED);
    let leader = place.serve_with(hooked(&place));
    leader.wait_for_dag("hooked");
    let other = beside.start();
    let path = "/hooks/hooked/orders";
    let good = signed(KEY, "call-1", 0, BODY);
    let (status, answer) = first_call(&other, path, &good, BODY);
    assert_eq!(status, 200, "{answer}");
    let run = answer["dag_run_id"].as_str().unwrap().to_string();
    assert_eq!(leader.wait_for_end("hooked", &run)["state"], "success");
    for server in [&other, &leader] {
        assert_eq!(
            call(server, path, &good, BODY).1["dag_run_id"],
            run.as_str()
        );
    }
    assert_eq!(leader.runs("hooked").len(), 1);
    let unsigned = call(&other, path, &[], BODY);
    assert_eq!(unsigned, call(&leader, path, &[], BODY));
    assert_eq!(unsigned.0, 401);
    let next = signed(KEY, "call-2", 0, BODY);
    for (verb, status) in [("pause", 503), ("resume", 200)] {
        let output = beside.call(&["triggers", verb, "hooked/orders"]);
        assert!(output.status.success(), "{}", told(&output));
        let answer = call(&leader, path, &next, BODY);
        assert_eq!(answer.0, status, "{verb}: {}", answer.1);
    }
    let listed = beside.call_json(&["triggers", "list", "-o", "json"]);
    assert_eq!(listed[0]["state"], "listening", "{listed}");
    assert_eq!(n_wishes(&place), "0");
}

#[test]
fn a_wish_waits_for_the_next_scheduler() {
    let (place, beside) = two_places();
    place.write_dag("hello.toml", HELLO);
    let mut leader = place.serve();
    leader.wait_for_dag("hello");
    let stand_by = beside.start();
    let third = place.beside();
    let pages = api(&third);
    // Silent, and so not known to be gone before its lease is over.
    leader.signal(Signal::STOP);
    let run = third.trigger("hello", &[]);
    assert_eq!(stand_by.wait_for_end("hello", &run)["state"], "success");
    leader.signal(Signal::CONT);
    leader.wait_until_gone();
    assert_eq!(pages.runs("hello").len(), 1);
    assert_eq!(n_wishes(&place), "0");
}

#[test]
fn a_page_does_not_ask_again_for_a_scheduler_that_was_not_there_a_moment_ago() {
    let paused = format!("[dag]\nis_paused_upon_creation = true\n{HELLO}");
    let mut pair = Pair::new("hello", &paused);
    let person = Session::of(&pair.beside, &pair.pages);
    pair.leader.signal(Signal::TERM);
    pair.leader.wait_until_gone();
    let before = n_carried(&pair.place);
    // A page can be without what the scheduler says of a DAG that is paused.
    assert!(person.get("/dags").contains("hello"));
    let asked = n_carried(&pair.place);
    assert_ne!(asked, before);
    wait_for("the wish to be taken back", PATIENCE, || {
        (n_wishes(&pair.place) == "0").then_some(())
    });
    assert!(person.get("/dags").contains("hello"));
    assert_eq!(n_carried(&pair.place), asked);
}

#[test]
fn without_a_scheduler_who_asks_is_told_whether_it_may_have_happened() {
    let (place, beside) = two_places();
    place.write_dag("hooked.toml", HOOKED);
    let mut leader = place.serve_with(hooked(&place));
    leader.wait_for_dag("hooked");
    let pages = api(&beside);
    leader.signal(Signal::TERM);
    leader.wait_until_gone();
    let trigger = |run: &str| start(&beside, &["dags", "trigger", "hooked", "--run-id", run]);
    let (untaken, taken) = (trigger("untaken"), trigger("taken"));
    // As if a scheduler had taken one and died.
    wait_for("a wish", PATIENCE, || {
        let text = "update wish set taken_by = 1 where asked like '%\"taken\"%' returning 1";
        (sql(&place, text) == "1").then_some(())
    });
    let good = signed(KEY, "call-1", 0, BODY);
    let called = std::thread::scope(|scope| {
        let called = scope.spawn(|| call(&pages, "/hooks/hooked/orders", &good, BODY));
        let row = wait_for("the call", PATIENCE, || {
            let row = sql(&place, "select asked from wish where asked like '%call-1%'");
            (!row.is_empty()).then_some(row)
        });
        // What lets somebody in elsewhere does not stand in a row.
        assert!(
            row.contains("x-source") && !row.contains("hunter2"),
            "{row}"
        );
        called.join().unwrap()
    });
    assert_eq!(called.0, 503, "{}", called.1);
    let said = called.1.to_string();
    assert!(said.contains("nothing was done"), "{said}");
    for (asked, word) in [
        (untaken, "nothing was done"),
        (taken, "it may have happened"),
    ] {
        let refused = asked.wait_with_output().unwrap();
        assert_eq!(refused.status.code(), Some(6), "{}", told(&refused));
        assert!(stderr(&refused).contains(word), "{}", told(&refused));
    }
    assert_eq!(n_wishes(&place), "0");
    let leader = place.serve_with(hooked(&place));
    let run = beside.trigger("hooked", &["--run-id", "asked_of_a_scheduler"]);
    leader.wait_for_end("hooked", &run);
    let runs = leader.runs("hooked");
    let names: Vec<&Value> = runs.iter().map(|run| &run["dag_run_id"]).collect();
    assert_eq!(names, [&json!("asked_of_a_scheduler")]);
}

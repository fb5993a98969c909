//! Backfills on the real program.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use serde_json::{Value, json};
use support::waiting::wait_for;
use support::{PATIENCE, Place, Server, stdout, told};

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    wait_for(what, PATIENCE, || is_so().then_some(()));
}

/// A DAG with a tick each day, that fails on one of them until it is repaired.
fn daily(place: &Place) -> std::path::PathBuf {
    let mark = place.folder().join("repaired");
    place.write_dag(
        "daily.toml",
        &format!(
            "[dag]\nschedule = {{ cron = '0 6 * * *', interval = 'previous', run_immediately = false }}\nmax_active_runs = 1\n[params]\nword = 'x'\n[tasks]\nt = 'test \"$TIDEMILL_DS\" != 2026-01-03 || test -e {}'\n",
            mark.display()
        ),
    );
    mark
}

fn backfill(place: &Place, more: &[&str]) -> Value {
    let mut args = vec!["backfills", "create", "daily", "-o", "json"];
    args.extend(["--from", "2026-01-02", "--to", "2026-01-05"]);
    args.extend(more);
    place.call_json(&args)
}

fn show(place: &Place, no: &Value) -> Value {
    place.call_json(&["backfills", "show", &no.to_string(), "-o", "json"])
}

fn wait_until_over(place: &Place, no: &Value) -> Value {
    until("the end of the backfill", || {
        show(place, no)["completed_at"] != Value::Null
    });
    show(place, no)
}

fn column(shown: &Value, key: &str) -> Vec<Value> {
    let dates = shown["dates"].as_array().unwrap();
    dates.iter().map(|date| date[key].clone()).collect()
}

/// Runs by the time of their start.
fn in_order(server: &Server) -> Vec<Value> {
    let at = |run: &Value| {
        let text = run["start_date"].as_str().unwrap().to_string();
        text.parse::<jiff::Timestamp>().unwrap()
    };
    let mut runs = server.runs("daily");
    runs.sort_by_key(at);
    runs
}

/// `core:models/backfill.py`: `_get_info_list`, and `_get_dag_run_no_create_reason` for dates that
/// have a run.
#[test]
fn a_backfill_makes_the_runs_of_its_dates_and_runs_failed_ones_again_when_asked() {
    let place = Place::new();
    let mark = daily(&place);
    let server = place.serve();
    server.wait_for_dag("daily");

    let planned = backfill(&place, &["--dry-run"]);
    assert_eq!(planned.as_array().unwrap().len(), 3);
    assert_eq!(planned[0]["logical_date"], "2026-01-02T06:00:00Z");
    assert!(server.runs("daily").is_empty());

    let made = backfill(
        &place,
        &[
            "--run-backwards",
            "--max-active-runs",
            "1",
            "--param",
            "word=y",
        ],
    );
    let over = wait_until_over(&place, &made["id"]);
    let dates = [
        "2026-01-02T06:00:00Z",
        "2026-01-03T06:00:00Z",
        "2026-01-04T06:00:00Z",
    ];
    assert_eq!(column(&over, "logical_date"), dates);
    assert_eq!(column(&over, "state"), ["success", "failed", "success"]);
    let runs = in_order(&server);
    let order: Vec<&Value> = runs.iter().map(|run| &run["logical_date"]).collect();
    assert_eq!(order, [dates[2], dates[1], dates[0]]);
    assert_eq!(runs[0]["run_type"], "backfill");
    assert_eq!(runs[0]["data_interval_start"], dates[1]);
    assert_eq!(runs[0]["conf"], json!({"word": "y"}));

    let again = backfill(&place, &[]);
    let skipped = wait_until_over(&place, &again["id"]);
    assert_eq!(column(&skipped, "skipped"), ["already exists"; 3]);

    std::fs::write(mark, "").unwrap();
    let repair = backfill(&place, &["--reprocess", "failed"]);
    let repaired = wait_until_over(&place, &repair["id"]);
    let of_run = [
        json!("already exists"),
        Value::Null,
        json!("already exists"),
    ];
    assert_eq!(column(&repaired, "skipped"), of_run);
    assert_eq!(column(&repaired, "state"), ["success"; 3]);
    assert_eq!(server.runs("daily").len(), 3);

    let listed = place.call_json(&["backfills", "list", "--dag", "daily", "-o", "json"]);
    let ids: Vec<&Value> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(ids, [&repair["id"], &again["id"], &made["id"]]);
}

/// Source: Airflow's `models/dagrun.py: get_queued_dag_runs_to_set_running`, by `sort_ordinal`.
#[test]
fn runs_of_a_backfill_that_wait_begin_in_its_own_order_backwards_too() {
    let place = Place::new();
    place.write_dag(
        "daily.toml",
        "[dag]\nschedule = { cron = '0 6 * * *', run_immediately = false }\n[dag.concurrency]\nlimit = 1\n[tasks]\nt = 'true'\n",
    );
    let server = place.serve();
    server.wait_for_dag("daily");
    let made = backfill(&place, &["--run-backwards"]);
    wait_until_over(&place, &made["id"]);
    let dates: Vec<Value> = in_order(&server)
        .into_iter()
        .map(|run| run["logical_date"].clone())
        .collect();
    let days = [4, 3, 2].map(|day| json!(format!("2026-01-0{day}T06:00:00Z")));
    assert_eq!(dates, days);
}

/// `core:models/backfill.py: Backfill.is_paused`: no new runs are made, and those that there are go
/// on; its `max_active_runs` stands beside the DAG's.
#[test]
fn a_backfill_pauses_survives_a_restart_and_goes_on_beside_a_full_dag() {
    let place = Place::new();
    let gate = place.folder().join("gate");
    place.write_dag(
        "daily.toml",
        &format!(
            "[dag]\nschedule = {{ cron = '0 6 * * *', run_immediately = false }}\nmax_active_runs = 1\n[tasks]\nt = 'until test -e {}; do sleep 0.05; done'\n",
            gate.display()
        ),
    );
    let mut server = place.serve();
    server.wait_for_dag("daily");
    place.trigger("daily", &[]);
    let made = backfill(&place, &["--max-active-runs", "2"]);
    let id = made["id"].to_string();
    let n_running = |server: &Server| {
        let runs = server.runs("daily");
        runs.iter().filter(|run| run["state"] == "running").count()
    };
    // One of a person under max_active_runs, two of the backfill under its own limit.
    until("three runs", || n_running(&server) == 3);
    let paused = place.call_json(&["backfills", "pause", &id, "-o", "json"]);
    assert_eq!(paused["is_paused"], true);
    let second = place.call(&[
        "backfills",
        "create",
        "daily",
        "--from",
        "2026-01-02",
        "--to",
        "2026-01-03",
    ]);
    assert_eq!(second.status.code(), Some(5), "{}", told(&second));

    server.signal(rustix::process::Signal::KILL);
    server.wait_until_gone();
    std::fs::write(&gate, "").unwrap();
    let server = place.serve();
    until("the end of the runs", || {
        let runs = server.runs("daily");
        let is_over = |run: &Value| run["state"] == "success" || run["state"] == "failed";
        runs.len() == 3 && runs.iter().all(is_over)
    });
    assert_eq!(show(&place, &made["id"])["completed_at"], Value::Null);
    assert_eq!(
        show(&place, &made["id"])["dates"].as_array().unwrap().len(),
        2
    );
    assert!(place.call(&["backfills", "unpause", &id]).status.success());
    let over = wait_until_over(&place, &made["id"]);
    assert_eq!(over["dates"].as_array().unwrap().len(), 3);
    let ended = place.call(&["backfills", "cancel", &id]);
    assert_eq!(ended.status.code(), Some(5), "{}", told(&ended));
}

#[test]
fn a_cancelled_backfill_makes_no_more_runs_and_what_runs_goes_on() {
    let place = Place::new();
    let gate = place.folder().join("gate");
    place.write_dag(
        "daily.toml",
        &format!(
            "[dag]\nschedule = {{ cron = '0 6 * * *', run_immediately = false }}\n[tasks]\nt = 'until test -e {}; do sleep 0.05; done'\n",
            gate.display()
        ),
    );
    let server = place.serve();
    server.wait_for_dag("daily");
    let made = backfill(&place, &["--max-active-runs", "1"]);
    until("a run", || server.runs("daily").len() == 1);
    let cancelled =
        place.call_json(&["backfills", "cancel", &made["id"].to_string(), "-o", "json"]);
    assert_ne!(cancelled["completed_at"], Value::Null);
    std::fs::write(&gate, "").unwrap();
    let run = server.runs("daily")[0]["dag_run_id"]
        .as_str()
        .unwrap()
        .to_string();
    assert_eq!(server.wait_for_end("daily", &run)["state"], "success");
    // Its place is free now: what comes next is asked for by somebody else.
    let next = backfill(&place, &["--run-backwards"]);
    let over = wait_until_over(&place, &next["id"]);
    assert_eq!(over["dates"].as_array().unwrap().len(), 3);
}

/// `core:api_fastapi/core_api/routes/public/backfills.py: cancel_backfill`.
#[test]
fn a_cancelled_backfill_ends_its_runs_that_wait_and_the_one_that_runs_goes_on() {
    let place = Place::new();
    let hold = place.until("go");
    let text = format!(
        "[dag]\nschedule = {{ cron = '0 6 * * *', run_immediately = false }}\n[dag.concurrency]\nlimit = 1\n[tasks]\nt = '''{hold}'''\n"
    );
    place.write_dag("daily.toml", &text);
    let server = place.serve();
    server.wait_for_dag("daily");
    let in_state = |state: &str| -> Vec<String> {
        let mut runs = server.runs("daily");
        runs.retain(|run| run["run_type"] == "backfill" && run["state"] == state);
        let name = |run: &Value| run["dag_run_id"].as_str().unwrap().to_string();
        runs.iter().map(name).collect()
    };
    // The key has one place, whatever the backfill's own limit allows.
    let made = backfill(&place, &["--max-active-runs", "3"]);
    until("one run that runs and two that wait", || {
        in_state("running").len() == 1 && in_state("queued").len() == 2
    });
    let (goes_on, waiting) = (in_state("running").remove(0), in_state("queued"));
    let cancelled = place.call(&["backfills", "cancel", &made["id"].to_string()]);
    assert!(cancelled.status.success(), "{}", told(&cancelled));
    for run in &waiting {
        let ended = server.wait_for_end("daily", run);
        let told = (&ended["state"], &ended["reason"]);
        assert_eq!(told, (&json!("failed"), &json!("cancelled")), "{ended}");
        let task = server.task("daily", run, "t");
        assert_eq!(task["start_date"], Value::Null, "{task}");
    }
    assert_eq!(server.run("daily", &goes_on)["state"], "running");
    place.open("go");
    assert_eq!(server.wait_for_end("daily", &goes_on)["state"], "success");
    assert_eq!(in_state("failed").len(), 2);
}

#[test]
fn a_date_that_runs_again_goes_on_by_the_current_version_unless_that_is_not_wished() {
    let place = Place::new();
    let write = |command: &str| {
        let text = format!(
            "[dag]\nschedule = {{ cron = '0 6 * * *', run_immediately = false }}\n[tasks]\nt = '{command}'\n"
        );
        place.write_dag("daily.toml", &text);
    };
    write("false");
    let server = place.serve();
    server.wait_for_dag("daily");
    let day = |more: &[&str]| {
        let dates = [
            "--from",
            "2026-01-02T06:00:00Z",
            "--to",
            "2026-01-02T06:00:00Z",
        ];
        let args = ["backfills", "create", "daily", "-o", "json"];
        let made = place.call_json(&[&args[..], &dates[..], more].concat());
        wait_until_over(&place, &made["id"]);
        let run = &server.runs("daily")[0];
        let version = run["dag_versions"][0]["version_number"].clone();
        (
            made["run_on_latest_version"].clone(),
            version,
            run["state"].clone(),
        )
    };
    assert_eq!(day(&[]), (json!(true), json!(1), json!("failed")));
    write("true");
    until("the second version", || {
        let source = server.body("/api/v2/dagSources/daily");
        source["version_number"] == 2
    });
    let again = ["--reprocess", "failed"];
    let by_its_own = [&again[..], &["--run-on-latest-version", "false"]].concat();
    assert_eq!(day(&by_its_own), (json!(false), json!(1), json!("failed")));
    assert_eq!(day(&again), (json!(true), json!(2), json!("success")));
}

/// The defaults of `core:models/backfill.py: Backfill`.
#[test]
fn a_backfill_of_which_little_is_said_has_airflows_defaults() {
    let place = Place::new();
    daily(&place);
    let server = place.serve();
    server.wait_for_dag("daily");
    let body = json!({"dag_id": "daily", "from_date": "2026-01-02T00:00:00Z", "to_date": "2026-01-05T00:00:00Z"});
    let (status, made) = server.send("POST", "/api/v2/backfills", &body);
    assert_eq!(status, 200, "{made}");
    for (key, value) in [
        ("is_paused", json!(false)),
        ("reprocess_behavior", json!("none")),
        ("max_active_runs", json!(10)),
        ("dag_run_conf", json!({})),
    ] {
        assert_eq!(made[key], value, "{key}");
    }
    let over = wait_until_over(&place, &made["id"]);
    assert_eq!(column(&over, "skipped"), vec![Value::Null; 3]);
}

/// `core:models/backfill.py: _validate_backfill_params`; with a dry run as without.
#[test]
fn what_makes_no_sense_is_refused() {
    let place = Place::new();
    daily(&place);
    place.write_dag("manual.toml", "[tasks]\nt = 'true'\n");
    let server = place.serve();
    server.wait_for_dag("daily");
    server.wait_for_dag("manual");
    let cases: &[(&[&str], i32)] = &[
        (&["manual", "--from", "2026-01-02", "--to", "2026-01-05"], 2),
        (&["daily", "--from", "2026-01-05", "--to", "2026-01-02"], 2),
        (&["daily", "--from", "2026-01-05", "--to", "2100-01-02"], 2),
        (
            &[
                "daily",
                "--from",
                "2026-01-05",
                "--to",
                "2026-01-06",
                "--param",
                "z=1",
            ],
            2,
        ),
        (
            &[
                "daily",
                "--from",
                "2026-01-05",
                "--to",
                "2026-01-06",
                "--conf",
                "{\"word\": 7}",
            ],
            2,
        ),
        (&["daily", "--from", "soon", "--to", "2026-01-06"], 2),
        (&["nobody", "--from", "2026-01-05", "--to", "2026-01-06"], 3),
    ];
    for (args, status) in cases {
        for more in [&[][..], &["--dry-run"]] {
            let all = [&["backfills", "create"], *args, more].concat();
            let refused = place.call(&all);
            let told = told(&refused);
            assert_eq!(refused.status.code(), Some(*status), "{all:?}: {told}");
        }
    }
    assert_eq!(
        place.call(&["backfills", "show", "9"]).status.code(),
        Some(3)
    );
    let listed = place.call(&["backfills", "list", "-o", "name"]);
    assert_eq!(stdout(&listed), "");

    let body = json!({"dag_id": "daily", "from_date": "2026-01-02T00:00:00Z", "to_date": "2026-01-03T00:00:00Z", "colour": 1});
    assert_eq!(server.send("POST", "/api/v2/backfills", &body).0, 422);
}

#[test]
fn a_queued_run_of_a_paused_dag_begins_when_the_dag_goes_on() {
    let place = Place::new();
    place.write_dag(
        "still.toml",
        "[dag]\nis_paused_upon_creation = true\n[tasks]\nt = 'true'\n",
    );
    let server = place.serve();
    server.wait_for_dag("still");
    let run = place.trigger("still", &[]);
    let why = || place.call_json(&["runs", "why", &format!("still/{run}"), "-o", "json"]);
    let conditions = why()["conditions"].as_array().unwrap().clone();
    let paused = conditions
        .iter()
        .find(|one| one["condition"] == "not_paused");
    assert_eq!(paused.unwrap()["ok"], false, "{conditions:?}");
    assert_eq!(server.run("still", &run)["state"], "queued");
    let done = place.call(&["dags", "unpause", "still"]);
    assert!(done.status.success(), "{}", told(&done));
    assert_eq!(server.wait_for_end("still", &run)["state"], "success");
}

#[test]
fn the_page_of_backfills_previews_makes_pauses_and_cancels() {
    let place = Place::new();
    daily(&place);
    let server = place.serve();
    server.wait_for_dag("daily");
    let ask = |method: &str, path: &str, form: &str| page(&place, &server, method, path, form);
    let form = "dag_id=daily&from=2026-01-02&to=2026-01-05&reprocess=none&max_active_runs=1";
    let shown = ask("POST", "/backfills", &format!("{form}&do=preview"));
    assert!(shown.contains("It would make 3 runs"), "{shown}");
    assert!(server.runs("daily").is_empty());
    ask("POST", "/backfills", &format!("{form}&do=create"));
    until("three dates on the page", || {
        ask("GET", "/backfills", "").contains("3 dates")
    });
    let bad = ask("POST", "/backfills", "dag_id=daily&from=x&to=y&do=create");
    assert!(bad.contains("from: `x` is not a date"), "{bad}");
    let far = "dag_id=daily&from=2020-01-01&to=2026-01-01&reprocess=none&max_active_runs=1";
    ask("POST", "/backfills", &format!("{far}&do=create"));
    let listed = place.call_json(&["backfills", "list", "-o", "json"]);
    let no = listed[0]["id"].to_string();
    ask("POST", &format!("/backfills/{no}"), "do=pause");
    assert_eq!(
        show(&place, &json!(no.parse::<i64>().unwrap()))["is_paused"],
        true
    );
    assert!(ask("GET", "/backfills", "").contains("Go on"));
    ask("POST", &format!("/backfills/{no}"), "do=cancel");
    assert!(ask("GET", "/backfills", "").contains("cancelled"));
}

/// A page, by a session of its own, as a browser without a script asks for it.
fn page(place: &Place, server: &Server, method: &str, path: &str, form: &str) -> String {
    let link = stdout(&place.call(&["login-link"]));
    let link = link.trim().strip_prefix(&server.url).unwrap();
    let welcome = over_tcp(server, "GET", link, "", "");
    let cookie = welcome.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let is_it = name.eq_ignore_ascii_case("set-cookie");
        is_it.then(|| value.split(';').next().unwrap().to_string())
    });
    let cookie = cookie.unwrap_or_else(|| panic!("no cookie in {welcome}"));
    let url = &server.url;
    let headers = format!(
        "cookie: {cookie}\r\norigin: {url}\r\ncontent-type: application/x-www-form-urlencoded\r\n"
    );
    over_tcp(server, method, path, &headers, form)
}

/// The whole answer to a request.
fn over_tcp(server: &Server, method: &str, path: &str, headers: &str, body: &str) -> String {
    use std::io::{Read, Write};
    let host = server.url.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let n = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}content-length: {n}\r\n\r\n{body}").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

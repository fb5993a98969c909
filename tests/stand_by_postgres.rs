//! Two servers on one PostgreSQL database: one is the scheduler, the other stands by. And what a
//! server does while its database is away.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use rustix::process::Signal;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Output;
use std::time::Instant;
use support::postgres::Server as Postgres;
use support::waiting::wait_for;
use support::{PATIENCE, Place, Server, http, stderr, stdout, told};

const HELLO: &str = "[tasks]\nhello = 'echo good morning'\n";

/// A task that ends when a file appears.
fn gated(place: &Place) -> (std::path::PathBuf, String) {
    let gate = place.folder().join("gate");
    let text = format!(
        "[tasks.wait]\nretries = 3\nshell = 'while [ ! -e {} ]; do sleep 0.02; done'\n",
        gate.display()
    );
    (gate, text)
}

fn is_ready(server: &Server) -> bool {
    http::ask(&server.socket, "GET", "/readyz", None).is_ok_and(|(status, _)| status == 200)
}

/// A scheduler with the DAG `hello`, and a stand-by beside it.
fn pair(place: &Place, beside: &Place) -> (Server, Server) {
    place.write_dag("hello.toml", HELLO);
    let leader = place.serve();
    leader.wait_for_dag("hello");
    let other = beside.start();
    assert!(!is_ready(&other));
    (leader, other)
}

fn wait_until_it_leads(server: &Server) {
    wait_for("the stand-by to lead", PATIENCE, || {
        is_ready(server).then_some(())
    });
}

#[test]
fn a_stand_by_shows_pages_and_says_who_the_scheduler_is() {
    let (place, beside) = two_places();
    let (leader, other) = pair(&place, &beside);
    let run = place.trigger("hello", &[]);
    leader.wait_for_end("hello", &run);
    assert_eq!(other.run("hello", &run)["state"], "success");
    let said = beside.serve_log();
    assert!(
        said.contains(&format!("pid {}", leader.child.id())),
        "it says who the scheduler is: {said}"
    );
}

/// One request over TCP, with a cookie; the answer is read as it comes.
fn by_tcp(server: &Server, path: &str, cookie: &str) -> BufReader<TcpStream> {
    let host = server.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {host}\r\ncookie: {cookie}\r\n\r\n"
    )
    .unwrap();
    BufReader::new(stream)
}

/// The stream of events of a server, as a browser that has logged in hears it.
fn live_events(server: &Server, topic: &str) -> BufReader<TcpStream> {
    let (_, link) = server.send("POST", "/api/tidemill/v1/login-links", &json!({}));
    let login = by_tcp(server, link["path"].as_str().unwrap(), "");
    let mut lines = login.lines().map(|line| line.unwrap().to_lowercase());
    let cookie = lines.find_map(|line| Some(line.strip_prefix("set-cookie: ")?.to_string()));
    let cookie = cookie.unwrap();
    let cookie = cookie.split(';').next().unwrap();
    by_tcp(server, &format!("/events?topics={topic}"), cookie)
}

#[test]
fn pages_beside_the_scheduler_are_told_what_it_does() {
    let (place, beside) = two_places();
    let (leader, stand_by) = pair(&place, &beside);
    let third = place.beside();
    let mut command = third.serve_command();
    let pages = third.follow(command.args(["--only", "api"]).spawn().unwrap());
    let streams = [&stand_by, &pages].map(|server| live_events(server, "dag:hello"));
    let run = place.trigger("hello", &[]);
    leader.wait_for_end("hello", &run);
    for stream in streams {
        let mut lines = stream.lines().map(Result::unwrap);
        let told = lines.find(|line| line.contains("\"run_state\":\"success\""));
        assert!(told.is_some());
    }
}

fn two_places() -> (Place, Place) {
    let place = Place::new();
    let beside = place.beside();
    (place, beside)
}

#[test]
fn a_stand_by_takes_over_from_a_killed_scheduler() {
    let (place, beside) = two_places();
    let (mut leader, other) = pair(&place, &beside);
    let run = place.trigger("hello", &[]);
    leader.wait_for_end("hello", &run);
    let began = Instant::now();
    leader.child.kill().unwrap();
    leader.child.wait().unwrap();
    wait_until_it_leads(&other);
    println!("took over after a kill in {:?}", began.elapsed());
    let next = beside.trigger("hello", &[]);
    assert_eq!(other.wait_for_end("hello", &next)["state"], "success");
    assert_eq!(other.runs("hello").len(), 2);
    assert_eq!(other.body("/api/v2/dags/hello")["is_stale"], false);
}

#[test]
fn a_stand_by_takes_over_from_a_scheduler_that_stops_in_order() {
    let (place, beside) = two_places();
    let (mut leader, other) = pair(&place, &beside);
    leader.signal(Signal::TERM);
    leader.wait_until_gone();
    wait_until_it_leads(&other);
    let run = beside.trigger("hello", &[]);
    assert_eq!(other.wait_for_end("hello", &run)["state"], "success");
    // And the other way round, in the home of the first.
    let first = place.start();
    assert!(!is_ready(&first));
    drop(other);
    wait_until_it_leads(&first);
}

#[test]
fn a_stand_by_that_is_told_to_stop_does_so() {
    let (place, beside) = two_places();
    let (leader, mut other) = pair(&place, &beside);
    other.signal(Signal::TERM);
    let status = other.wait_until_gone();
    assert!(status.success(), "{status}: {}", beside.serve_log());
    assert!(is_ready(&leader));
}

/// Everything in the tables of runs, tasks and versions.
fn rows(place: &Place) -> String {
    let name = place.database().unwrap();
    let name = name.split(['/', '?']).nth(3).unwrap();
    let text = "select (select string_agg(t::text, ' ' order by run) from dag_run t),
                       (select string_agg(t::text, ' ' order by run, task_no) from task_instance t),
                       (select string_agg(t::text, ' ' order by dag) from dag t),
                       (select string_agg(t::text, ' ' order by version) from dag_version t),
                       (select string_agg(t::text, ' ' order by seq) from change t),
                       (select string_agg(t::text, ' ' order by name) from counter t)";
    Postgres::shared().sql(name, text)
}

#[test]
fn a_stopped_scheduler_that_wakes_up_touches_no_row_and_ends() {
    let (place, beside) = two_places();
    let (gate, text) = gated(&place);
    place.write_dag("gated.toml", &text);
    let (mut leader, other) = pair(&place, &beside);
    leader.wait_for_dag("gated");
    let open = place.trigger("gated", &[]);
    leader.wait_for_task("gated", &open, "wait", "running");
    let began = Instant::now();
    leader.signal(Signal::STOP);
    wait_until_it_leads(&other);
    println!("took over from a stopped one in {:?}", began.elapsed());
    // The task of the stopped one may still run: nobody starts it again yet.
    assert_eq!(other.task("gated", &open, "wait")["state"], "running");
    let run = beside.trigger("hello", &[]);
    other.wait_for_end("hello", &run);
    // Its task has ended, and there is a new file: it will have something to write when it wakes.
    std::fs::write(&gate, "").unwrap();
    let before = rows(&place);
    leader.signal(Signal::CONT);
    let status = leader.wait_until_gone();
    assert!(!status.success(), "{status}");
    assert_eq!(rows(&place), before);
    let said = place.serve_log();
    assert!(said.contains("term is over"), "{said}");
    assert!(is_ready(&other));
}

#[test]
fn a_server_goes_on_when_its_database_was_restarted() {
    let mut postgres = Postgres::start();
    let place = Place::at(Some(postgres.new_database()));
    let (gate, text) = gated(&place);
    place.write_dag("gated.toml", &text);
    place.write_dag("hello.toml", HELLO);
    let server = place.serve();
    server.wait_for_dag("gated");
    server.wait_for_dag("hello");
    let open = place.trigger("gated", &[]);
    server.wait_for_task("gated", &open, "wait", "running");
    for signal in ["INT", "QUIT", "KILL"] {
        postgres.stop(signal);
        postgres.resume();
        let key = ["--idempotency-key", signal];
        wait_for("a trigger to be taken", PATIENCE, || {
            let args = [&["dags", "trigger", "hello", "-o", "name"], &key[..]].concat();
            let asked = place.call(&args);
            asked.status.success().then_some(())
        });
    }
    std::fs::write(&gate, "").unwrap();
    assert_eq!(server.wait_for_end("gated", &open)["state"], "success");
    assert_eq!(server.task("gated", &open, "wait")["try_number"], 1);
    wait_for("the other runs to end", PATIENCE, || {
        let runs = server.runs("hello");
        (runs.len() == 3 && runs.iter().all(|run| run["state"] == "success")).then_some(())
    });
}

#[test]
fn a_server_whose_database_is_away_can_be_stopped() {
    let mut postgres = Postgres::start();
    let place = Place::at(Some(postgres.new_database()));
    place.write_dag(
        "tick.toml",
        "[dag]\nschedule = '@every 1s'\n[tasks]\ntock = 'true'\n",
    );
    let mut server = place.serve();
    server.wait_for_dag("tick");
    postgres.stop("QUIT");
    wait_for("a commit to fail", PATIENCE, || {
        place.serve_log().contains("tried again").then_some(())
    });
    server.signal(Signal::TERM);
    wait_for("the first signal to be seen", PATIENCE, || {
        place.serve_log().contains("stopping").then_some(())
    });
    server.signal(Signal::TERM);
    server.wait_until_gone();
}

#[test]
fn no_password_is_shown_anywhere() {
    let postgres = Postgres::start();
    let secret = "gehe1m";
    postgres.sql(
        "postgres",
        &format!("create role secretive login superuser password '{secret}'"),
    );
    postgres.new_database();
    let url = postgres.url("secretive", "test_0");
    let place = Place::at(Some(url.clone()));
    let file = place.folder().join("password");
    std::fs::write(&file, "wrong\n").unwrap();

    let in_argv = format!("{url}&password={secret}");
    let refused = place.call(&["db", "check", "--database", &in_argv]);
    assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));
    let wrong = place.call(&[
        "db",
        "check",
        "--database-password-file",
        file.to_str().unwrap(),
    ]);
    assert_eq!(wrong.status.code(), Some(6), "{}", told(&wrong));
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    let checked = place.call(&[
        "db",
        "migrate",
        "--database-password-file",
        file.to_str().unwrap(),
    ]);
    assert!(checked.status.success(), "{}", told(&checked));
    let help = place
        .tidemill()
        .env("TIDEMILL_DATABASE", &in_argv)
        .args(["serve", "--help"])
        .output()
        .unwrap();
    let mut shown = [&refused, &wrong, &checked, &help].map(told).join("\n");

    place.write_dag("hello.toml", "[tasks]\nhello = 'env'\n");
    let mut child = place.serve_command();
    child
        .env("TIDEMILL_DATABASE", &in_argv)
        .env("TIDEMILL_LOG", "trace");
    let mut child = child.spawn().unwrap();
    let ready = wait_for("the server", PATIENCE, || place.ready(Some(child.id())));
    let socket = std::path::PathBuf::from(ready["socket"].as_str().unwrap());
    let cmdline = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    shown.push_str(&String::from_utf8_lossy(&cmdline));
    wait_for("the run's log", PATIENCE, || {
        let body = json!({"dag_run_id": "r", "logical_date": null});
        let _ = http::ask(&socket, "POST", "/api/v2/dags/hello/dagRuns", Some(&body));
        let path = "/api/v2/dags/hello/dagRuns/r/taskInstances/hello/logs/1";
        let (status, log) = http::ask(&socket, "GET", path, None).ok()?;
        (status == 200 && log.to_string().contains("TIDEMILL_RUN_ID"))
            .then(|| shown.push_str(&log.to_string()))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    shown.push_str(&place.serve_log());
    assert!(!shown.contains(secret), "{shown}");
}

#[test]
fn the_database_is_checked_brought_up_and_exported() {
    let place = Place::new();
    let empty = place.call(&["db", "check"]);
    assert_eq!(empty.status.code(), Some(6), "{}", told(&empty));
    assert!(stderr(&empty).contains("db migrate"), "{}", told(&empty));
    let made = place.call(&["db", "migrate"]);
    assert!(made.status.success(), "{}", told(&made));
    let checked = place.call(&["db", "check"]);
    assert!(checked.status.success(), "{}", told(&checked));
    place.write_dag("hello.toml", HELLO);
    let mut server = place.serve();
    server.wait_for_dag("hello");
    let run = place.trigger("hello", &[]);
    server.wait_for_end("hello", &run);
    let live = place.call(&["db", "export"]);
    server.signal(Signal::TERM);
    server.wait_until_gone();
    let offline = place.call(&["db", "export"]);
    for exported in [live, offline] {
        assert!(exported.status.success(), "{}", told(&exported));
        let lines = stdout(&exported);
        let kinds: Vec<Value> = records(&exported)
            .iter()
            .map(|record| record["kind"].clone())
            .collect();
        let expected = ["dag", "dag_run", "task_instance", "pool"];
        assert_eq!(kinds, expected, "{lines}");
        assert!(
            lines.contains("echo good morning") && lines.contains(&run),
            "{lines}"
        );
    }
}

/// The lines of an export.
fn records(exported: &Output) -> Vec<Value> {
    let lines = stdout(exported);
    let records = lines.lines().map(serde_json::from_str);
    records.collect::<Result<_, _>>().unwrap()
}

#[test]
fn an_export_has_each_instance_of_a_mapped_task_and_what_is_secret_without_its_value() {
    let place = Place::new();
    place.write_dag(
        "mill.toml",
        "[dag]\nschedule = { cron = '0 6 * * *', interval = 'previous', run_immediately = false }\n\
         [assets.flour]\nuri = 's3://mill/flour/'\n[tasks.grind]\noutlets = ['flour']\n\
         expand = { grain = ['rye', 'oat'] }\nshell = 'echo ground $TIDEMILL_MAP_GRAIN'\n",
    );
    let server = place.serve();
    server.wait_for_dag("mill");
    let secret = place.folder().join("secret");
    std::fs::write(&secret, "postgres://me:hunter2@db.example/x\n").unwrap();
    let file = secret.to_str().unwrap();
    let backfill = ["--from", "2026-01-02", "--to", "2026-01-03"];
    for args in [
        &["variables", "set", "region", "eu-west"][..],
        &["variables", "set", "api_token", "--file", file],
        &["connections", "set", "dw", "--uri-file", file],
        &["pools", "set", "stones", "--slots", "2"],
        &[&["backfills", "create", "mill"], &backfill[..]].concat(),
    ] {
        let done = place.call(args);
        assert!(done.status.success(), "{args:?}: {}", told(&done));
    }
    let run = wait_for("the run of the backfill", PATIENCE, || {
        let runs = server.runs("mill");
        let run = runs.iter().find(|run| run["run_type"] == "backfill")?;
        run["dag_run_id"].as_str().map(str::to_string)
    });
    assert_eq!(server.wait_for_end("mill", &run)["state"], "success");
    let exported = place.call(&["db", "export"]);
    assert!(exported.status.success(), "{}", told(&exported));
    assert!(!stdout(&exported).contains("hunter2"));
    let records = records(&exported);
    let find = |kind: &str, key: &str, value: Value| {
        let is_it = |record: &&Value| record["kind"] == kind && record[key] == value;
        let found = records.iter().find(is_it);
        found.unwrap_or_else(|| panic!("no {kind} {value} in {}", told(&exported)))
    };
    for (index, word) in [(0, "ground rye"), (1, "ground oat")] {
        let instance = find("task_instance", "map_index", json!(index));
        assert_eq!(instance["values"]["return_value"], word, "{instance}");
    }
    let backfill = find("backfill", "dag_id", json!("mill"));
    assert_eq!(backfill["dates"][0]["dag_run_id"], json!(run));
    assert_eq!(find("pool", "name", json!("stones"))["slots"], 2);
    assert_eq!(
        find("asset", "name", json!("flour"))["uri"],
        "s3://mill/flour/"
    );
    assert_eq!(find("variable", "key", json!("region"))["value"], "eu-west");
    assert_eq!(find("variable", "key", json!("api_token"))["value"], "***");
    let connection = find("connection", "connection_id", json!("dw"));
    assert_eq!(connection["host"], "db.example");
    assert_eq!(connection["password"], "***");
}

#[test]
fn schedulers_with_different_files_come_to_one_order_of_versions() {
    let place = Place::new();
    // Another home and another DAG folder, on the same database.
    let beside = Place::at(place.database().map(str::to_string));
    place.write_dag("hello.toml", HELLO);
    beside.write_dag("hello.toml", "[tasks]\nhello = 'echo good evening'\n");
    let command = |server: &Server| {
        let body = server.body("/api/v2/dagSources/hello");
        body["content"].as_str().unwrap_or_default().to_string()
    };
    let wait_for_text = |server: &Server, text: &str| {
        wait_for("the file of the one that leads", PATIENCE, || {
            command(server).contains(text).then_some(())
        });
    };
    let mut first = place.serve();
    first.wait_for_dag("hello");
    let run = place.trigger("hello", &[]);
    first.wait_for_end("hello", &run);
    let mut second = beside.start();
    // Who stands by reads no files: what the store says holds for it too.
    assert!(command(&second).contains("good morning"));
    let change_over = |leads: &mut Server, follows: &Server, at: &Place, text: &str| {
        leads.child.kill().unwrap();
        leads.child.wait().unwrap();
        wait_until_it_leads(follows);
        wait_for_text(follows, text);
        *leads = at.start();
        wait_for_text(leads, text);
    };
    change_over(&mut first, &second, &place, "good evening");
    change_over(&mut second, &first, &beside, "good morning");
    // The same file is the same version again, and the run keeps the one it was made with.
    let versions = |server: &Server, run: &str| {
        let body = server.run("hello", run);
        body["dag_versions"][0]["version_number"].clone()
    };
    assert_eq!(versions(&first, &run), 1);
    let again = place.trigger("hello", &[]);
    assert_eq!(versions(&first, &again), 1);
}

//! Schedules on the real program: first sight, catch-up, pauses, restarts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use serde_json::{Value, json};
use support::session::Session;
use support::waiting::wait_for;
use support::{PATIENCE, Place, Server, told};
use tidemill_store::PageStore;
use tidemill_store_postgres::{Address, PostgresStore};
use tidemill_store_sqlite::SqliteStore;

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    wait_for(what, PATIENCE, || is_so().then_some(()));
}

/// So many seconds before now, as TOML and the API write it.
fn seconds_ago(n: i64) -> String {
    let now = jiff::Timestamp::now();
    let at = jiff::Timestamp::from_second(now.as_second() - n).unwrap();
    at.to_string()
}

/// An instant of an answer. As texts they do not sort: their fractions have no fixed length.
fn at(body: &Value, key: &str) -> jiff::Timestamp {
    let text = body[key].as_str();
    let text = text.unwrap_or_else(|| panic!("no {key} in {body}"));
    text.parse().unwrap()
}

fn scheduled_runs(server: &Server, dag: &str) -> Vec<Value> {
    let mut runs = server.runs(dag);
    runs.retain(|run| run["run_type"] == "scheduled");
    runs.sort_by_key(|run| at(run, "logical_date"));
    runs
}

/// The ticks that the store says were passed over, in a place without a server.
fn skipped_ticks(place: &Place) -> Vec<Value> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let changes = runtime.block_on(async {
        match place.database() {
            None => {
                let path = place.home().join("tidemill.db");
                let store = SqliteStore::open_read_only(&path).await.unwrap();
                store.changes_after(0, 100_000).await.unwrap()
            }
            Some(url) => {
                let address = Address::parse(url, None).unwrap();
                let store = PostgresStore::open_read_only(&address).await.unwrap();
                store.changes_after(0, 100_000).await.unwrap()
            }
        }
    });
    let skipped = changes
        .into_iter()
        .map(|change| change.body["skipped"].clone());
    skipped.filter(|ticks| !ticks.is_null()).collect()
}

fn dag_body(server: &Server, dag: &str) -> Value {
    server.body(&format!("/api/v2/dags/{dag}"))
}

#[test]
fn a_start_date_in_the_past_makes_one_run_at_once_and_not_one_for_each_missed_tick() {
    let place = Place::new();
    // Ticks each hour since a hundred days; the last one is at most an hour ago.
    place.write_dag(
        "past.toml",
        &format!(
            "[dag]\nschedule = '@every 1h'\nstart_date = {}\n[tasks]\nt = 'true'\n",
            seconds_ago(100 * 86_400 + 600)
        ),
    );
    let server = place.serve();
    server.wait_for_dag("past");
    until("the run of the latest tick", || {
        scheduled_runs(&server, "past").len() == 1
    });
    let next = at(&dag_body(&server, "past"), "next_dagrun_run_after");
    let runs = scheduled_runs(&server, "past");
    let distance = next.as_second() - at(&runs[0], "logical_date").as_second();
    assert_eq!(distance, 3_600, "{next} {runs:?}");
}

#[test]
fn a_run_about_a_period_is_due_at_the_end_of_it() {
    let place = Place::new();
    let start = seconds_ago(2 * 3_600 + 600);
    place.write_dag(
        "period.toml",
        &format!(
            "[dag]\nschedule = {{ every = '1h', interval = 'period' }}\nstart_date = {start}\n[tasks]\nt = 'true'\n"
        ),
    );
    let server = place.serve();
    server.wait_for_dag("period");
    until("a run", || scheduled_runs(&server, "period").len() == 1);
    let run = &scheduled_runs(&server, "period")[0];
    assert_eq!(run["run_after"], run["data_interval_end"], "{run}");
    assert!(at(run, "logical_date") < at(run, "run_after"), "{run}");
}

#[test]
fn catch_up_makes_a_run_for_each_missed_tick_in_order_and_keeps_to_max_active_runs() {
    let place = Place::new();
    place.write_dag(
        "late.toml",
        &format!(
            "[dag]\nschedule = {{ every = '1h', interval = 'previous' }}\nstart_date = {}\ncatchup = true\nmax_active_runs = 2\nis_paused_upon_creation = true\n[tasks]\nt = 'true'\n",
            seconds_ago(40 * 3_600 + 600)
        ),
    );
    let server = place.serve();
    server.wait_for_dag("late");
    assert!(scheduled_runs(&server, "late").is_empty());
    assert!(place.call(&["dags", "unpause", "late"]).status.success());
    until("forty-one runs", || {
        let runs = scheduled_runs(&server, "late");
        runs.len() == 41 && runs.iter().all(|run| run["state"] == "success")
    });
    let runs = scheduled_runs(&server, "late");
    for pair in runs.windows(2) {
        // Each period begins where the one before it ends, and no run began before its turn.
        assert_eq!(pair[0]["data_interval_end"], pair[1]["data_interval_start"]);
        assert!(at(&pair[0], "start_date") <= at(&pair[1], "start_date"));
    }
    for run in &runs {
        let began = at(run, "start_date");
        let is_running =
            |other: &&Value| at(other, "start_date") <= began && at(other, "end_date") > began;
        assert!(runs.iter().filter(is_running).count() <= 2, "{run}");
    }
}

#[test]
fn a_continuous_dag_has_one_run_after_the_other_until_it_is_paused() {
    let place = Place::new();
    place.write_dag(
        "always.toml",
        "[dag]\nschedule = '@continuous'\n[tasks]\nt = 'true'\n",
    );
    let server = place.serve();
    until("three runs", || {
        let runs = scheduled_runs(&server, "always");
        runs.iter().filter(|run| run["state"] == "success").count() >= 3
    });
    assert!(place.call(&["dags", "pause", "always"]).status.success());
    let runs = scheduled_runs(&server, "always");
    for pair in runs.windows(2) {
        assert_eq!(pair[0]["data_interval_end"], pair[1]["data_interval_start"]);
        assert!(at(&pair[0], "end_date") <= at(&pair[1], "start_date"));
    }
    let paused = dag_body(&server, "always");
    assert_eq!(paused["next_dagrun_run_after"], Value::Null);
}

#[test]
fn a_dag_runs_on_by_its_schedule_after_a_restart_with_a_broken_file() {
    let place = Place::new();
    let file = place.write_dag(
        "steady.toml",
        "[dag]\nschedule = '@every 1s'\n[tasks]\nt = 'true'\n",
    );
    let mut server = place.serve();
    until("a run", || !scheduled_runs(&server, "steady").is_empty());
    server.signal(rustix::process::Signal::TERM);
    server.wait_until_gone();
    std::fs::write(&file, "[dag\n").unwrap();
    let server = place.serve();
    let n_before = scheduled_runs(&server, "steady").len();
    until("one more run", || {
        scheduled_runs(&server, "steady").len() > n_before + 1
    });
}

#[test]
fn a_full_dag_makes_no_queue_of_ticks() {
    let place = Place::new();
    let gate = place.folder().join("gate");
    place.write_dag(
        "slow.toml",
        &format!(
            "[dag]\nschedule = '@every 1s'\nmax_active_runs = 1\n[tasks]\nt = 'until test -e {0}; do sleep 0.05; done'\n",
            gate.display()
        ),
    );
    let server = place.serve();
    until("a run", || scheduled_runs(&server, "slow").len() == 1);
    let first = at(&scheduled_runs(&server, "slow")[0], "logical_date");
    until("three ticks", || {
        jiff::Timestamp::now().as_second() >= first.as_second() + 4
    });
    assert_eq!(scheduled_runs(&server, "slow").len(), 1);
    std::fs::write(&gate, "").unwrap();
    until("the latest tick", || {
        scheduled_runs(&server, "slow").len() >= 2
    });
    let runs = scheduled_runs(&server, "slow");
    let second = at(&runs[1], "logical_date");
    assert!(second.as_second() - first.as_second() >= 4, "{runs:?}");
    let told = told(&place.call(&["dags", "pause", "slow"]));
    assert!(told.contains("paused"), "{told}");
}

#[test]
fn a_new_dag_that_owes_more_than_three_runs_starts_paused_and_says_how_many() {
    let place = Place::new();
    let owing = |name: &str, n_hours: i64| {
        let start = seconds_ago(n_hours * 3_600 + 600);
        let text = format!(
            "[dag]\nschedule = '@every 1h'\nstart_date = {start}\ncatchup = true\n[tasks]\nt = 'true'\n"
        );
        place.write_dag(&format!("{name}.toml"), &text);
    };
    owing("few", 2);
    owing("many", 3);
    let server = place.serve();
    server.wait_for_dag("few");
    server.wait_for_dag("many");
    until("three runs that nobody had to ask for", || {
        scheduled_runs(&server, "few").len() == 3
    });
    assert_eq!(dag_body(&server, "many")["is_paused"], true);
    assert!(scheduled_runs(&server, "many").is_empty());
    let log = place.serve_log();
    let line = log.lines().find(|line| line.contains("owes many runs"));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(
        (&line["dag.id"], &line["n_owed"]),
        (&json!("many"), &json!(4))
    );
    let owed = server.condition("many", "owed").unwrap();
    assert_eq!(owed["ok"], false, "{owed}");
    let detail = owed["detail"].as_str().unwrap();
    assert!(detail.contains("owes 4 runs"), "{detail}");
    assert_eq!(server.condition("few", "owed"), None);

    let person = Session::of(&place, &server);
    for page in ["/dags", "/dags/many"] {
        let page = person.get(page);
        assert!(page.contains("it owes 4 runs"), "{page}");
        assert!(!page.contains("it owes the run"), "{page}");
    }
    assert!(place.call(&["dags", "unpause", "many"]).status.success());
    until("the runs that it owed", || {
        scheduled_runs(&server, "many").len() == 4
    });
    assert_eq!(server.condition("many", "owed"), None);
    assert!(!person.get("/dags").contains("it owes"));
}

#[test]
fn a_tick_whose_key_has_no_room_is_passed_over_with_its_reason() {
    let place = Place::new();
    let hold = place.until("go");
    let text = format!(
        "[dag]\nschedule = '@every 1s'\n[dag.concurrency]\npolicy = 'skip'\n[tasks]\nt = '''{hold}'''\n"
    );
    place.write_dag("alone.toml", &text);
    let mut server = place.serve();
    server.wait_for_dag("alone");
    until("a run", || scheduled_runs(&server, "alone").len() == 1);
    until("a tick that makes none", || {
        place.serve_log().contains("A tick has made no run")
    });
    assert_eq!(scheduled_runs(&server, "alone").len(), 1);
    let found = server.condition("alone", "concurrency_skip").unwrap();
    assert_eq!(found["ok"], false, "{found}");
    let detail = found["detail"].as_str().unwrap();
    assert!(detail.contains("1 of 1 runs with the key ``"), "{detail}");

    assert!(place.call(&["dags", "pause", "alone"]).status.success());
    place.open("go");
    until("the end of the run", || {
        let runs = scheduled_runs(&server, "alone");
        runs.len() == 1 && runs[0]["state"] == "success"
    });
    let found = server.condition("alone", "concurrency_skip").unwrap();
    assert_eq!(found["ok"], true, "{found}");
    server.signal(rustix::process::Signal::TERM);
    server.wait_until_gone();
    let by_policy = |ticks: &Value| {
        let reason = ticks["reason"].as_str().unwrap();
        reason.contains("policy is `skip`") && ticks["first"] == ticks["last"]
    };
    let skipped = skipped_ticks(&place);
    assert!(skipped.iter().any(by_policy), "{skipped:?}");
}

#[test]
fn latest_only_skips_what_is_below_it_but_in_the_latest_run_and_in_those_of_people() {
    let place = Place::new();
    let start = seconds_ago(2 * 3_600 + 600);
    let text = format!(
        "[dag]\nschedule = '@every 1h'\nstart_date = {start}\ncatchup = true\n[tasks.gate]\noperator = 'latest_only'\n[tasks.below]\ndepends_on = 'gate'\nshell = 'true'\n[tasks.beside]\nshell = 'true'\n"
    );
    place.write_dag("late.toml", &text);
    let server = place.serve();
    until("three runs", || {
        let runs = scheduled_runs(&server, "late");
        runs.len() == 3 && runs.iter().all(|run| run["state"] == "success")
    });
    let of_runs = |task: &str| -> Vec<Value> {
        let runs = scheduled_runs(&server, "late");
        let state = |run: &Value| {
            let run = run["dag_run_id"].as_str().unwrap();
            server.task("late", run, task)["state"].clone()
        };
        runs.iter().map(state).collect()
    };
    assert_eq!(of_runs("gate"), ["success", "success", "success"]);
    assert_eq!(of_runs("below"), ["skipped", "skipped", "success"]);
    assert_eq!(of_runs("beside"), ["success", "success", "success"]);

    let by_hand = place.trigger("late", &["--logical-date", "2026-01-01"]);
    server.wait_for_end("late", &by_hand);
    let below = server.task("late", &by_hand, "below");
    assert_eq!(below["state"], "success", "{below}");
}

#[test]
fn a_dag_whose_runs_fail_in_a_row_is_paused_and_goes_on_when_a_person_says_so() {
    let place = Place::new();
    place.write_dag(
        "broken.toml",
        "[dag]\nschedule = '@every 1s'\nmax_active_runs = 1\nmax_consecutive_failed_dag_runs = 2\n[tasks]\nt = 'false'\n",
    );
    let server = place.serve();
    let is_paused = || dag_body(&server, "broken")["is_paused"] == true;
    server.wait_for_dag("broken");
    until("the pause", is_paused);
    assert_eq!(scheduled_runs(&server, "broken").len(), 2);
    let log = place.serve_log();
    assert!(log.contains("failed in a row"), "{log}");
    let failing = server.condition("broken", "failing").unwrap();
    assert_eq!(failing["ok"], false, "{failing}");
    let person = Session::of(&place, &server);
    for page in ["/dags", "/dags/broken"] {
        let page = person.get(page);
        assert!(page.contains("its last 2 runs have failed"), "{page}");
    }
    assert!(place.call(&["dags", "unpause", "broken"]).status.success());
    // The row goes on where it was: one more is too many again.
    until("the next pause", is_paused);
    let runs = scheduled_runs(&server, "broken");
    assert_eq!(runs.len(), 3);
    assert!(runs.iter().all(|run| run["state"] == "failed"), "{runs:?}");
}

/// What `dags why --at` says, by name of the condition.
fn said(server: &Server, dag: &str, at: &str) -> std::collections::BTreeMap<String, Value> {
    let why = server.body(&format!("/api/tidemill/v1/dags/{dag}/why?at={at}"));
    let all = why["conditions"].as_array().unwrap().clone();
    let named = |one: Value| (one["condition"].as_str().unwrap().to_string(), one);
    all.into_iter().map(named).collect()
}

#[test]
fn an_instant_has_its_run_or_is_told_why_it_has_none() {
    let place = Place::new();
    let dag = |name: &str, lines: &str| {
        let text = format!("[dag]\n{lines}\n[tasks]\nt = 'true'\n");
        place.write_dag(&format!("{name}.toml"), &text);
    };
    let day = |n: i64| seconds_ago(n * 86_400);
    let dates = format!("start_date = {}\nend_date = {}", day(4), day(2));
    dag("ended", &format!("schedule = '@every 1d'\n{dates}"));
    dag(
        "new",
        "schedule = { every = '300d', run_immediately = false }",
    );
    dag(
        "far",
        "schedule = { cron = '@daily', jitter = '5m' }\nstart_date = 2099-01-01",
    );
    dag(
        "always",
        "schedule = '@continuous'\nis_paused_upon_creation = true",
    );
    let server = place.serve();
    ["ended", "new", "far", "always"]
        .iter()
        .for_each(|dag| server.wait_for_dag(dag));
    until("the last run before the end date", || {
        scheduled_runs(&server, "ended").len() == 1
    });
    let made = scheduled_runs(&server, "ended").remove(0);
    server.wait_for_end("ended", made["dag_run_id"].as_str().unwrap());

    let last = made["logical_date"].as_str().unwrap();
    let about = said(&server, "ended", last);
    assert_eq!(
        about["run"]["holders"][0]["run_id"], made["dag_run_id"],
        "{about:?}"
    );
    assert!(about["run"]["detail"].as_str().unwrap().contains("success"));
    assert_eq!(about["catchup"]["ok"], true, "{about:?}");
    let about = said(&server, "ended", &day(3));
    assert_eq!(about["catchup"]["ok"], false, "{about:?}");
    assert!(!about.contains_key("run"), "{about:?}");
    let about = said(&server, "ended", &day(1));
    let detail = about["dates"]["detail"].as_str().unwrap();
    assert!(detail.contains("after its `end_date` 20"), "{detail}");

    let period = 300 * 86_400;
    let tick = jiff::Timestamp::now().as_second() / period * period;
    let tick = jiff::Timestamp::from_second(tick).unwrap().to_string();
    let about = said(&server, "new", &tick);
    assert!(scheduled_runs(&server, "new").is_empty());
    assert_eq!(about["run"]["ok"], false, "{about:?}");
    assert!(
        about["run"]["detail"]
            .as_str()
            .unwrap()
            .contains("`run_immediately`")
    );
    let about = said(&server, "new", "2100-01-01T00:30:00Z");
    let detail = about["due"]["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("2100-01-01T00:30:00Z has not come"),
        "{detail}"
    );

    let next = server.condition("far", "due").unwrap();
    let detail = next["detail"].as_str().unwrap();
    assert!(
        detail.contains("2099-01-01T00:00:00Z") && detail.contains("`jitter`"),
        "{next}"
    );
    let next = server.condition("always", "due").unwrap();
    assert_eq!(
        next["ok"], true,
        "it waits for nothing but its pause: {next}"
    );
}

#[test]
fn a_date_that_a_person_chooses_is_in_the_dags_zone_and_has_one_run() {
    let place = Place::new();
    place.write_dag(
        "paris.toml",
        "[dag]\nschedule = '0 6 * * *'\nstart_date = 2099-01-01\ntimezone = 'Europe/Paris'\n[params]\nregion = 'eu'\n[tasks]\nt = 'true'\n",
    );
    let server = place.serve();
    server.wait_for_dag("paris");
    let chosen = [
        "--logical-date",
        "2026-01-05",
        "--run-after",
        "2098-07-01T06:00",
    ];
    let run = server.run("paris", &place.trigger("paris", &chosen));
    assert_eq!(run["logical_date"], "2026-01-04T23:00:00Z");
    assert_eq!(run["run_after"], "2098-07-01T04:00:00Z");
    let again = place.call(&["dags", "trigger", "paris", "--logical-date", "2026-01-05"]);
    assert_eq!(again.status.code(), Some(5), "{}", told(&again));
    assert!(
        told(&again).contains(run["dag_run_id"].as_str().unwrap()),
        "{}",
        told(&again)
    );
    assert_eq!(server.runs("paris").len(), 1);
    let at = ["dags", "why", "paris", "--at", "2099-07-01T06:00"];
    let why = told(&place.call(&at));
    assert!(why.contains("fires at 2099-07-01T04:00:00Z"), "{why}");
    let slip = place.call(&["dags", "trigger", "paris", "--param", "regoin=us"]);
    assert_eq!(slip.status.code(), Some(2), "{}", told(&slip));
    assert!(told(&slip).contains("it has region"), "{}", told(&slip));
    assert_eq!(server.runs("paris").len(), 1);
}

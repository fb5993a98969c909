//! Schedules on the real program: first sight, catch-up, pauses, restarts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use serde_json::Value;
use support::waiting::wait_for;
use support::{PATIENCE, Place, Server, told};

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

//! `tidemill dags next`, on files and on a server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use serde_json::{Value, json};
use support::{Place, stderr, told};

const NEW_YORK: &str = "timezone = 'America/New_York'\n[tasks]\nt = 'true'\n";

/// The next runs of a file's schedule after an instant.
fn next(place: &Place, schedule: &str, after: &str) -> Value {
    let text = format!("[dag]\nschedule = {schedule}\n{NEW_YORK}");
    let file = place.write_dag("clock.toml", &text);
    let file = file.to_str().unwrap();
    place.call_json(&[
        "dags", "next", file, "-n", "2", "--after", after, "-o", "json",
    ])
}

fn column(runs: &Value, key: &str) -> Vec<Value> {
    let runs = runs.as_array().unwrap();
    runs.iter().map(|run| run[key].clone()).collect()
}

#[test]
fn a_file_needs_no_server_and_tells_the_night_when_the_clock_goes_forward() {
    let place = Place::new();
    let runs = next(
        &place,
        "{ cron = '30 2 * * *', interval = 'previous' }",
        "2027-03-13T12:00:00",
    );
    let expected = json!([
        {
            "run_after": "2027-03-14T07:00:00Z",
            "local_time": "2027-03-14T03:00:00-04:00",
            "data_interval_start": "2027-03-13T07:30:00Z",
            "data_interval_end": "2027-03-14T07:00:00Z",
            "remark": "the clock goes from 02:00 to 03:00, so the run of 02:30 is now; the data interval has 23h 30m: the clock changes in it",
        },
        {
            "run_after": "2027-03-15T06:30:00Z",
            "local_time": "2027-03-15T02:30:00-04:00",
            "data_interval_start": "2027-03-14T07:00:00Z",
            "data_interval_end": "2027-03-15T06:30:00Z",
            "remark": "",
        },
    ]);
    assert_eq!(runs, expected);
}

#[test]
fn a_fixed_job_runs_once_and_a_frequent_one_follows_the_clock_when_an_hour_comes_twice() {
    let place = Place::new();
    let once = next(&place, "'30 1 * * *'", "2027-11-07T00:00:00");
    assert_eq!(
        column(&once, "local_time"),
        ["2027-11-07T01:30:00-04:00", "2027-11-08T01:30:00-05:00"]
    );
    assert_eq!(
        once[0]["remark"],
        "01:30 comes twice: it runs the first time only"
    );
    let twice = next(&place, "'*/60 1 * * *'", "2027-11-07T00:00:00");
    assert_eq!(
        column(&twice, "local_time"),
        ["2027-11-07T01:00:00-04:00", "2027-11-07T01:00:00-05:00"]
    );
    assert_eq!(
        twice[1]["remark"],
        "01:00 comes twice: this is the second time"
    );
}

#[test]
fn start_end_and_jitter_are_kept_to() {
    let place = Place::new();
    let text = "[dag]\nschedule = { every = '1d', interval = 'period', jitter = '1h' }\nstart_date = 2026-01-01\nend_date = 2026-01-02\n[tasks]\nt = 'true'\n";
    let file = place.write_dag("bounded.toml", text);
    let args = [
        "dags",
        "next",
        file.to_str().unwrap(),
        "--after",
        "2000-01-01",
        "-o",
        "json",
    ];
    let runs = place.call_json(&args);
    // The periods of the 1st and of the 2nd; each run comes after its period.
    assert_eq!(
        column(&runs, "data_interval_start"),
        ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]
    );
    for run in runs.as_array().unwrap() {
        let at = |key: &str| {
            run[key]
                .as_str()
                .unwrap()
                .parse::<jiff::Timestamp>()
                .unwrap()
        };
        let late = at("run_after").duration_since(at("data_interval_end"));
        assert!((1..=3_600).contains(&late.as_secs()), "{run}");
    }
    assert_eq!(runs, place.call_json(&args));
}

#[test]
fn what_has_no_next_run_says_why_with_its_exit_status() {
    let place = Place::new();
    let cases = [
        ("", 3, "has no schedule"),
        ("schedule = '@continuous'", 3, "runs continuously"),
        ("schedule = '@once'", 3, "when it is first seen"),
        ("schedule = '0 25 * * *'", 10, "TM0130"),
        ("schedule = { assets = ['a'] }", 3, "events of a"),
        (
            "schedule = '@daily'\nend_date = 2020-01-01",
            0,
            "does not run after",
        ),
    ];
    for (schedule, status, why) in cases {
        let text = format!("[dag]\n{schedule}\n[tasks]\nt = 'true'\n");
        let file = place.write_dag("none.toml", &text);
        let output = place.call(&["dags", "next", file.to_str().unwrap()]);
        assert_eq!(
            output.status.code(),
            Some(status),
            "{schedule}: {}",
            told(&output)
        );
        assert!(
            stderr(&output).contains(why),
            "{schedule}: {}",
            told(&output)
        );
    }
    let missing = place.call(&["dags", "next", "no/such.toml"]);
    assert_eq!(missing.status.code(), Some(3), "{}", told(&missing));
    let no_server = place.call(&["dags", "next", "none"]);
    assert_eq!(no_server.status.code(), Some(6), "{}", told(&no_server));
}

#[test]
fn a_dag_of_the_server_is_known_by_its_name() {
    let place = Place::new();
    place.write_dag(
        "daily.toml",
        "[dag]\nschedule = '@daily'\n[tasks]\nt = 'true'\n",
    );
    let server = place.serve();
    server.wait_for_dag("daily");
    let runs = place.call_json(&["dags", "next", "daily", "-n", "3", "-o", "json"]);
    let next = server.body("/api/v2/dags/daily")["next_dagrun_run_after"].clone();
    assert_eq!(runs.as_array().map(Vec::len), Some(3));
    assert_eq!(runs[0]["run_after"], next);
    let unknown = place.call(&["dags", "next", "nobody"]);
    assert_eq!(unknown.status.code(), Some(3), "{}", told(&unknown));
}

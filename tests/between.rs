//! What one run wants of another, on the real program.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use serde_json::{Value, json};
use support::waiting::wait_for;
use support::{PATIENCE, Place, Server, http, told};

/// A DAG whose task `a` looks back, and goes on when a file of its date is there.
fn looks_back(place: &Place) {
    let gates = place.folder().display();
    place.write_dag(
        "chain.toml",
        &format!(
            "[dag]\nmax_active_runs = 4\n[tasks.a]\ndepends_on_past = true\nshell = 'until test -e {gates}/$TIDEMILL_DS; do sleep 0.02; done; test ! -e {gates}/$TIDEMILL_DS.bad'\n[tasks.b]\ndepends_on = 'a'\nshell = 'true'\n"
        ),
    );
}

fn dated(place: &Place, dag: &str, date: &str) -> String {
    place.trigger(dag, &["--logical-date", date])
}

/// The conditions of a task instance by name.
fn why(place: &Place, dag: &str, run: &str, task: &str) -> Value {
    let run = format!("{dag}/{run}");
    place.call_json(&["tasks", "why", &run, task, "-o", "json"])
}

fn condition(why: &Value, name: &str) -> Value {
    let list = why["conditions"]
        .as_array()
        .unwrap_or_else(|| panic!("{why}"));
    let found = list.iter().find(|one| one["condition"] == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {why}"))
        .clone()
}

fn is_held(place: &Place, dag: &str, run: &str, task: &str) -> bool {
    let why = why(place, dag, run, task);
    let list = why["conditions"].as_array().unwrap();
    list.iter()
        .any(|one| one["condition"] == "depends_on_past" && one["ok"] == false)
}

fn wait_until_held(place: &Place, server: &Server, dag: &str, run: &str, task: &str) {
    wait_for("the run to be held by the one before", PATIENCE, || {
        let is_running = server.run(dag, run)["state"] == "running";
        (is_running && is_held(place, dag, run, task)).then_some(())
    });
}

#[test]
fn a_task_waits_for_itself_in_the_run_before_through_failure_repair_and_kill() {
    let place = Place::new();
    looks_back(&place);
    let mut server = place.serve();
    server.wait_for_dag("chain");
    std::fs::write(place.folder().join("2026-01-01.bad"), "").unwrap();
    let first = dated(&place, "chain", "2026-01-01");
    let second = dated(&place, "chain", "2026-01-02");
    let third = dated(&place, "chain", "2026-01-03");
    place.open("2026-01-02");
    place.open("2026-01-03");
    server.wait_for_task("chain", &first, "a", "running");
    wait_until_held(&place, &server, "chain", &second, "a");
    let told = condition(&why(&place, "chain", &second, "a"), "depends_on_past");
    assert_eq!(told["holders"][0]["run_id"], first.as_str(), "{told}");

    // A failure holds the next run, over a kill of the server as well.
    place.open("2026-01-01");
    assert_eq!(server.wait_for_end("chain", &first)["state"], "failed");
    server.signal(rustix::process::Signal::KILL);
    server.wait_until_gone();
    let server = place.serve();
    wait_until_held(&place, &server, "chain", &second, "a");
    wait_until_held(&place, &server, "chain", &third, "a");

    // The repair lets the second go, and that the third.
    std::fs::remove_file(place.folder().join("2026-01-01.bad")).unwrap();
    let run = format!("chain/{first}");
    let cleared = place.call(&["runs", "clear", &run, "-y"]);
    assert!(cleared.status.success(), "{}", support::told(&cleared));
    for run in [&first, &second, &third] {
        assert_eq!(server.wait_for_end("chain", run)["state"], "success");
    }
}

#[test]
fn a_run_that_comes_in_between_is_waited_for() {
    let place = Place::new();
    looks_back(&place);
    let server = place.serve();
    server.wait_for_dag("chain");
    let first = dated(&place, "chain", "2026-01-01");
    let third = dated(&place, "chain", "2026-01-03");
    wait_until_held(&place, &server, "chain", &third, "a");
    let second = dated(&place, "chain", "2026-01-02");
    place.open("2026-01-01");
    place.open("2026-01-03");
    assert_eq!(server.wait_for_end("chain", &first)["state"], "success");
    server.wait_for_task("chain", &second, "a", "running");
    let told = condition(&why(&place, "chain", &third, "a"), "depends_on_past");
    assert_eq!(told["ok"], false);
    assert_eq!(told["holders"][0]["run_id"], second.as_str(), "{told}");
    place.open("2026-01-02");
    assert_eq!(server.wait_for_end("chain", &third)["state"], "success");
}

/// A DAG that runs until a file is there, and then ends as the file says.
fn other(place: &Place, name: &str) {
    let gate = place.folder().join(name);
    let gate = gate.display();
    place.write_dag(
        &format!("{name}.toml"),
        &format!(
            "[params]\nword = 'none'\n[tasks]\nwork = 'until test -e {gate}; do sleep 0.02; done; sh {gate}'\n"
        ),
    );
}

fn end_other(place: &Place, name: &str, how: &str) {
    let new = place.folder().join(format!("{name}.new"));
    std::fs::write(&new, how).unwrap();
    std::fs::rename(new, place.folder().join(name)).unwrap();
}

#[test]
fn sensors_wait_without_a_slot_for_times_and_for_other_dags_over_a_kill() {
    let place = Place::new();
    other(&place, "orders");
    place.write_dag(
        "daily.toml",
        "[dag]\nmax_active_tasks = 1\n\
         [tasks.at_once]\ntime_sensor = '00:00'\n\
         [tasks.far]\ntime_sensor = { at = 2999-01-01T00:00:00Z }\n\
         [tasks.run]\nexternal_task_sensor = { dag_id = 'orders' }\n\
         [tasks.task]\nexternal_task_sensor = { dag_id = 'orders', task_id = 'work', match = 'latest', failed_states = ['failed'] }\n\
         [tasks.after]\ndepends_on = ['run', 'task']\nshell = 'true'\n\
         [tasks.beside]\nshell = 'true'\n",
    );
    let mut server = place.serve();
    server.wait_for_dag("daily");
    server.wait_for_dag("orders");
    let run = dated(&place, "daily", "2026-01-02");
    server.wait_for_task("daily", &run, "at_once", "success");
    server.wait_for_task("daily", &run, "beside", "success");
    for task in ["far", "run", "task"] {
        server.wait_for_task("daily", &run, task, "deferred");
    }
    let pool = server.body("/api/v2/pools/default_pool");
    assert_eq!(pool["occupied_slots"], 0, "{pool}");
    assert_eq!(pool["deferred_slots"], 3, "{pool}");
    let told = condition(&why(&place, "daily", &run, "run"), "deferred");
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.contains("orders that is not there yet"), "{told}");
    assert!(
        detail.contains("the one for 2026-01-02T00:00:00Z"),
        "{told}"
    );
    let told = condition(&why(&place, "daily", &run, "task"), "deferred");
    let detail = told["detail"].as_str().unwrap();
    assert!(
        detail.contains("the newest for 2026-01-02T00:00:00Z or earlier"),
        "{told}"
    );

    // One on the day, and one before it that nobody waits for.
    dated(&place, "orders", "2026-01-01");
    let there = dated(&place, "orders", "2026-01-02");
    server.wait_for_task("orders", &there, "work", "running");
    wait_for("the sensor to know its run", PATIENCE, || {
        let told = condition(&why(&place, "daily", &run, "run"), "deferred");
        (told["holders"][0]["run_id"] == there.as_str()).then_some(())
    });
    server.signal(rustix::process::Signal::KILL);
    server.wait_until_gone();
    let server = place.serve();
    server.wait_for_task("daily", &run, "task", "failed");

    // The run was lost with the server, for it has no retries: so its task has failed. It is
    // repaired, and so is what had waited for it.
    end_other(&place, "orders", "true");
    for (dag, run) in [("orders", &there), ("daily", &run)] {
        let args = [
            "runs",
            "clear",
            &format!("{dag}/{run}"),
            "--only-failed",
            "-y",
        ];
        let cleared = place.call(&args);
        assert!(cleared.status.success(), "{}", support::told(&cleared));
    }
    server.wait_for_task("daily", &run, "run", "success");
    server.wait_for_task("daily", &run, "after", "success");
    let waits = server.task("daily", &run, "far");
    assert_eq!(waits["state"], "deferred");
    let ended = place.call(&["runs", "cancel", &format!("daily/{run}")]);
    assert!(ended.status.success(), "{}", support::told(&ended));
    server.wait_for_end("daily", &run);
}

#[test]
fn a_task_starts_one_run_for_one_cause_and_ends_with_it() {
    let place = Place::new();
    other(&place, "child");
    place.write_dag(
        "parent.toml",
        "[tasks.start]\nretries = 1\nretry_delay = '0s'\n\
         [tasks.start.trigger_dag_run]\ndag_id = 'child'\nconf = { word = '{{ ds }}' }\nlogical_date = '{{ logical_date }}'\nwait_for_completion = true\n\
         [tasks.after]\ndepends_on = 'start'\nshell = 'echo {{ tasks.start.outputs.trigger_run_id }}'\n",
    );
    let mut server = place.serve();
    server.wait_for_dag("parent");
    server.wait_for_dag("child");
    let run = dated(&place, "parent", "2026-01-02");
    server.wait_for_task("parent", &run, "start", "deferred");
    let child = server.runs("child").remove(0);
    let id = child["dag_run_id"].as_str().unwrap().to_string();
    assert_eq!(child["logical_date"], "2026-01-02T00:00:00Z");
    assert_eq!(child["conf"]["word"], "2026-01-02");
    server.wait_for_task("child", &id, "work", "running");
    let told = condition(&why(&place, "parent", &run, "start"), "deferred");
    assert_eq!(told["holders"][0]["run_id"], id.as_str(), "{told}");

    // A kill of everything makes no second run: the child fails, the next try runs it again.
    server.signal(rustix::process::Signal::KILL);
    server.wait_until_gone();
    let server = place.serve();
    wait_for("the second try", PATIENCE, || {
        (server.task("parent", &run, "start")["try_number"] == 2).then_some(())
    });
    server.wait_for_task("child", &id, "work", "running");
    assert_eq!(server.runs("child").len(), 1);
    end_other(&place, "child", "exit 3");
    assert_eq!(server.wait_for_end("parent", &run)["state"], "failed");

    // A person clears it: that is another cause, but its logical date is taken.
    end_other(&place, "child", "true");
    let clear = || {
        let cleared = place.call(&["runs", "clear", &format!("parent/{run}"), "-y"]);
        assert!(cleared.status.success(), "{}", support::told(&cleared));
        server.wait_for_end("parent", &run)
    };
    assert_eq!(clear()["state"], "failed");
    let start = why(&place, "parent", &run, "start");
    assert!(start["conditions"].is_array());
    assert_eq!(server.runs("child").len(), 1);
    place.write_dag(
        "parent.toml",
        "[dag]\nrerun_with_latest_version = true\n[tasks.start.trigger_dag_run]\ndag_id = 'child'\nlogical_date = '{{ logical_date }}'\nwait_for_completion = true\nreset_dag_run = true\n",
    );
    wait_for("the new version", PATIENCE, || {
        let task = server.body("/api/v2/dags/parent/tasks");
        (task["total_entries"] == 1).then_some(())
    });
    assert_eq!(clear()["state"], "success");
    assert_eq!(server.runs("child").len(), 1);
    assert_eq!(server.run("child", &id)["state"], "success");
}

/// What a task has kept under a key.
fn kept(server: &Server, run: &str, task: &str, key: &str) -> Value {
    let run = http::escape(run);
    let path = format!("/api/v2/dags/last/dagRuns/{run}/taskInstances/{task}/xcomEntries/{key}");
    server.body(&path)["value"].clone()
}

#[test]
fn templates_see_the_last_run_before_theirs_that_has_succeeded_and_how_many_they_are() {
    let place = Place::new();
    place.write_dag(
        "last.toml",
        "
[params]
how = 'well'
[tasks.told]
shell = 'test {{ params.how | quote }} = well'
[tasks.told.outputs]
about = '{{ prev_data_interval_end_success }}'
is_first = '{{ prev_start_date_success is none and prev_end_date_success is none }}'
is_alone = '{{ expanded_ti_count is none }}'
[tasks.many]
expand = { x = ['a', 'b', 'c'] }
shell = 'true'
outputs = { n = '{{ expanded_ti_count }}' }
",
    );
    let server = place.serve();
    server.wait_for_dag("last");
    let dated = |date: &str, how: &str, state: &str| {
        let run = place.trigger("last", &["--logical-date", date, "--param", how]);
        assert_eq!(server.wait_for_end("last", &run)["state"], state);
        run
    };
    dated("2026-01-02", "how=well", "success");
    dated("2026-01-03", "how=badly", "failed");
    dated("2026-01-06", "how=well", "success");
    let after = dated("2026-01-04", "how=well", "success");
    let about = kept(&server, &after, "told", "about");
    assert!(about.as_str().unwrap().starts_with("2026-01-02"), "{about}");
    assert_eq!(kept(&server, &after, "told", "is_first"), false);
    assert_eq!(kept(&server, &after, "told", "is_alone"), true);
    let instance = http::escape(&after);
    let path = format!(
        "/api/v2/dags/last/dagRuns/{instance}/taskInstances/many/xcomEntries/n?map_index=1"
    );
    assert_eq!(server.body(&path)["value"], 3);
    let first = dated("2026-01-01", "how=well", "success");
    assert_eq!(kept(&server, &first, "told", "about"), Value::Null);
    assert_eq!(kept(&server, &first, "told", "is_first"), true);
}

/// Source: Airflow's `infer_manual_data_interval` and `create_dagrun`.
#[test]
fn a_run_that_is_asked_for_is_about_the_last_whole_period_and_its_name_is_looked_at() {
    let place = Place::new();
    place.write_dag(
        "daily.toml",
        "[dag]\nstart_date = 2099-01-01\nschedule = { cron = '@daily', interval = 'period' }\n[tasks]\nt = 'true'\n",
    );
    place.write_dag(
        "starter.toml",
        "[tasks.good.trigger_dag_run]\ndag_id = 'daily'\nrun_id = 'by_task'\nlogical_date = '2026-03-05T01:00:00Z'\n\
         [tasks.bad.trigger_dag_run]\ndag_id = 'daily'\nrun_id = 'scheduled__2099-01-02'\n",
    );
    let server = place.serve();
    server.wait_for_dag("daily");
    server.wait_for_dag("starter");
    let path = "/api/v2/dags/daily/dagRuns";
    let make = |body: Value| server.send("POST", path, &body);
    let interval = |run: &Value| {
        let [start, end] = ["data_interval_start", "data_interval_end"].map(|key| run[key].clone());
        (start, end)
    };
    let (_, dated) = make(json!({ "logical_date": "2026-03-03T15:00:00Z" }));
    let (from, to) = ("2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z");
    assert_eq!(interval(&dated), (json!(from), json!(to)), "{dated}");
    let both = json!({ "logical_date": to, "data_interval_start": from, "data_interval_end": to });
    assert_eq!(interval(&make(both).1), (json!(from), json!(to)));
    // What is about no instant is about no data.
    let none =
        json!({ "logical_date": null, "data_interval_start": from, "data_interval_end": to });
    assert_eq!(interval(&make(none).1), (Value::Null, Value::Null));
    for name in ["a/b", "a b", "a..b", "scheduled__2099-01-02T00:00:00Z"] {
        let (status, told) = make(json!({ "logical_date": null, "dag_run_id": name }));
        assert_eq!(status, 400, "{name}: {told}");
        assert!(told["detail"].as_str().unwrap().contains(name), "{told}");
    }
    let refused = place.call(&["dags", "trigger", "daily", "--run-id", "a b"]);
    assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));

    let starter = place.trigger("starter", &[]);
    server.wait_for_end("starter", &starter);
    let child = server.run("daily", "by_task");
    assert_eq!(
        interval(&child),
        (json!("2026-03-04T00:00:00Z"), json!("2026-03-05T00:00:00Z"))
    );
    assert_eq!(child["triggered_by"], "operator", "{child}");
    assert_eq!(server.task("starter", &starter, "good")["state"], "success");
    assert_eq!(server.task("starter", &starter, "bad")["state"], "failed");
}

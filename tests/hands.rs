//! People's hands on runs, and files that change under them, on the real program.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use serde_json::{Value, json};
use support::waiting::wait_for;
use support::{PATIENCE, Place, Server, http, stderr, stdout, told};

fn run_path(dag: &str, run: &str) -> String {
    format!("/api/v2/dags/{dag}/dagRuns/{}", http::escape(run))
}

/// The version of the file that a DAG is at.
fn wait_for_version(server: &Server, dag: &str, version: i64) {
    wait_for("the new version", PATIENCE, || {
        let details = server.body(&format!("/api/v2/dags/{dag}/details"));
        (details["latest_dag_version"]["version_number"] == version).then_some(())
    });
}

fn states(server: &Server, dag: &str, run: &str) -> Vec<(String, String)> {
    let text = |task: &Value, key: &str| task[key].as_str().unwrap_or("none").to_string();
    let tasks = server.tasks(dag, run);
    tasks
        .iter()
        .map(|task| (text(task, "task_id"), text(task, "state")))
        .collect()
}

#[test]
fn clearing_reaches_earlier_and_later_runs_and_shows_them_first() {
    let place = Place::new();
    place.write_dag(
        "etl.toml",
        "[tasks.a]\nshell = 'true'\n[tasks.b]\ndepends_on = 'a'\nshell = 'true'\n",
    );
    let server = place.serve();
    server.wait_for_dag("etl");
    let days = ["2026-01-01", "2026-01-02", "2026-01-03"];
    let runs = days.map(|day| place.trigger("etl", &["--logical-date", day]));
    let undated = place.trigger("etl", &["--logical-date", "none"]);
    runs.iter()
        .chain([&undated])
        .for_each(|run| drop(server.wait_for_end("etl", run)));
    let tries = |run: &str, task: &str| server.task("etl", run, task)["try_number"].clone();

    let name = format!("etl/{}", runs[1]);
    let plan = stdout(&place.call(&["tasks", "clear", &name, "b", "--past", "--dry-run"]));
    assert!(
        plan.contains(&runs[0]) && !plan.contains(&runs[2]),
        "{plan}"
    );
    let done = place.call(&["tasks", "clear", &name, "b", "--past", "-y"]);
    assert!(done.status.success(), "{}", told(&done));
    let again = |run: &str| {
        wait_for("b to run again", PATIENCE, || {
            (tries(run, "b") == 2).then_some(())
        });
        server.wait_for_end("etl", run);
    };
    again(&runs[0]);
    again(&runs[1]);
    assert_eq!(
        (tries(&runs[2], "b"), tries(&undated, "b")),
        (json!(1), json!(1))
    );
    assert_eq!(tries(&runs[0], "a"), 1);

    // By dates alone, without a run.
    let wish = json!({
        "dry_run": false, "only_failed": false, "task_ids": ["a"], "include_downstream": true,
        "start_date": "2026-01-02T12:00:00Z", "end_date": "2026-01-04T00:00:00Z",
    });
    let (status, body) = server.send("POST", "/api/v2/dags/etl/clearTaskInstances", &wish);
    assert_eq!((status, &body["total_entries"]), (200, &json!(2)), "{body}");
    again(&runs[2]);
    assert_eq!(tries(&runs[1], "a"), 1);
    let none = json!({ "dag_run_id": undated, "include_past": true, "only_failed": false });
    let (status, body) = server.send("POST", "/api/v2/dags/etl/clearTaskInstances", &none);
    assert!(
        status == 422 && body.to_string().contains("no logical date"),
        "{body}"
    );
}

#[test]
fn tasks_and_groups_are_marked_and_a_skip_is_a_skip() {
    let place = Place::new();
    let hold = place.until("go");
    let text = format!(
        "[groups.load]\n[groups.inner]\ngroup = 'load'\n[tasks.first]\nshell = '''{hold}'''\n[tasks.x]\ngroup = 'load'\ndepends_on = 'first'\nshell = 'false'\n[tasks.y]\ngroup = 'inner'\ndepends_on = 'first'\nshell = 'false'\n[tasks.last]\ndepends_on = ['x', 'y']\nshell = 'true'\n"
    );
    place.write_dag("grouped.toml", &text);
    let server = place.serve();
    server.wait_for_dag("grouped");
    let run = place.trigger("grouped", &[]);
    server.wait_for_task("grouped", &run, "first", "running");
    let name = format!("grouped/{run}");
    let plan = place.call(&["tasks", "mark", &name, "success", "load", "--dry-run"]);
    assert!(
        stdout(&plan).contains('x') && stdout(&plan).contains('y'),
        "{}",
        told(&plan)
    );
    assert_eq!(server.task("grouped", &run, "x")["state"], Value::Null);
    let marked = place.call(&["tasks", "mark", &name, "success", "load"]);
    assert!(marked.status.success(), "{}", told(&marked));
    place.open("go");
    assert_eq!(server.wait_for_end("grouped", &run)["state"], "success");
    assert_eq!(server.task("grouped", &run, "last")["state"], "success");
    let marked = place.call(&["tasks", "mark", &name, "skipped", "last"]);
    assert!(marked.status.success(), "{}", told(&marked));
    assert_eq!(server.task("grouped", &run, "last")["state"], "skipped");
    let wrong = place.call(&["tasks", "mark", &name, "failed", "lst"]);
    assert_eq!(wrong.status.code(), Some(3), "{}", told(&wrong));
    let marked = place.call(&["runs", "mark", &name, "failed"]);
    assert!(marked.status.success(), "{}", told(&marked));
    assert_eq!(server.run("grouped", &run)["state"], "failed");
}

#[test]
fn notes_stay_with_runs_and_tasks_over_a_restart() {
    let place = Place::new();
    place.write_dag("hello.toml", "[tasks]\nt = 'true'\n");
    let mut server = place.serve();
    server.wait_for_dag("hello");
    let run = place.trigger("hello", &[]);
    server.wait_for_end("hello", &run);
    let name = format!("hello/{run}");
    assert!(
        place
            .call(&["runs", "note", &name, "checked by Ana"])
            .status
            .success()
    );
    assert!(
        place
            .call(&["tasks", "note", &name, "t", "slow disk"])
            .status
            .success()
    );
    let long = "x".repeat(1_001);
    let refused = place.call(&["runs", "note", &name, &long]);
    assert!(stderr(&refused).contains("1001"), "{}", told(&refused));
    server.signal(rustix::process::Signal::TERM);
    server.wait_until_gone();
    let server = place.serve();
    server.wait_for_dag("hello");
    assert_eq!(server.run("hello", &run)["note"], "checked by Ana");
    assert_eq!(server.task("hello", &run, "t")["note"], "slow disk");
    assert!(
        place
            .call(&["tasks", "note", &name, "t", ""])
            .status
            .success()
    );
    assert_eq!(server.task("hello", &run, "t")["note"], Value::Null);
}

// A file that changes under a run.

#[test]
fn a_bad_file_leaves_the_last_good_version_running() {
    let place = Place::new();
    place.write_dag("edit.toml", "[tasks]\nt = 'echo first'\n");
    let server = place.serve();
    server.wait_for_dag("edit");
    place.write_dag("edit.toml", "[tasks]\nt = 'echo broken\n");
    wait_for("the mistake to be told", PATIENCE, || {
        let dag = server.body("/api/v2/dags/edit");
        (dag["has_import_errors"] == true).then_some(())
    });
    let run = place.trigger("edit", &[]);
    assert_eq!(server.wait_for_end("edit", &run)["state"], "success");
    let log = stdout(&place.call(&["runs", "logs", &format!("edit/{run}")]));
    assert!(log.contains("first"), "{log}");
}

#[test]
fn editing_or_deleting_the_file_neither_changes_nor_strands_nor_greens_a_run() {
    let place = Place::new();
    let hold = place.until("go");
    let text = format!(
        "[tasks.first]\nshell = '''{hold}'''\n[tasks.second]\ndepends_on = 'first'\nshell = 'echo old; false'\n"
    );
    place.write_dag("edit.toml", &text);
    let server = place.serve();
    server.wait_for_dag("edit");
    let run = place.trigger("edit", &[]);
    server.wait_for_task("edit", &run, "first", "running");
    // The task that fails leaves the file, and another one comes in under a reversed edge.
    place.write_dag(
        "edit.toml",
        "[tasks.other]\nshell = 'true'\n[tasks.first]\ndepends_on = 'other'\nshell = 'true'\n",
    );
    wait_for_version(&server, "edit", 2);
    std::fs::remove_file(place.dags().join("edit.toml")).unwrap();
    wait_for("the file to be missed", PATIENCE, || {
        (server.body("/api/v2/dags/edit")["is_stale"] == true).then_some(())
    });
    place.open("go");
    let ended = server.wait_for_end("edit", &run);
    assert_eq!(ended["state"], "failed", "{ended}");
    assert_eq!(ended["dag_versions"][0]["version_number"], 1);
    let expected = [("first", "success"), ("second", "failed")];
    let expected = expected.map(|(task, state)| (task.to_string(), state.to_string()));
    assert_eq!(states(&server, "edit", &run), expected);
    let log = stdout(&place.call(&["tasks", "logs", &format!("edit/{run}"), "second"]));
    assert!(log.contains("old"), "{log}");
}

#[test]
fn a_cleared_run_goes_on_by_its_own_version_unless_the_latest_is_wished() {
    let place = Place::new();
    place.write_dag(
        "edit.toml",
        "[tasks.gone]\nshell = 'true'\n[tasks.kept]\nshell = 'echo old; false'\n",
    );
    let server = place.serve();
    server.wait_for_dag("edit");
    let run = place.trigger("edit", &[]);
    server.wait_for_end("edit", &run);
    place.write_dag(
        "edit.toml",
        "[tasks.kept]\nshell = 'echo new'\n[tasks.fresh]\ndepends_on = 'kept'\nshell = 'true'\n",
    );
    wait_for_version(&server, "edit", 2);
    let name = format!("edit/{run}");
    assert!(
        place
            .call(&["runs", "clear", &name, "--only-failed", "-y"])
            .status
            .success()
    );
    wait_for("the second try", PATIENCE, || {
        (server.task("edit", &run, "kept")["try_number"] == 2).then_some(())
    });
    assert_eq!(server.wait_for_end("edit", &run)["state"], "failed");
    assert_eq!(
        server.run("edit", &run)["dag_versions"][0]["version_number"],
        1
    );

    let cleared = place.call(&[
        "runs",
        "clear",
        &name,
        "--only-failed",
        "--latest-version",
        "-y",
    ]);
    assert!(cleared.status.success(), "{}", told(&cleared));
    wait_for("the third try", PATIENCE, || {
        (server.task("edit", &run, "kept")["try_number"] == 3).then_some(())
    });
    assert_eq!(server.wait_for_end("edit", &run)["state"], "success");
    assert_eq!(
        server.run("edit", &run)["dag_versions"][0]["version_number"],
        2
    );
    let mut found = states(&server, "edit", &run);
    found.sort();
    let expected = [
        ("fresh", "success"),
        ("gone", "removed"),
        ("kept", "success"),
    ];
    let expected = expected.map(|(task, state)| (task.to_string(), state.to_string()));
    assert_eq!(found, expected);
    let log = stdout(&place.call(&["tasks", "logs", &name, "kept"]));
    assert!(log.contains("new"), "{log}");
}

#[test]
fn a_task_that_leaves_the_file_and_comes_back_keeps_its_history() {
    let place = Place::new();
    let with = "[tasks.a]\nshell = 'true'\n[tasks.b]\nshell = 'true'\n";
    place.write_dag("edit.toml", with);
    let server = place.serve();
    server.wait_for_dag("edit");
    let first = place.trigger("edit", &[]);
    server.wait_for_end("edit", &first);
    let id = |run: &str, task: &str| server.task("edit", run, task)["id"].clone();
    let before = id(&first, "b");
    place.write_dag(
        "edit.toml",
        "[tasks.a]\nshell = 'true'\n[tasks.c]\nshell = 'true'\n",
    );
    wait_for_version(&server, "edit", 2);
    assert_eq!(id(&first, "b"), before, "an old run shows what ran");
    let second = place.trigger("edit", &[]);
    server.wait_for_end("edit", &second);
    assert_ne!(
        id(&second, "c").as_str().unwrap()[8..],
        before.as_str().unwrap()[8..]
    );
    place.write_dag("edit.toml", with);
    let shown = |run: &str| server.run("edit", run)["dag_versions"][0]["version_number"].clone();
    wait_for("the first version again", PATIENCE, || {
        let run = place.trigger("edit", &[]);
        server.wait_for_end("edit", &run);
        (shown(&run) == 1).then_some(())
    });
    assert_eq!((shown(&first), shown(&second)), (json!(1), json!(2)));
}

#[test]
fn a_running_run_is_not_moved_to_another_version() {
    let place = Place::new();
    let hold = place.until("go");
    place.write_dag("edit.toml", &format!("[tasks]\nt = '''{hold}'''\n"));
    let server = place.serve();
    server.wait_for_dag("edit");
    let run = place.trigger("edit", &[]);
    server.wait_for_task("edit", &run, "t", "running");
    place.write_dag("edit.toml", "[tasks]\nu = 'true'\n");
    wait_for_version(&server, "edit", 2);
    let name = format!("edit/{run}");
    let refused = place.call(&["runs", "clear", &name, "--latest-version", "-y"]);
    assert_eq!(refused.status.code(), Some(5), "{}", told(&refused));
    assert_eq!(server.task("edit", &run, "t")["state"], "running");
    place.open("go");
    assert_eq!(server.wait_for_end("edit", &run)["state"], "success");
}

#[test]
fn runs_are_listed_by_dates_and_in_the_wished_order() {
    let place = Place::new();
    place.write_dag("hello.toml", "[tasks]\nt = 'true'\n");
    let server = place.serve();
    server.wait_for_dag("hello");
    let days = ["2026-01-02", "2026-01-01", "2026-01-03"];
    days.iter()
        .for_each(|day| drop(place.trigger("hello", &["--logical-date", day])));
    let dates = |query: &str| -> Vec<String> {
        let list = server.body(&format!("{}?{query}", "/api/v2/dags/hello/dagRuns"));
        let all = list["dag_runs"].as_array().unwrap();
        all.iter()
            .map(|run| run["logical_date"].as_str().unwrap()[8..10].to_string())
            .collect()
    };
    assert_eq!(dates("order_by=logical_date"), ["01", "02", "03"]);
    assert_eq!(dates("order_by=-logical_date"), ["03", "02", "01"]);
    assert_eq!(
        dates("logical_date_gte=2026-01-02T00:00:00Z&order_by=id"),
        ["02", "03"]
    );
    assert_eq!(dates("logical_date_gt=2026-01-02T00:00:00Z"), ["03"]);
    assert_eq!(dates("logical_date_lt=2026-01-02T00:00:00Z"), ["01"]);
    let (status, body) = server.get(&format!(
        "{}?order_by=colour",
        run_path("hello", "").trim_end_matches('/')
    ));
    assert_eq!(status, 422, "{body}");
}

#[test]
fn one_instance_of_a_mapped_task_is_named_with_its_index() {
    let place = Place::new();
    place.write_dag(
        "wide.toml",
        "[tasks.each]\nexpand = { n = [1, 2, 3] }\nshell = 'echo this is {{ map.n }}; test {{ map.n }} != 2'\n",
    );
    let server = place.serve();
    server.wait_for_dag("wide");
    let run = place.trigger("wide", &[]);
    assert_eq!(server.wait_for_end("wide", &run)["state"], "failed");
    let name = format!("wide/{run}");
    let call = |verb: &[&str], rest: &[&str]| place.call(&[verb, &[name.as_str()], rest].concat());

    let list = stdout(&call(&["tasks", "list"], &["-o", "name"]));
    assert_eq!(list, "each[0]\neach[1]\neach[2]\n");
    let log = stdout(&call(&["tasks", "logs"], &["each[1]"]));
    assert_eq!(log, "this is 2\n");
    let found = stdout(&call(
        &["tasks", "logs"],
        &["each[2]", "--grep", "is [0-9]"],
    ));
    assert_eq!(found, "this is 3\n");
    let all = stdout(&call(&["runs", "logs"], &[]));
    assert_eq!(all.lines().nth(2), Some("each[2] | this is 3"), "{all}");
    for (task, why) in [("each", "`each` is mapped"), ("each[7]", "no instance 7")] {
        let refused = call(&["tasks", "logs"], &[task]);
        assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
        assert!(stderr(&refused).contains(why), "{}", told(&refused));
    }

    let noted = call(&["tasks", "note"], &["each[2]", "known"]);
    assert!(noted.status.success(), "{}", told(&noted));
    let plan = ["tasks", "mark", &name, "success", "each[1]", "--dry-run"];
    assert!(stdout(&place.call(&plan)).starts_with("each[1]\tfailed"));
    let marked = place.call(&plan[..5]);
    assert!(marked.status.success(), "{}", told(&marked));
    assert_eq!(server.wait_for_end("wide", &run)["state"], "success");
    let plan = stdout(&call(&["tasks", "clear"], &["each[0]", "--dry-run"]));
    assert_eq!(plan, "each[0]\n");
    let cleared = call(&["tasks", "clear"], &["each[0]", "-y"]);
    assert!(cleared.status.success(), "{}", told(&cleared));
    wait_for("the first instance to run again", PATIENCE, || {
        let tasks = server.tasks("wide", &run);
        let tries: Vec<&Value> = tasks.iter().map(|task| &task["try_number"]).collect();
        let is_over = tasks.iter().all(|task| task["state"] == "success");
        (is_over && tries == [2, 1, 1]).then_some(())
    });
    assert_eq!(server.tasks("wide", &run)[2]["note"], "known");
}

#[test]
fn as_many_runs_are_listed_as_are_wished_for() {
    let place = Place::new();
    let start = jiff::Timestamp::now().as_second() - 105 * 3_600;
    let start = jiff::Timestamp::from_second(start).unwrap();
    let text = format!(
        "[dag]\nschedule = '@every 1h'\nstart_date = {start}\ncatchup = true\n[tasks.t]\noperator = 'empty'\n"
    );
    place.write_dag("many.toml", &text);
    let server = place.serve();
    server.wait_for_dag("many");
    assert!(place.call(&["dags", "unpause", "many"]).status.success());
    wait_for("more runs than one answer has", PATIENCE, || {
        let found = server.body("/api/v2/dags/many/dagRuns?limit=1");
        (found["total_entries"].as_u64() >= Some(106)).then_some(())
    });
    let listed = |n: &str| {
        let list = place.call(&["runs", "list", "--dag", "many", "-n", n, "-o", "name"]);
        let names: std::collections::BTreeSet<String> =
            stdout(&list).lines().map(str::to_string).collect();
        names.len()
    };
    assert_eq!(listed("103"), 103);
    assert!(listed("500") >= 106);
    assert_eq!(listed("2"), 2);
}

//! Pools, limits on runs and tasks, and why something waits, on the real program.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use serde_json::{Value, json};
use support::waiting::wait_for;
use support::{PATIENCE, Place, Server, http, stderr, stdout, told};

/// The conditions of a task that are not met, by name.
fn blocked(server: &Server, dag: &str, run: &str, task: &str) -> Vec<Value> {
    let path = format!(
        "/api/tidemill/v1/dags/{dag}/dagRuns/{}/taskInstances/{task}/why",
        http::escape(run)
    );
    not_met(&server.body(&path))
}

fn not_met(answer: &Value) -> Vec<Value> {
    let all = answer["conditions"].as_array().unwrap();
    all.iter()
        .filter(|one| one["ok"] == false)
        .cloned()
        .collect()
}

fn names(conditions: &[Value]) -> Vec<&str> {
    conditions
        .iter()
        .map(|one| one["condition"].as_str().unwrap())
        .collect()
}

fn pool(server: &Server, name: &str) -> Value {
    server.body(&format!("/api/v2/pools/{name}"))
}

#[test]
fn a_full_pool_keeps_a_task_waiting_and_why_names_who_holds_it() {
    let place = Place::new();
    let hold = place.until("go");
    let text = format!(
        "[default_args]\npool = 'warehouse'\n[tasks.first]\npriority_weight = 2\nshell = '''{hold}'''\n[tasks.second]\nshell = 'true'\n"
    );
    place.write_dag("load.toml", &text);
    let server = place.serve();
    server.wait_for_dag("load");
    let set = place.call(&["pools", "set", "warehouse", "--slots", "1"]);
    assert!(set.status.success(), "{}", told(&set));
    let run = place.trigger("load", &[]);
    server.wait_for_task("load", &run, "first", "running");
    server.wait_for_task("load", &run, "second", "scheduled");

    let found = blocked(&server, "load", &run, "second");
    assert_eq!(names(&found), ["pool_slots"], "{found:?}");
    assert_eq!(
        found[0]["detail"],
        "1 of 1 slots of its pool `warehouse` are taken"
    );
    assert_eq!(found[0]["holders"][0]["task_id"], "first");
    let told_why = place.call(&["tasks", "why", &format!("load/{run}"), "second"]);
    let text = stdout(&told_why);
    assert!(
        text.contains("blocked  1 of 1 slots") && text.contains("load/") && text.contains("ok "),
        "{text}"
    );
    let of_run = stdout(&place.call(&["runs", "why", &format!("load/{run}")]));
    assert!(of_run.contains("1 tasks: waiting for a slot"), "{of_run}");

    let used = pool(&server, "warehouse");
    assert_eq!(
        (&used["occupied_slots"], &used["open_slots"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(used["scheduled_slots"], 1);
    place.open("go");
    assert_eq!(server.wait_for_end("load", &run)["state"], "success");
    assert_eq!(pool(&server, "warehouse")["occupied_slots"], 0);
}

#[test]
fn a_task_in_a_pool_that_nobody_has_made_waits_with_a_reason_until_somebody_makes_it() {
    let place = Place::new();
    place.write_dag("lost.toml", "[tasks.t]\npool = 'nowhere'\nshell = 'true'\n");
    let server = place.serve();
    server.wait_for_dag("lost");
    let run = place.trigger("lost", &[]);
    server.wait_for_task("lost", &run, "t", "scheduled");
    let found = blocked(&server, "lost", &run, "t");
    assert_eq!(names(&found), ["pool_exists"]);
    let made = json!({"name": "nowhere", "slots": 2, "description": "made by hand"});
    assert_eq!(server.send("POST", "/api/v2/pools", &made).0, 201);
    assert_eq!(server.send("POST", "/api/v2/pools", &made).0, 409);
    assert_eq!(server.wait_for_end("lost", &run)["state"], "success");
}

#[test]
fn a_hangup_reads_the_pools_of_the_file_again_and_a_wrong_file_changes_nothing() {
    let place = Place::new();
    std::fs::create_dir(place.home()).unwrap();
    let config = place.home().join("tidemill.toml");
    std::fs::write(&config, "[pools.gpu]\nslots = 0\n[pools.old]\nslots = 1\n").unwrap();
    let dag = "[tasks.train]\npool = 'gpu'\nshell = 'true'\n";
    place.write_dag("train.toml", dag);
    let mut server = place.serve();
    server.wait_for_dag("train");
    let run = place.trigger("train", &[]);

    std::fs::write(&config, "[pools.gpu]\nslot = 9\n").unwrap();
    server.signal(rustix::process::Signal::HUP);
    wait_for("the refusal of a wrong file", PATIENCE, || {
        let log = place.serve_log();
        log.contains("tidemill.toml is not taken").then_some(())
    });
    assert_eq!(pool(&server, "gpu")["slots"], 0);

    std::fs::write(&config, "[pools.gpu]\nslots = 2\n").unwrap();
    server.signal(rustix::process::Signal::HUP);
    server.wait_for_end("train", &run);
    assert_eq!(pool(&server, "gpu")["slots"], 2);
    assert_eq!(server.get("/api/v2/pools/old").0, 404);
    server.signal(rustix::process::Signal::TERM);
    server.wait_until_gone();
}

#[test]
fn pools_of_the_file_are_not_changed_by_hand_and_those_made_by_hand_outlive_a_restart() {
    let place = Place::new();
    std::fs::create_dir(place.home()).unwrap();
    let config = place.home().join("tidemill.toml");
    std::fs::write(&config, "[pools.gpu]\nslots = 3\ndescription = 'cards'\n").unwrap();
    let mut server = place.serve();
    let refused = place.call(&["pools", "set", "gpu", "--slots", "9"]);
    assert_eq!(refused.status.code(), Some(5), "{}", told(&refused));
    assert!(
        stderr(&refused).contains("tidemill.toml"),
        "{}",
        told(&refused)
    );
    assert_eq!(
        place.call(&["pools", "delete", "gpu"]).status.code(),
        Some(5)
    );
    assert_eq!(
        place
            .call(&["pools", "delete", "default_pool"])
            .status
            .code(),
        Some(5)
    );
    assert_eq!(
        place.call(&["pools", "delete", "none"]).status.code(),
        Some(3)
    );
    let set = [
        "pools",
        "set",
        "api",
        "--slots",
        "-1",
        "--include-deferred",
        "true",
    ];
    assert!(place.call(&set).status.success());
    assert_eq!(pool(&server, "api")["open_slots"], -1);
    server.signal(rustix::process::Signal::TERM);
    server.wait_until_gone();
    let offline = stdout(&place.call(&["pools", "list"]));
    assert!(
        offline.contains("api") && offline.contains("gpu"),
        "{offline}"
    );

    std::fs::write(&config, "[pools.default_pool]\nslots = 7\n").unwrap();
    let server = place.serve();
    let all = server.body("/api/v2/pools");
    let all = all["pools"].as_array().unwrap();
    let found: Vec<(&str, i64)> = all
        .iter()
        .map(|pool| {
            (
                pool["name"].as_str().unwrap(),
                pool["slots"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(found, [("api", -1), ("default_pool", 7)]);
    drop(server);
    std::fs::write(&config, "[pools.gpu]\nslot = 3\n").unwrap();
    let refused = place.serve_command().output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", place.serve_log());
}

#[test]
fn a_limit_on_instances_of_a_task_holds_over_all_runs_of_its_dag() {
    let place = Place::new();
    let hold = place.until("go");
    let text = format!(
        "[tasks.only]\nmax_active_tis_per_dag = 1\nshell = '''{hold}'''\n[tasks.free]\nshell = 'true'\n"
    );
    place.write_dag("one.toml", &text);
    let server = place.serve();
    server.wait_for_dag("one");
    let first = place.trigger("one", &[]);
    server.wait_for_task("one", &first, "only", "running");
    let second = place.trigger("one", &[]);
    server.wait_for_task("one", &second, "free", "success");
    let found = blocked(&server, "one", &second, "only");
    assert_eq!(names(&found), ["max_active_tis_per_dag"]);
    assert_eq!(found[0]["holders"][0]["run_id"], json!(first));
    place.open("go");
    for run in [first, second] {
        assert_eq!(server.wait_for_end("one", &run)["state"], "success");
    }
}

#[test]
fn a_run_waits_for_its_turn_and_why_names_the_run_that_has_it() {
    let place = Place::new();
    let hold = place.until("go");
    let text = format!("[dag]\nmax_active_runs = 1\n[tasks.t]\nshell = '''{hold}'''\n");
    place.write_dag("turn.toml", &text);
    let server = place.serve();
    server.wait_for_dag("turn");
    let first = place.trigger("turn", &[]);
    server.wait_for_task("turn", &first, "t", "running");
    let second = place.trigger("turn", &[]);
    assert_eq!(server.run("turn", &second)["state"], "queued");
    let path = format!(
        "/api/tidemill/v1/dags/turn/dagRuns/{}/why",
        http::escape(&second)
    );
    let found = not_met(&server.body(&path));
    assert_eq!(names(&found), ["run_running", "max_active_runs"]);
    assert_eq!(found[1]["holders"][0]["run_id"], json!(first));
    place.open("go");
    assert_eq!(server.wait_for_end("turn", &second)["state"], "success");
}

#[test]
fn a_cleared_run_waits_for_its_turn_like_any_other() {
    let place = Place::new();
    let hold = place.until("go");
    let text = format!(
        "[dag]\nmax_active_runs = 1\n[params]\nhold = 'no'\n[tasks.t]\nenv = {{ HOLD = '{{{{ params.hold }}}}' }}\nshell = '''if test $HOLD = yes; then {hold}; fi'''\n"
    );
    place.write_dag("again.toml", &text);
    let server = place.serve();
    server.wait_for_dag("again");
    let ended = place.trigger("again", &[]);
    server.wait_for_end("again", &ended);
    let holding = place.trigger("again", &["--param", "hold=yes"]);
    server.wait_for_task("again", &holding, "t", "running");
    let cleared = place.call(&["tasks", "clear", &format!("again/{ended}"), "-y"]);
    assert!(cleared.status.success(), "{}", told(&cleared));
    assert_eq!(server.run("again", &ended)["state"], "queued");
    place.open("go");
    wait_for("the cleared run", PATIENCE, || {
        let run = server.run("again", &ended);
        let task = server.task("again", &ended, "t");
        (run["state"] == "success" && task["try_number"] == 2).then_some(())
    });
}

#[test]
fn runs_with_one_key_wait_are_not_made_or_replace_each_other_by_the_policy() {
    let place = Place::new();
    let hold = place.until("go");
    for policy in ["queue", "skip", "replace"] {
        let text = format!(
            "[params]\nregion = 'eu'\n[dag.concurrency]\nkey = '{{{{ params.region }}}}'\npolicy = '{policy}'\n[tasks.t]\nshell = '''{hold}'''\n"
        );
        place.write_dag(&format!("{policy}.toml"), &text);
    }
    let server = place.serve();
    ["queue", "skip", "replace"]
        .iter()
        .for_each(|dag| server.wait_for_dag(dag));
    let first = ["queue", "skip", "replace"].map(|dag| place.trigger(dag, &[]));
    let other =
        ["queue", "skip", "replace"].map(|dag| place.trigger(dag, &["--param", "region=us"]));
    let queued = place.trigger("queue", &[]);
    assert_eq!(server.run("queue", &queued)["state"], "queued");
    let skipped = place.call(&["dags", "trigger", "skip"]);
    assert_eq!(skipped.status.code(), Some(5), "{}", told(&skipped));
    assert!(stderr(&skipped).contains("key `eu`"), "{}", told(&skipped));
    let newer = place.trigger("replace", &[]);
    let replaced = server.wait_for_end("replace", &first[2]);
    assert_eq!(
        (&replaced["state"], &replaced["note"]),
        (&json!("failed"), &json!("replaced"))
    );
    place.open("go");
    server.wait_for_good_ends(&[
        ("queue", &first[0]),
        ("queue", &queued),
        ("skip", &first[1]),
        ("replace", &newer),
        ("queue", &other[0]),
        ("skip", &other[1]),
        ("replace", &other[2]),
    ]);
}

#[test]
fn heavier_tasks_go_first_and_a_task_weighs_what_waits_for_it() {
    let place = Place::new();
    // `tail` weighs little by itself, but much waits for `head`.
    let text = "[default_args]\npool = 'one'\n[tasks.light]\nshell = 'true'\n[tasks.heavy]\npriority_weight = 5\nshell = 'true'\n[tasks.head]\nshell = 'true'\n[tasks.tail]\ndepends_on = 'head'\npriority_weight = 9\nshell = 'true'\n";
    place.write_dag("weights.toml", text);
    let server = place.serve();
    server.wait_for_dag("weights");
    let run = place.trigger("weights", &[]);
    server.wait_for_task("weights", &run, "light", "scheduled");
    assert!(
        place
            .call(&["pools", "set", "one", "--slots", "1"])
            .status
            .success()
    );
    assert_eq!(server.wait_for_end("weights", &run)["state"], "success");
    let mut started: Vec<(String, String)> = server
        .tasks("weights", &run)
        .iter()
        .map(|task| {
            let text = |key: &str| task[key].as_str().unwrap().to_string();
            (text("start_date"), text("task_id"))
        })
        .collect();
    started.sort();
    let order: Vec<&str> = started.iter().map(|(_, task)| task.as_str()).collect();
    assert_eq!(order, ["head", "tail", "heavy", "light"]);
    assert_eq!(server.task("weights", &run, "head")["priority_weight"], 10);
}

#[test]
fn a_dag_without_a_run_says_why() {
    let place = Place::new();
    let text = "[dag]\nschedule = '0 6 * * *'\nstart_date = 2026-01-01\nis_paused_upon_creation = true\n[tasks]\nt = 'true'\n";
    place.write_dag("daily.toml", text);
    place.write_dag("plain.toml", "[tasks]\nt = 'true'\n");
    let server = place.serve();
    server.wait_for_dag("daily");
    server.wait_for_dag("plain");
    let why =
        |dag: &str, query: &str| server.body(&format!("/api/tidemill/v1/dags/{dag}/why{query}"));
    assert_eq!(names(&not_met(&why("daily", ""))), ["not_paused", "due"]);
    let at = why("daily", "?at=2026-01-05T07:00:00Z");
    let found = not_met(&at);
    assert_eq!(names(&found), ["not_paused", "fires", "catchup"]);
    assert!(
        found[1]["detail"]
            .as_str()
            .unwrap()
            .contains("2026-01-05T06:00:00Z"),
        "{at}"
    );
    let at = why("daily", "?at=2025-12-31T06:00:00Z");
    assert!(names(&not_met(&at)).contains(&"dates"), "{at}");
    assert_eq!(names(&not_met(&why("plain", ""))), ["schedule"]);
    let said = stdout(&place.call(&["dags", "why", "daily"]));
    assert!(said.contains("blocked  it is paused"), "{said}");
}

#[test]
fn a_run_with_very_many_ready_tasks_does_not_hold_up_another_dag() {
    let place = Place::new();
    let many: String = (0..3_000).map(|at| format!("t{at} = 'true'\n")).collect();
    place.write_dag("many.toml", &format!("[tasks]\n{many}"));
    place.write_dag("single.toml", "[tasks]\nt = 'true'\n");
    let server = place.serve();
    server.wait_for_dag("many");
    server.wait_for_dag("single");
    let wide = place.trigger("many", &[]);
    let single = place.trigger("single", &[]);
    let single = server.wait_for_end("single", &single);
    let wide = server.wait_for_end("many", &wide);
    assert_eq!(
        (&single["state"], &wide["state"]),
        (&json!("success"), &json!("success"))
    );
    let at = |run: &Value, key: &str| run[key].as_str().unwrap().to_string();
    assert!(
        at(&single, "end_date") < at(&wide, "end_date"),
        "{single} after {wide}"
    );
}

#[test]
fn events_of_assets_that_the_policy_skip_kept_waiting_make_a_run_when_there_is_room() {
    let place = Place::new();
    let hold = place.until("go");
    place.write_dag(
        "write.toml",
        "[assets.orders]\n[tasks.t]\nshell = 'true'\noutlets = ['orders']\n",
    );
    let text = format!(
        "[dag]\nschedule = {{ assets = ['orders'] }}\n[dag.concurrency]\npolicy = 'skip'\n[assets.orders]\n[tasks]\nt = '''{hold}'''\n"
    );
    place.write_dag("read.toml", &text);
    let server = place.serve();
    server.wait_for_dag("write");
    server.wait_for_dag("read");
    let write = || {
        let run = place.trigger("write", &[]);
        server.wait_for_end("write", &run);
    };
    write();
    wait_for("the run of the first event", PATIENCE, || {
        (server.runs("read").len() == 1).then_some(())
    });
    write();
    let why = server.body("/api/tidemill/v1/dags/read/why");
    assert_eq!(names(&not_met(&why)), ["concurrency_skip"], "{why}");
    assert_eq!(server.runs("read").len(), 1);
    place.open("go");
    wait_for("the run of the second event", PATIENCE, || {
        let runs = server.runs("read");
        let is_over = |run: &Value| run["state"] == "success";
        (runs.len() == 2 && runs.iter().all(is_over)).then_some(())
    });
}

#[test]
fn a_task_of_a_run_that_is_over_says_what_was_in_its_way() {
    let place = Place::new();
    place.write_dag(
        "over.toml",
        "[tasks]\nbad = 'false'\n[tasks.after]\ndepends_on = ['bad']\nshell = 'true'\n\
         [tasks.gate]\nshort_circuit = '{{ false }}'\n\
         [tasks.below]\ndepends_on = ['gate']\nshell = 'true'\n\
         [tasks.each]\nexpand = { n = [1, 2] }\nshell = 'test {{ map.n }} = 1'\n",
    );
    let server = place.serve();
    server.wait_for_dag("over");
    let run = place.trigger("over", &[]);
    assert_eq!(server.wait_for_end("over", &run)["state"], "failed");
    let found = blocked(&server, "over", &run, "after");
    assert_eq!(names(&found), ["run_running", "task_waiting", "upstream"]);
    assert_eq!(found[2]["holders"][0]["task_id"], "bad", "{found:?}");
    let found = blocked(&server, "over", &run, "below");
    let detail = found[2]["detail"].as_str().unwrap();
    assert!(
        detail.contains("1 branches or gates above do not follow it"),
        "{detail}"
    );
    let found = blocked(&server, "over", &run, "each");
    assert_eq!(names(&found), ["instances"]);
    let detail = found[0]["detail"].as_str().unwrap();
    assert!(
        detail.contains("2 instances: 1 success, 1 failed"),
        "{detail}"
    );
    assert_eq!(found[0]["holders"][0]["map_index"], 1, "{found:?}");
    let one = place.call(&["tasks", "why", &format!("over/{run}"), "each[1]"]);
    assert!(stdout(&one).contains("over: failed"), "{}", told(&one));
}

#[test]
fn a_dag_without_a_schedule_that_was_paused_for_its_failures_says_so() {
    let place = Place::new();
    let text = "[dag]\nmax_consecutive_failed_dag_runs = 1\n[tasks]\nt = 'false'\n";
    place.write_dag("broken.toml", text);
    let server = place.serve();
    server.wait_for_dag("broken");
    let run = place.trigger("broken", &[]);
    server.wait_for_end("broken", &run);
    let why = || not_met(&server.body("/api/tidemill/v1/dags/broken/why"));
    wait_for("the pause", PATIENCE, || {
        (names(&why())[0] == "not_paused").then_some(())
    });
    let why = why();
    assert_eq!(
        names(&why),
        ["not_paused", "schedule", "failing"],
        "{why:?}"
    );
}

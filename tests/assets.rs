//! Assets on the real program: events of tasks and people, and the runs that they make.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use serde_json::{Value, json};
use support::waiting::wait_for;
use support::{PATIENCE, Place, Server, told};

const ASSETS: &str = "[assets.orders]\nuri = 's3://lake/orders/'\ngroup = 'lake'\n[assets.rates]\nuri = 's3://lake/rates/'\n";

fn write_dags(place: &Place, more: &str) {
    place.write_dag(
        "ingest.toml",
        &format!(
            "{ASSETS}[tasks.pull]\noutlets = [{{ asset = 'orders', extra = {{ rows = '{{{{ result }}}}', run = '{{{{ run_id }}}}' }} }}]\nshell = {{ command = 'echo 12', output = 'json' }}\n[tasks.fails]\noutlets = ['rates']\nshell = 'exit 1'\n"
        ),
    );
    place.write_dag(
        "report.toml",
        &format!(
            "[dag]\n{more}[dag.schedule]\nassets = {{ all = ['orders', {{ any = ['rates', 'by_hand'] }}] }}\n{ASSETS}[assets.by_hand]\n[tasks.rebuild]\ninlets = ['orders']\nshell = 'echo \"{{{{ triggering_asset_events.orders | length }}}} {{{{ (triggering_asset_events.orders | first).extra.rows }}}} {{{{ triggering_asset_events.rates | length }}}}\"'\n"
        ),
    );
}

fn serve(place: &Place) -> Server {
    let server = place.serve();
    server.wait_for_dag("ingest");
    server.wait_for_dag("report");
    server
}

fn ingest(place: &Place, server: &Server) {
    let run = place.trigger("ingest", &["--logical-date", "none"]);
    server.wait_for_end("ingest", &run);
}

fn emit(place: &Place, asset: &str) {
    let done = place.call(&["assets", "emit", asset, "--extra", "by=me"]);
    assert!(done.status.success(), "{}", told(&done));
}

fn runs_when(server: &Server, n: usize) -> Vec<Value> {
    wait_for(&format!("{n} runs of report"), PATIENCE, || {
        let runs = server.runs("report");
        let is_over = runs.iter().all(|run| run["state"] == "success");
        (runs.len() == n && is_over).then_some(runs)
    })
}

fn upstream(server: &Server, run: &Value) -> Vec<i64> {
    upstream_of(server, "report", run)
}

fn upstream_of(server: &Server, dag: &str, run: &Value) -> Vec<i64> {
    let run = support::http::escape(run["dag_run_id"].as_str().unwrap());
    let body = server.body(&format!(
        "/api/v2/dags/{dag}/dagRuns/{run}/upstreamAssetEvents"
    ));
    let events = body["asset_events"].as_array().unwrap();
    let mut ids: Vec<i64> = events
        .iter()
        .map(|event| event["id"].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    ids
}

fn why_assets(place: &Place) -> Value {
    let why = place.call_json(&["dags", "why", "report", "-o", "json"]);
    let list = why["conditions"].as_array().unwrap();
    list.iter()
        .find(|one| one["condition"] == "assets")
        .unwrap()
        .clone()
}

/// `core:jobs/scheduler_job_runner.py: _create_dag_runs_asset_triggered`: when the condition is met
/// one run is made of all events that wait, without a logical date. Which events they are is exact
/// here; Airflow goes by their times.
#[test]
fn events_of_tasks_and_people_make_runs_and_each_is_part_of_one() {
    let place = Place::new();
    write_dags(&place, "");
    let server = serve(&place);
    let missing = why_assets(&place);
    assert_eq!(missing["ok"], false);
    let detail = missing["detail"].as_str().unwrap();
    assert!(
        detail.contains("no event yet of by_hand, orders, rates"),
        "{detail}"
    );

    // Two events of one asset, none yet of the others; a failed task writes nothing.
    ingest(&place, &server);
    ingest(&place, &server);
    assert!(server.runs("report").is_empty());
    let detail = why_assets(&place)["detail"].to_string();
    assert!(
        detail.contains("no event yet of by_hand, rates"),
        "{detail}"
    );
    let shown = place.call_json(&["assets", "show", "orders", "-o", "json"]);
    assert_eq!(shown["queued_events"], json!({"report": 2}));
    assert_eq!(shown["producing_tasks"][0]["task_id"], "pull");
    assert_eq!(shown["consuming_tasks"][0]["dag_id"], "report");

    emit(&place, "by_hand");
    let first = runs_when(&server, 1).remove(0);
    assert_eq!(first["run_type"], "asset_triggered");
    assert_eq!(first["logical_date"], Value::Null);
    assert_eq!(upstream(&server, &first), [1, 2, 3]);
    let id = support::http::escape(first["dag_run_id"].as_str().unwrap());
    let value = server.body(&format!(
        "/api/v2/dags/report/dagRuns/{id}/taskInstances/rebuild/xcomEntries/return_value"
    ));
    assert_eq!(value["value"], "2 12 0");

    ingest(&place, &server);
    assert_eq!(
        server.runs("report").len(),
        1,
        "what was taken does not count again"
    );
    emit(&place, "rates");
    let runs = runs_when(&server, 2);
    assert_eq!(upstream(&server, &runs[0]), [4, 5]);
    let events = place.call_json(&["assets", "events", "orders", "-o", "json"]);
    let newest = &events[0];
    assert_eq!(newest["extra"]["rows"], 12);
    assert_eq!(
        (&newest["source_dag_id"], &newest["source_task_id"]),
        (&json!("ingest"), &json!("pull"))
    );
    assert_eq!(newest["created_dagruns"][0]["dag_id"], "report");
    let unknown = place.call(&["assets", "emit", "ordres"]);
    assert_eq!(unknown.status.code(), Some(3), "{}", told(&unknown));
}

/// Where we differ: `core:assets/manager.py` passes over a DAG that is paused
/// (`if not ref.dag.is_paused`), so its events never count.
#[test]
fn events_for_a_paused_dag_are_kept_over_a_kill_and_make_its_run_when_it_goes_on() {
    let place = Place::new();
    write_dags(&place, "is_paused_upon_creation = true\n");
    let mut server = serve(&place);
    ingest(&place, &server);
    emit(&place, "rates");
    server.signal(rustix::process::Signal::KILL);
    server.wait_until_gone();
    let server = serve(&place);
    ingest(&place, &server);
    assert!(server.runs("report").is_empty());
    let done = place.call(&["dags", "unpause", "report"]);
    assert!(done.status.success(), "{}", told(&done));
    let run = runs_when(&server, 1).remove(0);
    assert_eq!(upstream(&server, &run), [1, 2, 3]);
}

#[test]
fn the_api_of_assets_tells_emits_and_forgets() {
    let place = Place::new();
    write_dags(&place, "is_paused_upon_creation = true\n");
    let server = serve(&place);
    let body = server.body("/api/v2/assets?name_pattern=rat%25");
    assert_eq!(body["total_entries"], 1);
    let rates = &body["assets"][0];
    assert_eq!(
        (&rates["name"], &rates["group"]),
        (&json!("rates"), &json!("asset"))
    );
    let wish = json!({"asset_id": rates["id"], "extra": {"n": 1}});
    let (status, made) = server.send("POST", "/api/v2/assets/events", &wish);
    assert_eq!(status, 200, "{made}");
    assert_eq!(
        (&made["name"], &made["extra"]["n"]),
        (&json!("rates"), &json!(1))
    );
    let queued = server.body("/api/v2/dags/report/assets/queuedEvents");
    assert_eq!(queued["total_entries"], 1, "{queued}");
    let (status, _) = server.send(
        "DELETE",
        "/api/v2/dags/report/assets/queuedEvents",
        &Value::Null,
    );
    assert_eq!(status, 204);
    let queued = server.body("/api/v2/dags/report/assets/queuedEvents");
    assert_eq!(queued["total_entries"], 0, "{queued}");
    let details = server.body("/api/v2/dags/report/details");
    assert_eq!(
        details["asset_expression"]["all"][0]["asset"]["name"],
        "orders"
    );
    let bad = json!({"asset_id": 999});
    assert_eq!(server.send("POST", "/api/v2/assets/events", &bad).0, 404);
}

/// Airflow's `AssetOrTimeSchedule`.
#[test]
fn a_schedule_beside_assets_means_or() {
    let place = Place::new();
    place.write_dag(
        "both.toml",
        "[dag]\nstart_date = 2026-01-01\n[dag.schedule]\ncron = '0 6 * * *'\nassets = 'orders'\n[assets.orders]\nuri = 's3://o'\n[tasks]\nt = 'true'\n",
    );
    let server = place.serve();
    server.wait_for_dag("both");
    let types = |n: usize| {
        wait_for(&format!("{n} runs"), PATIENCE, || {
            let runs = server.runs("both");
            (runs.len() == n).then(|| {
                runs.iter()
                    .map(|run| run["run_type"].clone())
                    .collect::<Vec<_>>()
            })
        })
    };
    assert_eq!(types(1), ["scheduled"]);
    emit(&place, "orders");
    assert_eq!(types(2), ["asset_triggered", "scheduled"]);
}

#[test]
fn an_asset_is_made_by_a_run_of_the_dag_that_writes_it() {
    let place = Place::new();
    write_dags(&place, "");
    place.write_dag(
        "twice.toml",
        "[assets.shared]\n[tasks.t]\noutlets = ['shared']\nshell = 'true'\n",
    );
    place.write_dag(
        "again.toml",
        "[assets.shared]\n[tasks.t]\noutlets = ['shared']\nshell = 'true'\n",
    );
    let server = serve(&place);
    server.wait_for_dag("twice");
    server.wait_for_dag("again");
    let made = place.call(&["assets", "materialize", "orders", "-o", "name"]);
    assert!(made.status.success(), "{}", told(&made));
    let run = support::stdout(&made).trim().to_string();
    server.wait_for_end("ingest", &run);
    let events = place.call_json(&["assets", "events", "orders", "-o", "json"]);
    assert_eq!(events[0]["source_run_id"], run.as_str());

    for (asset, status, word) in [
        ("by_hand", 3, "no DAG writes by_hand"),
        ("shared", 5, "again, twice"),
        ("ordres", 3, "orders"),
    ] {
        let refused = place.call(&["assets", "materialize", asset]);
        assert_eq!(refused.status.code(), Some(status), "{}", told(&refused));
        assert!(
            support::stderr(&refused).contains(word),
            "{}",
            told(&refused)
        );
    }
}

/// The events of each run of a DAG by their numbers, in order.
fn attributed(server: &Server, dag: &str, n: usize) -> Vec<Vec<i64>> {
    let runs = wait_for(&format!("{n} runs of {dag}"), PATIENCE, || {
        let runs = server.runs(dag);
        (runs.len() == n).then_some(runs)
    });
    let events = runs.iter().map(|run| upstream_of(server, dag, run));
    let mut events: Vec<Vec<i64>> = events.collect();
    events.sort();
    events
}

/// A DAG whose runs are made by these assets.
fn by_assets(place: &Place, dag: &str, more: &str, assets: &str, command: &str) {
    let text = format!(
        "[dag]\n{more}[dag.schedule]\nassets = {assets}\n[assets.orders]\n[assets.rates]\n[tasks]\nt = '''{command}'''\n"
    );
    place.write_dag(&format!("{dag}.toml"), &text);
}

/// `core:models/asset.py: asset_dag_run_queue` has a row for each DAG that waits for the asset.
#[test]
fn each_dag_that_waits_for_an_asset_has_each_event_in_one_run_of_its_own() {
    let place = Place::new();
    by_assets(&place, "one", "", "'orders'", "true");
    by_assets(&place, "any", "", "{ any = ['orders', 'rates'] }", "true");
    by_assets(&place, "all", "", "['orders', 'rates']", "true");
    let server = place.serve();
    for dag in ["one", "any", "all"] {
        server.wait_for_dag(dag);
    }
    for asset in ["orders", "rates", "orders"] {
        emit(&place, asset);
    }
    assert_eq!(attributed(&server, "one", 2), [[1], [3]]);
    assert_eq!(attributed(&server, "any", 3), [[1], [2], [3]]);
    assert_eq!(attributed(&server, "all", 1), [[1, 2]]);
    emit(&place, "rates");
    assert_eq!(attributed(&server, "all", 2), [[1, 2], [3, 4]]);
    assert_eq!(attributed(&server, "any", 4), [[1], [2], [3], [4]]);
    assert_eq!(attributed(&server, "one", 2), [[1], [3]]);
}

/// In Airflow an event that comes while `max_active_runs` is full can wait for the next event
/// (apache/airflow issue 56050).
#[test]
fn events_that_come_while_the_runs_are_full_have_their_runs_all_the_same() {
    let place = Place::new();
    let hold = place.until("go");
    by_assets(&place, "slow", "max_active_runs = 1\n", "'orders'", &hold);
    let server = place.serve();
    server.wait_for_dag("slow");
    (0..3).for_each(|_| emit(&place, "orders"));
    assert_eq!(attributed(&server, "slow", 3), [[1], [2], [3]]);
    let in_state = |state: &str| {
        let runs = server.runs("slow");
        runs.iter().filter(|run| run["state"] == state).count()
    };
    assert_eq!((in_state("running"), in_state("queued")), (1, 2));
    place.open("go");
    wait_for("the end of all", PATIENCE, || {
        (in_state("success") == 3).then_some(())
    });
}

#[test]
fn events_whose_run_a_policy_skips_wait_for_the_end_of_the_one_that_goes_on() {
    let place = Place::new();
    let hold = place.until("go");
    let skip = "concurrency = { policy = 'skip' }\n";
    by_assets(&place, "slow", skip, "'orders'", &hold);
    let server = place.serve();
    server.wait_for_dag("slow");
    (0..3).for_each(|_| emit(&place, "orders"));
    assert_eq!(attributed(&server, "slow", 1), [[1]]);
    place.open("go");
    assert_eq!(attributed(&server, "slow", 2), [vec![1], vec![2, 3]]);
}

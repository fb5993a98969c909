//! The API: bodies that Airflow's clients accept, and strictness.

use super::fixture::{Fixture, fixture};
use super::{get, request, send};
use crate::router;
use axum::body::Body;
use serde_json::{Value, json};
use std::sync::Arc;
use tidemill_store::{Change, Command, EngineStore, Pass};

/// Asks over the socket, where no session is needed.
async fn ask(fixture: &Fixture, method: &str, path: &str, body: Value) -> (u16, Value) {
    let asked = request(method, path)
        .body(Body::from(body.to_string()))
        .unwrap();
    let got = send(&router::socket(fixture.web.clone()), asked).await;
    (
        got.status,
        serde_json::from_str(&got.text).unwrap_or(Value::Null),
    )
}

async fn read(fixture: &Fixture, path: &str) -> Value {
    let (status, body) = ask(fixture, "GET", path, Value::Null).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

#[track_caller]
fn has(body: &Value, keys: &str) {
    for key in keys.split_whitespace() {
        assert!(body.get(key).is_some(), "no {key} in {body}");
    }
}

#[tokio::test]
async fn bodies_have_the_keys_that_clients_need() {
    let fixture = fixture().await;
    let dag = "dag_id dag_display_name is_paused is_stale fileloc file_token has_import_errors \
        has_task_concurrency_limits is_backfillable max_active_tasks max_consecutive_failed_dag_runs owners tags \
        timetable_partitioned timetable_periodic";
    let dags = read(&fixture, "/api/v2/dags").await;
    assert_eq!(dags["total_entries"], 1);
    has(&dags["dags"][0], dag);
    has(&read(&fixture, "/api/v2/dags/hello").await, dag);
    let details = read(&fixture, "/api/v2/dags/hello/details").await;
    has(&details, dag);
    has(
        &details,
        "catchup concurrency render_template_as_native_obj params timezone latest_dag_version",
    );
    let run = "dag_run_id dag_id dag_display_name run_type state run_after dag_versions conf logical_date";
    has(&read(&fixture, "/api/v2/dags/hello/dagRuns/one").await, run);
    let runs = read(&fixture, "/api/v2/dags/~/dagRuns?state=failed&limit=1000").await;
    assert_eq!(runs["total_entries"], 1);
    has(&runs["dag_runs"][0], run);
    let instance = "id task_id dag_id dag_run_id map_index run_after try_number max_tries task_display_name \
        dag_display_name pool pool_slots executor_config state";
    let list = read(&fixture, "/api/v2/dags/hello/dagRuns/one/taskInstances").await;
    assert_eq!(list["total_entries"], 3);
    has(&list["task_instances"][0], instance);
    assert!(list["task_instances"][0]["executor_config"].is_string());
    let tries = read(
        &fixture,
        "/api/v2/dags/hello/dagRuns/one/taskInstances/greet/tries",
    )
    .await;
    has(
        &tries["task_instances"][0],
        "task_id try_number state executor_config",
    );
    let tasks = read(&fixture, "/api/v2/dags/hello/tasks").await;
    has(
        &tasks["tasks"][0],
        "depends_on_past wait_for_downstream retry_exponential_backoff extra_links",
    );
    has(
        &read(&fixture, "/api/v2/dags/hello/tasks/join").await,
        "task_id operator_name",
    );
    has(
        &read(&fixture, "/api/v2/monitor/health").await,
        "metadatabase scheduler triggerer dag_processor",
    );
    has(
        &read(&fixture, "/api/v2/version").await,
        "version git_version",
    );
    has(
        &read(&fixture, "/api/v2/dagSources/hello").await,
        "content dag_id version_number",
    );
    let errors = read(&fixture, "/api/v2/importErrors").await;
    has(
        &errors["import_errors"][0],
        "import_error_id timestamp filename stack_trace",
    );
    let value = "/api/v2/dags/hello/dagRuns/two/taskInstances/greet/xcomEntries";
    assert_eq!(read(&fixture, value).await["total_entries"], 1);
    let keys = "key timestamp map_index task_id dag_id run_id run_after dag_display_name task_display_name value";
    has(
        &read(&fixture, &format!("{value}/return_value")).await,
        keys,
    );
}

#[tokio::test]
async fn a_task_that_was_not_looked_at_has_no_state() {
    let fixture = fixture().await;
    let list = read(&fixture, "/api/v2/dags/hello/dagRuns/queued/taskInstances").await;
    assert_eq!(list["total_entries"], 3);
    assert_eq!(list["task_instances"][0]["state"], Value::Null);
}

#[tokio::test]
async fn a_trigger_is_read_strictly() {
    let fixture = fixture().await;
    let path = "/api/v2/dags/hello/dagRuns";
    for (body, status) in [
        (json!({}), 422),
        (json!({ "logical_date": null, "nonsense": 1 }), 422),
        (json!({ "logical_date": "soon" }), 422),
        (json!({ "logical_date": null, "conf": [] }), 422),
        (
            json!({ "logical_date": null, "data_interval_start": "2026-11-20T00:00:00Z" }),
            422,
        ),
        (json!([]), 422),
        (json!({ "logical_date": null, "dag_run_id": "one" }), 409),
        (json!({ "logical_date": null, "conf": { "days": 3 } }), 200),
    ] {
        let (got, answer) = ask(&fixture, "POST", path, body.clone()).await;
        assert_eq!(got, status, "{body}: {answer}");
        assert_eq!(answer.get("detail").is_some(), status != 200, "{answer}");
    }
    assert_eq!(
        ask(
            &fixture,
            "POST",
            "/api/v2/dags/nope/dagRuns",
            json!({ "logical_date": null })
        )
        .await
        .0,
        404
    );
}

#[tokio::test]
async fn the_api_steers() {
    let fixture = fixture().await;
    let run = "/api/v2/dags/hello/dagRuns/one";
    assert_eq!(
        ask(
            &fixture,
            "PATCH",
            "/api/v2/dags/hello",
            json!({ "is_paused": true })
        )
        .await
        .0,
        200
    );
    assert_eq!(
        ask(
            &fixture,
            "PATCH",
            "/api/v2/dags/hello",
            json!({ "is_paused": 1 })
        )
        .await
        .0,
        422
    );
    assert_eq!(
        ask(&fixture, "PATCH", run, json!({ "state": "success" }))
            .await
            .0,
        200
    );
    let marked = ask(
        &fixture,
        "PATCH",
        &format!("{run}/taskInstances/greet"),
        json!({ "new_state": "success" }),
    )
    .await;
    assert_eq!(marked.1["total_entries"], 1);
    let clear = "/api/v2/dags/hello/clearTaskInstances";
    let body = json!({ "dag_run_id": "one", "task_ids": ["greet", ["wave", -1]], "include_downstream": true });
    let (status, list) = ask(&fixture, "POST", clear, body).await;
    assert_eq!((status, &list["total_entries"]), (200, &json!(2)));
    assert_eq!(
        ask(
            &fixture,
            "POST",
            clear,
            json!({ "dag_run_id": "one", "prevent_running_task": true })
        )
        .await
        .0,
        422
    );
    let (_, cleared) = ask(
        &fixture,
        "POST",
        &format!("{run}/clear"),
        json!({ "dry_run": false }),
    )
    .await;
    assert_eq!(cleared["dag_run_id"], "one");
    assert_eq!(
        ask(
            &fixture,
            "POST",
            "/api/tidemill/v1/dags/hello/dagRuns/one/cancel",
            json!({})
        )
        .await
        .0,
        200
    );
    let asked = fixture.asked.lock().unwrap();
    let dry = asked.iter().find_map(|command| match command {
        Command::Clear {
            reach,
            only_failed,
            dry_run,
            ..
        } => Some((reach.tasks.len(), *only_failed, reach.downstream, *dry_run)),
        _ => None,
    });
    assert_eq!(dry, Some((2, true, true, true)));
    assert!(matches!(asked.last(), Some(Command::Cancel { .. })));
}

/// Source: Airflow's `api_fastapi/core_api/services/public/dag_run.py: DagRunMutableStates`.
#[tokio::test]
async fn people_set_a_run_to_the_states_that_airflow_lets_them_set() {
    let fixture = fixture().await;
    let table = [
        ("queued", 200),
        ("success", 200),
        ("failed", 200),
        ("running", 422),
        ("skipped", 422),
        ("cancelled", 422),
    ];
    for (state, expected) in table {
        let wish = json!({ "state": state });
        let (status, body) = ask(&fixture, "PATCH", "/api/v2/dags/hello/dagRuns/one", wish).await;
        assert_eq!(status, expected, "{state}: {body}");
    }
}

#[tokio::test]
async fn a_log_comes_as_json_and_as_lines() {
    let fixture = fixture().await;
    let path = "/api/v2/dags/hello/dagRuns/one/taskInstances/greet/logs/1";
    let log = read(&fixture, path).await;
    assert_eq!(log["content"][0]["event"], "connecting");
    assert_eq!(log["continuation_token"], Value::Null);
    let asked = request("GET", path)
        .header("accept", "application/x-ndjson")
        .body(Body::empty())
        .unwrap();
    let got = send(&router::socket(fixture.web.clone()), asked).await;
    assert_eq!(got.text.lines().count(), 3);
    let live = "/api/v2/dags/hello/dagRuns/thirty/taskInstances/wave/logs/1";
    assert_eq!(read(&fixture, live).await["continuation_token"], "0");
    assert_eq!(
        ask(
            &fixture,
            "GET",
            &path.replace("logs/1", "logs/9"),
            Value::Null
        )
        .await
        .0,
        404
    );
}

#[tokio::test]
async fn waiting_ends_with_the_run_and_its_results() {
    let fixture = fixture().await;
    let path = "/api/v2/dags/hello/dagRuns/two/wait?interval=1&result=greet";
    let line = read(&fixture, path).await;
    assert_eq!(line["state"], "success");
    assert!(line["results"]["greet"].is_string());
    let waiting = get(&fixture, "/api/v2/dags/hello/dagRuns/thirty/wait");
    let ending = async {
        while fixture.web.doors.changes.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
        let (mut run, _) = fixture
            .store
            .run_with_tasks(tidemill_model::RunNo(30))
            .await
            .unwrap()
            .unwrap();
        run.state = tidemill_model::RunState::Success;
        let pass = Pass {
            term: 1,
            runs: vec![run.clone()],
            ..Pass::default()
        };
        fixture.store.commit_pass(&pass).await.unwrap();
        let change = Change {
            seq: 1,
            at: run.queued_at,
            run: 30,
            body: json!({ "dag_id": "hello" }),
        };
        fixture.web.doors.changes.send(Arc::new(change)).unwrap();
    };
    let (got, ()) = tokio::join!(waiting, ending);
    assert!(
        got.text.ends_with("{\"state\":\"success\"}\n"),
        "{}",
        got.text
    );
}

#[tokio::test]
async fn runs_are_found_by_short_names() {
    let fixture = fixture().await;
    let run = read(&fixture, "/api/tidemill/v1/runs/hello@latest").await;
    assert_eq!(run["dag_run_id"], "queued");
    let short = run["short_id"].as_str().unwrap();
    assert_eq!(
        read(&fixture, &format!("/api/tidemill/v1/runs/{short}")).await["dag_run_id"],
        "queued"
    );
    assert_eq!(
        ask(
            &fixture,
            "GET",
            "/api/tidemill/v1/runs/zzzzzzzz",
            Value::Null
        )
        .await
        .0,
        404
    );
}

#[tokio::test]
async fn only_the_socket_hands_out_login_links() {
    let fixture = fixture().await;
    let path = "/api/tidemill/v1/login-links";
    let (status, link) = ask(&fixture, "POST", path, json!({})).await;
    assert_eq!(status, 200);
    assert!(
        link["url"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:8080/login?token=")
    );
    assert_eq!(super::post(&fixture, path, "").await.status, 404);
    let got = send(
        &router::socket(fixture.web.clone()),
        request("GET", "/dags").body(Body::empty()).unwrap(),
    )
    .await;
    assert_eq!(got.status, 404);
}

#[tokio::test]
async fn pools_have_the_fields_that_airflows_client_needs() {
    let fixture = fixture().await;
    let got = get(&fixture, "/api/v2/pools").await;
    let body: serde_json::Value = serde_json::from_str(&got.text).unwrap();
    let pool = &body["pools"][0];
    for (key, n) in [
        ("slots", 2),
        ("occupied_slots", 2),
        ("running_slots", 2),
        ("queued_slots", 0),
        ("scheduled_slots", 5),
        ("open_slots", 0),
        ("deferred_slots", 0),
    ] {
        assert_eq!(pool[key], n, "{key}");
    }
    assert_eq!(pool["include_deferred"], false);
    assert_eq!(get(&fixture, "/api/v2/pools/none").await.status, 404);
}

#[tokio::test]
async fn why_lists_conditions_with_numbers_and_holders() {
    let fixture = fixture().await;
    for path in [
        "/api/tidemill/v1/dags/hello/why",
        "/api/tidemill/v1/dags/hello/dagRuns/one/why",
        "/api/tidemill/v1/dags/hello/dagRuns/one/taskInstances/greet/why",
    ] {
        let got = get(&fixture, path).await;
        let body: serde_json::Value = serde_json::from_str(&got.text).unwrap();
        assert_eq!(body["ok"], false, "{path}");
        let condition = &body["conditions"][0];
        assert_eq!(condition["condition"], "pool_slots");
        assert_eq!(condition["holders"][0]["task_id"], "greet");
        assert_eq!(condition["more"], 3);
    }
    let wrong = get(&fixture, "/api/tidemill/v1/dags/hello/why?at=noon").await;
    assert_eq!(wrong.status, 422, "{}", wrong.text);
}

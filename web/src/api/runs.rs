//! Runs: list, trigger, patch, wait.

use super::query::{Body, Pairs};
use super::{ApiResult, body};
use crate::Web;
use crate::error::Fault;
use crate::page::{ask, find_dag, run_facts};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use tidemill_model::{RunNo, RunState, RunType};
use tidemill_store::{Answer, Change, Command, Reach, Refusal, RunFilter, RunRecord};
use tokio::sync::broadcast;

/// `GET /dags/{id}/dagRuns`; `~` stands for every DAG.
pub(crate) async fn list(
    State(web): State<Web>,
    Path(dag_id): Path<String>,
    query: Pairs,
) -> ApiResult {
    let (limit, offset) = query.paging()?;
    let states: Option<Vec<RunState>> = query.all("state").map(RunState::from_name).collect();
    let states = states
        .ok_or_else(|| Fault::invalid("query", "state", "queued, running, success or failed"))?;
    let run_type = match query.get("run_type") {
        None => None,
        Some(name) => Some(
            RunType::from_name(name)
                .ok_or_else(|| Fault::invalid("query", "run_type", "unknown run type"))?,
        ),
    };
    let dag_id = if dag_id == "~" {
        None
    } else {
        Some(find_dag(&web, &dag_id).await?.dag_id)
    };
    let filter = RunFilter {
        dag_id,
        states,
        run_type,
        offset,
        limit,
        logical_date: query.between("logical_date")?,
        run_after: query.between("run_after")?,
        start_date: query.between("start_date")?,
        end_date: query.between("end_date")?,
        order: query.run_order()?,
        ..RunFilter::default()
    };
    let list = web.doors.pages.runs(&filter).await?;
    let mut bodies = Vec::new();
    for run in &list.runs {
        bodies.push(run_body(&web, run).await?);
    }
    Ok(Json(json!({ "dag_runs": bodies, "total_entries": list.total })).into_response())
}

/// A run's body, with its definition's title.
pub(crate) async fn run_body(web: &Web, run: &RunRecord) -> Result<Value, Fault> {
    let dag = web
        .definitions
        .get(web.doors.pages.as_ref(), run.row.version)
        .await?;
    Ok(body::run(run, dag.as_deref()))
}

async fn stored_body(web: &Web, dag_id: &str, run_id: &str) -> Result<Value, Fault> {
    let (facts, run) = run_facts(web, dag_id, run_id).await?;
    Ok(body::run(&run, facts.dag.as_deref()))
}

/// `GET /dags/{id}/dagRuns/{run}`.
pub(crate) async fn one(
    State(web): State<Web>,
    Path((dag_id, run_id)): Path<(String, String)>,
) -> ApiResult {
    Ok(Json(stored_body(&web, &dag_id, &run_id).await?).into_response())
}

pub(crate) const TRIGGER_KEYS: &[&str] = &[
    "dag_run_id",
    "data_interval_start",
    "data_interval_end",
    "logical_date",
    "run_after",
    "conf",
    "note",
    "partition_key",
];

/// `POST /dags/{id}/dagRuns`: makes a run.
pub(crate) async fn trigger(
    State(web): State<Web>,
    Path(dag_id): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> ApiResult {
    let wish = Body::read(&bytes, TRIGGER_KEYS)?;
    if !wish.has("logical_date") {
        return Err(
            Fault::invalid("body", "logical_date", "this key is needed; it may be null").into(),
        );
    }
    make(&web, dag_id, &headers, &wish).await
}

/// Makes the run that a body wishes for.
pub(crate) async fn make(web: &Web, dag_id: String, headers: &HeaderMap, wish: &Body) -> ApiResult {
    wish.refuse(&["partition_key"])?;
    let data_interval = match (
        wish.instant("data_interval_start")?,
        wish.instant("data_interval_end")?,
    ) {
        (Some(start), Some(end)) => Some((start, end)),
        (None, None) => None,
        _ => {
            return Err(Fault::invalid(
                "body",
                "data_interval_start",
                "both ends of the interval, or none",
            )
            .into());
        }
    };
    let conf = match wish.get("conf") {
        None => Map::new(),
        Some(Value::Object(conf)) => conf.clone(),
        Some(_) => return Err(Fault::invalid("body", "conf", "an object is wanted").into()),
    };
    find_dag(web, &dag_id).await?;
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_string)
    };
    let command = Command::Trigger {
        dag_id: dag_id.clone(),
        run_id: wish.text("dag_run_id")?,
        logical_date: wish.instant("logical_date")?,
        data_interval,
        run_after: wish.instant("run_after")?,
        conf,
        note: wish.text("note")?,
        idempotency_key: header("idempotency-key"),
        triggered_by: header("x-tidemill-client")
            .filter(|name| name == "cli")
            .unwrap_or_else(|| "api".to_string()),
    };
    // Airflow answers 400, not 422, where the parameters are wrong.
    match (web.doors.commands)(command).await {
        Ok(Answer::Run(row)) => {
            Ok(Json(stored_body(web, &dag_id, &row.run_id).await?).into_response())
        }
        Ok(_) => Err(Fault::new(
            axum::http::StatusCode::INTERNAL_SERVER_ERROR,
            "the engine made no run",
        )
        .into()),
        Err(Refusal::Invalid { what }) => {
            Err(Fault::new(axum::http::StatusCode::BAD_REQUEST, what).into())
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// `PATCH /dags/{id}/dagRuns/{run}`: marks it, or queues it again.
pub(crate) async fn patch(
    State(web): State<Web>,
    Path((dag_id, run_id)): Path<(String, String)>,
    bytes: Bytes,
) -> ApiResult {
    let wish = Body::read(&bytes, &["state", "note"])?;
    let note = wish.text("note")?;
    let state = wish
        .text("state")?
        .and_then(|name| RunState::from_name(&name));
    run_facts(&web, &dag_id, &run_id).await?;
    let (dag, run) = (dag_id.clone(), run_id.clone());
    if wish.has("note") {
        let command = Command::SetNote {
            dag_id: dag_id.clone(),
            run_id: run_id.clone(),
            task: None,
            note: note.unwrap_or_default(),
        };
        ask(&web, command).await?;
        if !wish.has("state") {
            return Ok(Json(stored_body(&web, &dag, &run).await?).into_response());
        }
    }
    let command = match state {
        Some(state @ (RunState::Success | RunState::Failed)) => Command::MarkRun {
            dag_id,
            run_id,
            state,
        },
        Some(RunState::Queued) => Command::Clear {
            dag_id,
            reach: Reach::of_run(run_id, Vec::new()),
            only_failed: false,
            only_running: false,
            on_latest_version: None,
            note: None,
            dry_run: false,
        },
        _ => return Err(Fault::invalid("body", "state", "success, failed or queued").into()),
    };
    ask(&web, command).await?;
    Ok(Json(stored_body(&web, &dag, &run).await?).into_response())
}

/// `DELETE /dags/{id}/dagRuns/{run}`: forgets a run that is over, with its tasks and logs.
pub(crate) async fn delete(
    State(web): State<Web>,
    Path((dag_id, run_id)): Path<(String, String)>,
) -> ApiResult {
    let (_, run) = run_facts(&web, &dag_id, &run_id).await?;
    let mut runs = vec![run.row.run];
    while !runs.is_empty() {
        let Answer::Forgotten(done) = ask(&web, Command::ForgetRuns { runs }).await? else {
            break;
        };
        if done.gone.is_empty() && done.left.is_empty() {
            let what = format!("run {run_id} of {dag_id} is not over; cancel it first");
            return Err(Fault::new(StatusCode::CONFLICT, what).into());
        }
        runs = done.left;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

struct Waiting {
    web: Web,
    run: RunNo,
    changes: broadcast::Receiver<Arc<Change>>,
    results: Vec<String>,
    last: Option<RunState>,
    over: bool,
}

/// `GET /dags/{id}/dagRuns/{run}/wait`: a line for each state until the run is over; `result`
/// names tasks whose outputs come with the last one.
pub(crate) async fn wait(
    State(web): State<Web>,
    Path((dag_id, run_id)): Path<(String, String)>,
    query: Pairs,
) -> ApiResult {
    let changes = web.doors.changes.subscribe(); // Before the first look, so that no change is missed.
    let (_, run) = run_facts(&web, &dag_id, &run_id).await?;
    let results = query.all("result").take(100).map(str::to_string).collect();
    let waiting = Waiting {
        web,
        run: run.row.run,
        changes,
        results,
        last: None,
        over: false,
    };
    let lines = futures_util::stream::unfold(waiting, next_line);
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((headers, axum::body::Body::from_stream(lines)).into_response())
}

/// The next state of the run that is not the last one told.
async fn next_line(
    mut waiting: Waiting,
) -> Option<(Result<String, std::convert::Infallible>, Waiting)> {
    if waiting.over {
        return None;
    }
    loop {
        let run = waiting
            .web
            .doors
            .pages
            .run_by_no(waiting.run)
            .await
            .ok()??;
        if waiting.last != Some(run.row.state) {
            waiting.last = Some(run.row.state);
            waiting.over = run.row.state.is_terminal();
            let mut line = json!({ "state": run.row.state });
            if waiting.over && !waiting.results.is_empty() {
                line["results"] = results(&waiting, &run).await?;
            }
            return Some((Ok(format!("{line}\n")), waiting));
        }
        changed(&mut waiting).await?;
    }
}

/// Waits until the run changed. Looks again now and then, in case a change was overtaken.
async fn changed(waiting: &mut Waiting) -> Option<()> {
    let run = waiting.run.0;
    let change = async {
        loop {
            match waiting.changes.recv().await {
                Ok(change) if change.run == run => return Some(()),
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => return Some(()),
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), change)
        .await
        .unwrap_or(Some(()))
}

async fn results(waiting: &Waiting, run: &RunRecord) -> Option<Value> {
    let names = waiting.web.doors.pages.task_names(run.row.dag).await.ok()?;
    let values = waiting.web.doors.pages.run_values(waiting.run).await.ok()?;
    let mut results = Map::new();
    for wanted in &waiting.results {
        let no = names.iter().find(|(_, id)| id == wanted).map(|(no, _)| *no);
        let value = values
            .iter()
            .find(|value| Some(value.task_no) == no && value.key == "return_value");
        results.insert(
            wanted.clone(),
            value.map_or(Value::Null, |value| value.value.clone()),
        );
    }
    Some(Value::Object(results))
}

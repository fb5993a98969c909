//! Running task instances again.

use super::query::Body;
use super::tasks::{bodies, instances};
use super::{ApiResult, body};
use crate::Web;
use crate::error::Fault;
use crate::page::{ask, run_facts};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use std::collections::HashSet;
use tidemill_model::MapIndex;
use tidemill_store::{Answer, Command};

const TASKS_KEYS: &[&str] = &[
    "dry_run",
    "start_date",
    "end_date",
    "only_failed",
    "only_running",
    "reset_dag_runs",
    "task_ids",
    "dag_run_id",
    "include_upstream",
    "include_downstream",
    "include_future",
    "include_past",
    "run_on_latest_version",
    "prevent_running_task",
    "note",
];

/// `POST /dags/{id}/clearTaskInstances`.
pub(crate) async fn tasks(
    State(web): State<Web>,
    Path(dag_id): Path<String>,
    bytes: Bytes,
) -> ApiResult {
    let wish = Body::read(&bytes, TASKS_KEYS)?;
    wish.refuse(&[
        "start_date",
        "end_date",
        "only_running",
        "include_future",
        "include_past",
        "run_on_latest_version",
        "note",
    ])?;
    let Some(run_id) = wish.text("dag_run_id")? else {
        return Err(Fault::invalid(
            "body",
            "dag_run_id",
            "which run; clearing over all runs is not built yet",
        )
        .into());
    };
    let command = Command::Clear {
        dag_id: dag_id.clone(),
        run_id: run_id.clone(),
        tasks: task_ids(&wish)?,
        only_failed: wish.flag("only_failed", true)?,
        downstream: wish.flag("include_downstream", false)?,
        upstream: wish.flag("include_upstream", false)?,
        dry_run: wish.flag("dry_run", true)?,
    };
    Ok(Json(cleared(&web, &dag_id, &run_id, command).await?).into_response())
}

/// Clears, and tells which instances.
async fn cleared(web: &Web, dag_id: &str, run_id: &str, command: Command) -> Result<Value, Fault> {
    run_facts(web, dag_id, run_id).await?;
    let Answer::Tasks(list) = ask(web, command).await? else {
        return Ok(json!({ "task_instances": [], "total_entries": 0 }));
    };
    let (facts, run) = run_facts(web, dag_id, run_id).await?;
    let wanted: HashSet<(&str, MapIndex)> = list
        .iter()
        .map(|(id, map_index, _)| (id.as_str(), *map_index))
        .collect();
    let rows = instances(web, &facts, &run).await?;
    let rows = rows
        .iter()
        .filter(|row| wanted.contains(&(facts.names.id(row.task_no), row.map_index)));
    Ok(json!({ "task_instances": bodies(&facts, &run, rows), "total_entries": list.len() }))
}

/// `"t"` or `["t", map_index]`.
fn task_ids(wish: &Body) -> Result<Vec<(String, MapIndex)>, Fault> {
    let wrong = || {
        Fault::invalid(
            "body",
            "task_ids",
            "a list of `\"task\"` or `[\"task\", map_index]`",
        )
    };
    let Some(list) = wish.get("task_ids") else {
        return Ok(Vec::new());
    };
    let one = |item: &Value| match item {
        Value::String(id) => Some((id.clone(), MapIndex::NONE)),
        Value::Array(pair) => match pair.as_slice() {
            [Value::String(id), index] => {
                Some((id.clone(), MapIndex(i32::try_from(index.as_i64()?).ok()?)))
            }
            _ => None,
        },
        _ => None,
    };
    list.as_array()
        .ok_or_else(wrong)?
        .iter()
        .map(|item| one(item).ok_or_else(wrong))
        .collect()
}

/// `POST /dags/{id}/dagRuns/{run}/clear`.
pub(crate) async fn run(
    State(web): State<Web>,
    Path((dag_id, run_id)): Path<(String, String)>,
    bytes: Bytes,
) -> ApiResult {
    let wish = Body::read(
        &bytes,
        &[
            "dry_run",
            "only_failed",
            "only_new",
            "run_on_latest_version",
            "note",
        ],
    )?;
    wish.refuse(&["only_new", "run_on_latest_version", "note"])?;
    let dry_run = wish.flag("dry_run", true)?;
    let command = Command::Clear {
        dag_id: dag_id.clone(),
        run_id: run_id.clone(),
        tasks: Vec::new(),
        only_failed: wish.flag("only_failed", false)?,
        downstream: false,
        upstream: false,
        dry_run,
    };
    let list = cleared(&web, &dag_id, &run_id, command).await?;
    if dry_run {
        return Ok(Json(list).into_response());
    }
    let (facts, run) = run_facts(&web, &dag_id, &run_id).await?;
    Ok(Json(body::run(&run, facts.dag.as_deref())).into_response())
}

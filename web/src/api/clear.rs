//! Running task instances again.

use super::query::Body;
use super::tasks::{bodies, instances};
use super::{ApiResult, body};
use crate::Web;
use crate::error::Fault;
use crate::page::{ask, find_dag, run_facts};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use tidemill_model::MapIndex;
use tidemill_store::{Answer, Command, Reach, TaskRow};

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
    wish.refuse(&["prevent_running_task"])?;
    let run_id = wish.text("dag_run_id")?;
    let (past, future) = (
        wish.flag("include_past", false)?,
        wish.flag("include_future", false)?,
    );
    if run_id.is_none() && (past || future) {
        let what = "the run whose past or future is meant";
        return Err(Fault::invalid("body", "dag_run_id", what).into());
    }
    find_dag(&web, &dag_id).await?;
    let command = Command::Clear {
        dag_id: dag_id.clone(),
        reach: Reach {
            run_id,
            tasks: task_ids(&wish)?,
            downstream: wish.flag("include_downstream", false)?,
            upstream: wish.flag("include_upstream", false)?,
            past,
            future,
            from: wish.instant("start_date")?,
            until: wish.instant("end_date")?,
        },
        only_failed: wish.flag("only_failed", true)?,
        only_running: wish.flag("only_running", false)?,
        on_latest_version: latest(&wish)?,
        note: wish.text("note")?,
        dry_run: wish.flag("dry_run", true)?,
    };
    Ok(Json(touched(&web, &dag_id, command).await?).into_response())
}

/// Absent: as the DAG says.
fn latest(wish: &Body) -> Result<Option<bool>, Fault> {
    match wish.get("run_on_latest_version") {
        None => Ok(None),
        Some(_) => wish.flag("run_on_latest_version", false).map(Some),
    }
}

/// Runs that one answer describes with all their instances.
const RUNS_MAX: usize = 100;

/// Clears or marks, and tells which instances.
pub(crate) async fn touched(web: &Web, dag_id: &str, command: Command) -> Result<Value, Fault> {
    let Answer::Tasks(list) = ask(web, command).await? else {
        return Ok(json!({ "task_instances": [], "total_entries": 0 }));
    };
    let mut of_run: BTreeMap<&str, HashSet<(&str, MapIndex)>> = BTreeMap::new();
    for one in &list {
        let wanted = of_run.entry(&one.run_id).or_default();
        wanted.insert((&one.task_id, one.map_index));
    }
    let mut found = Vec::new();
    for (run_id, wanted) in of_run.into_iter().take(RUNS_MAX) {
        let (facts, run) = run_facts(web, dag_id, run_id).await?;
        let rows = instances(web, &facts, &run).await?;
        let is_wanted =
            |row: &&TaskRow| wanted.contains(&(facts.names.id(row.task_no), row.map_index));
        found.extend(bodies(web, &facts, &run, rows.iter().filter(is_wanted)).await?);
    }
    Ok(json!({ "task_instances": found, "total_entries": list.len() }))
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
    wish.refuse(&["only_new"])?;
    let dry_run = wish.flag("dry_run", true)?;
    run_facts(&web, &dag_id, &run_id).await?;
    let command = Command::Clear {
        dag_id: dag_id.clone(),
        reach: Reach::of_run(run_id.as_str(), Vec::new()),
        only_failed: wish.flag("only_failed", false)?,
        only_running: false,
        on_latest_version: latest(&wish)?,
        note: wish.text("note")?,
        dry_run,
    };
    let list = touched(&web, &dag_id, command).await?;
    if dry_run {
        return Ok(Json(list).into_response());
    }
    let (facts, run) = run_facts(&web, &dag_id, &run_id).await?;
    Ok(Json(body::run(&run, facts.dag.as_deref())).into_response())
}

//! Task instances, their tries, and the tasks of definitions.

use super::clear::touched;
use super::query::{Body, Pairs};
use super::{ApiResult, body};
use crate::Web;
use crate::error::Fault;
use crate::page::{DagFacts, ask, dag_facts, run_facts, task};
use crate::view::{rows, wide};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use std::collections::HashMap;
use tidemill_model::{MapIndex, TaskIndex, TaskNo, TaskState};
use tidemill_store::{Command, Reach, RunFilter, RunRecord, TaskRow};

/// Every instance of a run; before the run started they are made up from its version.
pub(crate) async fn instances(
    web: &Web,
    facts: &DagFacts,
    run: &RunRecord,
) -> Result<Vec<TaskRow>, Fault> {
    let stored = web.doors.pages.tasks(&[run.row.run]).await?;
    let lines = rows::task_lines(facts.dag.as_deref(), &facts.names);
    Ok(rows::instances(run, stored, &lines, facts.dag.as_deref()))
}

/// Bodies of instances of one run, with what people have noted on them.
pub(crate) async fn bodies<'a>(
    web: &Web,
    facts: &DagFacts,
    run: &RunRecord,
    rows: impl Iterator<Item = &'a TaskRow>,
) -> Result<Vec<Value>, Fault> {
    let notes = web.doors.pages.task_notes(run.row.run).await?;
    let notes: HashMap<(TaskNo, MapIndex), String> = notes
        .into_iter()
        .map(|note| ((note.task_no, note.map_index), note.note))
        .collect();
    let dag = facts.dag.as_deref();
    let body = |row: &TaskRow| {
        let id = facts.names.id(row.task_no);
        let mut body = body::instance(
            run,
            row,
            id,
            dag,
            dag.and_then(|dag| rows::task_of(dag, id, row.task_no)),
        );
        if let Some(note) = notes.get(&(row.task_no, row.map_index)) {
            body["note"] = json!(note);
        }
        body
    };
    Ok(rows.map(body).collect())
}

/// `GET /dags/{id}/dagRuns/{run}/taskInstances`; `~` as the run stands for the last 100.
pub(crate) async fn list(
    State(web): State<Web>,
    Path((dag_id, run_id)): Path<(String, String)>,
    query: Pairs,
) -> ApiResult {
    let (limit, offset) = query.paging()?;
    let wanted = |row: &TaskRow| {
        let mut states = query.all("state").peekable();
        states.peek().is_none() || states.any(|name| name == row.state.name())
    };
    let runs = match run_id.as_str() {
        "~" => {
            let dag_id = Some(dag_id).filter(|id| id != "~");
            let filter = RunFilter {
                dag_id,
                limit: 100,
                ..RunFilter::default()
            };
            web.doors.pages.runs(&filter).await?.runs
        }
        _ => vec![run_facts(&web, &dag_id, &run_id).await?.1],
    };
    if let [run] = runs.as_slice()
        && let Some(answer) = wide_page(&web, run, &query, (offset, limit)).await?
    {
        return Ok(Json(answer).into_response());
    }
    let mut total = 0;
    let mut found = Vec::new();
    for run in &runs {
        let (facts, run) = run_facts(&web, &run.dag_id, &run.row.run_id).await?;
        let all = instances(&web, &facts, &run).await?;
        let all: Vec<&TaskRow> = all.iter().filter(|row| wanted(row)).collect();
        let skip = (offset as usize).saturating_sub(total);
        let take = (limit as usize).saturating_sub(found.len());
        total += all.len();
        let page = all.into_iter().skip(skip).take(take);
        found.extend(bodies(&web, &facts, &run, page).await?);
    }
    Ok(Json(json!({ "task_instances": found, "total_entries": total })).into_response())
}

/// A page of a run with very many tasks; `None` where the run is not wide, or where the page
/// shows tasks that have no row yet.
async fn wide_page(
    web: &Web,
    run: &RunRecord,
    query: &Pairs,
    (offset, limit): (u32, u32),
) -> Result<Option<Value>, Fault> {
    let (facts, run) = run_facts(web, &run.dag_id, &run.row.run_id).await?;
    let Some(dag) = facts.dag.as_deref().filter(|dag| wide::is_wide(Some(dag))) else {
        return Ok(None);
    };
    let pages = web.doors.pages.as_ref();
    let counts = wide::counts(pages, &run, dag).await?;
    let states: Vec<TaskState> = query
        .all("state")
        .filter_map(TaskState::from_name)
        .collect();
    if query.all("state").count() != states.len() {
        return Ok(None);
    }
    let is_wanted = |state: &TaskState| states.is_empty() || states.contains(state);
    if counts
        .iter()
        .any(|(state, _)| *state == TaskState::None && is_wanted(state))
    {
        return Ok(None);
    }
    let total: usize = counts
        .iter()
        .filter(|(state, _)| is_wanted(state))
        .map(|(_, n)| n)
        .sum();
    let rows = pages.task_page(run.row.run, &states, offset, limit).await?;
    let found = bodies(web, &facts, &run, rows.iter()).await?;
    Ok(Some(
        json!({ "task_instances": found, "total_entries": total }),
    ))
}

/// `GET …/taskInstances/{task}`.
pub(crate) async fn one(
    State(web): State<Web>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    query: Pairs,
) -> ApiResult {
    let found = task::find(&web, &dag_id, &run_id, &task_id, query.map_index()?).await?;
    let row = std::iter::once(&found.row);
    let bodies = bodies(&web, &found.facts, &found.run, row).await?;
    Ok(Json(bodies.into_iter().next()).into_response())
}

/// `GET …/taskInstances/{task}/{map_index}`.
pub(crate) async fn instance(
    State(web): State<Web>,
    Path((dag_id, run_id, task_id, map_index)): Path<(String, String, String, i32)>,
) -> ApiResult {
    let found = task::find(&web, &dag_id, &run_id, &task_id, MapIndex(map_index)).await?;
    let row = std::iter::once(&found.row);
    let bodies = bodies(&web, &found.facts, &found.run, row).await?;
    Ok(Json(bodies.into_iter().next()).into_response())
}

/// `GET …/taskInstances/{task}/listMapped`: the instances of a mapped task.
pub(crate) async fn mapped(
    State(web): State<Web>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    query: Pairs,
) -> ApiResult {
    let (limit, offset) = query.paging()?;
    let (facts, run) = run_facts(&web, &dag_id, &run_id).await?;
    let no = facts.names.no(&task_id);
    if no.is_none() {
        return Err(Fault::no_such("task of this run", &task_id, facts.names.ids()).into());
    }
    let all = instances(&web, &facts, &run).await?;
    let is_wanted = |row: &&TaskRow| Some(row.task_no) == no && row.map_index != MapIndex::NONE;
    let all: Vec<&TaskRow> = all.iter().filter(is_wanted).collect();
    let n_instances = all.len();
    let page = all.into_iter().skip(offset as usize).take(limit as usize);
    let bodies = bodies(&web, &facts, &run, page).await?;
    Ok(Json(json!({ "task_instances": bodies, "total_entries": n_instances })).into_response())
}

const PATCH_KEYS: &[&str] = &[
    "new_state",
    "note",
    "include_upstream",
    "include_downstream",
    "include_future",
    "include_past",
];

/// `PATCH …/taskInstances/{task}`: marks it, and what the body names besides; or keeps a note.
pub(crate) async fn patch(
    State(web): State<Web>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    query: Pairs,
    bytes: Bytes,
) -> ApiResult {
    let map_index = query.map_index()?;
    task::find(&web, &dag_id, &run_id, &task_id, map_index).await?;
    marked(&web, (dag_id, run_id, task_id), map_index, &bytes, false).await
}

/// `PATCH …/taskInstances/{task}/dry_run`: which instances that would mark.
pub(crate) async fn patch_dry(
    State(web): State<Web>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    query: Pairs,
    bytes: Bytes,
) -> ApiResult {
    let map_index = query.map_index()?;
    task::find(&web, &dag_id, &run_id, &task_id, map_index).await?;
    marked(&web, (dag_id, run_id, task_id), map_index, &bytes, true).await
}

/// `PATCH …/taskGroupInstances/{group}`: marks all tasks of a group.
pub(crate) async fn patch_group(
    State(web): State<Web>,
    Path((dag_id, run_id, group_id)): Path<(String, String, String)>,
    bytes: Bytes,
) -> ApiResult {
    run_facts(&web, &dag_id, &run_id).await?;
    let names = (dag_id, run_id, group_id);
    marked(&web, names, MapIndex::NONE, &bytes, false).await
}

/// `PATCH …/taskGroupInstances/{group}/dry_run`.
pub(crate) async fn patch_group_dry(
    State(web): State<Web>,
    Path((dag_id, run_id, group_id)): Path<(String, String, String)>,
    bytes: Bytes,
) -> ApiResult {
    run_facts(&web, &dag_id, &run_id).await?;
    let names = (dag_id, run_id, group_id);
    marked(&web, names, MapIndex::NONE, &bytes, true).await
}

async fn marked(
    web: &Web,
    (dag_id, run_id, name): (String, String, String),
    map_index: MapIndex,
    bytes: &[u8],
    dry_run: bool,
) -> ApiResult {
    let wish = Body::read(bytes, PATCH_KEYS)?;
    if wish.has("note") && !dry_run {
        let command = Command::SetNote {
            dag_id: dag_id.clone(),
            run_id: run_id.clone(),
            task: Some((name.clone(), map_index)),
            note: wish.text("note")?.unwrap_or_default(),
        };
        ask(web, command).await?;
        if wish.get("new_state").is_none() {
            let found = task::find(web, &dag_id, &run_id, &name, map_index).await?;
            let row = std::iter::once(&found.row);
            let bodies = bodies(web, &found.facts, &found.run, row).await?;
            let body = json!({ "task_instances": bodies, "total_entries": 1 });
            return Ok(Json(body).into_response());
        }
    }
    let known = [TaskState::Success, TaskState::Failed, TaskState::Skipped];
    let state = wish.text("new_state")?;
    let state = known
        .into_iter()
        .find(|known| Some(known.name()) == state.as_deref());
    let state =
        state.ok_or_else(|| Fault::invalid("body", "new_state", "success, failed or skipped"))?;
    let command = Command::MarkTasks {
        dag_id: dag_id.clone(),
        reach: Reach {
            downstream: wish.flag("include_downstream", false)?,
            upstream: wish.flag("include_upstream", false)?,
            past: wish.flag("include_past", false)?,
            future: wish.flag("include_future", false)?,
            ..Reach::of_run(run_id, vec![(name, map_index)])
        },
        state,
        dry_run,
    };
    Ok(Json(touched(web, &dag_id, command).await?).into_response())
}

/// `GET …/taskInstances/{task}/tries`: all tries, oldest first.
pub(crate) async fn tries(
    State(web): State<Web>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    query: Pairs,
) -> ApiResult {
    let map_index: MapIndex = query.map_index()?;
    let found = task::find(&web, &dag_id, &run_id, &task_id, map_index).await?;
    let earlier = web
        .doors
        .pages
        .tries(found.row.run, found.row.task_no, map_index)
        .await?;
    let current = Some(&found.row).filter(|row| row.try_number > 0);
    let all = earlier.iter().map(|row| &row.task).chain(current);
    let mut bodies = bodies(&web, &found.facts, &found.run, all).await?;
    for body in bodies.iter_mut().filter_map(Value::as_object_mut) {
        for key in [
            "id",
            "logical_date",
            "run_after",
            "note",
            "rendered_map_index",
            "rendered_fields",
            "trigger",
            "triggerer_job",
        ] {
            body.remove(key);
        }
    }
    Ok(Json(json!({ "task_instances": bodies, "total_entries": bodies.len() })).into_response())
}

async fn readable(web: &Web, dag_id: &str) -> Result<std::sync::Arc<tidemill_model::Dag>, Fault> {
    let facts = dag_facts(web, dag_id).await?;
    facts
        .dag
        .ok_or_else(|| Fault::not_found(format!("the definition of `{dag_id}` cannot be read")))
}

/// `GET /dags/{id}/tasks`. Not paged by Airflow; paged here where `limit` is given.
pub(crate) async fn definitions(
    State(web): State<Web>,
    Path(dag_id): Path<String>,
    query: Pairs,
) -> ApiResult {
    let dag = readable(&web, &dag_id).await?;
    let (limit, offset) = match query.get("limit") {
        Some(_) => query.paging()?,
        None => (u32::MAX, 0),
    };
    let wanted = (0..dag.tasks.len() as u32)
        .skip(offset as usize)
        .take(limit as usize);
    let bodies: Vec<Value> = wanted.map(|at| body::task(&dag, TaskIndex(at))).collect();
    Ok(Json(json!({ "tasks": bodies, "total_entries": dag.tasks.len() })).into_response())
}

/// `GET /dags/{id}/tasks/{task}`.
pub(crate) async fn definition(
    State(web): State<Web>,
    Path((dag_id, task_id)): Path<(String, String)>,
) -> ApiResult {
    let dag = readable(&web, &dag_id).await?;
    match dag.index_of(&task_id) {
        Some(at) => Ok(Json(body::task(&dag, at)).into_response()),
        None => Err(Fault::no_such(
            "task",
            &task_id,
            dag.tasks.iter().map(|task| task.id.as_str()),
        )
        .into()),
    }
}

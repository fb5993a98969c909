//! Assets and their events, by Airflow's names.

use super::ApiResult;
use super::query::{Body, Pairs};
use super::runs::{TRIGGER_KEYS, make};
use crate::Web;
use crate::error::Fault;
use crate::page::{ask, find_dag, run_facts};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use std::collections::HashMap;
use tidemill_model::{AssetNo, EventNo, Ts};
use tidemill_store::{Answer, AssetEventRow, AssetRow, AssetState, Command, EventFilter, Refusal};

const EVENT_KEYS: &[&str] = &["asset_id", "extra", "partition_key", "access_control"];

/// The assets as the engine uses them; without an engine, as they are stored.
pub(crate) async fn states(web: &Web) -> Result<Vec<AssetState>, Fault> {
    match (web.doors.commands)(Command::Assets).await {
        Ok(Answer::Assets(assets)) => Ok(assets),
        Ok(_) => Ok(Vec::new()),
        Err(Refusal::Unavailable { .. }) => {
            let stored = web.doors.pages.assets().await?;
            Ok(stored.into_iter().map(AssetState::of).collect())
        }
        Err(refusal) => Err(refusal.into()),
    }
}

async fn state(web: &Web, text: &str) -> Result<AssetState, Fault> {
    let all = states(web).await?;
    let no = text.parse().map(AssetNo).ok();
    // The command line names assets, Airflow's API numbers them.
    let is_it = |state: &AssetState| Some(state.row.asset) == no || state.row.name == text;
    let known: Vec<String> = all.iter().map(|state| state.row.name.clone()).collect();
    let found = all.into_iter().find(is_it);
    found.ok_or_else(|| Fault::no_such("asset", text, known.iter().map(String::as_str)))
}

fn asset_body(state: &AssetState, last: Option<&AssetEventRow>) -> Value {
    let row = &state.row;
    let task = |(dag_id, task_id): &(String, String)| {
        json!({ "dag_id": dag_id, "task_id": task_id,
                "created_at": row.created_at, "updated_at": row.updated_at })
    };
    let dag = |(dag_id, _): &(String, Vec<AssetEventRow>)| json!({ "dag_id": dag_id, "created_at": row.created_at, "updated_at": row.updated_at });
    let queued: HashMap<&str, usize> = state
        .consumers
        .iter()
        .map(|(dag_id, events)| (dag_id.as_str(), events.len()))
        .collect();
    json!({
        "id": row.asset,
        "name": row.name,
        "uri": row.uri,
        "group": row.group,
        "extra": row.extra,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "scheduled_dags": state.consumers.iter().map(dag).collect::<Vec<_>>(),
        "producing_tasks": state.producers.iter().map(task).collect::<Vec<_>>(),
        "consuming_tasks": state.readers.iter().map(task).collect::<Vec<_>>(),
        "aliases": [],
        "watchers": [],
        "last_asset_event": last.map(|event| json!({ "id": event.event, "timestamp": event.at })),
        // Tidemill's own: how many events wait for which DAG.
        "queued_events": queued,
    })
}

/// `GET /assets`.
pub(crate) async fn list(State(web): State<Web>, query: Pairs) -> ApiResult {
    let (limit, offset) = query.paging()?;
    let mut all = states(&web).await?;
    let matches = |text: &str, pattern: Option<&str>| {
        pattern.is_none_or(|pattern| super::query::is_like(text, pattern))
    };
    let (name, uri) = (query.get("name_pattern"), query.get("uri_pattern"));
    all.retain(|state| matches(&state.row.name, name) && matches(&state.row.uri, uri));
    let dags: Vec<&str> = query.all("dag_ids").collect();
    all.retain(|state| dags.is_empty() || dags.iter().any(|dag| touches(state, dag)));
    let last = last_events(&web).await?;
    let page = all.iter().skip(offset as usize).take(limit as usize);
    let bodies: Vec<Value> = page
        .map(|state| asset_body(state, last.get(&state.row.asset)))
        .collect();
    Ok(Json(json!({ "assets": bodies, "total_entries": all.len() })).into_response())
}

fn touches(state: &AssetState, dag: &str) -> bool {
    let mut tasks = state.producers.iter().chain(&state.readers);
    tasks.any(|(of, _)| of == dag) || state.consumers.iter().any(|(of, _)| of == dag)
}

/// The newest event of each asset.
pub(crate) async fn last_events(web: &Web) -> Result<HashMap<AssetNo, AssetEventRow>, Fault> {
    let last = web.doors.pages.last_asset_events().await?;
    Ok(last.into_iter().map(|event| (event.asset, event)).collect())
}

/// `GET /assets/{id}`.
pub(crate) async fn one(State(web): State<Web>, Path(asset): Path<String>) -> ApiResult {
    let state = state(&web, &asset).await?;
    let last = last_events(&web).await?;
    Ok(Json(asset_body(&state, last.get(&state.row.asset))).into_response())
}

async fn event_bodies(web: &Web, events: &[AssetEventRow]) -> Result<Vec<Value>, Fault> {
    let assets = web.doors.pages.assets().await?;
    let by_no: HashMap<AssetNo, &AssetRow> = assets.iter().map(|row| (row.asset, row)).collect();
    let numbers: Vec<EventNo> = events.iter().map(|event| event.event).collect();
    let mut made: HashMap<EventNo, Vec<Value>> = HashMap::new();
    for delivery in web.doors.pages.asset_deliveries(&numbers).await? {
        let Some(run_no) = delivery.run else { continue };
        if let Some(run) = web.doors.pages.run_by_no(run_no).await? {
            let row = &run.row;
            made.entry(delivery.event).or_default().push(json!({
                "run_id": row.run_id, "dag_id": run.dag_id, "logical_date": row.logical_date,
                "start_date": row.started_at.unwrap_or(row.queued_at), "end_date": row.ended_at,
                "state": row.state, "data_interval_start": row.data_interval_start,
                "data_interval_end": row.data_interval_end, "partition_key": null,
            }));
        }
    }
    Ok(events
        .iter()
        .map(|event| {
            event_body(
                event,
                by_no.get(&event.asset).copied(),
                made.remove(&event.event),
            )
        })
        .collect())
}

fn event_body(event: &AssetEventRow, asset: Option<&AssetRow>, made: Option<Vec<Value>>) -> Value {
    let source = event.source.as_ref();
    json!({
        "id": event.event,
        "asset_id": event.asset,
        "uri": asset.map(|asset| &asset.uri),
        "name": asset.map(|asset| &asset.name),
        "group": asset.map(|asset| &asset.group),
        "extra": event.extra,
        "source_task_id": source.map(|source| &source.task_id),
        "source_dag_id": source.map(|source| &source.dag_id),
        "source_run_id": source.map(|source| &source.run_id),
        "source_map_index": source.map_or(-1, |source| source.map_index),
        "created_dagruns": made.unwrap_or_default(),
        "timestamp": event.at,
        "partition_key": null,
    })
}

/// `GET /assets/events`.
pub(crate) async fn events(State(web): State<Web>, query: Pairs) -> ApiResult {
    let (limit, offset) = query.paging()?;
    let asset = match query.get("asset_id") {
        None => None,
        Some(text) => Some(state(&web, text).await?.row.asset),
    };
    let text = |key: &str| query.get(key).map(str::to_string);
    let filter = EventFilter {
        asset,
        dag_id: text("source_dag_id"),
        run_id: text("source_run_id"),
        task_id: text("source_task_id"),
        part_of: None,
        offset,
        limit,
    };
    told(&web, &filter).await
}

async fn told(web: &Web, filter: &EventFilter) -> ApiResult {
    let found = web.doors.pages.asset_events(filter).await?;
    let bodies = event_bodies(web, &found.events).await?;
    Ok(Json(json!({ "asset_events": bodies, "total_entries": found.total })).into_response())
}

/// `GET /dags/{dag}/dagRuns/{run}/upstreamAssetEvents`: the events that a run was made for.
pub(crate) async fn upstream(
    State(web): State<Web>,
    Path((dag, run)): Path<(String, String)>,
) -> ApiResult {
    let (_, run) = run_facts(&web, &dag, &run).await?;
    let filter = EventFilter {
        part_of: Some(run.row.run),
        limit: 10_000,
        ..EventFilter::default()
    };
    told(&web, &filter).await
}

/// `POST /assets/events`: says that an asset has been written.
pub(crate) async fn emit(State(web): State<Web>, bytes: Bytes) -> ApiResult {
    let wish = Body::read(&bytes, EVENT_KEYS)?;
    wish.refuse(&["partition_key", "access_control"])?;
    let asset = match wish.get("asset_id") {
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(name)) => name.clone(),
        _ => return Err(Fault::invalid("body", "asset_id", "the number of an asset").into()),
    };
    let extra = match wish.get("extra") {
        None => serde_json::Map::new(),
        Some(Value::Object(extra)) => extra.clone(),
        Some(_) => return Err(Fault::invalid("body", "extra", "an object is wanted").into()),
    };
    let state = state(&web, &asset).await?;
    let command = Command::EmitAsset {
        name: state.row.name.clone(),
        extra,
        emitted_by: "api".to_string(),
    };
    match ask(&web, command).await? {
        Answer::AssetEvent(event) => {
            let bodies = event_bodies(&web, std::slice::from_ref(&*event)).await?;
            Ok(Json(bodies.into_iter().next()).into_response())
        }
        _ => Err(Fault::not_found("the event").into()),
    }
}

/// `POST /assets/{id}/materialize`: makes a run of the DAG that writes it.
pub(crate) async fn materialize(
    State(web): State<Web>,
    Path(asset): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> ApiResult {
    let bytes: &[u8] = match bytes.trim_ascii() {
        b"" | b"null" => b"{}",
        body => body,
    };
    let wish = Body::read(bytes, TRIGGER_KEYS)?;
    let state = state(&web, &asset).await?;
    let name = &state.row.name;
    let mut dags: Vec<&String> = state.producers.iter().map(|(dag, _)| dag).collect();
    dags.dedup();
    match dags[..] {
        [dag] => make(&web, dag.clone(), &headers, &wish).await,
        [] => Err(
            Fault::not_found(format!("no DAG writes {name}: no task has it in `outlets`")).into(),
        ),
        _ => {
            let list: Vec<&str> = dags.iter().map(|dag| dag.as_str()).collect();
            let what = format!("several DAGs write {name}: {}", list.join(", "));
            Err(Fault::new(StatusCode::CONFLICT, what).into())
        }
    }
}

/// Events that wait, one line for each DAG and asset.
async fn queued(web: &Web, dag: Option<&str>, asset: Option<AssetNo>) -> Result<Vec<Value>, Fault> {
    let mut lines = Vec::new();
    for state in states(web).await? {
        for (dag_id, events) in &state.consumers {
            let is_it = dag.is_none_or(|dag| dag == dag_id)
                && asset.is_none_or(|asset| asset == state.row.asset);
            let Some(newest) = events.last().filter(|_| is_it) else {
                continue;
            };
            let at: Ts = newest.at;
            lines.push(
                json!({ "dag_id": dag_id, "asset_id": state.row.asset, "created_at": at,
                               "dag_display_name": dag_id }),
            );
        }
    }
    Ok(lines)
}

fn queued_list(lines: &[Value]) -> ApiResult {
    let body = json!({ "queued_events": lines, "total_entries": lines.len() });
    Ok(Json(body).into_response())
}

/// `GET /assets/{id}/queuedEvents`.
pub(crate) async fn queued_of_asset(
    State(web): State<Web>,
    Path(asset): Path<String>,
) -> ApiResult {
    let asset = state(&web, &asset).await?.row.asset;
    queued_list(&queued(&web, None, Some(asset)).await?)
}

/// `GET /dags/{dag}/assets/queuedEvents`.
pub(crate) async fn queued_of_dag(State(web): State<Web>, Path(dag): Path<String>) -> ApiResult {
    find_dag(&web, &dag).await?;
    queued_list(&queued(&web, Some(&dag), None).await?)
}

/// `GET /dags/{dag}/assets/{id}/queuedEvents`.
pub(crate) async fn queued_of_both(
    State(web): State<Web>,
    Path((dag, asset)): Path<(String, String)>,
) -> ApiResult {
    find_dag(&web, &dag).await?;
    let asset = state(&web, &asset).await?.row.asset;
    let lines = queued(&web, Some(&dag), Some(asset)).await?;
    let line = lines.into_iter().next();
    let line = line.ok_or_else(|| Fault::not_found("no event of this asset waits for this DAG"))?;
    Ok(Json(line).into_response())
}

async fn drop_queued(web: &Web, dag_id: Option<String>, asset: Option<AssetNo>) -> ApiResult {
    ask(web, Command::DropAssetEvents { dag_id, asset }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `DELETE /assets/{id}/queuedEvents`.
pub(crate) async fn drop_of_asset(State(web): State<Web>, Path(asset): Path<String>) -> ApiResult {
    let asset = state(&web, &asset).await?.row.asset;
    drop_queued(&web, None, Some(asset)).await
}

/// `DELETE /dags/{dag}/assets/queuedEvents`.
pub(crate) async fn drop_of_dag(State(web): State<Web>, Path(dag): Path<String>) -> ApiResult {
    find_dag(&web, &dag).await?;
    drop_queued(&web, Some(dag), None).await
}

/// `DELETE /dags/{dag}/assets/{id}/queuedEvents`.
pub(crate) async fn drop_of_both(
    State(web): State<Web>,
    Path((dag, asset)): Path<(String, String)>,
) -> ApiResult {
    find_dag(&web, &dag).await?;
    let asset = state(&web, &asset).await?.row.asset;
    drop_queued(&web, Some(dag), Some(asset)).await
}

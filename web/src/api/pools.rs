//! Pools: list, one, make, change, delete.

use super::ApiResult;
use super::query::{Body, Pairs};
use crate::Web;
use crate::error::Fault;
use crate::page::ask;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tidemill_store::{Answer, Command, PoolChange, PoolState, Refusal};

/// The pools as the engine uses them; without an engine, as they are stored and unused.
pub(crate) async fn states(web: &Web) -> Result<Vec<PoolState>, Fault> {
    match (web.doors.commands)(Command::Pools).await {
        Ok(Answer::Pools(pools)) => Ok(pools),
        Ok(_) => Ok(Vec::new()),
        Err(Refusal::Unavailable { .. }) => {
            let stored = web.doors.pages.pools().await?;
            Ok(stored.into_iter().map(PoolState::unused).collect())
        }
        Err(refusal) => Err(refusal.into()),
    }
}

async fn state(web: &Web, name: &str) -> Result<PoolState, Fault> {
    let all = states(web).await?;
    let known: Vec<String> = all.iter().map(|pool| pool.pool.name.clone()).collect();
    let found = all
        .into_iter()
        .find(|pool| pool.exists && pool.pool.name == name);
    found.ok_or_else(|| Fault::no_such("pool", name, known.iter().map(String::as_str)))
}

fn body(state: &PoolState) -> Value {
    let pool = &state.pool;
    json!({
        "name": pool.name,
        "slots": pool.slots,
        "description": pool.description,
        "include_deferred": pool.include_deferred,
        "occupied_slots": state.n_occupied,
        "running_slots": state.n_running,
        // A task is queued and started in one step, so no slot is held between.
        "queued_slots": 0,
        "scheduled_slots": state.n_waiting,
        "open_slots": state.n_open(),
        "deferred_slots": state.n_deferred,
        "team_name": null,
    })
}

/// `GET /pools`.
pub(crate) async fn list(State(web): State<Web>, query: Pairs) -> ApiResult {
    let (limit, offset) = query.paging()?;
    let all: Vec<PoolState> = states(&web)
        .await?
        .into_iter()
        .filter(|pool| pool.exists)
        .collect();
    let page = all.iter().skip(offset as usize).take(limit as usize);
    let bodies: Vec<Value> = page.map(body).collect();
    Ok(Json(json!({ "pools": bodies, "total_entries": all.len() })).into_response())
}

/// `GET /pools/{name}`.
pub(crate) async fn one(State(web): State<Web>, Path(name): Path<String>) -> ApiResult {
    Ok(Json(body(&state(&web, &name).await?)).into_response())
}

fn change(wish: &Body) -> Result<PoolChange, Fault> {
    wish.refuse(&["team_name"])?;
    let slots =
        match wish.get("slots") {
            None => None,
            Some(slots) => Some(slots.as_i64().ok_or_else(|| {
                Fault::invalid("body", "slots", "a whole number; -1 is no limit")
            })?),
        };
    Ok(PoolChange {
        slots,
        description: wish.text("description")?,
        include_deferred: match wish.get("include_deferred") {
            None => None,
            Some(_) => Some(wish.flag("include_deferred", false)?),
        },
    })
}

/// `POST /pools`: makes one.
pub(crate) async fn make(State(web): State<Web>, bytes: Bytes) -> ApiResult {
    let keys = [
        "name",
        "slots",
        "description",
        "include_deferred",
        "team_name",
    ];
    let wish = Body::read(&bytes, &keys)?;
    let name = wish.text("name")?;
    let name = name.ok_or_else(|| Fault::invalid("body", "name", "this key is needed"))?;
    let change = change(&wish)?;
    if change.slots.is_none() {
        return Err(Fault::invalid("body", "slots", "this key is needed").into());
    }
    let command = Command::SetPool {
        name: name.clone(),
        change,
        is_new: Some(true),
    };
    ask(&web, command).await?;
    let made = body(&state(&web, &name).await?);
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// `PATCH /pools/{name}`: changes what the body names.
pub(crate) async fn patch(
    State(web): State<Web>,
    Path(name): Path<String>,
    bytes: Bytes,
) -> ApiResult {
    let keys = [
        "pool",
        "name",
        "slots",
        "description",
        "include_deferred",
        "team_name",
    ];
    let wish = Body::read(&bytes, &keys)?;
    for key in ["pool", "name"] {
        if wish.text(key)?.is_some_and(|other| other != name) {
            let what = "a pool keeps its name: make another one and delete this";
            return Err(Fault::invalid("body", key, what).into());
        }
    }
    let command = Command::SetPool {
        name: name.clone(),
        change: change(&wish)?,
        is_new: Some(false),
    };
    ask(&web, command).await?;
    Ok(Json(body(&state(&web, &name).await?)).into_response())
}

/// `DELETE /pools/{name}`.
pub(crate) async fn delete(State(web): State<Web>, Path(name): Path<String>) -> ApiResult {
    ask(&web, Command::DeletePool { name }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

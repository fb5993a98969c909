//! Workers in processes of their own: list, drain.

use super::ApiResult;
use super::query::Body;
use crate::Web;
use crate::error::Fault;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tidemill_store::WorkerRecord;

fn body(worker: &WorkerRecord) -> Value {
    json!({
        "worker": worker.worker,
        "host": worker.host,
        "pid": worker.pid,
        "slots": worker.slots,
        "queues": worker.queues,
        "state": if worker.is_draining { "draining" } else { "alive" },
        "started": worker.started_at,
        "seen": worker.seen_at,
    })
}

/// `GET /workers`. A database that one process owns has none.
pub(crate) async fn list(State(web): State<Web>) -> ApiResult {
    let workers = match &web.doors.workers {
        Some(store) => store.workers().await?,
        None => Vec::new(),
    };
    let workers: Vec<Value> = workers.iter().map(body).collect();
    Ok(Json(json!({ "total_entries": workers.len(), "workers": workers })).into_response())
}

/// `PATCH /workers/{worker}` with `{"is_draining": true}`.
pub(crate) async fn drain(
    State(web): State<Web>,
    Path(worker): Path<i64>,
    body: axum::body::Bytes,
) -> ApiResult {
    let wish = Body::read(&body, &["is_draining"])?;
    if !wish.has("is_draining") {
        return Err(Fault::invalid("body", "is_draining", "true or false is wanted").into());
    }
    let is_draining = wish.flag("is_draining", false)?;
    let is_there = match &web.doors.workers {
        Some(store) => store.set_draining(worker, is_draining).await?,
        None => false,
    };
    if !is_there {
        return Err(Fault::not_found(format!("there is no worker {worker}")).into());
    }
    Ok(Json(json!({ "worker": worker, "is_draining": is_draining })).into_response())
}

//! Records that no run was made of.

use super::ApiResult;
use super::query::Pairs;
use super::streams::{find, wish};
use crate::Web;
use crate::error::Fault;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use base64::Engine;
use serde_json::{Value, json};
use tidemill_store::{PoisonRecord, StreamWish};

/// Records that one answer holds at most.
const LIMIT_MAX: u32 = 1000;
/// Records that one answer holds when it is not said.
pub(crate) const NEWEST: u32 = 50;

/// A record without its bytes.
pub(crate) fn poison(one: &PoisonRecord) -> Value {
    let size = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(Vec::len);
    json!({
        "id": one.poison,
        "topic": one.partition.topic,
        "partition": one.partition.partition,
        "offset": one.offset,
        "timestamp": one.timestamp,
        "class": one.class,
        "message": one.message,
        "key_bytes": size(&one.key),
        "value_bytes": size(&one.value),
        "headers": one.headers,
        "state": one.state,
        "sent_at": one.sent_at,
        "created_at": one.created_at,
    })
}

/// `GET /dags/{dag}/triggers/{trigger}/quarantine?limit=50`: the newest ones.
pub(crate) async fn list(
    State(web): State<Web>,
    Path((dag, name)): Path<(String, String)>,
    query: Pairs,
) -> ApiResult {
    let record = find(&web, &dag, &name).await?;
    let limit = query.number("limit", NEWEST)?;
    if !(1..=LIMIT_MAX).contains(&limit) {
        let message = format!("a number from 1 to {LIMIT_MAX}");
        return Err(Fault::invalid("query", "limit", &message).into());
    }
    let held = web.doors.streams.quarantine(record.trigger, limit).await?;
    let held: Vec<Value> = held.iter().map(poison).collect();
    Ok(Json(json!({ "quarantine": held })).into_response())
}

/// `GET /dags/{dag}/triggers/{trigger}/quarantine/{id}`: with its key and value, as text where
/// they are text and as base64 (`key_base64`, `value_base64`) where they are not.
pub(crate) async fn show(
    State(web): State<Web>,
    Path((dag, name, id)): Path<(String, String, i64)>,
) -> ApiResult {
    let record = find(&web, &dag, &name).await?;
    let held = web.doors.streams.held_poison(record.trigger, id).await?;
    let one = held.ok_or_else(|| not_held(&dag, &name, id))?;
    let mut body = poison(&one);
    for (name, bytes) in [("key", &one.key), ("value", &one.value)] {
        let Some(bytes) = bytes else {
            body[name] = Value::Null;
            continue;
        };
        match std::str::from_utf8(bytes) {
            Ok(text) => body[name] = json!(text),
            Err(_) => {
                let text = base64::engine::general_purpose::STANDARD.encode(bytes);
                body[format!("{name}_base64")] = json!(text);
            }
        }
    }
    Ok(Json(body).into_response())
}

fn not_held(dag: &str, name: &str, id: i64) -> Fault {
    Fault::not_found(format!("{dag}/{name} holds no record {id} in quarantine"))
}

/// `POST /dags/{dag}/triggers/{trigger}/quarantine/{id}/retry`.
pub(crate) async fn retry(
    State(web): State<Web>,
    Path((dag, name, id)): Path<(String, String, i64)>,
) -> ApiResult {
    Ok(Json(retry_one(&web, &dag, &name, id).await?).into_response())
}

pub(crate) async fn retry_one(web: &Web, dag: &str, name: &str, id: i64) -> Result<Value, Fault> {
    let record = find(web, dag, name).await?;
    let asked = StreamWish::Retry {
        dag: record.dag,
        trigger: record.name,
        poison: id,
    };
    wish(web, asked).await
}

/// `POST /dags/{dag}/triggers/{trigger}/quarantine/{id}/drop`.
pub(crate) async fn drop(
    State(web): State<Web>,
    Path((dag, name, id)): Path<(String, String, i64)>,
) -> ApiResult {
    drop_one(&web, &dag, &name, id).await?;
    Ok(Json(json!({ "id": id, "state": "dropped" })).into_response())
}

pub(crate) async fn drop_one(web: &Web, dag: &str, name: &str, id: i64) -> Result<(), Fault> {
    let record = find(web, dag, name).await?;
    let asked = StreamWish::Drop {
        trigger: record.trigger,
        poison: id,
    };
    match wish(web, asked).await? {
        Value::Bool(true) => Ok(()),
        _ => Err(not_held(dag, name, id)),
    }
}

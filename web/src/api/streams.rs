//! Streams: how far they are read, what was made of them, and what people do with them.

use super::ApiResult;
use super::query::{Body, Pairs};
use crate::Web;
use crate::error::Fault;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tidemill_store::{
    BatchRecord, Cursor, LIVE, PoisonRecord, Refusal, SeekTo, StreamWish, TriggerRecord,
};

/// Batches and poison that one answer holds.
const NEWEST: u32 = 50;

/// What a source is doing, by the process that runs it; null where none does.
pub(crate) async fn live(web: &Web) -> Vec<Value> {
    match &web.doors.stream_door {
        Some(door) => match door(StreamWish::Status).await {
            Ok(Value::Array(all)) => all,
            _ => Vec::new(),
        },
        None => Vec::new(),
    }
}

/// The trigger of that name.
pub(crate) async fn find(web: &Web, dag: &str, name: &str) -> Result<TriggerRecord, Fault> {
    let all = web.doors.streams.triggers().await?;
    let found = all
        .into_iter()
        .find(|one| one.dag_id == dag && one.name == name);
    found.ok_or_else(|| Fault::not_found(format!("DAG {dag} has no trigger {name}")))
}

/// A trigger with its cursors, as the API tells it.
pub(crate) async fn told(web: &Web, one: &TriggerRecord, live: &[Value]) -> Result<Value, Fault> {
    let cursors = web.doors.streams.cursors(one.trigger, LIVE).await?;
    let now = live
        .iter()
        .find(|now| now["dag"] == one.dag.0 && now["trigger"] == one.name.as_str());
    let partitions: Vec<Value> = cursors
        .iter()
        .map(|cursor| partition(cursor, now.map_or(&Value::Null, |now| &now["partitions"])))
        .collect();
    // A webhook or a file is told by who attends to it; whatever else is live is a stream.
    let kind = now.map(|now| now["kind"].as_str().unwrap_or("kafka"));
    let state = match (now, kind) {
        (None, _) => json!("stopped"),
        (Some(_), Some("webhook" | "file")) if one.is_paused => json!("paused"),
        (Some(now), _) => now["state"].clone(),
    };
    let sum = |what: fn(&Cursor) -> i64| cursors.iter().map(what).sum::<i64>();
    let lag: Option<i64> = partitions.iter().map(|one| one["lag"].as_i64()).sum();
    Ok(json!({
        "dag_id": one.dag_id,
        "trigger": one.name,
        "kind": kind,
        "is_paused": one.is_paused,
        "state": state,
        "why": now.map_or(Value::Null, |now| now["why"].clone()),
        "lag": lag,
        // A webhook has no cursor: what it has made since the start is told by who attends to it.
        "taken": now
            .and_then(|now| now["taken"].as_i64())
            .unwrap_or_else(|| sum(|cursor| cursor.counts.taken)),
        "filtered": sum(|cursor| cursor.counts.filtered),
        "missing": sum(|cursor| cursor.counts.missing),
        "skipped": sum(|cursor| cursor.counts.skipped),
        "quarantined": sum(|cursor| cursor.counts.quarantined),
        "deduped": sum(|cursor| cursor.counts.deduped),
        "lost": sum(|cursor| cursor.counts.lost),
        "partitions": partitions,
    }))
}

fn partition(cursor: &Cursor, live: &Value) -> Value {
    let at = &cursor.partition;
    let now = live.as_array().into_iter().flatten().find(|now| {
        now["topic"] == at.topic.as_str()
            && now["partition"] == at.partition
            && now["incarnation"] == at.incarnation.as_str()
    });
    let now = now.unwrap_or(&Value::Null);
    let is_caught_up = now["is_caught_up"] == true;
    let high = now["high"].as_i64();
    let lag = high.map(|high| {
        if is_caught_up {
            0
        } else {
            (high - cursor.next_offset).max(0)
        }
    });
    json!({
        "topic": at.topic,
        "incarnation": at.incarnation,
        "partition": at.partition,
        "next_offset": cursor.next_offset,
        "low": now["low"],
        "high": now["high"],
        "lag": lag,
        "caught_up": is_caught_up,
        "read_up_to": now["read_up_to"],
        "halted": cursor.halted,
        "taken": cursor.counts.taken,
        "filtered": cursor.counts.filtered,
        "quarantined": cursor.counts.quarantined,
        "deduped": cursor.counts.deduped,
        "lost": cursor.counts.lost,
        "moved_at": cursor.updated_at,
    })
}

/// A batch with the run that owns it.
pub(crate) async fn batch(web: &Web, one: &BatchRecord) -> Result<Value, Fault> {
    let run = web.doors.pages.run_by_no(one.run).await?;
    Ok(json!({
        "dag_run_id": run.as_ref().map(|run| run.row.run_id.as_str()),
        "state": run.as_ref().map(|run| run.row.state),
        "topic": one.partition.topic,
        "partition": one.partition.partition,
        "first_offset": one.first_offset,
        "last_offset": one.end_offset - 1,
        "records": one.n_records,
        "bytes": one.n_bytes,
        "sha256": one.sha256,
        "lane": one.lane,
    }))
}

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

/// `GET /triggers`, of one DAG where `dag_id` names it.
pub(crate) async fn list(State(web): State<Web>, query: Pairs) -> ApiResult {
    let dag_id = query.get("dag_id");
    let live = live(&web).await;
    let mut bodies = Vec::new();
    for one in web.doors.streams.triggers().await? {
        if dag_id.is_none_or(|dag_id| one.dag_id == dag_id) {
            bodies.push(told(&web, &one, &live).await?);
        }
    }
    Ok(Json(json!({ "total_entries": bodies.len(), "triggers": bodies })).into_response())
}

/// `GET /dags/{dag}/triggers/{trigger}`: with its newest batches and its quarantine.
pub(crate) async fn one(
    State(web): State<Web>,
    Path((dag, name)): Path<(String, String)>,
) -> ApiResult {
    let record = find(&web, &dag, &name).await?;
    let mut body = told(&web, &record, &live(&web).await).await?;
    let mut batches = Vec::new();
    for one in web.doors.streams.batches(record.trigger, NEWEST).await? {
        batches.push(batch(&web, &one).await?);
    }
    body["batches"] = Value::Array(batches);
    let held = web.doors.streams.quarantine(record.trigger, NEWEST).await?;
    body["quarantine"] = held.iter().map(poison).collect();
    Ok(Json(body).into_response())
}

async fn wish(web: &Web, wish: StreamWish) -> Result<Value, Fault> {
    let none = || Refusal::Unavailable {
        what: "no server reads streams here".to_string(),
    };
    let door = web.doors.stream_door.as_ref().ok_or_else(none)?;
    Ok(door(wish).await?)
}

/// `PATCH /dags/{dag}/triggers/{trigger}` with `{"is_paused": true}`.
pub(crate) async fn patch(
    State(web): State<Web>,
    Path((dag, name)): Path<(String, String)>,
    bytes: Bytes,
) -> ApiResult {
    let body = Body::read(&bytes, &["is_paused"])?;
    if !body.has("is_paused") {
        return Err(Fault::invalid("body", "is_paused", "true or false is wanted").into());
    }
    pause(&web, &dag, &name, body.flag("is_paused", false)?).await?;
    one(State(web), Path((dag, name))).await
}

pub(crate) async fn pause(web: &Web, dag: &str, name: &str, paused: bool) -> Result<(), Fault> {
    let record = find(web, dag, name).await?;
    let asked = StreamWish::Pause {
        dag: record.dag,
        trigger: record.name,
        paused,
    };
    wish(web, asked).await.map(drop)
}

/// `POST /dags/{dag}/triggers/{trigger}/seek` with `{"to": …, "dry_run": true}`: `to` is
/// `"earliest"`, `"latest"`, an instant, or offsets by partition.
pub(crate) async fn seek(
    State(web): State<Web>,
    Path((dag, name)): Path<(String, String)>,
    bytes: Bytes,
) -> ApiResult {
    let body = Body::read(&bytes, &["to", "dry_run"])?;
    let record = find(&web, &dag, &name).await?;
    let odd = || {
        let message =
            "\"earliest\", \"latest\", an instant, or {\"0\": 17}: an offset for each partition";
        Fault::invalid("body", "to", message)
    };
    let to = match body.get("to") {
        Some(Value::String(word)) if word == "earliest" => SeekTo::Earliest,
        Some(Value::String(word)) if word == "latest" => SeekTo::Latest,
        Some(Value::String(_)) => SeekTo::At(body.instant("to")?.ok_or_else(odd)?),
        Some(Value::Object(offsets)) => {
            let pairs = offsets.iter().map(|(partition, offset)| {
                Some((
                    partition.parse().ok()?,
                    offset.as_i64().filter(|at| *at >= 0)?,
                ))
            });
            SeekTo::Offsets(pairs.collect::<Option<_>>().ok_or_else(odd)?)
        }
        _ => return Err(odd().into()),
    };
    let asked = StreamWish::Seek {
        dag: record.dag,
        trigger: record.name,
        to,
        dry_run: body.flag("dry_run", false)?,
    };
    Ok(Json(wish(&web, asked).await?).into_response())
}

/// `POST /dags/{dag}/triggers/{trigger}/quarantine/{id}/drop`.
pub(crate) async fn drop_poison(
    State(web): State<Web>,
    Path((dag, name, id)): Path<(String, String, i64)>,
) -> ApiResult {
    drop_one(&web, &dag, &name, id).await?;
    Ok(Json(json!({ "id": id, "state": "dropped" })).into_response())
}

pub(crate) async fn drop_one(web: &Web, dag: &str, name: &str, id: i64) -> Result<(), Fault> {
    let record = find(web, dag, name).await?;
    match web.doors.streams.drop_poison(record.trigger, id).await? {
        true => Ok(()),
        false => Err(Fault::not_found(format!(
            "{dag}/{name} holds no record {id} in quarantine"
        ))),
    }
}

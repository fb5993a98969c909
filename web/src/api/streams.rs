//! Streams: how far they are read, what was made of them, and what people do with them.

use super::ApiResult;
use super::quarantine::{NEWEST, poison};
use super::query::{Body, Pairs};
use crate::Web;
use crate::error::Fault;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tidemill_store::{
    BatchRecord, Command, Cursor, GapRecord, LIVE, NamedOffset, Refusal, ReplayOf, SeekTo,
    StreamWish, TriggerRecord,
};

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
    let now = live.iter().find(|now| {
        now["dag"] == one.dag.0 && now["trigger"] == one.name.as_str() && now["replay"] == LIVE
    });
    let partitions: Vec<Value> = current(&cursors)
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

/// The cursors that are read, or halt: of a topic that was made anew, the newest.
fn current(cursors: &[Cursor]) -> impl Iterator<Item = &Cursor> {
    cursors.iter().filter(|cursor| {
        let at = &cursor.partition;
        let mut others = cursors.iter().filter(|other| {
            (&other.partition.topic, other.partition.partition) == (&at.topic, at.partition)
        });
        others.all(|other| (other.updated_at, &other.partition) <= (cursor.updated_at, at))
    })
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
        "unread_since": now["unread_since"],
        "kept_until": now["kept_until"],
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
    body["replays"] = replays(&web, &record).await?;
    body["blocked"] = blocked(&web, &record).await?;
    let gaps = web.doors.streams.gaps(record.trigger, NEWEST).await?;
    body["gaps"] = gaps.iter().map(gap).collect();
    Ok(Json(body).into_response())
}

fn gap(one: &GapRecord) -> Value {
    json!({
        "topic": one.partition.topic,
        "partition": one.partition.partition,
        "from": one.from,
        "to": one.to,
        "why": one.why,
        "seen_at": one.seen_at,
    })
}

/// The newest replays, each with how far it is.
pub(crate) async fn replays(web: &Web, record: &TriggerRecord) -> Result<Value, Fault> {
    let mut all = Vec::new();
    for one in web.doors.streams.replays(record.trigger, NEWEST).await? {
        let cursors = web.doors.streams.cursors(one.trigger, one.replay).await?;
        let taken: i64 = cursors.iter().map(|cursor| cursor.counts.taken).sum();
        let left = cursors.iter().map(|cursor| {
            let end = cursor.end_offset.unwrap_or(cursor.next_offset);
            (end - cursor.next_offset).max(0)
        });
        all.push(json!({
            "replay": one.replay,
            "state": one.state,
            "wish": one.wish,
            "taken": taken,
            "left": left.sum::<i64>(),
            "created_at": one.created_at,
            "ended_at": one.ended_at,
        }));
    }
    Ok(Value::Array(all))
}

/// The lanes that a failed run holds up.
pub(crate) async fn blocked(web: &Web, record: &TriggerRecord) -> Result<Value, Fault> {
    let mut all = Vec::new();
    for one in web.doors.streams.blocks().await? {
        if one.trigger == record.trigger {
            let run = web.doors.pages.run_by_no(one.run).await?;
            let prefix = format!("{}: ", record.name);
            all.push(json!({
                "lane": one.lane.strip_prefix(&prefix).unwrap_or(&one.lane),
                "dag_run_id": run.map(|run| run.row.run_id),
                "since": one.at,
            }));
        }
    }
    Ok(Value::Array(all))
}

pub(crate) async fn wish(web: &Web, wish: StreamWish) -> Result<Value, Fault> {
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
    let to = place(&body, "to", body.get("to"))?;
    let asked = StreamWish::Seek {
        dag: record.dag,
        trigger: record.name,
        to,
        dry_run: body.flag("dry_run", false)?,
    };
    Ok(Json(wish(&web, asked).await?).into_response())
}

/// `"earliest"`, `"latest"`, an instant, or offsets by partition.
fn place(body: &Body, key: &'static str, value: Option<&Value>) -> Result<SeekTo, Fault> {
    let odd = || {
        let message = "\"earliest\", \"latest\", an instant, or {\"0\": 17, \"orders/1\": 4}: offsets by partition";
        Fault::invalid("body", key, message)
    };
    match value {
        Some(Value::String(word)) if word == "earliest" => Ok(SeekTo::Earliest),
        Some(Value::String(word)) if word == "latest" => Ok(SeekTo::Latest),
        Some(Value::String(_)) => Ok(SeekTo::At(body.instant(key)?.ok_or_else(odd)?)),
        Some(Value::Object(offsets)) => {
            let named = offsets.iter().map(|(place, offset)| {
                let (topic, partition) = match place.rsplit_once('/') {
                    Some((topic, partition)) => (Some(topic.to_string()), partition),
                    None => (None, place.as_str()),
                };
                Some(NamedOffset {
                    topic,
                    partition: partition.parse().ok()?,
                    offset: offset.as_i64().filter(|at| *at >= 0)?,
                })
            });
            let named = named.collect::<Option<_>>().ok_or_else(odd)?;
            Ok(SeekTo::Offsets(named))
        }
        _ => Err(odd()),
    }
}

/// `POST /dags/{dag}/triggers/{trigger}/replays` with `{"from": …, "to": …, "partitions": [0],
/// "allow_gap": false, "dry_run": true}`; places as for `seek`. `dag_run_id` instead of `from` and
/// `to` means what that run was made of.
pub(crate) async fn replay(
    State(web): State<Web>,
    Path((dag, name)): Path<(String, String)>,
    bytes: Bytes,
) -> ApiResult {
    let keys = [
        "from",
        "to",
        "dag_run_id",
        "partitions",
        "allow_gap",
        "dry_run",
    ];
    let body = Body::read(&bytes, &keys)?;
    let record = find(&web, &dag, &name).await?;
    let numbers = match body.get("partitions") {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(all)) => {
            let numbers = all.iter().map(|one| i32::try_from(one.as_i64()?).ok());
            numbers.collect()
        }
        Some(_) => None,
    };
    let odd = || Fault::invalid("body", "partitions", "a list of numbers of partitions");
    let asked = StreamWish::Replay {
        dag: record.dag,
        trigger: record.name,
        of: replay_of(&web, &dag, &body).await?,
        partitions: numbers.ok_or_else(odd)?,
        allow_gap: body.flag("allow_gap", false)?,
        dry_run: body.flag("dry_run", false)?,
    };
    Ok(Json(wish(&web, asked).await?).into_response())
}

/// What a replay reads: what a run was made of, or what lies between two places.
async fn replay_of(web: &Web, dag: &str, body: &Body) -> Result<ReplayOf, Fault> {
    let Some(run_id) = body.get("dag_run_id").and_then(Value::as_str) else {
        return Ok(ReplayOf::Between(
            place(body, "from", body.get("from"))?,
            place(body, "to", body.get("to"))?,
        ));
    };
    let run = web.doors.pages.run(dag, run_id).await?;
    let none = || Fault::not_found(format!("DAG {dag} has no run {run_id}"));
    Ok(ReplayOf::Run(run.ok_or_else(none)?.row.run))
}

/// `POST /dags/{dag}/triggers/{trigger}/replays/{replay}/cancel`.
pub(crate) async fn cancel_replay(
    State(web): State<Web>,
    Path((dag, name, replay)): Path<(String, String, i64)>,
) -> ApiResult {
    let record = find(&web, &dag, &name).await?;
    Ok(Json(cancel(&web, &record, replay).await?).into_response())
}

pub(crate) async fn cancel(web: &Web, record: &TriggerRecord, replay: i64) -> Result<Value, Fault> {
    let all = web.doors.streams.open_replays().await?;
    let is_mine = all
        .iter()
        .any(|one| one.replay == replay && one.trigger == record.trigger);
    if !is_mine {
        let what = format!(
            "{}/{} has no replay {replay} that goes on",
            record.dag_id, record.name
        );
        return Err(Fault::not_found(what));
    }
    wish(web, StreamWish::CancelReplay { replay }).await
}

/// `POST /dags/{dag}/triggers/{trigger}/unblock` with `{"lane": "orders/0", "retry": true}`.
pub(crate) async fn unblock(
    State(web): State<Web>,
    Path((dag, name)): Path<(String, String)>,
    bytes: Bytes,
) -> ApiResult {
    let body = Body::read(&bytes, &["lane", "retry"])?;
    let lane = body.get("lane").and_then(Value::as_str).map(str::to_string);
    let lane = lane.ok_or_else(|| Fault::invalid("body", "lane", "the name of a lane"))?;
    let retry = body.flag("retry", false)?;
    unblock_one(&web, &dag, &name, &lane, retry).await?;
    Ok(Json(json!({ "lane": lane, "retry": retry })).into_response())
}

pub(crate) async fn unblock_one(
    web: &Web,
    dag: &str,
    name: &str,
    lane: &str,
    retry: bool,
) -> Result<(), Fault> {
    let record = find(web, dag, name).await?;
    let command = Command::UnblockLane {
        dag_id: record.dag_id,
        trigger: record.name,
        lane: lane.to_string(),
        retry,
    };
    crate::page::ask(web, command).await.map(drop)
}

//! The streams: what each does, how far it is, what was made of it, and what is in quarantine.

use super::{Frame, PageResult, go, show};
use crate::Web;
use crate::api::{quarantine, streams as api};
use crate::view::{self, text};
use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use serde_json::Value;
use std::collections::HashMap;
use tidemill_model::Ts;
use tidemill_store::GapRecord;

struct StreamLine {
    dag: String,
    name: String,
    url: String,
    dag_url: String,
    /// Has it partitions, offsets and records?
    is_stream: bool,
    kind: String,
    state: String,
    why: String,
    is_bad: bool,
    is_paused: bool,
    lag: String,
    taken: i64,
    filtered: i64,
    quarantined: i64,
    deduped: i64,
    lost: i64,
    partitions: Vec<PartitionLine>,
    batches: Vec<BatchLine>,
    poison: Vec<PoisonLine>,
    blocked: Vec<BlockedLine>,
    replays: Vec<ReplayLine>,
    gaps: Vec<String>,
}

struct BlockedLine {
    lane: String,
    run: String,
    url: String,
    since: String,
}

struct ReplayLine {
    number: i64,
    state: String,
    goes_on: bool,
    ranges: String,
    taken: i64,
    left: i64,
}

struct PartitionLine {
    name: String,
    next: i64,
    end: String,
    lag: String,
    read_up_to: String,
    /// How old the oldest record is that is in no run.
    waits: String,
    /// How long the topic still keeps it.
    kept: String,
    halted: String,
}

struct BatchLine {
    run: String,
    url: String,
    state: String,
    range: String,
    records: i64,
    bytes: i64,
}

struct PoisonLine {
    id: i64,
    place: String,
    class: String,
    message: String,
    is_sent: bool,
}

#[derive(Template)]
#[template(path = "streams.html")]
struct Streams {
    frame: Frame,
    lines: Vec<StreamLine>,
}

/// Batches and poison that the page shows of each stream.
const SHOWN: u32 = 10;

/// The page.
pub(crate) async fn page(State(web): State<Web>) -> PageResult {
    let live = api::live(&web).await;
    let mut lines = Vec::new();
    for record in web.doors.streams.triggers().await? {
        let body = api::told(&web, &record, &live).await?;
        let mut line = line(&body);
        for one in web.doors.streams.batches(record.trigger, SHOWN).await? {
            line.batches
                .push(batch(&record.dag_id, &api::batch(&web, &one).await?));
        }
        let held = web.doors.streams.quarantine(record.trigger, SHOWN).await?;
        line.poison = held
            .iter()
            .map(|one| poison(&quarantine::poison(one)))
            .collect();
        let blocked = api::blocked(&web, &record).await?;
        let blocked = blocked.as_array().into_iter().flatten();
        line.blocked = blocked
            .map(|one| blocked_line(&record.dag_id, one))
            .collect();
        let replays = api::replays(&web, &record).await?;
        let replays = replays.as_array().into_iter().flatten();
        line.replays = replays.take(SHOWN as usize).map(replay).collect();
        let gaps = web.doors.streams.gaps(record.trigger, SHOWN).await?;
        line.gaps = gaps.iter().map(gap).collect();
        lines.push(line);
    }
    show(&Streams {
        frame: Frame::new("Streams", None, web.doors.version),
        lines,
    })
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "unknown".to_string(),
        Value::String(text) => text::inert(text),
        other => other.to_string(),
    }
}

fn number(body: &Value, key: &str) -> i64 {
    body[key].as_i64().unwrap_or(0)
}

fn line(body: &Value) -> StreamLine {
    let (dag, name) = (word(&body["dag_id"]), word(&body["trigger"]));
    let state = word(&body["state"]);
    let partitions = body["partitions"].as_array().into_iter().flatten();
    StreamLine {
        url: format!("/streams/{}/{}", text::segment(&dag), text::segment(&name)),
        dag_url: format!("/dags/{}", text::segment(&dag)),
        why: body["why"].as_str().map(text::inert).unwrap_or_default(),
        is_bad: matches!(
            state.as_str(),
            "waiting" | "halted" | "stopped" | "open_transaction"
        ),
        is_stream: !matches!(body["kind"].as_str(), Some("webhook" | "file")),
        kind: word(&body["kind"]),
        state: state.replace('_', " "),
        is_paused: body["is_paused"] == true,
        lag: word(&body["lag"]),
        taken: number(body, "taken"),
        filtered: number(body, "filtered"),
        quarantined: number(body, "quarantined"),
        deduped: number(body, "deduped"),
        lost: number(body, "lost"),
        partitions: partitions.map(partition).collect(),
        batches: Vec::new(),
        poison: Vec::new(),
        blocked: Vec::new(),
        replays: Vec::new(),
        gaps: Vec::new(),
        dag,
        name,
    }
}

fn partition(body: &Value) -> PartitionLine {
    let now = view::now();
    let instant = |name: &str| serde_json::from_value::<Ts>(body[name].clone()).ok();
    let is_read = body["caught_up"] == true;
    let unread = instant("unread_since").filter(|_| !is_read);
    let kept = instant("kept_until").filter(|_| !is_read);
    PartitionLine {
        waits: unread.map(|at| view::relative(at, now)).unwrap_or_default(),
        kept: kept.map(|at| view::relative(at, now)).unwrap_or_default(),
        name: format!("{}/{}", word(&body["topic"]), body["partition"]),
        next: number(body, "next_offset"),
        end: word(&body["high"]),
        lag: word(&body["lag"]),
        read_up_to: body["read_up_to"].as_str().unwrap_or("").to_string(),
        halted: body["halted"].as_str().map(text::inert).unwrap_or_default(),
    }
}

fn batch(dag: &str, body: &Value) -> BatchLine {
    let run = word(&body["dag_run_id"]);
    BatchLine {
        url: format!("/dags/{}/runs/{}", text::segment(dag), text::segment(&run)),
        run,
        state: word(&body["state"]),
        range: format!(
            "{}/{} {}–{}",
            word(&body["topic"]),
            body["partition"],
            body["first_offset"],
            body["last_offset"]
        ),
        records: number(body, "records"),
        bytes: number(body, "bytes"),
    }
}

fn poison(body: &Value) -> PoisonLine {
    PoisonLine {
        id: number(body, "id"),
        place: format!(
            "{}/{} {}",
            word(&body["topic"]),
            body["partition"],
            body["offset"]
        ),
        class: word(&body["class"]),
        message: word(&body["message"]),
        is_sent: !body["sent_at"].is_null(),
    }
}

fn blocked_line(dag: &str, body: &Value) -> BlockedLine {
    let run = word(&body["dag_run_id"]);
    BlockedLine {
        lane: word(&body["lane"]),
        url: format!("/dags/{}/runs/{}", text::segment(dag), text::segment(&run)),
        run,
        since: word(&body["since"]),
    }
}

fn replay(body: &Value) -> ReplayLine {
    let ranges = body["wish"]["partitions"].as_array().into_iter().flatten();
    let ranges = ranges.map(|one| {
        let last = one["to"].as_i64().unwrap_or(0) - 1;
        format!(
            "{}/{} {}–{last}",
            word(&one["topic"]),
            one["partition"],
            one["from"]
        )
    });
    ReplayLine {
        number: number(body, "replay"),
        goes_on: body["state"] == "running",
        state: word(&body["state"]),
        ranges: ranges.collect::<Vec<_>>().join(", "),
        taken: number(body, "taken"),
        left: number(body, "left"),
    }
}

fn gap(one: &GapRecord) -> String {
    let place = &one.partition;
    let why = text::inert(&one.why);
    format!(
        "{}/{}: {why} ({})",
        place.topic, place.partition, one.seen_at
    )
}

/// Pauses or resumes a stream, or does something about a record of its quarantine, a lane or a
/// replay.
pub(crate) async fn change(
    State(web): State<Web>,
    Path((dag, name)): Path<(String, String)>,
    Form(form): Form<HashMap<String, String>>,
) -> PageResult {
    match form.get("do").map(String::as_str) {
        Some("pause") => api::pause(&web, &dag, &name, true).await?,
        Some("resume") => api::pause(&web, &dag, &name, false).await?,
        Some("drop") => {
            let id = form.get("id").and_then(|id| id.parse().ok()).unwrap_or(0);
            quarantine::drop_one(&web, &dag, &name, id).await?;
        }
        Some("retry") => {
            let id = form.get("id").and_then(|id| id.parse().ok()).unwrap_or(0);
            quarantine::retry_one(&web, &dag, &name, id).await?;
        }
        Some(how @ ("try the lane" | "skip the lane")) => {
            let lane = form.get("lane").cloned().unwrap_or_default();
            api::unblock_one(&web, &dag, &name, &lane, how == "try the lane").await?;
        }
        Some("cancel") => {
            let id = form.get("id").and_then(|id| id.parse().ok()).unwrap_or(0);
            let record = api::find(&web, &dag, &name).await?;
            api::cancel(&web, &record, id).await?;
        }
        _ => {}
    }
    Ok(go("/streams"))
}

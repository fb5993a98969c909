//! `triggers`: list, show, pause, resume, offsets, seek, replay, unblock, quarantine.

use super::client::{Client, Where, escape};
use super::print::{Printer, json, line, text};
use crate::args::{Quarantine, Replay, Seek, Triggers, Unblock};
use crate::exit::{Exit, Failure};
use serde_json::{Map, Value, json};

/// Runs one of the verbs.
pub async fn triggers(printer: &Printer, here: &Where, verb: Triggers) -> Result<Exit, Failure> {
    let client = Client::of(here).await?;
    match verb {
        Triggers::List { dag } => {
            let dag = dag.map(|dag| format!("?dag_id={}", escape(&dag)));
            let path = format!("/api/tidemill/v1/triggers{}", dag.unwrap_or_default());
            let found = client.get(&path).await?;
            let all = found["triggers"].as_array().cloned().unwrap_or_default();
            let rows = all.iter().map(row).collect();
            printer.list(&HEADERS, rows, &json!(all));
        }
        Triggers::Show { trigger } => show(printer, &client, &trigger).await?,
        Triggers::Pause { trigger } => pause(printer, &client, &trigger, true).await?,
        Triggers::Resume { trigger } => pause(printer, &client, &trigger, false).await?,
        Triggers::Offsets { trigger } => {
            let found = client.get(&path_of(&trigger)?).await?;
            offsets(printer, &found);
        }
        Triggers::Seek(options) => seek(printer, &client, options).await?,
        Triggers::Replay(options) => replay(printer, &client, options).await?,
        Triggers::CancelReplay { trigger, replay } => {
            let path = format!("{}/replays/{replay}/cancel", path_of(&trigger)?);
            client.send("POST", &path, None).await?;
            line(&format!("replay {replay} is ended"));
        }
        Triggers::Unblock(options) => unblock(&client, options).await?,
        Triggers::Quarantine(Quarantine::Retry { trigger, id }) => {
            let path = format!("{}/quarantine/{id}/retry", path_of(&trigger)?);
            let found = client.send("POST", &path, None).await?;
            match printer.is_json() {
                true => json(&found),
                false => line(text(&found, "dag_run_id")),
            }
        }
        Triggers::Quarantine(Quarantine::List { trigger, limit }) => {
            let path = format!("{}/quarantine?limit={limit}", path_of(&trigger)?);
            quarantine(printer, &client.get(&path).await?);
        }
        Triggers::Quarantine(Quarantine::Show { trigger, id }) => {
            let path = format!("{}/quarantine/{id}", path_of(&trigger)?);
            json(&client.get(&path).await?);
        }
        Triggers::Quarantine(Quarantine::Drop { trigger, id }) => {
            let path = format!("{}/quarantine/{id}/drop", path_of(&trigger)?);
            client.send("POST", &path, None).await?;
            line(&format!("record {id} is dropped"));
        }
    }
    Ok(Exit::Ok)
}

const HEADERS: [&str; 8] = [
    "trigger",
    "kind",
    "state",
    "lag",
    "taken",
    "filtered",
    "quarantine",
    "why",
];

/// The address of `DAG/TRIGGER`.
fn path_of(trigger: &str) -> Result<String, Failure> {
    let (dag, name) = trigger.split_once('/').ok_or_else(|| {
        let message = format!("`{trigger}` is not DAG/TRIGGER");
        Failure::new(Exit::Usage, message)
            .hint("`tidemill triggers list` shows those that there are")
    })?;
    Ok(format!(
        "/api/tidemill/v1/dags/{}/triggers/{}",
        escape(dag),
        escape(name)
    ))
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn row(one: &Value) -> Vec<String> {
    vec![
        format!("{}/{}", text(one, "dag_id"), text(one, "trigger")),
        cell(&one["kind"]),
        cell(&one["state"]),
        cell(&one["lag"]),
        cell(&one["taken"]),
        cell(&one["filtered"]),
        cell(&one["quarantined"]),
        cell(&one["why"]),
    ]
}

async fn show(printer: &Printer, client: &Client, trigger: &str) -> Result<(), Failure> {
    let found = client.get(&path_of(trigger)?).await?;
    if printer.is_json() {
        json(&found);
        return Ok(());
    }
    printer.list(&HEADERS, vec![row(&found)], &found);
    offsets(printer, &found);
    let keys = ["dag_run_id", "state", "records", "bytes"];
    let batches = found["batches"].as_array().into_iter().flatten();
    let rows = batches.map(|one| keys.map(|key| cell(&one[key])).to_vec());
    printer.list(
        &["run", "state", "records", "bytes"],
        rows.collect(),
        &found["batches"],
    );
    quarantine(printer, &found);
    rest(printer, &found);
    Ok(())
}

/// What there is not always.
fn rest(printer: &Printer, found: &Value) {
    let tables: [(&str, &[&str]); 3] = [
        ("blocked", &["lane", "dag_run_id", "since"]),
        ("replays", &["replay", "state", "taken", "left"]),
        ("gaps", &["topic", "partition", "from", "to", "why"]),
    ];
    for (name, keys) in tables {
        let all = found[name].as_array().into_iter().flatten();
        let rows: Vec<Vec<String>> = all
            .map(|one| keys.iter().map(|key| cell(&one[*key])).collect())
            .collect();
        if !rows.is_empty() {
            printer.list(keys, rows, &found[name]);
        }
    }
}

fn offsets(printer: &Printer, found: &Value) {
    let keys = [
        "next_offset",
        "low",
        "high",
        "lag",
        "taken",
        "filtered",
        "quarantined",
        "deduped",
        "lost",
        "halted",
    ];
    let partitions = found["partitions"].as_array().into_iter().flatten();
    let rows = partitions.map(|one| {
        let mut cells = vec![format!("{}/{}", text(one, "topic"), one["partition"])];
        cells.extend(keys.map(|key| cell(&one[key])));
        cells
    });
    let headers = [
        "partition",
        "next",
        "low",
        "high",
        "lag",
        "taken",
        "filtered",
        "quarantine",
        "doubles",
        "lost",
        "halted",
    ];
    printer.list(&headers, rows.collect(), &found["partitions"]);
}

fn quarantine(printer: &Printer, found: &Value) {
    let held = found["quarantine"].as_array().into_iter().flatten();
    let rows = held.map(|one| {
        vec![
            cell(&one["id"]),
            format!(
                "{}/{} {}",
                text(one, "topic"),
                one["partition"],
                one["offset"]
            ),
            cell(&one["class"]),
            cell(&one["message"]),
        ]
    });
    printer.list(
        &["id", "record", "what", "why"],
        rows.collect(),
        &found["quarantine"],
    );
}

async fn pause(
    printer: &Printer,
    client: &Client,
    trigger: &str,
    is_paused: bool,
) -> Result<(), Failure> {
    let body = json!({ "is_paused": is_paused });
    let found = client
        .send("PATCH", &path_of(trigger)?, Some(&body))
        .await?;
    if printer.is_json() {
        json(&found);
    } else {
        line(&format!(
            "{trigger} {}",
            if is_paused { "is paused" } else { "goes on" }
        ));
    }
    Ok(())
}

async fn seek(printer: &Printer, client: &Client, options: Seek) -> Result<(), Failure> {
    let to = match (&options.to_time, &options.to_offset) {
        (Some(time), _) => json!(time),
        (None, Some(offsets)) => Value::Object(offsets_of(offsets)?),
        (None, None) if options.earliest => json!("earliest"),
        (None, None) if options.latest => json!("latest"),
        (None, None) => {
            let message = "seek needs one of --to-time, --to-offset, --earliest and --latest";
            return Err(Failure::new(Exit::Usage, message));
        }
    };
    let body = json!({ "to": to, "dry_run": options.dry_run });
    let path = format!("{}/seek", path_of(&options.trigger)?);
    let found = client.send("POST", &path, Some(&body)).await?;
    let keys = ["from", "to", "again", "passed_over"];
    let partitions = found["partitions"].as_array().into_iter().flatten();
    let rows = partitions.map(|one| {
        let mut cells = vec![format!("{}/{}", text(one, "topic"), one["partition"])];
        cells.extend(keys.map(|key| cell(&one[key])));
        cells
    });
    let headers = ["partition", "from", "to", "read again", "passed over"];
    printer.list(&headers, rows.collect(), &found);
    if options.dry_run {
        eprintln!("nothing was moved: --dry-run");
    }
    Ok(())
}

async fn replay(printer: &Printer, client: &Client, options: Replay) -> Result<(), Failure> {
    let path = path_of(&options.trigger)?;
    let mut body = match (&options.run, &options.from, &options.to) {
        (Some(run), _, _) => json!({ "dag_run_id": run }),
        (None, Some(from), Some(to)) => json!({ "from": place(from)?, "to": place(to)? }),
        _ => {
            let message = "replay needs --from and --to, or a run";
            return Err(Failure::new(Exit::Usage, message));
        }
    };
    body["partitions"] = json!(options.partition);
    body["allow_gap"] = json!(options.allow_gap);
    body["dry_run"] = json!(options.dry_run);
    let found = client
        .send("POST", &format!("{path}/replays"), Some(&body))
        .await?;
    let ranges = found["partitions"].as_array().into_iter().flatten();
    let rows = ranges.map(|one| {
        let mut cells = vec![format!("{}/{}", text(one, "topic"), one["partition"])];
        cells.extend(["from", "to", "records"].map(|key| cell(&one[key])));
        cells
    });
    let headers = ["partition", "from", "to", "records at most"];
    printer.list(&headers, rows.collect(), &found);
    match options.dry_run {
        true => eprintln!(
            "{} records at most; nothing is read: --dry-run",
            found["records"]
        ),
        false => eprintln!(
            "replay {} reads; see: tidemill triggers show {}",
            found["replay"], options.trigger
        ),
    }
    Ok(())
}

/// A place in topics: a number is an offset in every partition.
fn place(text: &str) -> Result<Value, Failure> {
    if let Ok(offset) = text.parse::<i64>() {
        return Ok(json!({ "-1": offset }));
    }
    match text.contains('=') {
        true => Ok(Value::Object(offsets_of(text)?)),
        false => Ok(json!(text)),
    }
}

async fn unblock(client: &Client, options: Unblock) -> Result<(), Failure> {
    let path = format!("{}/unblock", path_of(&options.trigger)?);
    let body = json!({ "lane": options.lane, "retry": options.retry });
    client.send("POST", &path, Some(&body)).await?;
    line(&format!(
        "lane {} of {} goes on: its failed run is {}",
        options.lane,
        options.trigger,
        if options.retry {
            "tried again"
        } else {
            "passed over"
        }
    ));
    Ok(())
}

/// `p0=120,p1=88`, with the topic before it where there are several: `orders/0=120`.
fn offsets_of(text: &str) -> Result<Map<String, Value>, Failure> {
    let odd = |part: &str| {
        let message = format!("`{part}` is not PARTITION=OFFSET");
        Failure::new(Exit::Usage, message).hint("write it like p0=120,p1=88, or like orders/0=120")
    };
    let mut offsets = Map::new();
    for part in text.split(',') {
        let (place, offset) = part.split_once('=').ok_or_else(|| odd(part))?;
        let place = place.trim();
        let topic = place.rfind('/').map_or("", |slash| &place[..=slash]);
        let number = place[topic.len()..].trim_start_matches('p');
        let number: u32 = number.parse().map_err(|_| odd(part))?;
        let place = format!("{topic}{number}");
        let offset: i64 = offset.trim().parse().map_err(|_| odd(part))?;
        offsets.insert(place, Value::from(offset));
    }
    Ok(offsets)
}

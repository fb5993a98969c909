//! `assets`: list, show, events, emit, materialize.

use super::client::{Client, Where, escape};
use super::print::{Printer, json, line, text};
use super::{dags, values};
use crate::args::Assets;
use crate::exit::{Exit, Failure};
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

/// Runs one of the verbs.
pub async fn assets(printer: &Printer, at: &Where, verb: Assets) -> Result<Exit, Failure> {
    let client = Client::of(at).await?;
    match verb {
        Assets::List => {
            let found = client.get("/api/v2/assets?limit=100").await?;
            show(
                printer,
                found["assets"].as_array().cloned().unwrap_or_default(),
            );
        }
        Assets::Show { asset } => {
            let found = client
                .get(&format!("/api/v2/assets/{}", escape(&asset)))
                .await?;
            match printer.is_json() {
                true => json(&found),
                false => tell(&found),
            }
        }
        Assets::Events { asset, limit } => {
            let of = asset.map_or(String::new(), |asset| {
                format!("&asset_id={}", escape(&asset))
            });
            let path = format!("/api/v2/assets/events?limit={limit}{of}");
            let found = client.get(&path).await?;
            events(
                printer,
                found["asset_events"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default(),
            );
        }
        Assets::Emit { asset, extra } => {
            let mut object = Map::new();
            for pair in &extra {
                let (key, value) = pair.split_once('=').ok_or_else(|| {
                    Failure::new(Exit::Usage, format!("`{pair}` is not KEY=VALUE"))
                })?;
                let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
                object.insert(key.to_string(), value);
            }
            let wish = json!({ "asset_id": asset, "extra": object });
            let made = client
                .send("POST", "/api/v2/assets/events", Some(&wish))
                .await?;
            match printer.is_json() {
                true => json(&made),
                false => line(&format!("event {} of {}", made["id"], text(&made, "name"))),
            }
        }
        Assets::Materialize {
            asset,
            params,
            note,
            wait,
        } => {
            let path = format!("/api/v2/assets/{}", escape(&asset));
            let found = client.get(&path).await?;
            // Where several DAGs write it, or none, the server says so.
            let dag = text(&found["producing_tasks"][0], "dag_id");
            let conf = match params.is_empty() {
                true => Map::new(),
                false => dags::conf(&dags::details(&client, dag).await?, None, &params)?,
            };
            let logical_date = values::logical_date(None, &TimeZone::UTC)?;
            let wish = json!({ "logical_date": logical_date, "conf": conf, "note": note });
            let path = format!("{path}/materialize");
            let run = client.send("POST", &path, Some(&wish)).await?;
            return dags::made(printer, &client, &run, wait).await;
        }
    }
    Ok(Exit::Ok)
}

fn names(list: &Value, keys: &[&str]) -> String {
    let name = |one: &Value| {
        let parts: Vec<&str> = keys.iter().map(|key| text(one, key)).collect();
        parts.join(".")
    };
    let all: Vec<String> = list.as_array().into_iter().flatten().map(name).collect();
    all.join(", ")
}

fn n_queued(asset: &Value) -> u64 {
    let counts = asset["queued_events"].as_object();
    counts
        .into_iter()
        .flat_map(Map::values)
        .filter_map(Value::as_u64)
        .sum()
}

fn show(printer: &Printer, assets: Vec<Value>) {
    let rows = assets
        .iter()
        .map(|asset| {
            vec![
                text(asset, "name").to_string(),
                text(asset, "uri").to_string(),
                asset["last_asset_event"]["timestamp"]
                    .as_str()
                    .unwrap_or("")
                    .to_string(),
                names(&asset["producing_tasks"], &["dag_id", "task_id"]),
                names(&asset["scheduled_dags"], &["dag_id"]),
                n_queued(asset).to_string(),
            ]
        })
        .collect();
    printer.list(
        &[
            "asset",
            "uri",
            "last event",
            "written by",
            "makes runs of",
            "queued",
        ],
        rows,
        &json!(assets),
    );
}

fn tell(asset: &Value) {
    line(&format!("{}  {}", text(asset, "name"), text(asset, "uri")));
    line(&format!(
        "last event     {}",
        asset["last_asset_event"]["timestamp"]
            .as_str()
            .unwrap_or("none")
    ));
    line(&format!(
        "written by     {}",
        names(&asset["producing_tasks"], &["dag_id", "task_id"])
    ));
    line(&format!(
        "read by        {}",
        names(&asset["consuming_tasks"], &["dag_id", "task_id"])
    ));
    for (dag_id, n) in asset["queued_events"].as_object().into_iter().flatten() {
        line(&format!(
            "makes runs of  {dag_id}, for which {n} events wait"
        ));
    }
}

fn events(printer: &Printer, events: Vec<Value>) {
    let rows = events
        .iter()
        .map(|event| {
            let source = match event["source_dag_id"].as_str() {
                Some(dag) => format!(
                    "{dag}/{} {}",
                    text(event, "source_run_id"),
                    text(event, "source_task_id")
                ),
                None => String::new(),
            };
            vec![
                event["id"].to_string(),
                text(event, "timestamp").to_string(),
                text(event, "name").to_string(),
                source,
                names(&event["created_dagruns"], &["dag_id"]),
                event["extra"].to_string(),
            ]
        })
        .collect();
    printer.list(
        &["event", "at", "asset", "by", "made runs of", "extra"],
        rows,
        &json!(events),
    );
}

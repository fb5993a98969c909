//! `pools`: list, get, set, delete.

use super::client::{Client, Where, escape};
use super::print::{Printer, json, line, text};
use crate::args::Pools;
use crate::exit::{Exit, Failure};
use serde_json::{Map, Value, json};

/// Runs one of the verbs.
pub async fn pools(printer: &Printer, at: &Where, verb: Pools) -> Result<Exit, Failure> {
    let client = Client::of(at).await?;
    match verb {
        Pools::List => {
            let found = client.get("/api/v2/pools?limit=100").await?;
            show(
                printer,
                found["pools"].as_array().cloned().unwrap_or_default(),
            );
        }
        Pools::Get { pool } => {
            let found = client
                .get(&format!("/api/v2/pools/{}", escape(&pool)))
                .await?;
            if printer.is_json() {
                json(&found);
            } else {
                show(printer, vec![found]);
            }
        }
        Pools::Set {
            pool,
            slots,
            description,
            include_deferred,
        } => {
            let mut wish = Map::new();
            let keys = [
                ("slots", slots.map(Value::from)),
                ("description", description.map(Value::from)),
                ("include_deferred", include_deferred.map(Value::from)),
            ];
            for (key, value) in keys {
                if let Some(value) = value {
                    wish.insert(key.to_string(), value);
                }
            }
            let set = set(&client, &pool, wish).await?;
            if printer.is_json() {
                json(&set);
            } else {
                show(printer, vec![set]);
            }
        }
        Pools::Delete { pool } => {
            let path = format!("/api/v2/pools/{}", escape(&pool));
            client.send("DELETE", &path, None).await?;
            line(&format!("pool {pool} is deleted"));
        }
    }
    Ok(Exit::Ok)
}

/// Changes the pool, or makes it where there is none.
async fn set(client: &Client, pool: &str, mut wish: Map<String, Value>) -> Result<Value, Failure> {
    let path = format!("/api/v2/pools/{}", escape(pool));
    let changed = client.send("PATCH", &path, Some(&json!(wish))).await;
    match changed {
        Err(failure) if failure.exit == Exit::NotFound => {
            wish.insert("name".to_string(), json!(pool));
            wish.entry("slots").or_insert(json!(1));
            client
                .send("POST", "/api/v2/pools", Some(&json!(wish)))
                .await
        }
        other => other,
    }
}

fn show(printer: &Printer, pools: Vec<Value>) {
    let number = |pool: &Value, key: &str| match pool[key].as_i64() {
        Some(-1) => "no limit".to_string(),
        Some(n) => n.to_string(),
        None => String::new(),
    };
    let rows = pools
        .iter()
        .map(|pool| {
            let mut row = vec![text(pool, "name").to_string()];
            let keys = [
                "slots",
                "occupied_slots",
                "scheduled_slots",
                "open_slots",
                "deferred_slots",
            ];
            row.extend(keys.map(|key| number(pool, key)));
            row.push(text(pool, "description").to_string());
            row
        })
        .collect();
    printer.list(
        &[
            "pool",
            "slots",
            "taken",
            "waiting",
            "open",
            "deferred",
            "description",
        ],
        rows,
        &json!(pools),
    );
}

//! `backfills`: create, list, show, pause, unpause, cancel.

use super::client::{Client, Where, escape};
use super::print::{Printer, json, line, text};
use super::{dags, values};
use crate::args::{Backfills, CreateBackfill, Output};
use crate::exit::{Exit, Failure};
use serde_json::{Value, json};

/// Runs one of the verbs.
pub async fn backfills(printer: &Printer, here: &Where, verb: Backfills) -> Result<Exit, Failure> {
    let client = Client::of(here).await?;
    match verb {
        Backfills::Create(options) => create(printer, &client, options).await,
        Backfills::List { dag, active } => list(printer, &client, dag.as_deref(), active).await,
        Backfills::Show { backfill } => show(printer, &client, &backfill).await,
        Backfills::Pause { backfill } => change(printer, &client, &backfill, "pause").await,
        Backfills::Unpause { backfill } => change(printer, &client, &backfill, "unpause").await,
        Backfills::Cancel { backfill } => change(printer, &client, &backfill, "cancel").await,
    }
}

async fn create(
    printer: &Printer,
    client: &Client,
    options: CreateBackfill,
) -> Result<Exit, Failure> {
    let details = dags::details(client, &options.dag).await?;
    let zone = dags::zone(&details);
    let conf = dags::conf(&details, options.conf.as_deref(), &options.params)?;
    let body = json!({
        "dag_id": options.dag,
        "from_date": values::instant(&options.from, &zone)?,
        "to_date": values::instant(&options.to, &zone)?,
        "run_backwards": options.run_backwards,
        "run_on_latest_version": options.run_on_latest_version,
        "reprocess_behavior": options.reprocess.name(),
        "max_active_runs": options.max_active_runs,
        "dag_run_conf": conf,
    });
    if options.dry_run {
        let path = "/api/v2/backfills/dry_run";
        let found = client.send("POST", path, Some(&body)).await?;
        let dates = found["backfills"].as_array().cloned().unwrap_or_default();
        let rows = dates
            .iter()
            .map(|date| vec![text(date, "logical_date").to_string()])
            .collect();
        printer.list(&["logical date"], rows, &json!(dates));
        eprintln!("{} runs would be made", dates.len());
        return Ok(Exit::Ok);
    }
    let made = client
        .send("POST", "/api/v2/backfills", Some(&body))
        .await?;
    told(printer, &made);
    if printer.output.is_none() {
        eprintln!("look at it: tidemill backfills show {}", made["id"]);
    }
    Ok(Exit::Ok)
}

fn told(printer: &Printer, backfill: &Value) {
    match printer.output {
        Some(Output::Json) => json(backfill),
        Some(Output::Name) => line(&backfill["id"].to_string()),
        Some(Output::Table) | None => line(&row(backfill).join("  ")),
    }
}

fn row(backfill: &Value) -> Vec<String> {
    let state = match (&backfill["completed_at"], &backfill["is_paused"]) {
        (Value::Null, Value::Bool(true)) => "paused",
        (Value::Null, _) => "active",
        _ => "over",
    };
    let keys = ["from_date", "to_date", "reprocess_behavior", "created_at"];
    let mut cells = vec![
        backfill["id"].to_string(),
        text(backfill, "dag_id").to_string(),
        state.to_string(),
    ];
    cells.extend(keys.map(|key| text(backfill, key).to_string()));
    cells
}

async fn list(
    printer: &Printer,
    client: &Client,
    dag: Option<&str>,
    active: bool,
) -> Result<Exit, Failure> {
    let dag = dag.map(|dag| format!("&dag_id={}", escape(dag)));
    let active = if active { "&active=true" } else { "" };
    let path = format!(
        "/api/v2/backfills?limit=100{active}{}",
        dag.unwrap_or_default()
    );
    let found = client.get(&path).await?;
    let all = found["backfills"].as_array().cloned().unwrap_or_default();
    printer.list(
        &["id", "dag", "state", "from", "to", "reprocess", "created"],
        all.iter().map(row).collect(),
        &json!(all),
    );
    Ok(Exit::Ok)
}

async fn show(printer: &Printer, client: &Client, backfill: &str) -> Result<Exit, Failure> {
    let escaped = escape(backfill);
    let mut found = client.get(&format!("/api/v2/backfills/{escaped}")).await?;
    let path = format!("/api/tidemill/v1/backfills/{escaped}/dates");
    let dates = client.get(&path).await?["dates"].take();
    if printer.is_json() {
        found["dates"] = dates;
        json(&found);
        return Ok(Exit::Ok);
    }
    line(&row(&found).join("  "));
    for date in dates.as_array().into_iter().flatten() {
        let state = match date["skipped"].as_str() {
            Some(reason) => format!("skipped: {reason}"),
            None => printer.state(text(date, "state")),
        };
        line(&format!(
            "  {:<28}{:<22}{}",
            text(date, "logical_date"),
            state,
            text(date, "dag_run_id")
        ));
    }
    Ok(Exit::Ok)
}

async fn change(
    printer: &Printer,
    client: &Client,
    backfill: &str,
    verb: &str,
) -> Result<Exit, Failure> {
    let path = format!("/api/v2/backfills/{}/{verb}", escape(backfill));
    let found = client.send("PUT", &path, None).await?;
    told(printer, &found);
    Ok(Exit::Ok)
}

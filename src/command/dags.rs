//! `dags`: list, show, pause, unpause, trigger, next.

use super::client::{Client, RunRef, Where, escape};
use super::print::{Printer, json, line, text};
use super::{next, runs, values, why};
use crate::args::{Dags, Output, Trigger};
use crate::exit::{Exit, Failure};
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

/// Runs one of the verbs.
pub async fn dags(printer: &Printer, here: &Where, verb: Dags) -> Result<Exit, Failure> {
    let client = Client::of(here);
    match verb {
        Dags::List => list(printer, &client.await?).await,
        Dags::Show { dag } => show(printer, &client.await?, &dag).await,
        Dags::Pause { dag } => set_paused(printer, &client.await?, &dag, true).await,
        Dags::Unpause { dag } => set_paused(printer, &client.await?, &dag, false).await,
        Dags::Why { dag, at } => {
            let client = client.await?;
            let at = match at {
                Some(text) => {
                    let zone = zone(&details(&client, &dag).await?);
                    Some(values::instant(&text, &zone)?)
                }
                None => None,
            };
            why::dag(printer, &client, &dag, at).await
        }
        Dags::Trigger(trigger) => make_run(printer, &client.await?, trigger).await,
        // A file needs no server.
        Dags::Next(options) => next::next(printer, here, options).await,
    }
}

async fn list(printer: &Printer, client: &Client) -> Result<Exit, Failure> {
    let mut dags = Vec::new();
    loop {
        let page = client
            .get(&format!("/api/v2/dags?limit=100&offset={}", dags.len()))
            .await?;
        let found = page["dags"].as_array().cloned().unwrap_or_default();
        dags.extend(found.iter().cloned());
        if found.is_empty() || dags.len() as u64 >= page["total_entries"].as_u64().unwrap_or(0) {
            break;
        }
    }
    let rows = dags
        .iter()
        .map(|dag| {
            let paused = if dag["is_paused"] == true {
                "paused"
            } else {
                "active"
            };
            let next = text(dag, "next_dagrun_run_after");
            let cells = [
                text(dag, "dag_id"),
                paused,
                text(dag, "timetable_summary"),
                next,
                text(dag, "description"),
            ];
            cells.map(str::to_string).to_vec()
        })
        .collect();
    printer.list(
        &["dag", "state", "schedule", "next run", "description"],
        rows,
        &json!(dags),
    );
    Ok(Exit::Ok)
}

async fn show(printer: &Printer, client: &Client, dag: &str) -> Result<Exit, Failure> {
    let found = details(client, dag).await?;
    let tasks = client
        .get(&format!("/api/v2/dags/{}/tasks", escape(dag)))
        .await?;
    if printer.is_json() {
        json(&found);
        return Ok(Exit::Ok);
    }
    for key in [
        "dag_id",
        "description",
        "fileloc",
        "timetable_summary",
        "timezone",
        "is_paused",
        "next_dagrun_run_after",
    ] {
        let value = &found[key];
        if !value.is_null() {
            line(&format!(
                "{key:<22} {}",
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_string)
            ));
        }
    }
    for task in tasks["tasks"].as_array().into_iter().flatten() {
        let down: Vec<&str> = task["downstream_task_ids"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|id| id.as_str())
            .collect();
        line(&format!(
            "  {:<20} {:<8} {}",
            text(task, "task_id"),
            text(task, "operator_name"),
            down.join(", ")
        ));
    }
    Ok(Exit::Ok)
}

async fn set_paused(
    printer: &Printer,
    client: &Client,
    dag: &str,
    paused: bool,
) -> Result<Exit, Failure> {
    let dag = client
        .send(
            "PATCH",
            &format!("/api/v2/dags/{}", escape(dag)),
            Some(&json!({"is_paused": paused})),
        )
        .await?;
    if printer.is_json() {
        json(&dag);
    } else {
        let word = if paused { "paused" } else { "active" };
        line(&format!("{} is {word}", text(&dag, "dag_id")));
    }
    Ok(Exit::Ok)
}

async fn make_run(printer: &Printer, client: &Client, trigger: Trigger) -> Result<Exit, Failure> {
    let details = details(client, &trigger.dag).await?;
    let conf = conf(&details, trigger.conf.as_deref(), &trigger.params)?;
    let zone = zone(&details);
    let logical_date = values::logical_date(trigger.logical_date.as_deref(), &zone)?;
    let run_after = trigger.run_after.as_deref();
    let run_after = run_after.map(|text| values::instant(text, &zone));
    let body = json!({
        "dag_run_id": trigger.run_id, "logical_date": logical_date, "run_after": run_after.transpose()?,
        "conf": conf, "note": trigger.note,
    });
    let path = format!("/api/v2/dags/{}/dagRuns", escape(&trigger.dag));
    let run = client
        .send_with_key(
            "POST",
            &path,
            Some(&body),
            trigger.idempotency_key.as_deref(),
        )
        .await?;
    made(printer, client, &run, trigger.wait).await
}

/// What the server knows of a DAG.
pub(super) async fn details(client: &Client, dag: &str) -> Result<Value, Failure> {
    let path = format!("/api/v2/dags/{}/details", escape(dag));
    client.get(&path).await
}

/// The time zone in which a DAG reads dates.
pub(super) fn zone(details: &Value) -> TimeZone {
    TimeZone::get(text(details, "timezone")).unwrap_or(TimeZone::UTC)
}

/// The parameters of a new run, as the DAG wants them. A name that it does not have is taken for
/// a slip; `--conf` takes any.
pub(super) fn conf(
    details: &Value,
    conf: Option<&str>,
    params: &[String],
) -> Result<Map<String, Value>, Failure> {
    let declared = details["params"].as_object();
    let names = || declared.into_iter().flat_map(Map::keys);
    for param in params {
        let name = param.split_once('=').map_or("", |(name, _)| name);
        if !name.is_empty() && !names().any(|known| known == name) {
            let dag = text(details, "dag_id");
            let known: Vec<&str> = names().map(String::as_str).collect();
            let hint = match known.is_empty() {
                true => "it declares none; --conf takes any value".to_string(),
                false => format!("it has {}; --conf takes any value", known.join(", ")),
            };
            let message = format!("DAG {dag} has no parameter `{name}`");
            return Err(Failure::new(Exit::Usage, message).hint(hint));
        }
    }
    let is_text = |name: &str| details["params"][name]["schema"]["type"] == "string";
    values::conf(conf, params, is_text)
}

/// Tells of a run that was made, or waits for its end.
pub(super) async fn made(
    printer: &Printer,
    client: &Client,
    run: &Value,
    wait: bool,
) -> Result<Exit, Failure> {
    let made = RunRef {
        dag_id: text(run, "dag_id").to_string(),
        run_id: text(run, "dag_run_id").to_string(),
    };
    if wait {
        return runs::wait_for(printer, client, &made, None).await;
    }
    match printer.output {
        Some(Output::Json) => json(run),
        Some(Output::Name) => line(&made.run_id),
        Some(Output::Table) | None => {
            line(&format!("{}/{}", made.dag_id, made.run_id));
            eprintln!(
                "wait for it: tidemill runs wait {}/{}",
                made.dag_id, made.run_id
            );
        }
    }
    Ok(Exit::Ok)
}

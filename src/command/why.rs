//! `why` of a task, a run and a DAG: every condition, met or not.

use super::client::{Client, RunRef, escape};
use super::instance::Instance;
use super::print::{Printer, json, line, text};
use crate::exit::{Exit, Failure};
use serde_json::Value;
use tidemill_model::Ts;

/// Prints why a task does not run.
pub async fn task(
    printer: &Printer,
    client: &Client,
    run: &RunRef,
    task: Instance<'_>,
) -> Result<Exit, Failure> {
    let path = task.path(run, "/why");
    let path = path.replacen("/api/v2/", "/api/tidemill/v1/", 1);
    show(printer, client, &path).await
}

/// Prints what a run waits for.
pub async fn run(printer: &Printer, client: &Client, run: &RunRef) -> Result<Exit, Failure> {
    show(printer, client, &format!("{}/why", own(run))).await
}

/// Prints why a DAG has no run.
pub async fn dag(
    printer: &Printer,
    client: &Client,
    dag: &str,
    at: Option<Ts>,
) -> Result<Exit, Failure> {
    let query = at.map_or(String::new(), |at| format!("?at={at}"));
    let path = format!("/api/tidemill/v1/dags/{}/why{query}", escape(dag));
    show(printer, client, &path).await
}

fn own(run: &RunRef) -> String {
    format!(
        "/api/tidemill/v1/dags/{}/dagRuns/{}",
        escape(&run.dag_id),
        escape(&run.run_id)
    )
}

async fn show(printer: &Printer, client: &Client, path: &str) -> Result<Exit, Failure> {
    let found = client.get(path).await?;
    if printer.is_json() {
        json(&found);
        return Ok(Exit::Ok);
    }
    for condition in found["conditions"].as_array().into_iter().flatten() {
        let (word, code) = match condition["ok"].as_bool() {
            Some(true) => ("ok     ", "32"),
            _ => ("blocked", "31"),
        };
        let word = if printer.color {
            format!("\x1b[{code}m{word}\x1b[0m")
        } else {
            word.to_string()
        };
        line(&format!("{word}  {}", text(condition, "detail")));
        for holder in condition["holders"].as_array().into_iter().flatten() {
            line(&format!("           {}", holder_text(holder)));
        }
        let more = condition["more"].as_u64().unwrap_or(0);
        if more > 0 {
            line(&format!("           and {more} more"));
        }
    }
    Ok(Exit::Ok)
}

fn holder_text(holder: &Value) -> String {
    let mut name = format!("{}/{}", text(holder, "dag_id"), text(holder, "run_id"));
    if let Some(task) = holder["task_id"].as_str() {
        name = format!("{name} {task}");
    }
    match holder["map_index"].as_i64() {
        Some(at) if at >= 0 => name.push_str(&format!("[{at}]")),
        _ => {}
    }
    match holder["slots"].as_u64() {
        Some(slots) if slots > 1 => format!("{name} ({slots} slots)"),
        _ => name,
    }
}

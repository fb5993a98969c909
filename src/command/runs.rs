//! `runs`: list, show, wait, logs, cancel, delete.

use super::client::{Client, RunRef, Where, escape};
use super::print::{Printer, confirmed, json, line, text};
use super::{tasks, values, why};
use crate::args::Runs;
use crate::exit::{Exit, Failure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A client asks again so often while it waits for a run.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// Runs one of the verbs.
pub async fn runs(printer: &Printer, at: &Where, verb: Runs) -> Result<Exit, Failure> {
    let client = Client::of(at).await?;
    match verb {
        Runs::List { dag, state, limit } => {
            list(printer, &client, dag.as_deref(), &state, limit).await
        }
        Runs::Show { run } => {
            let run = RunRef::find(&client, &run).await?;
            let found = client.get(&run.path()).await?;
            if printer.is_json() {
                json(&found);
                return Ok(Exit::Ok);
            }
            line(&format!(
                "{}/{}  {}  {}",
                run.dag_id,
                run.run_id,
                printer.state(text(&found, "state")),
                text(&found, "note")
            ));
            tasks::list(printer, &client, &run).await
        }
        Runs::Wait { run, timeout } => {
            let run = RunRef::find(&client, &run).await?;
            let timeout = timeout.as_deref().map(values::duration).transpose()?;
            wait_for(printer, &client, &run, timeout).await
        }
        Runs::Logs { run, tail } => {
            let run = RunRef::find(&client, &run).await?;
            super::logs::of_run(&client, &run, tail).await
        }
        Runs::Clear {
            run,
            only_failed,
            latest_version,
            dry_run,
            yes,
        } => {
            let run = RunRef::find(&client, &run).await?;
            let wish = json!({
                "dag_run_id": run.run_id, "only_failed": only_failed,
                "run_on_latest_version": latest_version.then_some(true), "reset_dag_runs": true,
            });
            tasks::clear(printer, &client, &run, wish, dry_run, yes).await
        }
        Runs::Mark { run, state } => {
            let run = RunRef::find(&client, &run).await?;
            patch(printer, &client, &run, &json!({ "state": state })).await
        }
        Runs::Note { run, note } => {
            let run = RunRef::find(&client, &run).await?;
            patch(printer, &client, &run, &json!({ "note": note })).await
        }
        Runs::Why { run } => {
            let run = RunRef::find(&client, &run).await?;
            why::run(printer, &client, &run).await
        }
        Runs::Delete { run, yes } => {
            let run = RunRef::find(&client, &run).await?;
            delete(printer, &client, &run, yes).await
        }
        Runs::Cancel { run } => {
            let run = RunRef::find(&client, &run).await?;
            let path = format!(
                "/api/tidemill/v1/dags/{}/dagRuns/{}/cancel",
                escape(&run.dag_id),
                escape(&run.run_id)
            );
            let found = client.send("POST", &path, None).await?;
            if printer.is_json() {
                json(&found);
            } else {
                line(&format!("{}/{} is being cancelled", run.dag_id, run.run_id));
            }
            Ok(Exit::Ok)
        }
    }
}

async fn delete(
    printer: &Printer,
    client: &Client,
    run: &RunRef,
    yes: bool,
) -> Result<Exit, Failure> {
    let name = format!("{}/{}", run.dag_id, run.run_id);
    let question = format!("forget {name} with its tasks, values and logs");
    if !yes && !confirmed(&question, "-y says yes")? {
        return Ok(Exit::Ok);
    }
    client.send("DELETE", &run.path(), None).await?;
    if printer.is_json() {
        json(&json!({ "deleted": name }));
    } else {
        line(&format!("{name} is gone"));
    }
    Ok(Exit::Ok)
}

async fn patch(
    printer: &Printer,
    client: &Client,
    run: &RunRef,
    wish: &Value,
) -> Result<Exit, Failure> {
    let found = client.send("PATCH", &run.path(), Some(wish)).await?;
    if printer.is_json() {
        json(&found);
    } else {
        let state = printer.state(text(&found, "state"));
        let note = text(&found, "note");
        line(&format!("{}/{}  {state}  {note}", run.dag_id, run.run_id));
    }
    Ok(Exit::Ok)
}

async fn list(
    printer: &Printer,
    client: &Client,
    dag: Option<&str>,
    states: &[String],
    limit: u32,
) -> Result<Exit, Failure> {
    let wanted = states
        .iter()
        .map(|state| format!("&state={}", escape(state)));
    let wanted: String = wanted.collect();
    let path = format!("/api/v2/dags/{}/dagRuns", escape(dag.unwrap_or("~")));
    let mut runs: Vec<Value> = Vec::new();
    // The newest first; one answer has at most a hundred.
    while runs.len() < limit as usize {
        let (n, offset) = ((limit as usize - runs.len()).min(100), runs.len());
        let query = format!("limit={n}&offset={offset}{wanted}");
        let found = client.get(&format!("{path}?{query}")).await?;
        let page = found["dag_runs"].as_array().cloned().unwrap_or_default();
        let is_last = page.len() < n;
        runs.extend(page);
        if is_last {
            break;
        }
    }
    let rows = runs
        .iter()
        .map(|run| {
            let name = format!("{}/{}", text(run, "dag_id"), text(run, "dag_run_id"));
            let took = run["duration"]
                .as_f64()
                .map(|s| tidemill_model::time::human(Duration::from_secs_f64(s.max(0.0))));
            vec![
                name,
                printer.state(text(run, "state")),
                text(run, "run_type").to_string(),
                text(run, "start_date").to_string(),
                took.unwrap_or_default(),
            ]
        })
        .collect();
    printer.list(
        &["run", "state", "type", "started", "took"],
        rows,
        &json!(runs),
    );
    Ok(Exit::Ok)
}

/// Waits for the end of a run; its state is the exit status.
pub async fn wait_for(
    printer: &Printer,
    client: &Client,
    run: &RunRef,
    timeout: Option<Duration>,
) -> Result<Exit, Failure> {
    let started = Instant::now();
    loop {
        let found = client.get(&run.path()).await?;
        let state = text(&found, "state");
        if matches!(state, "success" | "failed") {
            if printer.is_json() {
                json(&found);
            } else {
                line(&format!(
                    "{}/{}  {}",
                    run.dag_id,
                    run.run_id,
                    printer.state(state)
                ));
            }
            return Ok(exit_of(&found));
        }
        if timeout.is_some_and(|timeout| started.elapsed() >= timeout) {
            return Err(Failure::new(
                Exit::TimedOut,
                format!("{}/{} is still {state}", run.dag_id, run.run_id),
            ));
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

fn exit_of(run: &Value) -> Exit {
    match text(run, "state") {
        "success" => Exit::Ok,
        _ if text(run, "note").starts_with("cancelled") || text(run, "reason") == "cancelled" => {
            Exit::RunCancelled
        }
        _ => Exit::RunFailed,
    }
}

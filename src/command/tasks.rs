//! `tasks`: list, logs, clear.

use super::client::{Client, RunRef, Where, escape};
use super::instance::Instance;
use super::print::{Printer, confirmed, json, line, text};
use super::why;
use crate::args::{OtherTasks, Tasks};
use crate::exit::{Exit, Failure};
use serde_json::{Value, json};
use std::time::Duration;

/// Runs one of the verbs.
pub async fn tasks(printer: &Printer, at: &Where, verb: Tasks) -> Result<Exit, Failure> {
    let client = Client::of(at).await?;
    match verb {
        Tasks::List { run } => {
            let run = RunRef::find(&client, &run).await?;
            list(printer, &client, &run).await
        }
        Tasks::Logs {
            run,
            task,
            follow,
            try_number,
            grep,
            raw,
        } => {
            let run = RunRef::find(&client, &run).await?;
            let log = super::logs::Wanted {
                run: &run,
                task: Instance::read(&task),
                try_number,
                is_raw: raw,
            };
            match grep {
                Some(pattern) => super::logs::grep(&client, &log, &pattern).await,
                None => super::logs::print(&client, &log, follow).await,
            }
        }
        Tasks::Why {
            run,
            task,
            map_index,
        } => {
            let run = RunRef::find(&client, &run).await?;
            let mut task = Instance::read(&task);
            task.map_index = task.map_index.or(map_index);
            why::task(printer, &client, &run, task).await
        }
        Tasks::Mark {
            run,
            state,
            tasks,
            others,
            dry_run,
        } => {
            let run = RunRef::find(&client, &run).await?;
            let wish = with_others(json!({ "new_state": state }), &others);
            mark(printer, &client, &run, &tasks, &wish, dry_run).await
        }
        Tasks::Note { run, task, note } => {
            let run = RunRef::find(&client, &run).await?;
            let path = Instance::read(&task).path(&run, "");
            client
                .send("PATCH", &path, Some(&json!({ "note": note })))
                .await?;
            line(&format!("noted on {task} of {}/{}", run.dag_id, run.run_id));
            Ok(Exit::Ok)
        }
        Tasks::Clear {
            run,
            tasks,
            only_failed,
            others,
            latest_version,
            dry_run,
            yes,
        } => {
            let run = RunRef::find(&client, &run).await?;
            let named: Vec<Value> = tasks
                .iter()
                .map(|name| Instance::read(name).wish())
                .collect();
            let wish = json!({
                "dag_run_id": run.run_id, "only_failed": only_failed, "reset_dag_runs": true,
                "run_on_latest_version": latest_version.then_some(true),
                "task_ids": if named.is_empty() { Value::Null } else { json!(named) },
            });
            let wish = with_others(wish, &others);
            clear(printer, &client, &run, wish, dry_run, yes).await
        }
    }
}

fn with_others(mut wish: Value, others: &OtherTasks) -> Value {
    wish["include_downstream"] = json!(others.downstream);
    wish["include_upstream"] = json!(others.upstream);
    wish["include_past"] = json!(others.past);
    wish["include_future"] = json!(others.future);
    wish
}

pub(super) async fn instances(client: &Client, run: &RunRef) -> Result<Vec<Value>, Failure> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let page = client
            .get(&format!(
                "{}/taskInstances?limit=100&offset={}",
                run.path(),
                all.len()
            ))
            .await?;
        let found = page["task_instances"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        all.extend(found.iter().cloned());
        if found.is_empty() || all.len() as u64 >= page["total_entries"].as_u64().unwrap_or(0) {
            return Ok(all);
        }
    }
}

/// Prints the task instances of a run.
pub async fn list(printer: &Printer, client: &Client, run: &RunRef) -> Result<Exit, Failure> {
    let found = instances(client, run).await?;
    let rows = found
        .iter()
        .map(|task| {
            let took = task["duration"]
                .as_f64()
                .map(|s| tidemill_model::time::human(Duration::from_secs_f64(s.max(0.0))));
            let state = task["state"].as_str().unwrap_or("none");
            let tries = format!("{}", task["try_number"].as_i64().unwrap_or(0));
            vec![
                Instance::of(task).to_string(),
                printer.state(state),
                tries,
                took.unwrap_or_default(),
                text(task, "note").to_string(),
            ]
        })
        .collect();
    printer.list(
        &["task", "state", "try", "took", "note"],
        rows,
        &json!(found),
    );
    Ok(Exit::Ok)
}

/// Marks tasks and groups one after the other, and prints what was marked.
async fn mark(
    printer: &Printer,
    client: &Client,
    run: &RunRef,
    names: &[String],
    wish: &Value,
    dry_run: bool,
) -> Result<Exit, Failure> {
    let mut all = Vec::new();
    for name in names {
        let rest = if dry_run { "/dry_run" } else { "" };
        let instance = Instance::read(name);
        // A task and a group share one set of names; the address of a group takes both.
        let path = match instance.map_index {
            Some(_) => instance.path(run, rest),
            None => format!("{}/taskGroupInstances/{}{rest}", run.path(), escape(name)),
        };
        let marked = client.send("PATCH", &path, Some(wish)).await?;
        all.extend(
            marked["task_instances"]
                .as_array()
                .cloned()
                .unwrap_or_default(),
        );
    }
    let rows = all.iter().map(|task| {
        let state = task["state"].as_str().unwrap_or("none");
        vec![
            Instance::of(task).to_string(),
            printer.state(state),
            text(task, "dag_run_id").to_string(),
        ]
    });
    printer.list(&["task", "state", "run"], rows.collect(), &json!(all));
    Ok(Exit::Ok)
}

/// Asks for the list, shows it, and clears when that is wished.
pub async fn clear(
    printer: &Printer,
    client: &Client,
    run: &RunRef,
    mut wish: Value,
    dry_run: bool,
    yes: bool,
) -> Result<Exit, Failure> {
    let path = format!("/api/v2/dags/{}/clearTaskInstances", escape(&run.dag_id));
    wish["dry_run"] = json!(true);
    let planned = client.send("POST", &path, Some(&wish)).await?;
    let names: Vec<String> = planned["task_instances"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|task| match text(task, "dag_run_id") {
            same if same == run.run_id => Instance::of(task).to_string(),
            other => format!("{other}/{}", Instance::of(task)),
        })
        .collect();
    if dry_run || names.is_empty() {
        printer.list(
            &["task"],
            names.into_iter().map(|name| vec![name]).collect(),
            &planned["task_instances"],
        );
        return Ok(Exit::Ok);
    }
    let question = format!(
        "clear {} tasks of {}/{}: {}",
        names.len(),
        run.dag_id,
        run.run_id,
        names.join(", ")
    );
    if !yes && !confirmed(&question, "-y says yes, --dry-run only shows the list")? {
        return Ok(Exit::Ok);
    }
    wish["dry_run"] = json!(false);
    let done = client.send("POST", &path, Some(&wish)).await?;
    if printer.is_json() {
        json(&done["task_instances"]);
    } else {
        line(&format!(
            "cleared {} tasks of {}/{}",
            names.len(),
            run.dag_id,
            run.run_id
        ));
    }
    Ok(Exit::Ok)
}

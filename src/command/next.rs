//! `dags next`: when a DAG will run, and what those runs will be about.

use super::client::{Client, Where, escape};
use super::print::{Printer, text};
use super::{file, values};
use crate::args::Next;
use crate::daemon::clock;
use crate::exit::{Exit, Failure};
use serde_json::{Value, json};
use std::path::Path;
use tidemill_model::schedule::{Tick, Ticks};
use tidemill_model::{Dag, Ts};
use tidemill_scheduler::next_tick;

/// Prints the next runs of a DAG's schedule.
///
/// # Errors
/// When there is no such DAG, its file has errors, or it has no schedule.
pub async fn next(printer: &Printer, at: &Where, options: Next) -> Result<Exit, Failure> {
    let dag = if is_file(&options.dag) {
        file::open(printer, Path::new(&options.dag))?.0
    } else {
        dag_of_server(at, &options.dag).await?
    };
    let after = match &options.after {
        Some(instant) => values::instant(instant, &dag.schedule.zone)?,
        None => clock::now(),
    };
    let ticks = ticks(&dag, after, options.limit as usize)?;
    if ticks.is_empty() {
        eprintln!("DAG {} does not run after {after}", dag.id);
    }
    let bodies: Vec<Value> = ticks.iter().map(|tick| body(&dag, tick)).collect();
    let rows = bodies.iter().map(row).collect();
    let columns = [
        "run after",
        "local time",
        "data interval start",
        "data interval end",
        "remark",
    ];
    printer.list(&columns, rows, &json!(bodies));
    Ok(Exit::Ok)
}

/// A path, or the name of a DAG on the server?
fn is_file(text: &str) -> bool {
    text.contains('/') || text.ends_with(".toml") || Path::new(text).exists()
}

/// The current version of a DAG on the server, from its text.
async fn dag_of_server(at: &Where, dag_id: &str) -> Result<Dag, Failure> {
    let client = Client::of(at).await?;
    let path = format!("/api/v2/dagSources/{}", escape(dag_id));
    let source = client.get(&path).await?;
    let loaded = tidemill_dagfile::load(text(&source, "content").as_bytes(), dag_id);
    loaded.dag.ok_or_else(|| {
        let message = format!("this program cannot read the stored file of DAG {dag_id}");
        Failure::new(Exit::Invalid, message)
    })
}

fn ticks(dag: &Dag, after: Ts, limit: usize) -> Result<Vec<Tick>, Failure> {
    match (&dag.schedule.ticks, &dag.asset_schedule) {
        (Ticks::Manual, Some(assets)) => Err(Failure::new(
            Exit::NotFound,
            format!("DAG {} runs when there are events of {assets}", dag.id),
        )
        .hint("`tidemill dags why` tells which of them are still missing")),
        (Ticks::Manual, None) => Err(Failure::new(
            Exit::NotFound,
            format!(
                "DAG {} has no schedule: it runs when it is triggered",
                dag.id
            ),
        )
        .hint("give it one: `schedule = \"0 6 * * *\"` in [dag]")),
        (Ticks::Continuous, _) => Err(Failure::new(
            Exit::NotFound,
            format!(
                "DAG {} runs continuously: each run begins when the one before it is over",
                dag.id
            ),
        )),
        (Ticks::Once(None), _) => Err(Failure::new(
            Exit::NotFound,
            format!("DAG {} runs once, when it is first seen", dag.id),
        )
        .hint("give it a `start_date` to say when")),
        (Ticks::Cron(_) | Ticks::Every { .. } | Ticks::Once(Some(_)) | Ticks::At(_), _) => {
            let mut at = after.before(dag.schedule.offset(&dag.id));
            let ticks = std::iter::from_fn(|| {
                let tick = next_tick(dag, at)?;
                at = tick.at;
                Some(tick)
            });
            Ok(ticks.take(limit).collect())
        }
    }
}

fn body(dag: &Dag, tick: &Tick) -> Value {
    let run_after = tick.at.after(dag.schedule.offset(&dag.id));
    let zoned = run_after.to_jiff().to_zoned(dag.schedule.zone.clone());
    json!({
        "run_after": run_after,
        "local_time": zoned.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string(),
        "data_interval_start": tick.data_interval.0,
        "data_interval_end": tick.data_interval.1,
        "remark": dag.schedule.remark(tick).unwrap_or_default(),
    })
}

fn row(body: &Value) -> Vec<String> {
    let keys = [
        "run_after",
        "local_time",
        "data_interval_start",
        "data_interval_end",
        "remark",
    ];
    keys.map(|key| text(body, key).to_string()).to_vec()
}

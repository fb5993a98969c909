//! `db`: bring the database up, check it, write everything out, print its roles.

use super::client::{Client, Where, escape};
use super::print::line;
use crate::args::Db;
use crate::daemon::database::{Database, Place, migrate};
use crate::daemon::home::Home;
use crate::exit::{Exit, Failure};
use serde_json::{Value, json};

/// Rows of one answer.
const PAGE: usize = 100;

/// Runs one of the verbs.
pub async fn db(at: &Where, verb: Db) -> Result<Exit, Failure> {
    match verb {
        Db::Migrate => bring_up(at).await,
        Db::Check => check(at).await,
        Db::Export => export(at).await,
        Db::Roles { worker, api } => roles(&worker, &api),
    }
}

#[cfg(feature = "postgres")]
fn roles(worker: &str, api: &str) -> Result<Exit, Failure> {
    line(tidemill_store_postgres::roles(worker, api).trim_end());
    Ok(Exit::Ok)
}

#[cfg(not(feature = "postgres"))]
fn roles(_: &str, _: &str) -> Result<Exit, Failure> {
    Err(Failure::new(
        Exit::Usage,
        "this tidemill was built without PostgreSQL",
    ))
}

async fn bring_up(at: &Where) -> Result<Exit, Failure> {
    let home = Home::create(&at.home).map_err(crate::daemon::server::unexpected)?;
    let place = Place::of(&at.database, &home)?;
    migrate(&place).await?;
    line(&format!("{place} has the schema of this program"));
    Ok(Exit::Ok)
}

async fn check(at: &Where) -> Result<Exit, Failure> {
    let place = Place::of(&at.database, &Home::at(&at.home))?;
    // The owner of a file looks for itself; a server may be asked by anybody.
    if !matches!(place, Place::File(_)) {
        Database::open_read_only(&place).await?.close().await;
    }
    let client = Client::of(at).await?;
    let dags = client.get("/api/v2/dags?limit=1").await?;
    let runs = client.get("/api/v2/dags/~/dagRuns?limit=1").await?;
    line(&format!(
        "ok  {place} answers, and its schema is this program's"
    ));
    line(&format!(
        "ok  {} DAGs, {} runs",
        dags["total_entries"], runs["total_entries"]
    ));
    Ok(Exit::Ok)
}

/// What the database holds as lines of JSON, a record each.
async fn export(at: &Where) -> Result<Exit, Failure> {
    let client = Client::of(at).await?;
    for mut dag in all(&client, "/api/v2/dags", "dags").await? {
        let dag_id = dag["dag_id"].as_str().unwrap_or_default().to_string();
        let path = format!("/api/v2/dagSources/{}", escape(&dag_id));
        dag["source"] = client.get(&path).await?["content"].take();
        tell("dag", dag);
        let path = format!("/api/v2/dags/{}/dagRuns", escape(&dag_id));
        for run in all(&client, &path, "dag_runs").await? {
            let run_id = run["dag_run_id"].as_str().unwrap_or_default().to_string();
            tell("dag_run", run);
            let path = format!("{path}/{}/taskInstances", escape(&run_id));
            for task in all(&client, &path, "task_instances").await? {
                tell("task_instance", with_values(&client, &path, task).await?);
            }
        }
    }
    for pool in all(&client, "/api/v2/pools", "pools").await? {
        tell("pool", pool);
    }
    for backfill in all(&client, "/api/v2/backfills", "backfills").await? {
        tell("backfill", with_dates(&client, backfill).await?);
    }
    for asset in all(&client, "/api/v2/assets", "assets").await? {
        tell("asset", asset);
    }
    // Last, since not every process that serves pages may read them.
    for connection in all(&client, "/api/v2/connections", "connections").await? {
        tell("connection", connection);
    }
    for variable in all(&client, "/api/v2/variables", "variables").await? {
        tell("variable", variable);
    }
    Ok(Exit::Ok)
}

/// An instance of a mapped task has values of its own, found by its index.
async fn with_values(client: &Client, path: &str, mut task: Value) -> Result<Value, Failure> {
    let task_id = escape(task["task_id"].as_str().unwrap_or_default());
    let path = format!("{path}/{task_id}/xcomEntries");
    let instance = format!("map_index={}", task["map_index"].as_i64().unwrap_or(-1));
    let mut values = serde_json::Map::new();
    for entry in all(client, &format!("{path}?{instance}"), "xcom_entries").await? {
        let key = entry["key"].as_str().unwrap_or_default();
        let path = format!("{path}/{}?{instance}", escape(key));
        values.insert(key.to_string(), client.get(&path).await?["value"].take());
    }
    task["values"] = Value::Object(values);
    Ok(task)
}

async fn with_dates(client: &Client, mut backfill: Value) -> Result<Value, Failure> {
    let path = format!("/api/tidemill/v1/backfills/{}/dates", backfill["id"]);
    backfill["dates"] = client.get(&path).await?["dates"].take();
    Ok(backfill)
}

/// All entries of a list of the API, page by page.
async fn all(client: &Client, path: &str, list: &str) -> Result<Vec<Value>, Failure> {
    let joint = if path.contains('?') { '&' } else { '?' };
    let mut entries = Vec::new();
    loop {
        let n = entries.len();
        let page = client
            .get(&format!("{path}{joint}limit={PAGE}&offset={n}"))
            .await?;
        let found = page[list].as_array().cloned().unwrap_or_default();
        let is_last = found.is_empty();
        entries.extend(found);
        if is_last || entries.len() as u64 >= page["total_entries"].as_u64().unwrap_or(0) {
            return Ok(entries);
        }
    }
}

fn tell(kind: &str, entry: Value) {
    let mut told = json!({ "kind": kind });
    if let (Some(told), Value::Object(entry)) = (told.as_object_mut(), entry) {
        told.extend(entry);
    }
    line(&told.to_string());
}

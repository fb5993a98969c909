//! The attempt: one transaction.

use super::config::{Check, Config};
use super::load::Plan;
use super::place::Place;
use super::postgres::Postgres;
use super::rows::Rows;
use super::sqlite::Sqlite;
use super::statement::{Statement, parse};
use super::target::Target;
use crate::operator::{Done, End, Failure, Job, Results};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// A file of statements is not larger.
const SQL_MAX: u64 = 4 * 1024 * 1024;
/// A query of a sensor does not take longer.
const ASK_TIMEOUT: Duration = Duration::from_secs(60);

/// Does the work of a task in one transaction.
pub(crate) async fn run(job: Job) -> Result<Done, End> {
    let config: Config = job.settings()?;
    match Place::of(&job, config.url.as_deref(), config.connection.as_deref())? {
        Place::Postgres(options) => work(&job, &config, Postgres::open(&options).await?).await,
        Place::Sqlite(options) => work(&job, &config, Sqlite::open(&options).await?).await,
    }
}

/// The first value of the first row of a query.
pub(crate) async fn value(
    job: &Job,
    place: Place,
    sql: &str,
    parameters: &Map<String, Value>,
) -> Result<Value, Failure> {
    match place {
        Place::Postgres(options) => {
            asked(job, Postgres::open(&options).await?, sql, parameters).await
        }
        Place::Sqlite(options) => asked(job, Sqlite::open(&options).await?, sql, parameters).await,
    }
}

async fn asked(
    job: &Job,
    mut target: impl Target,
    sql: &str,
    parameters: &Map<String, Value>,
) -> Result<Value, Failure> {
    let parameters = rendered(job, parameters)?;
    target.begin(ASK_TIMEOUT).await?;
    let mut value = Value::Null;
    for statement in parse(sql) {
        let values = statement.values(&parameters).map_err(|what| wrong(&what))?;
        let mut rows = Rows::kept(1_000);
        target.run(&statement, &values, &mut rows).await?;
        (_, value) = rows.first();
    }
    target.commit().await?;
    Ok(value)
}

fn rendered(job: &Job, parameters: &Map<String, Value>) -> Result<Map<String, Value>, Failure> {
    let parameters = job.value("parameters", &Value::Object(parameters.clone()))?;
    Ok(parameters.as_object().cloned().unwrap_or_default())
}

pub(super) fn wrong(message: &str) -> Failure {
    Failure::could_not_start(message).for_good()
}

/// The statements of the task.
fn statements(job: &Job, config: &Config) -> Result<Vec<Statement>, Failure> {
    use std::io::Read;
    let text = match (&config.sql, &config.file) {
        (Some(sql), _) => sql.clone(),
        (None, Some(file)) => {
            let path = job.dag_dir().join(file);
            let mut text = String::new();
            let read = std::fs::File::open(&path)
                .and_then(|file| file.take(SQL_MAX).read_to_string(&mut text));
            read.map_err(|err| wrong(&format!("file: cannot read {}: {err}", path.display())))?;
            text
        }
        (None, None) => String::new(),
    };
    Ok(parse(&text))
}

async fn work(job: &Job, config: &Config, mut target: impl Target) -> Result<Done, End> {
    let parameters = rendered(job, &config.parameters)?;
    let statements = statements(job, config)?;
    let plan = config
        .load
        .as_ref()
        .map(|load| Plan::new(job, load))
        .transpose()?;
    let id = once_id(job);
    if config.once {
        target.prepare_once().await?;
    }
    target.begin(Duration::from_millis(config.timeout)).await?;
    if config.once
        && let Some(output) = target.mark(&id).await?
    {
        job.note("done before, by a try whose end was not heard of: nothing is done again");
        let output = serde_json::from_str(&output).unwrap_or(Value::Null);
        return Ok(Done {
            output: Some(output).filter(|output| !output.is_null()),
            ..Done::default()
        });
    }
    let mut rows = match &config.save_to {
        Some(path) => Rows::saved(job, &job.text("save_to", path)?).await?,
        None => Rows::kept(config.max_rows),
    };
    for (at, statement) in statements.iter().enumerate() {
        let values = statement.values(&parameters).map_err(|what| wrong(&what))?;
        let is_last = at + 1 == statements.len();
        let mut unseen = Rows::kept(config.max_rows);
        let into = if is_last { &mut rows } else { &mut unseen };
        let n_changed = target.run(statement, &values, into).await?;
        job.note(&format!("{}: {n_changed} rows", statement.shown()));
    }
    let mut n_loaded = None;
    if let Some(plan) = &plan {
        let n_rows = target.load(plan).await?;
        job.note(&format!(
            "loaded {n_rows} rows of {} into {}",
            plan.path.display(),
            plan.table
        ));
        n_loaded = Some(n_rows);
    }
    for check in &config.check {
        look(job, &mut target, check, &parameters).await?;
    }
    let results = [
        ("value".to_string(), rows.first().1),
        ("rows".to_string(), rows.all()),
        (
            "row_count".to_string(),
            Value::from(n_loaded.unwrap_or(rows.count)),
        ),
    ];
    // Statements before a load prepare its table; what it is about is how much was loaded.
    let output = match n_loaded {
        Some(n_rows) => Some(json!({ "rows": n_rows })),
        None => rows.output(config.output).await?,
    };
    if config.once {
        let text = output.as_ref().map_or("null".to_string(), Value::to_string);
        target.remember(&id, &text).await?;
    }
    target.commit().await?;
    Ok(Done {
        output,
        results: Map::from_iter(results),
        ..Done::default()
    })
}

/// The name of the work in the target: the same for every try, and for nothing else.
fn once_id(job: &Job) -> String {
    let facts = job.facts();
    let (dag, run, task, map) = (
        &facts.dag_id,
        &facts.run_id,
        &facts.task_id,
        facts.map_index,
    );
    format!("{dag}/{run}/{task}/{map}")
}

async fn look(
    job: &Job,
    target: &mut impl Target,
    check: &Check,
    parameters: &Map<String, Value>,
) -> Result<(), Failure> {
    for statement in parse(&check.sql) {
        let values = statement.values(parameters).map_err(|what| wrong(&what))?;
        let mut rows = Rows::kept(1_000);
        target.run(&statement, &values, &mut rows).await?;
        let (_, value) = rows.first();
        let seen = [
            ("value".to_string(), value.clone()),
            ("rows".to_string(), rows.all()),
            ("row_count".to_string(), Value::from(rows.count)),
        ];
        let results: Results = Arc::new(Map::from_iter(seen));
        let holds = job.holds("check.must", &check.must, &results)?;
        job.note(&format!("check {}: value is {value}", statement.shown()));
        if !holds {
            let message = format!("check failed: value is {value} for {}", statement.shown());
            return Err(Failure::bad_output(message));
        }
    }
    Ok(())
}

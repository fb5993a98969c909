//! The looks: one query each, on a connection of its own.

use super::config::Config;
use crate::operator::sensor::{Look, Seen, wait};
use crate::operator::sql;
use crate::operator::{Done, End, Job};
use serde_json::Value;

/// Waits for a row.
pub(crate) async fn run(job: Job) -> Result<Done, End> {
    let config: Config = job.settings()?;
    let query = Query {
        job: &job,
        config: &config,
    };
    wait(&job, &config.patience, query).await
}

struct Query<'j> {
    job: &'j Job,
    config: &'j Config,
}

impl Look for Query<'_> {
    async fn look(&mut self) -> Result<Seen, End> {
        let (url, id) = (
            self.config.url.as_deref(),
            self.config.connection.as_deref(),
        );
        let place = sql::Place::of(self.job, url, id)?;
        let value = sql::value(self.job, place, &self.config.sql, &self.config.parameters).await?;
        if !is_true(&value) {
            return Ok(Seen::NotYet(format!("the query gives {value}")));
        }
        Ok(Seen::There(Done {
            output: Some(value),
            ..Done::default()
        }))
    }
}

/// As Airflow's SqlSensor: nothing, zero, an empty text and `0` are not there.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !matches!(text.as_str(), "" | "0"),
        Value::Bool(true) | Value::Array(_) | Value::Object(_) => true,
    }
}

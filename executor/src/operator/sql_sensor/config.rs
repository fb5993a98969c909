//! The settings of `sql_sensor`, as the file format hands them over.

use crate::operator::sensor::Patience;
use serde::Deserialize;
use serde_json::{Map, Value};

/// `[tasks.NAME.sql_sensor]`. Durations are milliseconds.
#[derive(Debug, Deserialize)]
pub(crate) struct Config {
    pub connection: Option<String>,
    pub url: Option<String>,
    pub sql: String,
    #[serde(default)]
    pub parameters: Map<String, Value>,
    #[serde(flatten)]
    pub patience: Patience,
}

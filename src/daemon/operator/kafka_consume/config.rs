//! The settings of `kafka_consume`, as the file format hands them over.

use crate::daemon::operator::cluster::{Cluster, Reading};
use serde::Deserialize;
use serde_json::Value;

/// `[tasks.NAME.kafka_consume]`. Texts are templates.
#[derive(Debug, Deserialize)]
pub(super) struct Config {
    #[serde(flatten)]
    pub cluster: Cluster,
    #[serde(flatten)]
    pub reading: Reading,
    #[serde(default = "last")]
    pub from: Value,
    #[serde(default = "end_at_start")]
    pub to: Value,
    #[serde(default = "a_million")]
    pub max_messages: i64,
    pub save_to: Option<String>,
}

fn last() -> Value {
    Value::from("last")
}

fn end_at_start() -> Value {
    Value::from("end_at_start")
}

fn a_million() -> i64 {
    1_000_000
}

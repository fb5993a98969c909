//! The settings of `kafka_wait`, as the file format hands them over.

use crate::daemon::operator::cluster::{Cluster, Reading};
use serde::Deserialize;
use serde_json::Value;

/// `[tasks.NAME.kafka_wait]`. Durations are milliseconds, texts are templates.
#[derive(Debug, Deserialize)]
pub(super) struct Config {
    #[serde(flatten)]
    pub cluster: Cluster,
    #[serde(flatten)]
    pub reading: Reading,
    #[serde(default = "run_start")]
    pub since: Value,
    pub filter: Option<String>,
    #[serde(default = "a_week")]
    pub timeout: u64,
    #[serde(default)]
    pub soft_fail: bool,
}

fn run_start() -> Value {
    Value::from("run_start")
}

fn a_week() -> u64 {
    7 * 24 * 3_600_000
}

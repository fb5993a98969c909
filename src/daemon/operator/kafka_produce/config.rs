//! The settings of `kafka_produce`, as the file format hands them over.

use crate::daemon::operator::cluster::Cluster;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// `[tasks.NAME.kafka_produce]`. Durations are milliseconds, texts are templates.
#[derive(Debug, Deserialize)]
pub(super) struct Config {
    #[serde(flatten)]
    pub cluster: Cluster,
    pub topic: String,
    pub key: Option<String>,
    pub value: Option<Value>,
    pub file: Option<String>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub partition: Option<i32>,
    #[serde(default)]
    pub transaction: bool,
    #[serde(default = "a_minute")]
    pub timeout: u64,
}

fn a_minute() -> u64 {
    60_000
}

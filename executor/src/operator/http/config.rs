//! The settings of `http`, as the file format hands them over.

use serde::Deserialize;
use std::collections::BTreeMap;

/// `[tasks.NAME.http]`. Texts are templates.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub url: String,
    #[serde(default = "get")]
    pub method: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub body: Option<String>,
    /// For one request, in milliseconds.
    #[serde(default = "twenty_seconds")]
    pub timeout: u64,
    pub response_check: Option<String>,
    pub response_filter: Option<String>,
}

fn get() -> String {
    "GET".to_string()
}

fn twenty_seconds() -> u64 {
    20_000
}

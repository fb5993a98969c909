//! The settings of `http`, as the file format hands them over.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// `[tasks.NAME.http]`. Texts are templates, durations milliseconds, sizes bytes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub connection: Option<String>,
    pub endpoint: Option<String>,
    pub url: Option<String>,
    #[serde(default = "get")]
    pub method: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    pub body: Option<String>,
    pub json: Option<Value>,
    pub form: Option<BTreeMap<String, String>>,
    /// For one request, from the connection to the last byte of its answer.
    #[serde(default = "twenty_seconds")]
    pub timeout: u64,
    /// For all requests of the attempt together.
    pub total_timeout: Option<u64>,
    #[serde(default)]
    pub follow_redirects: bool,
    /// The most that one answer may hold, in bytes, as it is after decompression.
    pub max_size: Option<u64>,
    pub response_check: Option<String>,
    pub response_filter: Option<String>,
    pub save_to: Option<String>,
    pub pagination: Option<Pagination>,
    pub wait: Option<Wait>,
    /// The text of the key; empty for none.
    pub idempotency_key: Option<String>,
    /// A file with the certificates that are trusted instead of the system's: no template.
    pub ca_file: Option<String>,
}

/// How one page leads to the next.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pagination {
    /// Gives the address of the next page, or nothing after the last one.
    pub next: String,
    #[serde(default = "a_hundred")]
    pub max_pages: u32,
}

/// How work that a request has begun elsewhere is waited for. Durations are milliseconds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wait {
    /// Gives the name of the work, by the answer to its request.
    #[serde(default = "its_id")]
    pub id: String,
    /// Where it is asked after; sees `submitted`.
    pub url: String,
    pub until: String,
    pub fail_when: Option<String>,
    #[serde(default = "ten_seconds")]
    pub interval: u64,
    #[serde(default = "an_hour")]
    pub timeout: u64,
}

fn its_id() -> String {
    "{{ response.json.id }}".to_string()
}

fn ten_seconds() -> u64 {
    10_000
}

fn an_hour() -> u64 {
    3_600_000
}

fn get() -> String {
    "GET".to_string()
}

fn twenty_seconds() -> u64 {
    20_000
}

fn a_hundred() -> u32 {
    100
}

//! The settings of `sql`, as the file format hands them over.

use serde::Deserialize;
use serde_json::Value;

/// `[tasks.NAME.sql]`. Durations are milliseconds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub connection: Option<String>,
    pub url: Option<String>,
    /// Never a template: values come in as parameters.
    pub sql: Option<String>,
    pub file: Option<String>,
    #[serde(default)]
    pub parameters: serde_json::Map<String, Value>,
    #[serde(default)]
    pub output: Output,
    pub save_to: Option<String>,
    #[serde(default = "ten_thousand")]
    pub max_rows: u64,
    /// For one statement.
    #[serde(default = "an_hour")]
    pub timeout: u64,
    pub load: Option<Load>,
    #[serde(default)]
    pub once: bool,
    #[serde(default)]
    pub check: Vec<Check>,
}

/// What of the last statement's rows becomes the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Output {
    /// All of them.
    #[default]
    Rows,
    /// The first.
    One,
    /// The first value of the first.
    Value,
    /// Nothing.
    None,
}

/// A file that goes into a table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Load {
    pub file: String,
    pub format: Option<Format>,
    pub table: String,
    pub columns: Option<Vec<String>>,
    #[serde(default)]
    pub mode: Mode,
    #[serde(default)]
    pub key: Vec<String>,
}

/// How rows stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// With a line of names at its top.
    Csv,
    /// One JSON object a line.
    Ndjson,
}

impl Format {
    /// That of a file, unless it is named.
    pub(super) fn of(path: &std::path::Path) -> Option<Format> {
        match path.extension()?.to_str()? {
            "csv" => Some(Format::Csv),
            "ndjson" | "jsonl" => Some(Format::Ndjson),
            _ => None,
        }
    }
}

/// What becomes of rows that are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// They stay.
    #[default]
    Append,
    /// They go.
    Replace,
    /// Those with the key of a new one take its values.
    Upsert,
}

/// What must be true before the transaction is committed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Check {
    pub sql: String,
    pub must: String,
}

fn ten_thousand() -> u64 {
    10_000
}

fn an_hour() -> u64 {
    3_600_000
}

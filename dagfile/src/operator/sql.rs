//! `sql`.

use super::{Fault, OperatorKeys, Settings};
use crate::keys::{Key, Kind, key};
use serde_json::Value;

pub(crate) const SQL: OperatorKeys = OperatorKeys {
    name: "sql",
    short: None,
    keys: KEYS,
    results: &["rows", "row_count", "value"],
    only_looks: false,
    check,
};

const OUTPUTS: &[&str] = &["rows", "one", "value", "none"];
const MODES: &[&str] = &["append", "replace", "upsert"];
const FORMATS: &[&str] = &["csv", "ndjson"];

#[rustfmt::skip]
const KEYS: &[Key] = &[
    key("connection", Kind::Text, "", "The connection to the database, of the type postgres or sqlite; instead of `url`."),
    key("url", Kind::Template, "", "The database: postgres://user@host:port/database, or sqlite://FILE, where a relative file is in the run's folder. It holds no password."),
    key("sql", Kind::Text, "", "One or several statements, run in one transaction. Never a template: values come in as `:name` from `parameters`."),
    key("file", Kind::File, "", "A file of the DAG's folder with the statements."),
    key("parameters", Kind::TemplateTree, "{}", "The values of `:name`, bound and never part of the text."),
    key("output", Kind::Choice(OUTPUTS), "\"rows\"", "What of the last statement's rows becomes the output: all, the first, its first value, nothing."),
    key("save_to", Kind::Template, "", "A .csv or .ndjson file that the rows go to, which appears whole. A relative path is in the run's folder."),
    key("max_rows", Kind::Int(1, 1_000_000), "10000", "More rows than this need `save_to`."),
    key("timeout", Kind::Duration, "\"1h\"", "How long one statement may take."),
    key("load", Kind::Table(LOAD), "", "A file whose rows go into a table, after the statements."),
    key("once", Kind::Bool, "false", "Note in the database, in the same transaction, that this task instance has been done, and do nothing when it has? Makes the table tidemill_once."),
    key("check", Kind::Tables(CHECK), "", "What must hold before the transaction is committed."),
];

#[rustfmt::skip]
const LOAD: &[Key] = &[
    key("file", Kind::Template, "", "The file. A relative path is in the run's folder."),
    key("format", Kind::Choice(FORMATS), "", "CSV with a line of names, or one JSON object a line; by the file's name when absent."),
    key("table", Kind::Text, "", "The table."),
    key("columns", Kind::Texts, "", "The table's columns, in the order of the file; as the file names them when absent."),
    key("mode", Kind::Choice(MODES), "\"append\"", "Add to what is there, take its place, or replace rows with the same key."),
    key("key", Kind::Texts, "[]", "The columns that say which row it is, for `upsert`; they need a unique index."),
];

#[rustfmt::skip]
const CHECK: &[Key] = &[
    key("sql", Kind::Text, "", "A query, in the same transaction."),
    key("must", Kind::ResultTemplate, "", "Must be true; `value` is the first value of the first row, `rows` all of them."),
];

fn check(settings: &Settings) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |key, message: &str, help| {
        let message = message.to_string();
        faults.push(Fault { key, message, help });
    };
    match (settings.has("url"), settings.has("connection")) {
        (false, false) => fault(
            None,
            "the sql task names no database",
            "add `connection` or `url`",
        ),
        (true, true) => fault(
            Some("url"),
            "the sql task has `url` and `connection`",
            "take one of them out",
        ),
        (true, false) | (false, true) => {}
    }
    if settings.has("sql") && settings.has("file") {
        fault(
            Some("file"),
            "the sql task has `sql` and `file`",
            "take one of them out",
        );
    }
    if !["sql", "file", "load", "check"]
        .iter()
        .any(|name| settings.has(name))
    {
        fault(
            None,
            "the sql task has nothing to do",
            "add `sql`, `file`, `load` or `check`",
        );
    }
    let has_marks = |sql: Option<&Value>| {
        let text = sql.and_then(Value::as_str).unwrap_or_default();
        text.contains("{{") || text.contains("{%")
    };
    if has_marks(settings.get("sql")) {
        let help = "write :name there and the value under `parameters`";
        fault(
            Some("sql"),
            "SQL holds no templates: values are bound, never pasted in",
            help,
        );
    }
    if let Some(load) = settings.get("load") {
        let has = |name: &str| load.get(name).is_some();
        if !has("file") || !has("table") {
            fault(Some("load"), "`load` needs `file` and `table`", "add them");
        }
        let is_upsert = load.get("mode").and_then(Value::as_str) == Some("upsert");
        let has_key = load
            .get("key")
            .and_then(Value::as_array)
            .is_some_and(|key| !key.is_empty());
        if is_upsert && !has_key {
            fault(
                Some("load"),
                "an upsert needs to know which row is which",
                "add `key`",
            );
        }
    }
    for check in settings
        .get("check")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        if check.get("sql").is_none() || check.get("must").is_none() {
            fault(
                Some("check"),
                "a check has `sql` and `must`",
                "add what is missing",
            );
        }
        if has_marks(check.get("sql")) {
            fault(
                Some("check"),
                "SQL holds no templates",
                "write :name there and the value under `parameters`",
            );
        }
    }
    faults
}

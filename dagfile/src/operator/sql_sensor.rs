//! `sql_sensor`.

use super::{Fault, OperatorKeys, Settings, sensor_keys};
use crate::keys::{Key, Kind, key};
use serde_json::Value;

pub(crate) const SQL_SENSOR: OperatorKeys = OperatorKeys {
    name: "sql_sensor",
    short: None,
    keys: KEYS,
    results: &[],
    only_looks: true,
    check,
};

#[rustfmt::skip]
const KEYS: &[Key] = sensor_keys![
    key("connection", Kind::Text, "", "The connection to the database, of the type postgres or sqlite; instead of `url`."),
    key("url", Kind::Template, "", "The database, as `sql` has it."),
    key("sql", Kind::Text, "", "A query; it waits until the first value of its first row is neither null, false, 0 nor empty."),
    key("parameters", Kind::TemplateTree, "{}", "The values of `:name`."),
];

fn check(settings: &Settings) -> Vec<Fault> {
    let text = settings.get("sql").and_then(Value::as_str);
    let mut faults = Vec::new();
    if settings.has("url") == settings.has("connection") || text.is_none() {
        faults.push(Fault {
            key: None,
            message: "the sql_sensor needs `sql`, and either `connection` or `url`".to_string(),
            help: "add what is missing",
        });
    }
    if text.is_some_and(|text| text.contains("{{") || text.contains("{%")) {
        faults.push(Fault {
            key: Some("sql"),
            message: "SQL holds no templates: values are bound, never pasted in".to_string(),
            help: "write :name there and the value under `parameters`",
        });
    }
    faults
}

//! The definition as JSON that does not depend on comments, spaces and the order of keys; its hash
//! is a DAG's version.

use crate::parse::{Table, Value};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use toml::de::DeValue;

/// A TOML value as JSON. Dates become texts; numbers that JSON cannot hold become null.
pub(crate) fn json(value: &Value) -> Json {
    match value.get_ref() {
        DeValue::String(text) => Json::from(text.as_ref()),
        DeValue::Integer(number) => {
            Json::from(i64::from_str_radix(number.as_str(), number.radix()).ok())
        }
        DeValue::Float(number) => Json::from(number.as_str().parse::<f64>().ok()),
        DeValue::Boolean(one) => Json::from(*one),
        DeValue::Datetime(date) => Json::from(date.to_string()),
        DeValue::Array(items) => items.iter().map(json).collect(),
        DeValue::Table(table) => table
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), json(value)))
            .collect(),
    }
}

/// The SHA-256 of the normalised definition, hexadecimal.
pub(crate) fn hash(root: &Table) -> String {
    let mut text = String::new();
    write_table(root, &mut text);
    hex(text.as_bytes())
}

/// The SHA-256 of bytes, hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn write_table(table: &Table, out: &mut String) {
    let mut keys: Vec<(&str, &Value)> = table
        .iter()
        .map(|(key, value)| (key.get_ref().as_ref(), value))
        .collect();
    keys.sort_unstable_by_key(|(key, _)| *key);
    out.push('{');
    for (at, (key, value)) in keys.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(&Json::from(key).to_string());
        out.push(':');
        write_value(value, out);
    }
    out.push('}');
}

/// Recursion is bounded by the parser's own limit of depth.
fn write_value(value: &Value, out: &mut String) {
    match value.get_ref() {
        DeValue::Table(table) => write_table(table, out),
        DeValue::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        _ => out.push_str(&json(value).to_string()),
    }
}

//! The words of JSON Schema that parameters know, held against a value.
//!
//! As in JSON Schema a word says nothing about values of another type than its own: `minimum` lets
//! every text through, and only `type` keeps texts out.

use crate::text_format;
use regex::Regex;
use serde_json::{Map, Number, Value};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// Does a value fit a schema?
///
/// # Errors
/// The first thing that does not, to be read after the name of the value.
pub(crate) fn check(schema: &Value, value: &Value) -> Result<(), String> {
    check_at(schema, value, "")
}

/// The same for a part of a value; `path` leads to it.
fn check_at(schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    check_own(schema, value).map_err(|why| match path {
        "" => why,
        path => format!("at {path} {why}"),
    })?;
    if let (Some(inner), Value::Array(items)) = (schema.get("items"), value) {
        for (at, item) in items.iter().enumerate() {
            check_at(inner, item, &format!("{path}[{at}]"))?;
        }
    }
    if let (Some(Value::Object(inner)), Value::Object(fields)) = (schema.get("properties"), value) {
        for (name, field) in fields {
            if let Some(inner) = inner.get(name) {
                check_at(inner, field, &format!("{path}.{name}"))?;
            }
        }
    }
    Ok(())
}

/// What the words of one schema say of a value, but for its parts.
fn check_own(schema: &Value, value: &Value) -> Result<(), String> {
    check_type(schema, value)?;
    check_choice(schema, value)?;
    match value {
        Value::Number(number) => check_number(schema, number),
        Value::String(text) => check_text(schema, text),
        Value::Array(items) => check_list(schema, items),
        Value::Object(fields) => check_object(schema, fields),
        Value::Null | Value::Bool(_) => Ok(()),
    }
}

fn check_type(schema: &Value, value: &Value) -> Result<(), String> {
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => return Ok(()),
    };
    if types.iter().any(|one| is_of_type(value, one)) {
        return Ok(());
    }
    Err(match value {
        Value::Null => "needs a value".to_string(),
        _ => format!("must be {}, not {value}", types.join(" or ")),
    })
}

/// JSON Schema's types; an integer may be written as `2.0`.
fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    }
}

fn check_choice(schema: &Value, value: &Value) -> Result<(), String> {
    let is_value = |other: &Value| canonical(other) == canonical(value);
    if let Some(only) = schema.get("const").filter(|only| !is_value(only)) {
        return Err(format!("must be {only}, not {value}"));
    }
    match schema.get("enum") {
        Some(Value::Array(choices)) if !choices.iter().any(is_value) => {
            let choices = Value::from(choices.clone());
            Err(format!("must be one of {choices}, not {value}"))
        }
        _ => Ok(()),
    }
}

fn check_number(schema: &Value, value: &Number) -> Result<(), String> {
    let bound = |word: &str| schema.get(word).and_then(Value::as_number);
    if let Some(low) = bound("minimum").filter(|low| order(value, low).is_lt()) {
        return Err(format!("is below its minimum of {low}"));
    }
    if let Some(high) = bound("maximum").filter(|high| order(value, high).is_gt()) {
        return Err(format!("is above its maximum of {high}"));
    }
    if let Some(low) = bound("exclusiveMinimum").filter(|low| order(value, low).is_le()) {
        return Err(format!("must be above {low}, not {value}"));
    }
    if let Some(high) = bound("exclusiveMaximum").filter(|high| order(value, high).is_ge()) {
        return Err(format!("must be below {high}, not {value}"));
    }
    match bound("multipleOf").filter(|step| !is_multiple(value, step)) {
        Some(step) => Err(format!("must be a multiple of {step}, not {value}")),
        None => Ok(()),
    }
}

fn check_text(schema: &Value, text: &str) -> Result<(), String> {
    check_size(
        schema,
        text.chars().count(),
        ("minLength", "maxLength"),
        "characters",
    )?;
    let shown = Value::from(text);
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        let regex = Regex::new(pattern)
            .map_err(|_| format!("cannot be checked: `{pattern}` is no regular expression"))?;
        if !regex.is_match(text) {
            return Err(format!("must match `{pattern}`, not be {shown}"));
        }
    }
    match schema.get("format").and_then(Value::as_str) {
        Some(format) => text_format::check(format, text)
            .map_err(|expected| format!("must be {expected}, not {shown}")),
        None => Ok(()),
    }
}

fn check_list(schema: &Value, items: &[Value]) -> Result<(), String> {
    check_size(schema, items.len(), ("minItems", "maxItems"), "items")?;
    if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
        let mut seen = BTreeSet::new();
        if let Some(twice) = items.iter().find(|item| !seen.insert(canonical(item))) {
            return Err(format!("has the item {twice} more than once"));
        }
    }
    Ok(())
}

fn check_size(
    schema: &Value,
    n: usize,
    (low, high): (&str, &str),
    what: &str,
) -> Result<(), String> {
    let bound = |word: &str| schema.get(word).and_then(Value::as_u64);
    if let Some(low) = bound(low).filter(|low| (n as u64) < *low) {
        return Err(format!("has {n} {what}, and needs {low} at least"));
    }
    match bound(high).filter(|high| n as u64 > *high) {
        Some(high) => Err(format!("has {n} {what}, and may have {high} at most")),
        None => Ok(()),
    }
}

fn check_object(schema: &Value, fields: &Map<String, Value>) -> Result<(), String> {
    let required = schema.get("required").and_then(Value::as_array);
    let mut names = required.into_iter().flatten().filter_map(Value::as_str);
    match names.find(|name| !fields.contains_key(*name)) {
        Some(missing) => Err(format!("has no `{missing}`")),
        None => Ok(()),
    }
}

/// A number without a fraction, exactly.
fn whole(number: &Number) -> Option<i128> {
    let signed = number.as_i64().map(i128::from);
    signed.or_else(|| number.as_u64().map(i128::from))
}

fn float(number: &Number) -> f64 {
    number.as_f64().unwrap_or(f64::NAN)
}

fn order(one: &Number, other: &Number) -> Ordering {
    match (whole(one), whole(other)) {
        (Some(one), Some(other)) => one.cmp(&other),
        _ => float(one)
            .partial_cmp(&float(other))
            .unwrap_or(Ordering::Equal),
    }
}

fn is_multiple(value: &Number, step: &Number) -> bool {
    if let (Some(value), Some(step)) = (whole(value), whole(step)) {
        return step != 0 && value % step == 0;
    }
    let n_steps = float(value) / float(step);
    // 0.3 is three times 0.1, although not in the binary fractions of the machine.
    (n_steps - n_steps.round()).abs() <= 1e-9 * n_steps.abs().max(1.0)
}

/// The same text for values that JSON Schema holds to be equal: `1` and `1.0`, and objects
/// whatever the order of their keys.
fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) => match whole(number) {
            Some(whole) => whole.to_string(),
            // A float without a fraction is written without one.
            None => float(number).to_string(),
        },
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, String> = fields
                .iter()
                .map(|(name, field)| (name, canonical(field)))
                .collect();
            let sorted: Vec<String> = sorted
                .into_iter()
                .map(|(name, field)| format!("{}:{field}", Value::from(name.as_str())))
                .collect();
            format!("{{{}}}", sorted.join(","))
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.to_string(),
    }
}

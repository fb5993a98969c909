//! What a successful attempt keeps: the same rules for every operator.

use crate::render::render_value;
use serde_json::Value;
use tidemill_model::Task;
use tidemill_template::Facts;

/// No single value is larger, in bytes of JSON.
pub(crate) const VALUE_MAX: usize = 1024 * 1024;

/// Sets a value; the last one of a key wins.
pub(crate) fn put(values: &mut Vec<(String, Value)>, key: &str, value: Value) {
    match values.iter_mut().find(|(name, _)| name == key) {
        Some(entry) => entry.1 = value,
        None => values.push((key.to_string(), value)),
    }
}

/// Adds the task's `outputs`; `facts` hold what its work has left.
///
/// # Errors
/// One line: which of them cannot be rendered, and why.
pub(crate) fn declared(
    task: &Task,
    facts: &Facts,
    values: &mut Vec<(String, Value)>,
) -> Result<(), String> {
    for (key, text) in &task.outputs {
        let value = render_value(text, facts).map_err(|err| {
            format!(
                "outputs.{key}: {err}{}",
                text_words(facts, &err.to_string())
            )
        })?;
        put(values, key, value);
    }
    Ok(())
}

/// A text has no fields, though what it says may have.
fn text_words(facts: &Facts, err: &str) -> &'static str {
    let result = facts.result.as_ref().and_then(|left| left.get("result"));
    match (
        result,
        err.starts_with("`result.") || err.starts_with("`result["),
    ) {
        (Some(Value::String(_)), true) => {
            "; `result` is a text: `output = \"json\"` of the task has it read as JSON"
        }
        _ => "",
    }
}

/// Refuses values that are too large.
///
/// # Errors
/// One line about the first of them.
pub(crate) fn check_sizes(values: &[(String, Value)]) -> Result<(), String> {
    for (key, value) in values {
        let size = serde_json::to_vec(value).map_or(0, |bytes| bytes.len());
        if size > VALUE_MAX {
            return Err(format!(
                "the value `{key}` has {size} bytes; at most {VALUE_MAX} are kept"
            ));
        }
    }
    Ok(())
}

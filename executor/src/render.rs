//! Templates of a task, rendered when its attempt starts.

use serde_json::Value;
use std::borrow::Cow;
use tidemill_model::attempt::Verdict;
use tidemill_model::{Outcome, Reason, Task};
use tidemill_template::{Facts, TemplateError, is_template};

/// Renders a text; one without template marks is taken as it is.
pub(crate) fn render<'a>(text: &'a str, facts: &Facts) -> Result<Cow<'a, str>, TemplateError> {
    if is_template(text) {
        tidemill_template::render(text, facts).map(Cow::Owned)
    } else {
        Ok(Cow::Borrowed(text))
    }
}

/// Renders a value; a text without template marks is itself.
pub(crate) fn render_value(text: &str, facts: &Facts) -> Result<Value, TemplateError> {
    if is_template(text) {
        tidemill_template::render_value(text, facts)
    } else {
        Ok(Value::String(text.to_string()))
    }
}

/// `run_if` and `skip_if`: the outcome of a task that does not run because of them.
pub(crate) fn conditions(task: &Task, facts: &Facts) -> Option<Outcome> {
    let conditions = [
        ("run_if", &task.run_if, true),
        ("skip_if", &task.skip_if, false),
    ];
    for (name, text, runs_when) in conditions {
        let Some(text) = text else { continue };
        match condition(name, text, facts) {
            Ok(value) if value == runs_when => {}
            Ok(value) => {
                let message = format!("{name} is {value}");
                return Some(Outcome::without_process(
                    Verdict::Skipped,
                    Reason::SkippedItself,
                    message,
                ));
            }
            Err(message) => return Some(could_not_start(message)),
        }
    }
    None
}

/// A template that must be true or false.
pub(crate) fn condition(name: &str, text: &str, facts: &Facts) -> Result<bool, String> {
    match text.trim() {
        "true" => return Ok(true),
        "false" => return Ok(false),
        _ => {}
    }
    match render_value(text, facts) {
        Ok(Value::Bool(value)) => Ok(value),
        Ok(other) => Err(format!(
            "{name} must be true or false, it is {}",
            shortened(&other)
        )),
        Err(err) => Err(format!("{name}: {err}")),
    }
}

/// A value for a message, not too long.
pub(crate) fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(200) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// The outcome of an attempt that never became a process.
pub(crate) fn could_not_start(message: impl Into<String>) -> Outcome {
    Outcome::without_process(Verdict::Failed, Reason::CouldNotStart, message)
}

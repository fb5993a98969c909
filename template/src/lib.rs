//! Templates: what `{{ … }}` in a DAG file may say, checked when the file is loaded and rendered
//! when a task starts.
//!
//! Does not know files, stores or processes. The same environment serves both, so that what was
//! checked is what is rendered.

mod analysis;
mod environment;
mod fields;
mod macros;
mod moment;
mod outside;
mod reading;
mod record;
mod scope;

pub use analysis::{Named, References, TaskUse, TaskValue, Use, check, filters, names};
pub use fields::Absent;
pub use moment::iso;
pub use outside::{CONNECTION_FIELDS, OutsideUse};

pub use scope::{DATE_NAMES, INTERVAL_NAMES, N_INSTANCES};

pub use record::{Expression, Read, RecordView, Verdict};

use minijinja::{Error, ErrorKind, Value};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tidemill_connection::Found;
use tidemill_model::{LastSuccess, Ts};

/// What a template of one attempt can see.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The DAG's name.
    pub dag_id: String,
    /// The DAG's time zone, an IANA name.
    pub timezone: String,
    /// The run's name.
    pub run_id: String,
    /// What caused the run, by Airflow's name.
    pub run_type: String,
    /// The instant the run is about.
    pub logical_date: Option<Ts>,
    /// The start of its data.
    pub data_interval_start: Option<Ts>,
    /// The end of its data.
    pub data_interval_end: Option<Ts>,
    /// The instant before which the run does not begin.
    pub run_after: Option<Ts>,
    /// When the run began.
    pub run_started_at: Option<Ts>,
    /// Parameters: defaults with the run's values over them.
    pub params: serde_json::Map<String, serde_json::Value>,
    /// The run's values as they were given.
    pub conf: serde_json::Map<String, serde_json::Value>,
    /// The task's name.
    pub task_id: String,
    /// Which try this is, from 1.
    pub try_number: i32,
    /// The place in a mapped task, or -1.
    pub map_index: i32,
    /// What this instance of a mapped task is about, by name.
    pub map: serde_json::Map<String, serde_json::Value>,
    /// Upstream tasks that templates name: what they left.
    pub tasks: BTreeMap<String, TaskFacts>,
    /// The records that the run is for, where a stream has made it.
    pub trigger: Option<serde_json::Map<String, serde_json::Value>>,
    /// The run's shared folder.
    pub run_dir: String,
    /// What this task's own work has left, by name: `stdout`, `response`, `rows` and so on. For
    /// `outputs`, and for keys that look at it.
    pub result: Option<Arc<serde_json::Map<String, serde_json::Value>>>,
    /// The connections and variables that it uses.
    pub found: Arc<Found>,
    /// The events of assets that the run was made for, by asset: a list each.
    pub asset_events: serde_json::Map<String, serde_json::Value>,
    /// What the file says of the task.
    pub own: Own,
    /// What was looked up because its templates ask for it.
    pub looked_up: LookedUp,
}

/// What is looked up for a task whose templates ask for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct LookedUp {
    /// The last run before this one that has succeeded.
    pub last_success: LastSuccess,
    /// How many instances the task has, where it is mapped.
    pub n_instances: Option<u32>,
}

/// What a DAG's file says of a task, as far as its templates see it.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// The assets that it reads: an object with `name`, `uri` and `group` each.
    pub inlets: Vec<serde_json::Value>,
    /// The assets that it writes.
    pub outlets: Vec<serde_json::Value>,
    /// What its instances are called, as it is written; none where it is not mapped.
    pub map_index_template: Option<String>,
}

/// What an upstream task left.
#[derive(Clone, Debug, Default)]
pub struct TaskFacts {
    /// Its state, by name.
    pub state: String,
    /// How many of its instances are in which state.
    pub states: BTreeMap<String, u32>,
    /// Its values by key; `return_value` is its output. Those of a mapped task are lists by map
    /// index, with null where an instance has none.
    pub values: BTreeMap<String, serde_json::Value>,
    /// Where the outputs of all instances of a mapped task lie, one line each; laid out for the
    /// attempts whose templates name it.
    pub outputs_file: Option<String>,
}

/// A template cannot be compiled or rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// What is wrong.
    pub message: String,
    /// Where, in bytes of the template's text.
    pub range: Option<std::ops::Range<usize>>,
}

/// Renders a text; a text without `{{` or `{%` comes back as it is.
///
/// # Errors
/// When a name is undefined, a filter fails, or a limit (steps, 1 MiB of output) is reached.
pub fn render(text: &str, facts: &Facts) -> Result<String, TemplateError> {
    if !is_template(text) {
        return Ok(text.to_string());
    }
    let wrong = |err: Error| TemplateError::of(&err, text);
    let template = environment::shared()
        .template_from_str(text)
        .map_err(wrong)?;
    let mut output = Bounded(Vec::new());
    template
        .render_captured_to(scope::value(facts), &mut output)
        .map_err(wrong)?;
    String::from_utf8(output.0).map_err(|_| TemplateError {
        message: "the result is not UTF-8".to_string(),
        range: None,
    })
}

/// Renders a value: a text that is exactly one `{{ }}` keeps the value's type.
///
/// # Errors
/// As [`render`].
pub fn render_value(text: &str, facts: &Facts) -> Result<serde_json::Value, TemplateError> {
    let Some(inner) = single_expression(text) else {
        return render(text, facts).map(serde_json::Value::String);
    };
    let Ok(expression) = environment::shared().compile_expression(inner) else {
        return render(text, facts).map(serde_json::Value::String);
    };
    let offset = text.find(inner).unwrap_or(0);
    let wrong = |err: Error| TemplateError::of(&err, inner).moved(offset);
    let value = expression.eval(scope::value(facts)).map_err(wrong)?;
    if value.is_undefined() {
        return Err(TemplateError {
            message: format!("`{}` has no value here", inner.trim()),
            range: Some(offset..offset + inner.len()),
        });
    }
    to_json(&value, inner).map_err(|err| err.moved(offset))
}

/// May a text hold a template? A text for which this is false is its own result.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// The most that one template may give, in bytes.
pub const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// What stands between the braces of a text that begins and ends with them.
fn single_expression(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix('-').unwrap_or(inner);
    Some(inner.strip_suffix('-').unwrap_or(inner))
}

fn to_json(value: &Value, text: &str) -> Result<serde_json::Value, TemplateError> {
    let json = serde_json::to_value(value).map_err(|err| TemplateError {
        message: format!("`{}` cannot be kept as a value: {err}", text.trim()),
        range: None,
    })?;
    serde_json::to_writer(Bounded(Vec::new()), &json).map_err(|_| TemplateError::too_long())?;
    Ok(json)
}

impl TemplateError {
    fn too_long() -> TemplateError {
        let message = format!("the result has more than {OUTPUT_BYTES_MAX} bytes");
        TemplateError {
            message,
            range: None,
        }
    }

    /// The engine's error in words for the person who wrote `text`.
    fn of(err: &Error, text: &str) -> TemplateError {
        let range = err
            .range()
            .filter(|range| text.get(range.clone()).is_some());
        let range = range.map(|range| whole_path(text, range));
        let place = range
            .clone()
            .and_then(|range| text.get(range))
            .unwrap_or("a name")
            .trim();
        let detail = err.detail().map(str::to_string);
        let message = match err.kind() {
            ErrorKind::UndefinedError => format!("`{place}` has no value here"),
            ErrorKind::OutOfFuel => {
                format!("the template takes more than {} steps", environment::FUEL)
            }
            ErrorKind::WriteFailure => {
                return TemplateError {
                    range,
                    ..TemplateError::too_long()
                };
            }
            ErrorKind::SyntaxError => detail.unwrap_or_else(|| err.kind().to_string()),
            kind => detail.map_or_else(
                || format!("{kind} in `{place}`"),
                |detail| format!("{detail} in `{place}`"),
            ),
        };
        TemplateError { message, range }
    }

    fn moved(mut self, by: usize) -> TemplateError {
        self.range = self.range.map(|range| range.start + by..range.end + by);
        self
    }
}

/// The engine's range of a path begins at its first dot; people want the name before it too.
fn whole_path(text: &str, range: std::ops::Range<usize>) -> std::ops::Range<usize> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_.".contains(&byte);
    let before = text.as_bytes()[..range.start]
        .iter()
        .rev()
        .take_while(|byte| is_part(**byte))
        .count();
    range.start - before..range.end
}

/// A writer that refuses to grow past [`OUTPUT_BYTES_MAX`].
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES_MAX {
            return Err(io::Error::other("the output is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod airflow_tests;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

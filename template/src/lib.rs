//! Templates: what `{{ … }}` in a DAG file may say, checked when the file is loaded and rendered
//! when a task starts.
//!
//! Does not know files, stores or processes. The same environment serves both, so that what was
//! checked is what is rendered.

use std::collections::BTreeMap;
use tidemill_model::Ts;

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
    /// Upstream tasks that templates name: what they left.
    pub tasks: BTreeMap<String, TaskFacts>,
    /// The run's shared folder.
    pub run_dir: String,
    /// What the command of this task left, once it has ended: for `outputs`.
    pub result: Option<ResultFacts>,
}

/// What an upstream task left.
#[derive(Clone, Debug, Default)]
pub struct TaskFacts {
    /// Its state, by name.
    pub state: String,
    /// Its values by key; `return_value` is its output.
    pub values: BTreeMap<String, serde_json::Value>,
}

/// What the task's own command left.
#[derive(Clone, Debug, Default)]
pub struct ResultFacts {
    /// Its standard output, cut at 1 MiB.
    pub stdout: String,
    /// Its output, parsed where the mode says so.
    pub result: serde_json::Value,
    /// Its exit status.
    pub exit_code: i32,
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
pub fn render(_text: &str, _facts: &Facts) -> Result<String, TemplateError> {
    Err(TemplateError { message: "not built yet".to_string(), range: None })
}

/// Renders a value: a text that is exactly one `{{ }}` keeps the value's type.
///
/// # Errors
/// As [`render`].
pub fn render_value(_text: &str, _facts: &Facts) -> Result<serde_json::Value, TemplateError> {
    Err(TemplateError { message: "not built yet".to_string(), range: None })
}

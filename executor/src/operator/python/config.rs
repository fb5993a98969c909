//! What a Python task says.

use serde::Deserialize;
use serde_json::{Map, Value};
use tidemill_model::dag::InProcess;

/// Its key in the file.
pub(crate) const KIND: &str = "python";

/// The settings of a Python task.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Config {
    /// A file in the DAG's folder; or `call`.
    pub script: Option<String>,
    /// `package.module:function`.
    pub call: Option<String>,
    /// The interpreter, by name or path.
    pub python: Option<String>,
    /// The folder of a virtual environment, whose interpreter is used.
    pub venv: Option<String>,
    /// What the function is called with, as templates.
    #[serde(default)]
    pub kwargs: Map<String, Value>,
    /// `sys.argv` after the name, as templates.
    #[serde(default)]
    pub args: Vec<String>,
}

impl Config {
    /// Reads it.
    ///
    /// # Errors
    /// When the settings are not what the file format lets through.
    pub(super) fn of(work: &InProcess) -> Result<Config, String> {
        serde_json::from_value(Value::Object(work.settings.clone()))
            .map_err(|err| format!("cannot read the settings of `{KIND}`: {err}"))
    }

    /// The interpreter.
    pub(super) fn interpreter(&self) -> String {
        match (&self.python, &self.venv) {
            (Some(python), _) => python.clone(),
            (None, Some(venv)) => format!("{}/bin/python", venv.trim_end_matches('/')),
            (None, None) => "python3".to_string(),
        }
    }
}

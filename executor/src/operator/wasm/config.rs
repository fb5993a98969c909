//! The settings of `wasm`, as the file format hands them over.

use serde::Deserialize;

/// `[tasks.NAME.wasm]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// A file of the DAG's folder.
    pub module: String,
    pub function: Option<String>,
    /// Templates.
    #[serde(default)]
    pub args: Vec<String>,
    /// A template.
    pub stdin: Option<String>,
    /// A template.
    pub stdin_file: Option<String>,
    /// A template.
    pub stdout_file: Option<String>,
    #[serde(default)]
    pub dirs: Vec<Dir>,
    #[serde(default)]
    pub allow_hosts: Vec<String>,
    pub fuel: Option<u64>,
    /// Bytes.
    #[serde(default = "memory")]
    pub max_memory: u64,
    #[serde(default)]
    pub output: Output,
    #[serde(default = "skip_status")]
    pub skip_on_exit_code: i32,
}

/// A folder that the module sees.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dir {
    /// A template.
    pub host: String,
    pub guest: String,
    #[serde(default)]
    pub mode: Mode,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) enum Mode {
    #[default]
    #[serde(rename = "ro")]
    Read,
    #[serde(rename = "rw")]
    ReadWrite,
}

/// What of standard output becomes the task's output; the same words as for `shell`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Output {
    #[default]
    LastLine,
    Stdout,
    Json,
    None,
}

fn memory() -> u64 {
    256 << 20
}

fn skip_status() -> i32 {
    99
}

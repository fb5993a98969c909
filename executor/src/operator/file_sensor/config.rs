//! The settings of `file_sensor`, as the file format hands them over.

use crate::operator::sensor::Patience;
use serde::Deserialize;

/// `[tasks.NAME.file_sensor]`. Durations are milliseconds.
#[derive(Debug, Deserialize)]
pub(crate) struct Config {
    /// A template; the last part of the path may hold `*` and `?`.
    pub path: String,
    /// Unchanged for so long.
    #[serde(default)]
    pub settle: u64,
    #[serde(flatten)]
    pub patience: Patience,
}

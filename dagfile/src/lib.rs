//! The file format: text in, a [`Dag`] that cannot be wrong or everything that is wrong out.
//!
//! Knows no files, no clock, no store. Reading folders is the daemon's.

use tidemill_model::Dag;

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file is not loaded.
    Error,
    /// The file is loaded.
    Warning,
}

/// Something wrong with a file, with its place and, where it can be computed, the fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its code, e.g. `TM0104`.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong, one sentence without a period.
    pub message: String,
    /// Where, in bytes of the source.
    pub span: std::ops::Range<usize>,
    /// What stands under the place.
    pub label: String,
    /// Other places that belong to it.
    pub others: Vec<(std::ops::Range<usize>, String)>,
    /// What to do.
    pub help: Option<String>,
    /// The fix: replace this span by this text.
    pub patch: Option<(std::ops::Range<usize>, String)>,
}

/// What a file became.
#[derive(Debug)]
pub struct Loaded {
    /// The DAG, unless there are errors.
    pub dag: Option<Dag>,
    /// Everything that is wrong.
    pub diagnostics: Vec<Diagnostic>,
    /// The SHA-256 of the normalised definition, hexadecimal; of the text when it has errors.
    pub hash: String,
    /// Files of the DAG's folder that keys name (scripts), relative paths.
    pub files: Vec<String>,
}

/// Reads a file's bytes. `stem` is the name that the DAG has when the file gives none.
pub fn load(_bytes: &[u8], _stem: &str) -> Loaded {
    Loaded { dag: None, diagnostics: Vec::new(), hash: String::new(), files: Vec::new() }
}

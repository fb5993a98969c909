//! What can be wrong with a file, and the form that tools read.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file is not loaded.
    Error,
    /// The file is loaded.
    Warning,
}

impl Severity {
    /// The word for people and tools.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
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
    pub span: Range<usize>,
    /// What stands under the place.
    pub label: String,
    /// Other places that belong to it.
    pub others: Vec<(Range<usize>, String)>,
    /// What to do.
    pub help: Option<String>,
    /// The fix: replace this span by this text.
    pub patch: Option<(Range<usize>, String)>,
}

impl Diagnostic {
    /// An error at a place.
    pub(crate) fn error(
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic {
            code,
            severity: Severity::Error,
            message: message.into(),
            span,
            label: String::new(),
            others: Vec::new(),
            help: None,
            patch: None,
        }
    }

    /// A warning at a place.
    pub(crate) fn warning(
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic {
            severity: Severity::Warning,
            ..Diagnostic::error(code, span, message)
        }
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = label.into();
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn patch(mut self, span: Range<usize>, text: impl Into<String>) -> Diagnostic {
        self.patch = Some((span, text.into()));
        self
    }

    pub(crate) fn other(mut self, span: Range<usize>, label: impl Into<String>) -> Diagnostic {
        self.others.push((span, label.into()));
        self
    }
}

/// Two files name the same DAG; each of them gets this at its own id.
pub fn duplicate_id(id: &str, other_file: &str, span: Range<usize>) -> Diagnostic {
    Diagnostic::error(
        "TM0144",
        span,
        format!("the DAG `{id}` is also defined in {other_file}"),
    )
    .label("the same id in two files")
    .help("give one of them another `id` in [dag], or rename its file")
}

/// A diagnostic with lines and columns: what `tidemill validate -o json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its code, e.g. `TM0104`.
    pub code: String,
    /// `error` or `warning`.
    pub severity: String,
    /// The file.
    pub file: String,
    /// Where it begins, from 1.
    pub line: u32,
    /// Where it begins, from 1, in characters.
    pub column: u32,
    /// Where it ends.
    pub end_line: u32,
    /// Where it ends, exclusive.
    pub end_column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// Diagnostics of one file in the form that tools read, in the order of their places.
pub fn reports(file: &str, source: &str, diagnostics: &[Diagnostic]) -> Vec<Report> {
    let lines = Lines::new(source);
    let mut reports: Vec<Report> = diagnostics
        .iter()
        .map(|one| {
            let (line, column) = lines.place(source, one.span.start);
            let (end_line, end_column) = lines.place(source, one.span.end);
            Report {
                code: one.code.to_string(),
                severity: one.severity.name().to_string(),
                file: file.to_string(),
                line,
                column,
                end_line,
                end_column,
                message: one.message.clone(),
                help: one.help.clone(),
            }
        })
        .collect();
    reports.sort_by_key(|report| (report.line, report.column));
    reports
}

/// Where the lines of a text begin.
pub(crate) struct Lines(Vec<usize>);

impl Lines {
    pub(crate) fn new(source: &str) -> Lines {
        let ends = source
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n');
        Lines(
            std::iter::once(0)
                .chain(ends.map(|(at, _)| at + 1))
                .collect(),
        )
    }

    /// The line of a byte, from 1.
    pub(crate) fn line(&self, offset: usize) -> u32 {
        u32::try_from(self.0.partition_point(|start| *start <= offset)).unwrap_or(u32::MAX)
    }

    /// Where a line begins; lines count from 1.
    pub(crate) fn start(&self, line: u32) -> usize {
        self.0
            .get(line.saturating_sub(1) as usize)
            .copied()
            .unwrap_or(0)
    }

    /// The line and the column in characters of a byte, both from 1.
    pub(crate) fn place(&self, source: &str, offset: usize) -> (u32, u32) {
        let offset = floor_to_char(source, offset);
        let line = self.line(offset);
        let before = source.get(self.start(line)..offset).unwrap_or("");
        (
            line,
            u32::try_from(before.chars().count())
                .unwrap_or(u32::MAX)
                .saturating_add(1),
        )
    }
}

/// The nearest start of a character at or before a byte.
pub(crate) fn floor_to_char(source: &str, offset: usize) -> usize {
    let mut at = offset.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    at
}

//! Cron expressions: crontab(5) semantics by croner, and the rules of daylight saving on top.

use crate::time::Ts;
use jiff::tz::TimeZone;

/// A five-field cron expression.
#[derive(Clone, Debug)]
pub struct Cron {
    text: String,
    pattern: croner::Cron,
}

/// A cron expression is wrong, in a field where that can be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CronError {
    /// The place of the wrong field in the expression, from 0; `None` for the whole.
    pub field: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl Cron {
    /// Reads an expression or a preset (`@daily`).
    ///
    /// # Errors
    /// Which field is wrong and why.
    pub fn parse(_text: &str) -> Result<Cron, CronError> {
        Err(CronError { field: None, message: "not built yet".to_string() })
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first fire time after `after`.
    pub fn next_after(&self, _after: Ts, _zone: &TimeZone) -> Option<Ts> {
        let _ = &self.pattern;
        None
    }

    /// The last fire time before `before`.
    pub fn previous_before(&self, _before: Ts, _zone: &TimeZone) -> Option<Ts> {
        None
    }
}

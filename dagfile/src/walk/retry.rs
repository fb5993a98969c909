//! How failures are tried again: `[[retry_policy]]` of a task, `retries` of a DAG.

use super::{Place, Walk};
use crate::diagnostic::Diagnostic;
use crate::keys;
use crate::parse::{Table, Value};
use std::time::Duration;
use tidemill_model::dag::{Pattern, RetryAction, RetryRule, RetryScope, RunRetry};
use toml::de::DeValue;

/// The wait before another try, as in Airflow.
pub(crate) const RETRY_DELAY: Duration = Duration::from_secs(300);

/// What `retry_exponential_backoff = true` means: each wait is twice the one before, as it was
/// before the key became a number (Airflow's `definitions/mappedoperator.py`).
const DOUBLING: f64 = 2.0;

impl Walk<'_> {
    /// `retry_exponential_backoff`, a number, or true or false.
    pub(crate) fn backoff(&mut self, table: &Table) -> Option<f64> {
        let name = "retry_exponential_backoff";
        match table.get(name)?.get_ref() {
            DeValue::Boolean(is_on) => Some(if *is_on { DOUBLING } else { 0.0 }),
            _ => self.number(table, name, 1_000.0),
        }
    }

    /// `[[retry_policy]]`, a list of rules.
    pub(crate) fn retry_policy(&mut self, table: &Table) -> Option<Vec<RetryRule>> {
        let value = table.get("retry_policy")?;
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type("retry_policy", value, "a list of tables");
            return None;
        };
        Some(
            items
                .iter()
                .filter_map(|item| self.retry_rule(item))
                .collect(),
        )
    }

    fn retry_rule(&mut self, item: &Value) -> Option<RetryRule> {
        let DeValue::Table(table) = item.get_ref() else {
            self.wrong_type("retry_policy", item, "a list of tables");
            return None;
        };
        self.check_keys(table, &Place::RetryRule, keys::RETRY_RULE);
        let conditions = ["exit_code", "http_status", "error"];
        if !conditions.iter().any(|name| table.contains_key(*name)) {
            let message = "the rule does not say which failures it is about";
            self.report(
                Diagnostic::error("TM0102", item.span(), message)
                    .help("add `exit_code`, `http_status` or `error`"),
            );
        }
        let statuses = self.ints(table, "http_status", 100, 599);
        let action = self.choice(table, "action", keys::RETRY_ACTIONS);
        Some(RetryRule {
            exit_code: self.statuses(table, "exit_code").unwrap_or_default(),
            http_status: statuses
                .into_iter()
                .flatten()
                .filter_map(|status| u16::try_from(status).ok())
                .collect(),
            error: self.pattern(table, "error"),
            action: action
                .and_then(|word| RetryAction::from_name(&word))
                .unwrap_or(RetryAction::Retry),
            delay: self.duration(table, "retry_delay"),
            reason: self.string(table, "reason"),
        })
    }

    fn pattern(&mut self, table: &Table, name: &str) -> Option<Pattern> {
        let text = self.text(table, name)?;
        match regex::Regex::new(&text.value) {
            Ok(regex) => Some(Pattern(regex)),
            Err(err) => {
                let why = err.to_string();
                let why = why.lines().last().unwrap_or("it cannot be read").trim();
                let message = format!(
                    "`{name}` is not a regular expression: {}",
                    why.trim_start_matches("error: ")
                );
                self.report(Diagnostic::error("TM0103", text.span, message));
                None
            }
        }
    }

    /// How a whole run is tried again, of `[dag]`.
    pub(crate) fn run_retry(&mut self, table: &Table) -> RunRetry {
        let retries = self.int(table, "retries", 0, 10_000).unwrap_or(0);
        let scope = self.choice(table, "retry_scope", keys::RETRY_SCOPES);
        RunRetry {
            retries: u32::try_from(retries).unwrap_or(0),
            delay: self.duration(table, "retry_delay").unwrap_or(RETRY_DELAY),
            scope: scope
                .and_then(|word| RetryScope::from_name(&word))
                .unwrap_or(RetryScope::Failed),
        }
    }
}

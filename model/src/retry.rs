//! When a task, or a whole run, is tried again.

use std::time::Duration;

/// How often and when a task is tried again (Airflow's `next_retry_datetime`).
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Tries after the first.
    pub retries: u32,
    /// The wait before the second try.
    pub delay: Duration,
    /// Each wait is this many times the one before; below 1 the wait is constant.
    pub multiplier: f64,
    /// No wait is longer.
    pub max_delay: Option<Duration>,
    /// Spread the waits?
    pub jitter: bool,
    /// What to do about particular failures; the first rule that matches wins.
    pub rules: Vec<RetryRule>,
}

/// What to do about particular failures. Every condition that it has must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryRule {
    /// The command ended with one of these; any end when empty.
    pub exit_code: Vec<i32>,
    /// The answer had one of these; any answer, and none, when empty.
    pub http_status: Vec<u16>,
    /// The error text matches.
    pub error: Option<Pattern>,
    /// Try again, while there are retries, or fail at once?
    pub action: RetryAction,
    /// The wait before the next try, instead of the task's own.
    pub delay: Option<Duration>,
    /// Why, for people.
    pub reason: Option<String>,
}

impl RetryRule {
    /// Does it speak about this failure?
    pub fn matches(&self, exit_code: Option<i32>, http_status: Option<u16>, error: &str) -> bool {
        let is_in = |list: &[i32]| exit_code.is_some_and(|code| list.contains(&code));
        let answered = |list: &[u16]| http_status.is_some_and(|status| list.contains(&status));
        (self.exit_code.is_empty() || is_in(&self.exit_code))
            && (self.http_status.is_empty() || answered(&self.http_status))
            && self
                .error
                .as_ref()
                .is_none_or(|pattern| pattern.0.is_match(error))
    }
}

crate::state::named!(
    /// What a rule about failures does.
    RetryAction, "retry action" {
        /// Try again, while there are retries.
        Retry = "retry",
        /// Fail at once.
        Fail = "fail",
    }
);

/// A regular expression; two are equal when their texts are.
#[derive(Clone, Debug)]
pub struct Pattern(pub regex::Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// How often a whole run is tried again after it has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunRetry {
    /// Tries after the first.
    pub retries: u32,
    /// The wait before each.
    pub delay: Duration,
    /// Which of its tasks run again.
    pub scope: RetryScope,
}

crate::state::named!(
    /// Which tasks of a failed run are run again.
    RetryScope, "retry scope" {
        /// Those that failed, and all below them.
        Failed = "failed",
        /// All.
        All = "all",
    }
);

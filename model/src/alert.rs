//! Whom to tell what has become of a run or a task.

use serde::{Deserialize, Serialize};

crate::state::named!(
    /// What is told.
    AlertOn, "event" {
        /// A task has begun.
        Execute = "on_execute",
        /// It has succeeded.
        Success = "on_success",
        /// It has failed for good.
        Failure = "on_failure",
        /// It has failed and will be tried again.
        Retry = "on_retry",
        /// It was skipped.
        Skipped = "on_skipped",
        /// A run is not over in time.
        Deadline = "deadline",
    }
);

crate::state::named!(
    /// From when a deadline counts.
    Since, "reference" {
        /// From when the run was made.
        QueuedAt = "queued_at",
        /// From the instant that it is about.
        LogicalDate = "logical_date",
        /// From when it would be over, if it took as long as those before it.
        AverageRuntime = "average_runtime",
    }
);

/// `[[dag.deadlines]]`: who is told when a run is not over in time. The run goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Deadline {
    /// From when it counts.
    pub since: Since,
    /// How long after that.
    pub interval: std::time::Duration,
    /// Whom to tell, and how.
    pub alerts: Vec<Alert>,
}

/// How it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A POST of JSON to this address.
    Webhook(String),
    /// A message to this channel of Slack, or of what takes Slack's messages.
    Slack(String),
    /// A mail to these addresses.
    Email(Vec<String>),
    /// A command on the scheduler's machine.
    Shell(String),
}

impl Channel {
    /// Its key in the file.
    pub const fn name(&self) -> &'static str {
        match self {
            Channel::Webhook(_) => "webhook",
            Channel::Slack(_) => "slack",
            Channel::Email(_) => "email",
            Channel::Shell(_) => "shell",
        }
    }
}

/// One entry of `on_failure` and its like. Its texts are templates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// When.
    pub on: AlertOn,
    /// How, and whom.
    pub channel: Channel,
    /// The connection that it goes by.
    pub connection: Option<String>,
    /// What is said; what happened, in one line, when absent.
    pub text: Option<String>,
    /// The subject of a mail.
    pub subject: Option<String>,
    /// The body of a webhook; the event as an object when absent.
    pub json: Option<serde_json::Value>,
}

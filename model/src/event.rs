//! Things outside that make a run each time they happen: calls of a webhook, files that appear.

use crate::state::named;
use std::time::Duration;

/// `[triggers.NAME]` with a webhook or a file. The same thing happening makes one run, however
/// often it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct EventTrigger {
    /// Its name in its DAG.
    pub name: String,
    /// Does it make runs at all?
    pub is_enabled: bool,
    /// Values for the parameters of its runs, as templates that see `trigger`.
    pub params: Vec<(String, String)>,
    /// What its runs are called, as a template that sees `trigger`. A name that another run has
    /// already gets a suffix.
    pub run_id: Option<String>,
    /// A template that sees `trigger`; there is no run where it is false.
    pub run_if: Option<String>,
    /// What happens.
    pub source: EventSource,
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum EventSource {
    /// Somebody calls.
    Webhook(Webhook),
    /// A file appears.
    File(FileDrop),
}

impl EventSource {
    /// Its key in the file.
    pub const fn name(&self) -> &'static str {
        match self {
            EventSource::Webhook(_) => "webhook",
            EventSource::File(_) => "file",
        }
    }
}

/// `[triggers.NAME.webhook]`: `POST /hooks/DAG/PATH`, signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The last part of its address.
    pub path: String,
    /// Where the key of its signatures is: `var.NAME` or `conn.NAME.FIELD`.
    pub secret: String,
    /// How calls are signed.
    pub signature: Signature,
    /// A call that was signed longer ago, or so far in the future, is refused.
    pub replay_window: Duration,
    /// A larger body is refused, in bytes.
    pub max_bytes: u64,
}

named!(
    /// How calls of a webhook are signed.
    Signature, "signature" {
        /// `webhook-id`, `webhook-timestamp` and `webhook-signature`, as standardwebhooks.com
        /// has them: the id makes the run unique.
        Standard = "standard",
        /// `X-Hub-Signature-256`, as GitHub has it: the body makes the run unique.
        Github = "github",
    }
);

/// `[triggers.NAME.file]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDrop {
    /// The file; its last part may hold `*` and `?`.
    pub path: String,
    /// A file counts when it has not changed for so long.
    pub settle: Duration,
    /// How often the folder is looked at.
    pub poke_interval: Duration,
}

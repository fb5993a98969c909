//! An http task run to its end.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared by tests, which may panic"
)]

use super::{Place, in_process};
use serde_json::Value;
use tidemill_executor::operator::{Allowed, Operators};
use tidemill_model::Outcome;
use tidemill_model::attempt::{Again, Verdict};

/// A worker that may ask this machine.
pub fn place() -> Place {
    Place::with(|options| {
        let allowed = Allowed::parse("127.0.0.0/8,::1").unwrap();
        options.operators = Operators::built_in(std::path::Path::new("/nowhere"), allowed);
    })
}

pub fn ask(settings: Value) -> Outcome {
    place().run(in_process("http", settings)).0
}

pub fn message(outcome: &Outcome) -> &str {
    outcome.message.as_deref().unwrap_or_default()
}

/// It failed, and another try may help (or not).
pub fn assert_failed(outcome: &Outcome, part: &str, again: Option<Again>) {
    assert_eq!(outcome.verdict, Verdict::Failed, "{outcome:?}");
    assert!(message(outcome).contains(part), "{outcome:?}");
    assert_eq!(outcome.again, again, "{outcome:?}");
}

//! What is asked of a process that is not the scheduler reaches the one that is by a row of the
//! database that they share. [`Asker`] is the side that asks, [`Attending`] the side that does.
//!
//! Nothing is done twice, and who asks learns which of three is true: it was done or refused, by
//! the scheduler's own answer; it was not done and never will be; or nobody knows. Connections and
//! variables are not carried: a row is no place for a secret.

mod ask;
mod attend;

pub use ask::Asker;
pub use attend::{Attending, Doors};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use tidemill_store::{Answer, Command, Refusal, StreamWish};
use tidemill_web::{HookCall, NotTaken};

/// Who asks waits so long for an answer, and the scheduler tries so long to give it.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// What is asked, as it stands in a row.
#[derive(Debug, Serialize, Deserialize)]
enum Asked {
    /// Of the engine.
    Command(Command),
    /// Of those who read streams.
    Stream(StreamWish),
    /// By a machine elsewhere.
    Hook(HookCall),
}

/// What came of it, as it stands in the same row.
#[derive(Debug, Serialize, Deserialize)]
enum Said {
    /// By the engine.
    Command(Result<Answer, Refusal>),
    /// By those who read streams.
    Stream(Result<Value, Refusal>),
    /// To a machine elsewhere.
    Hook(Result<Option<String>, NotTaken>),
    /// It could not be read, so nothing was done: the two are of different versions.
    NotRead(String),
    /// It was done, and its answer cannot be carried.
    NotTold(String),
}

//! History that may go.

use serde::{Deserialize, Serialize};
use tidemill_model::{RunNo, Ts};

/// Which runs are old. A store that is asked looks at runs in the order of their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldRuns {
    /// Runs after this one are looked at.
    pub after: RunNo,
    /// So many of them.
    pub look_at: u32,
    /// Runs that ended before this instant are old,
    pub ended_before: Ts,
    /// unless they are among so many newest of their DAG.
    pub keep_last: u32,
}

/// What became of runs that were to be forgotten. Those that are in neither list are not over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// They are gone.
    pub gone: Vec<RunNo>,
    /// Something of them is left: ask again.
    pub left: Vec<RunNo>,
}

/// A run that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookedAt {
    /// Which.
    pub run: RunNo,
    /// When it was made.
    pub queued_at: Ts,
    /// May it go?
    pub is_old: bool,
}

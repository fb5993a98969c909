//! What tasks do with topics: write records, read a fixed range, wait for a record.
//!
//! Plain functions that know no task. Those that read and write block: whoever calls them gives
//! them a thread, and may end them by [`Stop`].

mod consume;
mod place;
mod produce;
mod reach;
mod tailer;

pub use consume::{ReadWish, read};
pub(crate) use place::is_same;
pub use place::{Edge, SpanWish, fix, starts};
pub use produce::{Outgoing, ProduceWish, Produced, produce};
pub use reach::reach;
pub use tailer::{Found, Tailers, Watch, WatchWish};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends work that blocks. The work looks at it often.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// End now.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Why a task could not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The brokers are away or refuse; another try may help.
    #[error("{0}")]
    Brokers(String),
    /// Another try cannot help.
    #[error("{0}")]
    ForGood(String),
    /// It was told to end.
    #[error("it was ended")]
    Stopped,
}

//! Pages, the REST API and live updates over HTTP. Knows nothing of transports: it makes routers.
//!
//! Pages read the store through [`tidemill_store::PageStore`] and change things only through the
//! one door of commands. There is no state here but sessions and a small cache of definitions.

mod api;
mod definitions;
mod error;
mod hook;
mod layout;
mod live;
mod log;
mod page;
mod router;
mod session;
mod statics;
mod view;

pub use hook::{HookCall, HookDoor, NotTaken};
pub use router::{socket_router, tcp_router};
pub use session::Logins;

use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use tidemill_log::LogSource;
use tidemill_store::{
    Change, CommandDoor, DispatchStore, PageStore, StoreError, StreamDoor, StreamStore,
};
use tokio::sync::broadcast;

/// Everything that the web reaches of the rest of the process. Clone it to make both routers.
#[derive(Clone)]
pub struct Doors {
    /// What pages read.
    pub pages: Arc<dyn PageStore>,
    /// How far streams are read, and what was made of them.
    pub streams: Arc<dyn StreamStore>,
    /// The streams that this process reads; `None` where it reads none.
    pub stream_door: Option<StreamDoor>,
    /// Where calls of webhooks go; `None` where none are taken.
    pub hooks: Option<HookDoor>,
    /// Where wishes go; each is answered after its commit.
    pub commands: CommandDoor,
    /// Changes, each sent after its commit.
    pub changes: broadcast::Sender<Arc<Change>>,
    /// The folder of task logs: `<run number>/<task number>.<map index>.<try>`.
    pub logs: PathBuf,
    /// Finds logs that are not in that folder; `None` where all of them are.
    pub elsewhere: Option<LogsElsewhere>,
    /// What this process counts; `None` where nothing is.
    pub metrics: Option<MetricsDoor>,
    /// Workers in other processes; `None` where there are none.
    pub workers: Option<Arc<dyn DispatchStore>>,
    /// The address that people open, e.g. `http://127.0.0.1:8080`; empty until it is known.
    pub home_url: Arc<RwLock<String>>,
    /// Does the engine take work?
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Login links and sessions.
    pub logins: Arc<Logins>,
    /// The version of this program.
    pub version: &'static str,
}

/// Finds a log by its place in the log folder; the second argument says whether it is complete.
pub type LogsElsewhere = Arc<
    dyn Fn(
            PathBuf,
            bool,
        ) -> std::pin::Pin<Box<dyn Future<Output = Option<Arc<dyn LogSource>>> + Send>>
        + Send
        + Sync,
>;

/// Gives the counts of this process in the OpenMetrics text format.
pub type MetricsDoor = Arc<
    dyn Fn() -> std::pin::Pin<Box<dyn Future<Output = Result<String, StoreError>> + Send>>
        + Send
        + Sync,
>;

/// What every handler gets.
pub(crate) struct App {
    pub(crate) doors: Doors,
    pub(crate) definitions: definitions::Definitions,
    /// Turns at looking through whole logs.
    pub(crate) searches: tokio::sync::Semaphore,
}

/// Looks through whole logs that may be on their way at once.
const SEARCHES_MAX: usize = 2;

pub(crate) fn searches() -> tokio::sync::Semaphore {
    tokio::sync::Semaphore::new(SEARCHES_MAX)
}

/// Shared by the handlers of one router.
pub(crate) type Web = Arc<App>;

#[cfg(test)]
mod tests;

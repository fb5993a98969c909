//! What an engine is told when it starts.

use super::EarlierWorkers;
use crate::daemon::metrics::Metrics;
use crate::daemon::outside::Keeper;
use std::path::PathBuf;
use std::sync::Arc;
use tidemill_connection::Places;
use tidemill_store::PoolRecord;

/// Settings of an engine.
#[derive(Clone)]
pub struct EngineOptions {
    /// Attempts of this process's own worker at once.
    pub slots: u32,
    /// The queues that it serves; all when `None`.
    pub queues: Option<Vec<String>>,
    /// Where logs go.
    pub logs: PathBuf,
    /// Where pinned files lie.
    pub versions: PathBuf,
    /// Where run folders lie.
    pub runs: PathBuf,
    /// Pools that the configuration file declares.
    pub pools: Vec<PoolRecord>,
    /// Forget a task's retries: for `tidemill run --no-retry`.
    pub no_retry: bool,
    /// Begin a run whatever its instant: for `tidemill run`, which waits for nothing.
    pub at_once: bool,
    /// Where connections and variables are looked for first.
    pub places: Places,
    /// Who keeps those of the database.
    pub keeper: Option<Arc<Keeper>>,
    /// Rung when there is something to tell people.
    pub alert_bell: Arc<tokio::sync::Notify>,
    /// Whose attempts are gone already.
    pub earlier: EarlierWorkers,
    /// What it counts.
    pub metrics: Arc<Metrics>,
}

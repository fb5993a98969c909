//! Where finished logs go besides their folder, if `tidemill.toml` names such a place.

use std::path::PathBuf;
use tidemill_connection::Places;
use tokio::sync::mpsc::{Receiver, Sender, channel};

#[cfg(not(feature = "s3"))]
mod none;
#[cfg(feature = "s3")]
mod s3;

#[cfg(not(feature = "s3"))]
pub use none::LogArchive;
#[cfg(feature = "s3")]
pub use s3::LogArchive;

/// Finished logs of which the archive has not heard; more are found by its next look.
const WAITING_MAX: usize = 4096;

/// Logs that have just got their lasting form, on their way to whoever sends them on. What finds
/// no room, or nobody, is found in the folder later: nothing ever waits here.
#[derive(Clone)]
pub struct FinishedLogs(Sender<PathBuf>);

impl FinishedLogs {
    /// The way, and its end.
    pub fn new() -> (FinishedLogs, Receiver<PathBuf>) {
        let (sender, receiver) = channel(WAITING_MAX);
        (FinishedLogs(sender), receiver)
    }

    /// This one.
    pub fn tell(&self, log: PathBuf) {
        let _ = self.0.try_send(log);
    }
}

/// Who says who one is to the archive: a connection of this process, and of its database where it
/// may read that.
#[cfg_attr(
    not(feature = "s3"),
    allow(dead_code, reason = "nobody asks where there is no archive")
)]
pub struct Logins {
    /// Where connections are looked for first.
    pub places: Places,
    /// Who keeps those of the database; `None` in a worker.
    pub keeper: Option<std::sync::Arc<crate::daemon::outside::Keeper>>,
}

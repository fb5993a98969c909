//! Alerts: written by the pass in which something happened, and sent afterwards with retries of
//! their own.

use crate::StoreError;
use async_trait::async_trait;
use tidemill_model::Ts;

/// Settled alerts are forgotten after this: a pass may still write the same event once more.
pub const ALERT_KEPT_US: i64 = 24 * 3600 * 1_000_000;

/// Something to tell. The same key is the same event: it is told once.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRow {
    /// Run, task instance, attempt, event, and place in the file's list.
    pub key: String,
    /// When it happened.
    pub at: Ts,
    /// What happened and how it is told.
    pub body: serde_json::Value,
}

/// One that waits to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRecord {
    /// What.
    pub row: AlertRow,
    /// How often it was tried.
    pub n_tries: u32,
    /// Why the last try failed.
    pub error: Option<String>,
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlertEnd {
    /// It was sent.
    Sent,
    /// It failed, and is tried again then.
    Again(Ts, String),
    /// It failed for the last time.
    GivenUp(String),
}

/// The verbs of whoever sends.
#[async_trait]
pub trait AlertStore: Send + Sync {
    /// Alerts that are due, the longest due first.
    async fn alerts_due(&self, now: Ts, limit: u32) -> Result<Vec<AlertRecord>, StoreError>;

    /// When the next one is due; nothing when none waits.
    async fn next_alert(&self) -> Result<Option<Ts>, StoreError>;

    /// Says what came of a try, fenced by the term, and forgets old ones that are settled.
    async fn settle_alert(&self, key: &str, end: &AlertEnd, now: Ts) -> Result<(), StoreError>;
}

//! Alerts on the maps.

use super::MemoryStore;
use crate::{ALERT_KEPT_US, AlertEnd, AlertRecord, AlertRow, AlertStore, StoreError};
use async_trait::async_trait;
use std::collections::BTreeMap;
use tidemill_model::Ts;

#[derive(Debug)]
struct Kept {
    record: AlertRecord,
    due_at: Ts,
    done_at: Option<Ts>,
}

/// By key.
#[derive(Debug, Default)]
pub(super) struct Alerts(BTreeMap<String, Kept>);

impl Alerts {
    /// Keeps those that are new.
    pub(super) fn add(&mut self, rows: &[AlertRow]) {
        for row in rows {
            self.0.entry(row.key.clone()).or_insert_with(|| Kept {
                due_at: row.at,
                done_at: None,
                record: AlertRecord {
                    row: row.clone(),
                    n_tries: 0,
                    error: None,
                },
            });
        }
    }

    fn waiting(&self) -> impl Iterator<Item = &Kept> {
        self.0.values().filter(|kept| kept.done_at.is_none())
    }
}

#[async_trait]
impl AlertStore for MemoryStore {
    async fn alerts_due(&self, now: Ts, limit: u32) -> Result<Vec<AlertRecord>, StoreError> {
        let tables = self.lock();
        let due = tables.alerts.waiting().filter(|kept| kept.due_at <= now);
        let mut due: Vec<&Kept> = due.collect();
        due.sort_by_key(|kept| kept.due_at);
        let due = due.into_iter().take(limit as usize);
        Ok(due.map(|kept| kept.record.clone()).collect())
    }

    async fn next_alert(&self) -> Result<Option<Ts>, StoreError> {
        Ok(self.lock().alerts.waiting().map(|kept| kept.due_at).min())
    }

    async fn settle_alert(&self, key: &str, end: &AlertEnd, now: Ts) -> Result<(), StoreError> {
        let alerts = &mut self.lock().alerts.0;
        if let Some(kept) = alerts.get_mut(key) {
            kept.record.n_tries += 1;
            let (error, due_at, done_at) = match end {
                AlertEnd::Sent => (None, kept.due_at, Some(now)),
                AlertEnd::Again(at, error) => (Some(error.clone()), *at, None),
                AlertEnd::GivenUp(error) => (Some(error.clone()), kept.due_at, Some(now)),
            };
            (kept.record.error, kept.due_at, kept.done_at) = (error, due_at, done_at);
        }
        let is_old = |done_at: Ts| now.0 - done_at.0 > ALERT_KEPT_US;
        alerts.retain(|_, kept| !kept.done_at.is_some_and(is_old));
        Ok(())
    }
}

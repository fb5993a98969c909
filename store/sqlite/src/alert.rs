//! Alerts.

use crate::rows;
use crate::trouble::Trouble;
use crate::{SqliteStore, sql};
use async_trait::async_trait;
use sqlx::Connection;
use tidemill_model::Ts;
use tidemill_store::{ALERT_KEPT_US, AlertEnd, AlertRecord, AlertStore, StoreError};

#[async_trait]
impl AlertStore for SqliteStore {
    async fn alerts_due(&self, now: Ts, limit: u32) -> Result<Vec<AlertRecord>, StoreError> {
        let query = sqlx::query(sql::ALERTS_DUE)
            .bind(now.0)
            .bind(i64::from(limit));
        self.list(query, rows::alert).await
    }

    async fn next_alert(&self) -> Result<Option<Ts>, StoreError> {
        let next = self
            .list(sqlx::query(sql::ALERT_NEXT), |columns| {
                columns.maybe::<Ts>()
            })
            .await?;
        Ok(next.into_iter().next().flatten())
    }

    async fn settle_alert(&self, key: &str, end: &AlertEnd, now: Ts) -> Result<(), StoreError> {
        let settled = self.settle(key, end, now).await;
        settled.map_err(|trouble| self.say(trouble))
    }
}

impl SqliteStore {
    async fn settle(&self, key: &str, end: &AlertEnd, now: Ts) -> Result<(), Trouble> {
        let (error, due_at, done_at) = match end {
            AlertEnd::Sent => (None, None, Some(now.0)),
            AlertEnd::Again(at, error) => (Some(error), Some(at.0), None),
            AlertEnd::GivenUp(error) => (Some(error), None, Some(now.0)),
        };
        let mut writer = self.writer().await?;
        let mut tx = writer.conn().begin_with(sql::BEGIN).await?;
        let query = sqlx::query(sql::ALERT_SETTLE).bind(key).bind(error);
        query.bind(due_at).bind(done_at).execute(&mut *tx).await?;
        let query = sqlx::query(sql::ALERTS_FORGET).bind(now.0 - ALERT_KEPT_US);
        query.execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }
}

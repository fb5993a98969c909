//! Alerts.

use crate::engine::fence;
use crate::rows;
use crate::text::stored;
use crate::trouble::Trouble;
use crate::{PostgresStore, sql};
use async_trait::async_trait;
use sqlx::{Connection, PgConnection};
use tidemill_model::Ts;
use tidemill_store::{ALERT_KEPT_US, AlertEnd, AlertRecord, AlertStore, StoreError};

#[async_trait]
impl AlertStore for PostgresStore {
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
        self.writable()?;
        let (term, key, end) = (self.lease.term(), stored(key).into_owned(), end.clone());
        self.with(move |conn| Box::pin(async move { settle(conn, term, &key, &end, now).await }))
            .await
    }
}

async fn settle(
    conn: &mut PgConnection,
    term: Option<i64>,
    key: &str,
    end: &AlertEnd,
    now: Ts,
) -> Result<(), Trouble> {
    let text = |error: &String| stored(error).into_owned();
    let (error, due_at, done_at) = match end {
        AlertEnd::Sent => (None, None, Some(now.0)),
        AlertEnd::Again(at, error) => (Some(text(error)), Some(at.0), None),
        AlertEnd::GivenUp(error) => (Some(text(error)), None, Some(now.0)),
    };
    let mut tx = conn.begin().await?;
    fence(&mut tx, term).await?;
    let query = sqlx::query(sql::ALERT_SETTLE).bind(key).bind(error);
    query.bind(due_at).bind(done_at).execute(&mut *tx).await?;
    let query = sqlx::query(sql::ALERTS_FORGET).bind(now.0 - ALERT_KEPT_US);
    query.execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

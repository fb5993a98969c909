//! What tasks read of topics.

use crate::rows;
use crate::rows::partition;
use crate::{PostgresStore, sql};
use async_trait::async_trait;
use sqlx::Connection;
use tidemill_store::{Partition, Span, SpanOf, SpanStore, StoreError};

#[async_trait]
impl SpanStore for PostgresStore {
    async fn spans(&self, of: SpanOf) -> Result<Vec<Span>, StoreError> {
        let query = sqlx::query(sql::TASK_SPANS)
            .bind(of.run.0)
            .bind(of.task_no.0)
            .bind(of.map_index.0);
        self.list(query, rows::span).await
    }

    async fn fix_spans(&self, of: SpanOf, spans: &[Span]) -> Result<Vec<Span>, StoreError> {
        let wished = spans.to_vec();
        self.with(move |conn| {
            Box::pin(async move {
                let mut tx = conn.begin().await?;
                for span in &wished {
                    sqlx::query(sql::TASK_SPAN_FIX)
                        .bind(of.run.0)
                        .bind(of.task_no.0)
                        .bind(of.map_index.0)
                        .bind(&span.partition.topic)
                        .bind(&span.partition.incarnation)
                        .bind(span.partition.partition)
                        .bind(span.first)
                        .bind(span.end)
                        .execute(&mut *tx)
                        .await?;
                }
                Ok(tx.commit().await?)
            })
        })
        .await?;
        self.spans(of).await
    }

    async fn read_up_to(&self, of: SpanOf) -> Result<Vec<(Partition, i64)>, StoreError> {
        let query = sqlx::query(sql::TASK_READ_UP_TO)
            .bind(of.run.0)
            .bind(of.task_no.0)
            .bind(of.map_index.0);
        self.list(query, |columns| Ok((partition(columns)?, columns.take()?)))
            .await
    }
}

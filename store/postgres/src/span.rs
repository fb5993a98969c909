//! What tasks read of topics.

use crate::arrays::column;
use crate::rows;
use crate::rows::partition;
use crate::{PostgresStore, sql};
use async_trait::async_trait;
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
        // One statement, so that it needs no transaction of its own: a worker's pooler may give
        // each another session.
        let query = sqlx::query(sql::TASK_SPAN_FIX)
            .bind(of.run.0)
            .bind(of.task_no.0)
            .bind(of.map_index.0)
            .bind(column(spans, |span| span.partition.topic.clone()))
            .bind(column(spans, |span| span.partition.incarnation.clone()))
            .bind(column(spans, |span| span.partition.partition))
            .bind(column(spans, |span| span.first))
            .bind(column(spans, |span| span.end));
        self.list(query, |_| Ok(())).await?;
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

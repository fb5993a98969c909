//! Streams.

use crate::engine::fence;
use crate::rows::{batch, block, cursor, gap, poison, replay, seen, trigger};
use crate::stream_write::{
    close_replay, keep_trigger, move_cursor, write_cursors, write_replay, write_stream,
};
use crate::text::stored;
use crate::{PostgresStore, forget_broken, session, sql};
use async_trait::async_trait;
use sqlx::Connection;
use tidemill_model::{DagNo, RunNo, TriggerNo, Ts};
use tidemill_store::*;

#[async_trait]
impl StreamStore for PostgresStore {
    async fn put_trigger(
        &self,
        dag: DagNo,
        name: &str,
        now: Ts,
    ) -> Result<TriggerRecord, StoreError> {
        let name = name.to_string();
        self.fenced(move |conn| Box::pin(async move { keep_trigger(conn, dag, &name, now).await }))
            .await
    }

    async fn triggers(&self) -> Result<Vec<TriggerRecord>, StoreError> {
        self.list(sqlx::query(sql::STREAM_TRIGGERS), trigger).await
    }

    async fn pause_trigger(&self, trigger: TriggerNo, is_paused: bool) -> Result<(), StoreError> {
        self.fenced(move |conn| {
            Box::pin(async move {
                sqlx::query(sql::STREAM_TRIGGER_PAUSE)
                    .bind(trigger.0)
                    .bind(is_paused)
                    .execute(conn)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    async fn cursors(&self, trigger: TriggerNo, replay: i64) -> Result<Vec<Cursor>, StoreError> {
        let query = sqlx::query(sql::STREAM_CURSORS)
            .bind(trigger.0)
            .bind(replay);
        self.list(query, cursor).await
    }

    async fn begin_cursors(&self, term: i64, cursors: &[Cursor]) -> Result<(), StoreError> {
        let cursors = cursors.to_vec();
        self.with(move |conn| Box::pin(async move { write_cursors(conn, term, &cursors).await }))
            .await
    }

    async fn seek(
        &self,
        term: i64,
        trigger: TriggerNo,
        replay: i64,
        cuts: &[Cut],
        now: Ts,
    ) -> Result<Committed, StoreError> {
        let cuts = cuts.to_vec();
        self.with(move |conn| {
            Box::pin(async move {
                let mut tx = conn.begin().await?;
                fence(&mut tx, Some(term)).await?;
                for cut in &cuts {
                    if !move_cursor(
                        &mut tx,
                        sql::STREAM_CURSOR_SEEK,
                        term,
                        trigger,
                        replay,
                        cut,
                        now,
                    )
                    .await?
                    {
                        return Ok(Committed::Fenced);
                    }
                }
                tx.commit().await?;
                Ok(Committed::Done)
            })
        })
        .await
    }

    async fn commit_stream(&self, commit: &StreamCommit) -> Result<Committed, StoreError> {
        let mut conn = self.conn().await.map_err(|trouble| self.say(trouble))?;
        let done = session::within(write_stream(&mut conn, commit)).await;
        forget_broken(conn, &done);
        done.map_err(|trouble| self.say(trouble))
    }

    async fn open_runs(&self, trigger: TriggerNo, replay: i64) -> Result<i64, StoreError> {
        let query = sqlx::query(sql::STREAM_OPEN_RUNS)
            .bind(trigger.0)
            .bind(replay);
        let count = self.find(query, |columns| columns.take::<i64>()).await?;
        Ok(count.unwrap_or(0))
    }

    async fn run_ids_taken(&self, dag: DagNo, names: &[String]) -> Result<Vec<String>, StoreError> {
        let names: Vec<String> = names.iter().map(|name| stored(name).into_owned()).collect();
        let query = sqlx::query(sql::STREAM_RUN_IDS_TAKEN).bind(dag.0);
        self.list(query.bind(names), |columns| columns.take()).await
    }

    async fn batch(&self, run: RunNo) -> Result<Option<BatchRecord>, StoreError> {
        self.find(sqlx::query(sql::STREAM_BATCH).bind(run.0), batch)
            .await
    }

    async fn batches(
        &self,
        trigger: TriggerNo,
        limit: u32,
    ) -> Result<Vec<BatchRecord>, StoreError> {
        let query = sqlx::query(sql::STREAM_BATCHES)
            .bind(trigger.0)
            .bind(i64::from(limit));
        self.list(query, batch).await
    }

    async fn records(&self, run: RunNo) -> Result<Option<Vec<u8>>, StoreError> {
        let query = sqlx::query(sql::STREAM_RECORDS).bind(run.0);
        self.find(query, |columns| columns.take()).await
    }

    async fn quarantine(
        &self,
        trigger: TriggerNo,
        limit: u32,
    ) -> Result<Vec<PoisonRecord>, StoreError> {
        let query = sqlx::query(sql::STREAM_QUARANTINE)
            .bind(trigger.0)
            .bind(i64::from(limit));
        self.list(query, poison).await
    }

    async fn unsent_poison(
        &self,
        trigger: TriggerNo,
        limit: u32,
    ) -> Result<Vec<PoisonRecord>, StoreError> {
        let query = sqlx::query(sql::STREAM_UNSENT)
            .bind(trigger.0)
            .bind(i64::from(limit));
        self.list(query, poison).await
    }

    async fn drop_poison(&self, trigger: TriggerNo, poison: i64) -> Result<bool, StoreError> {
        self.fenced(move |conn| {
            Box::pin(async move {
                let done = sqlx::query(sql::STREAM_POISON_DROP)
                    .bind(trigger.0)
                    .bind(poison)
                    .execute(conn)
                    .await?;
                Ok(done.rows_affected() == 1)
            })
        })
        .await
    }

    async fn mark_sent(&self, poison: &[i64], now: Ts) -> Result<(), StoreError> {
        let poison = poison.to_vec();
        self.fenced(move |conn| {
            Box::pin(async move {
                sqlx::query(sql::STREAM_POISON_SENT)
                    .bind(poison)
                    .bind(now.0)
                    .execute(conn)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    async fn open_batches(&self) -> Result<Vec<BatchRecord>, StoreError> {
        self.list(sqlx::query(sql::STREAM_BATCHES_OPEN), batch)
            .await
    }

    async fn seen(
        &self,
        trigger: TriggerNo,
        hashes: &[[u8; 32]],
        now: Ts,
    ) -> Result<Vec<SeenKey>, StoreError> {
        let hashes: Vec<Vec<u8>> = hashes.iter().map(|hash| hash.to_vec()).collect();
        let query = sqlx::query(sql::STREAM_SEEN)
            .bind(trigger.0)
            .bind(hashes)
            .bind(now.0);
        self.list(query, seen).await
    }

    async fn held_poison(
        &self,
        trigger: TriggerNo,
        number: i64,
    ) -> Result<Option<PoisonRecord>, StoreError> {
        let query = sqlx::query(sql::STREAM_POISON_ONE)
            .bind(trigger.0)
            .bind(number);
        self.find(query, poison).await
    }

    async fn gaps(&self, trigger: TriggerNo, limit: u32) -> Result<Vec<GapRecord>, StoreError> {
        let query = sqlx::query(sql::STREAM_GAPS)
            .bind(trigger.0)
            .bind(i64::from(limit));
        self.list(query, gap).await
    }

    async fn blocks(&self) -> Result<Vec<LaneBlock>, StoreError> {
        self.list(sqlx::query(sql::STREAM_BLOCKS), block).await
    }

    async fn replays(
        &self,
        trigger: TriggerNo,
        limit: u32,
    ) -> Result<Vec<ReplayRecord>, StoreError> {
        let query = sqlx::query(sql::STREAM_REPLAYS)
            .bind(trigger.0)
            .bind(i64::from(limit));
        self.list(query, replay).await
    }

    async fn open_replays(&self) -> Result<Vec<ReplayRecord>, StoreError> {
        self.list(sqlx::query(sql::STREAM_REPLAYS_OPEN), replay)
            .await
    }

    async fn begin_replay(
        &self,
        term: i64,
        trigger: TriggerNo,
        wish: &serde_json::Value,
        cursors: &[Cursor],
        now: Ts,
    ) -> Result<i64, StoreError> {
        let (wish, cursors) = (wish.clone(), cursors.to_vec());
        self.with(move |conn| {
            Box::pin(async move { write_replay(conn, term, trigger, &wish, &cursors, now).await })
        })
        .await
    }

    async fn end_replay(
        &self,
        term: i64,
        replay: i64,
        state: &str,
        now: Ts,
    ) -> Result<bool, StoreError> {
        let state = state.to_string();
        self.with(move |conn| {
            Box::pin(async move { close_replay(conn, term, replay, &state, now).await })
        })
        .await
    }
}

//! Streams. Commits go through sqlx: they are rarer than passes, and carry bytes.

use crate::engine::list_of;
use crate::rows::{batch, block, cursor, gap, poison, replay, seen, trigger};
use crate::stream_write::{fence, move_cursor};
use crate::{SqliteStore, sql};
use async_trait::async_trait;
use sqlx::Connection;
use tidemill_model::{DagNo, RunNo, TriggerNo, Ts};
use tidemill_store::*;

#[async_trait]
impl StreamStore for SqliteStore {
    async fn put_trigger(
        &self,
        dag: DagNo,
        name: &str,
        now: Ts,
    ) -> Result<TriggerRecord, StoreError> {
        self.keep_trigger(dag, name, now)
            .await
            .map_err(|trouble| self.say(trouble))
    }

    async fn triggers(&self) -> Result<Vec<TriggerRecord>, StoreError> {
        self.list(sqlx::query(sql::STREAM_TRIGGERS), trigger).await
    }

    async fn pause_trigger(&self, trigger: TriggerNo, is_paused: bool) -> Result<(), StoreError> {
        let paused = async {
            let mut writer = self.writer().await?;
            sqlx::query(sql::STREAM_TRIGGER_PAUSE)
                .bind(trigger.0)
                .bind(is_paused)
                .execute(writer.conn())
                .await?;
            Ok(())
        };
        paused.await.map_err(|trouble| self.say(trouble))
    }

    async fn cursors(&self, trigger: TriggerNo, replay: i64) -> Result<Vec<Cursor>, StoreError> {
        let query = sqlx::query(sql::STREAM_CURSORS)
            .bind(trigger.0)
            .bind(replay);
        self.list(query, cursor).await
    }

    async fn begin_cursors(&self, term: i64, cursors: &[Cursor]) -> Result<(), StoreError> {
        self.write_cursors(term, cursors)
            .await
            .map_err(|trouble| self.say(trouble))
    }

    async fn seek(
        &self,
        term: i64,
        trigger: TriggerNo,
        replay: i64,
        cuts: &[Cut],
        now: Ts,
    ) -> Result<Committed, StoreError> {
        let sought = async {
            let mut writer = self.writer().await?;
            let mut tx = writer.conn().begin_with(sql::BEGIN).await?;
            fence(&mut tx, term).await?;
            for cut in cuts {
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
        };
        sought.await.map_err(|trouble| self.say(trouble))
    }

    async fn commit_stream(&self, commit: &StreamCommit) -> Result<Committed, StoreError> {
        self.write_stream(commit)
            .await
            .map_err(|trouble| self.say(trouble))
    }

    async fn open_runs(&self, trigger: TriggerNo, replay: i64) -> Result<i64, StoreError> {
        let query = sqlx::query(sql::STREAM_OPEN_RUNS)
            .bind(trigger.0)
            .bind(replay);
        let count = self.find(query, |columns| columns.take::<i64>()).await?;
        Ok(count.unwrap_or(0))
    }

    async fn run_ids_taken(&self, dag: DagNo, names: &[String]) -> Result<Vec<String>, StoreError> {
        let names = serde_json::Value::from(names).to_string();
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
        let query = sqlx::query(sql::STREAM_BATCHES).bind(trigger.0).bind(limit);
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
            .bind(limit);
        self.list(query, poison).await
    }

    async fn unsent_poison(
        &self,
        trigger: TriggerNo,
        limit: u32,
    ) -> Result<Vec<PoisonRecord>, StoreError> {
        let query = sqlx::query(sql::STREAM_UNSENT).bind(trigger.0).bind(limit);
        self.list(query, poison).await
    }

    async fn drop_poison(&self, trigger: TriggerNo, poison: i64) -> Result<bool, StoreError> {
        let dropped = async {
            let mut writer = self.writer().await?;
            let done = sqlx::query(sql::STREAM_POISON_DROP)
                .bind(trigger.0)
                .bind(poison)
                .execute(writer.conn())
                .await?;
            Ok(done.rows_affected() == 1)
        };
        dropped.await.map_err(|trouble| self.say(trouble))
    }

    async fn mark_sent(&self, poison: &[i64], now: Ts) -> Result<(), StoreError> {
        let marked = async {
            let mut writer = self.writer().await?;
            sqlx::query(sql::STREAM_POISON_SENT)
                .bind(list_of(poison.iter().copied()))
                .bind(now.0)
                .execute(writer.conn())
                .await?;
            Ok(())
        };
        marked.await.map_err(|trouble| self.say(trouble))
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
        let mut found = Vec::new();
        for hash in hashes {
            let query = sqlx::query(sql::STREAM_SEEN)
                .bind(trigger.0)
                .bind(hash.as_slice())
                .bind(now.0);
            found.extend(self.find(query, seen).await?);
        }
        Ok(found)
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
        let query = sqlx::query(sql::STREAM_GAPS).bind(trigger.0).bind(limit);
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
        let query = sqlx::query(sql::STREAM_REPLAYS).bind(trigger.0).bind(limit);
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
        let begun = self.write_replay(term, trigger, wish, cursors, now).await;
        begun.map_err(|trouble| self.say(trouble))
    }

    async fn end_replay(
        &self,
        term: i64,
        replay: i64,
        state: &str,
        now: Ts,
    ) -> Result<bool, StoreError> {
        let ended = self.close_replay(term, replay, state, now).await;
        ended.map_err(|trouble| self.say(trouble))
    }
}

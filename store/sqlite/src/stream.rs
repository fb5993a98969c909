//! Streams. Commits go through sqlx: they are rarer than passes, and carry bytes.

use crate::engine::list_of;
use crate::rows::{self, Columns};
use crate::stream_rows::{batch, cursor, poison, seen, trigger};
use crate::trouble::Trouble;
use crate::{SqliteStore, sql};
use async_trait::async_trait;
use sqlx::{Connection, SqliteConnection};
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
                    LIVE,
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
        let count = self.find(query, |columns| columns.next::<i64>()).await?;
        Ok(count.unwrap_or(0))
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
        self.find(query, |columns| columns.next()).await
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
}

impl SqliteStore {
    async fn keep_trigger(
        &self,
        dag: DagNo,
        name: &str,
        now: Ts,
    ) -> Result<TriggerRecord, Trouble> {
        let mut writer = self.writer().await?;
        let conn = writer.conn();
        sqlx::query(sql::STREAM_TRIGGER_PUT)
            .bind(dag.0)
            .bind(name)
            .bind(now.0)
            .execute(&mut *conn)
            .await?;
        let row = sqlx::query(sql::STREAM_TRIGGER_ONE)
            .bind(dag.0)
            .bind(name)
            .fetch_one(&mut *conn)
            .await?;
        trigger(&mut Columns::of(&row))
    }

    async fn write_cursors(&self, term: i64, cursors: &[Cursor]) -> Result<(), Trouble> {
        let mut writer = self.writer().await?;
        let mut tx = writer.conn().begin_with(sql::BEGIN).await?;
        fence(&mut tx, term).await?;
        for cursor in cursors {
            let query = sqlx::query(sql::STREAM_CURSOR_BEGIN)
                .bind(cursor.trigger.0)
                .bind(cursor.replay)
                .bind(&cursor.partition.topic)
                .bind(&cursor.partition.incarnation)
                .bind(cursor.partition.partition)
                .bind(cursor.next_offset)
                .bind(cursor.end_offset)
                .bind(term)
                .bind(&cursor.halted)
                .bind(cursor.counts.lost)
                .bind(cursor.updated_at.0);
            query.execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// A caller that is dropped halfway leaves nothing: the transaction is undone with it.
    async fn write_stream(&self, commit: &StreamCommit) -> Result<Committed, Trouble> {
        let mut writer = self.writer().await?;
        let mut tx = writer.conn().begin_with(sql::BEGIN).await?;
        fence(&mut tx, commit.term).await?;
        let row = sqlx::query(sql::STREAM_MAY_WRITE)
            .bind(commit.trigger.0)
            .bind(commit.replay)
            .fetch_optional(&mut *tx)
            .await?;
        let may_write = rows::one(row, |columns| columns.next::<bool>())?;
        if may_write != Some(true) {
            return Ok(Committed::Paused);
        }
        for cut in &commit.cuts {
            let (trigger, replay) = (commit.trigger, commit.replay);
            if !move_cursor(
                &mut tx,
                sql::STREAM_CURSOR_MOVE,
                commit.term,
                trigger,
                replay,
                cut,
                commit.now,
            )
            .await?
            {
                return Ok(Committed::Fenced);
            }
        }
        for run in &commit.runs {
            insert_run(&mut tx, run).await?;
        }
        if let Some(last) = commit.runs.iter().map(|run| run.row.run.0).max() {
            sqlx::query(sql::COUNTER_RAISE)
                .bind(last)
                .execute(&mut *tx)
                .await?;
        }
        for poison in &commit.poison {
            insert_poison(&mut tx, commit, poison).await?;
        }
        if !commit.seen.is_empty() {
            sqlx::query(sql::STREAM_SEEN_FORGET)
                .bind(commit.now.0)
                .execute(&mut *tx)
                .await?;
        }
        for seen in &commit.seen {
            let query = sqlx::query(sql::STREAM_SEEN_PUT)
                .bind(commit.trigger.0)
                .bind(seen.hash.as_slice())
                .bind(&seen.partition.topic)
                .bind(&seen.partition.incarnation)
                .bind(seen.partition.partition)
                .bind(seen.offset)
                .bind(seen.expires_at.0);
            query.execute(&mut *tx).await?;
        }
        fault::here("stream inside commit");
        tx.commit().await?;
        Ok(Committed::Done)
    }
}

async fn fence(conn: &mut SqliteConnection, term: i64) -> Result<(), Trouble> {
    let held = sqlx::query(sql::TERM_CHECK)
        .bind(term)
        .fetch_optional(conn)
        .await?;
    held.map(drop).ok_or(Trouble::TermLost)
}

/// Moves a cursor by one of two texts, if it stands where it is expected; says whether it did.
async fn move_cursor(
    conn: &mut SqliteConnection,
    text: &'static str,
    term: i64,
    trigger: TriggerNo,
    replay: i64,
    cut: &Cut,
    now: Ts,
) -> Result<bool, Trouble> {
    let moved = sqlx::query(text)
        .bind(trigger.0)
        .bind(replay)
        .bind(&cut.partition.topic)
        .bind(&cut.partition.incarnation)
        .bind(cut.partition.partition)
        .bind(cut.expected)
        .bind(cut.end)
        .bind(term)
        .bind(&cut.halted)
        .bind(cut.counts.taken)
        .bind(cut.counts.filtered)
        .bind(cut.counts.missing)
        .bind(cut.counts.skipped)
        .bind(cut.counts.quarantined)
        .bind(cut.counts.deduped)
        .bind(cut.counts.lost)
        .bind(now.0)
        .execute(conn)
        .await?;
    Ok(moved.rows_affected() == 1)
}

async fn insert_run(conn: &mut SqliteConnection, new: &NewStreamRun) -> Result<(), Trouble> {
    let row = &new.row;
    sqlx::query(sql::RUN_INSERT)
        .bind(row.run.0)
        .bind(row.dag.0)
        .bind(&row.run_id)
        .bind(row.run_type.name())
        .bind(row.state.name())
        .bind(row.version.0)
        .bind(&row.cause)
        .bind(row.logical_date.map(|at| at.0))
        .bind(row.data_interval_start.map(|at| at.0))
        .bind(row.data_interval_end.map(|at| at.0))
        .bind(row.run_after.0)
        .bind(row.queued_at.0)
        .bind(row.started_at.map(|at| at.0))
        .bind(row.ended_at.map(|at| at.0))
        .bind(row.conf.to_string())
        .bind(&row.triggered_by)
        .bind(&row.note)
        .bind(row.reason.map(|reason| reason.name()))
        .bind(row.retries_used)
        .execute(&mut *conn)
        .await?;
    let batch = &new.batch;
    sqlx::query(sql::STREAM_BATCH_INSERT)
        .bind(batch.run.0)
        .bind(batch.trigger.0)
        .bind(batch.replay)
        .bind(&batch.partition.topic)
        .bind(&batch.partition.incarnation)
        .bind(batch.partition.partition)
        .bind(batch.first_offset)
        .bind(batch.end_offset)
        .bind(batch.slot)
        .bind(&batch.lane)
        .bind(batch.n_records)
        .bind(batch.n_bytes)
        .bind(&batch.sha256)
        .bind(batch.facts.to_string())
        .bind(&new.records)
        .execute(conn)
        .await?;
    Ok(())
}

async fn insert_poison(
    conn: &mut SqliteConnection,
    commit: &StreamCommit,
    poison: &NewPoison,
) -> Result<(), Trouble> {
    sqlx::query(sql::STREAM_POISON_INSERT)
        .bind(commit.trigger.0)
        .bind(commit.replay)
        .bind(&poison.partition.topic)
        .bind(&poison.partition.incarnation)
        .bind(poison.partition.partition)
        .bind(poison.offset)
        .bind(poison.timestamp.map(|at| at.0))
        .bind(&poison.class)
        .bind(&poison.message)
        .bind(&poison.key)
        .bind(&poison.value)
        .bind(poison.headers.to_string())
        .bind(commit.now.0)
        .execute(conn)
        .await?;
    Ok(())
}

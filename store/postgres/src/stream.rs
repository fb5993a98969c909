//! Streams. A commit is a transaction of a few statements, each over arrays, begun by the fence.

use crate::engine::fence;
use crate::rows::{self, Columns};
use crate::stream_rows::{batch, cursor, poison, seen, trigger};
use crate::text::stored;
use crate::trouble::Trouble;
use crate::{PostgresStore, forget_broken, session, sql};
use async_trait::async_trait;
use sqlx::{Connection, PgConnection};
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
        self.with(move |conn| Box::pin(async move { keep_trigger(conn, dag, &name, now).await }))
            .await
    }

    async fn triggers(&self) -> Result<Vec<TriggerRecord>, StoreError> {
        self.list(sqlx::query(sql::STREAM_TRIGGERS), trigger).await
    }

    async fn pause_trigger(&self, trigger: TriggerNo, is_paused: bool) -> Result<(), StoreError> {
        self.with(move |conn| {
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
        let query = sqlx::query(sql::STREAM_BATCHES)
            .bind(trigger.0)
            .bind(i64::from(limit));
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
        self.with(move |conn| {
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
        self.with(move |conn| {
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
}

async fn keep_trigger(
    conn: &mut PgConnection,
    dag: DagNo,
    name: &str,
    now: Ts,
) -> Result<TriggerRecord, Trouble> {
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

async fn write_cursors(
    conn: &mut PgConnection,
    term: i64,
    cursors: &[Cursor],
) -> Result<(), Trouble> {
    let mut tx = conn.begin().await?;
    fence(&mut tx, Some(term)).await?;
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

/// A transaction that is not committed is undone when it is dropped.
async fn write_stream(
    conn: &mut PgConnection,
    commit: &StreamCommit,
) -> Result<Committed, Trouble> {
    let mut tx = conn.begin().await?;
    fence(&mut tx, Some(commit.term)).await?;
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
    if let Some(last) = commit.runs.iter().map(|run| run.row.run.0).max() {
        insert_runs(&mut tx, &commit.runs).await?;
        insert_batches(&mut tx, commit).await?;
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

/// Moves a cursor by one of two texts, if it stands where it is expected; says whether it did.
async fn move_cursor(
    conn: &mut PgConnection,
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

/// One value of each run, as an array.
fn column<T>(runs: &[NewStreamRun], of: impl Fn(&NewStreamRun) -> T) -> Vec<T> {
    runs.iter().map(of).collect()
}

async fn insert_runs(conn: &mut PgConnection, runs: &[NewStreamRun]) -> Result<(), Trouble> {
    sqlx::query(sql::STREAM_RUNS_INSERT)
        .bind(column(runs, |run| run.row.run.0))
        .bind(column(runs, |run| run.row.dag.0))
        .bind(column(runs, |run| stored(&run.row.run_id).into_owned()))
        .bind(column(runs, |run| run.row.run_type.name()))
        .bind(column(runs, |run| run.row.state.name()))
        .bind(column(runs, |run| run.row.version.0))
        .bind(column(runs, |run| run.row.cause.clone()))
        .bind(column(runs, |run| {
            run.row.data_interval_start.map(|at| at.0)
        }))
        .bind(column(runs, |run| run.row.data_interval_end.map(|at| at.0)))
        .bind(column(runs, |run| run.row.run_after.0))
        .bind(column(runs, |run| run.row.queued_at.0))
        .bind(column(runs, |run| run.row.conf.to_string()))
        .bind(column(runs, |run| run.row.triggered_by.clone()))
        .execute(conn)
        .await?;
    Ok(())
}

async fn insert_batches(conn: &mut PgConnection, commit: &StreamCommit) -> Result<(), Trouble> {
    let runs = &commit.runs;
    let records: Vec<&[u8]> = runs.iter().map(|run| run.records.as_slice()).collect();
    sqlx::query(sql::STREAM_BATCH_INSERT)
        .bind(commit.trigger.0)
        .bind(commit.replay)
        .bind(column(runs, |run| run.batch.run.0))
        .bind(column(runs, |run| run.batch.partition.topic.clone()))
        .bind(column(runs, |run| run.batch.partition.incarnation.clone()))
        .bind(column(runs, |run| run.batch.partition.partition))
        .bind(column(runs, |run| run.batch.first_offset))
        .bind(column(runs, |run| run.batch.end_offset))
        .bind(column(runs, |run| run.batch.slot))
        .bind(column(runs, |run| run.batch.lane.clone()))
        .bind(column(runs, |run| run.batch.n_records))
        .bind(column(runs, |run| run.batch.n_bytes))
        .bind(column(runs, |run| run.batch.sha256.clone()))
        .bind(column(runs, |run| run.batch.facts.to_string()))
        .bind(records)
        .execute(conn)
        .await?;
    Ok(())
}

async fn insert_poison(
    conn: &mut PgConnection,
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

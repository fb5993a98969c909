//! Transactions of streams.

use crate::rows::trigger;
use crate::rows::{self, Cells};
use crate::trouble::Trouble;
use crate::{SqliteStore, sql};
use sqlx::{Connection, SqliteConnection};
use tidemill_model::{DagNo, TriggerNo, Ts};
use tidemill_store::*;

impl SqliteStore {
    pub(crate) async fn keep_trigger(
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
        Ok(trigger(&mut Cells::of(&row))?)
    }

    pub(crate) async fn write_cursors(&self, term: i64, cursors: &[Cursor]) -> Result<(), Trouble> {
        let mut writer = self.writer().await?;
        let mut tx = writer.conn().begin_with(sql::BEGIN).await?;
        fence(&mut tx, term).await?;
        insert_cursors(&mut tx, term, None, cursors).await?;
        Ok(tx.commit().await?)
    }

    pub(crate) async fn write_replay(
        &self,
        term: i64,
        trigger: TriggerNo,
        wish: &serde_json::Value,
        cursors: &[Cursor],
        now: Ts,
    ) -> Result<i64, Trouble> {
        let mut writer = self.writer().await?;
        let mut tx = writer.conn().begin_with(sql::BEGIN).await?;
        fence(&mut tx, term).await?;
        let row = sqlx::query(sql::STREAM_REPLAY_INSERT)
            .bind(trigger.0)
            .bind(wish.to_string())
            .bind(now.0)
            .fetch_one(&mut *tx)
            .await?;
        let replay = Cells::of(&row).take()?;
        insert_cursors(&mut tx, term, Some(replay), cursors).await?;
        tx.commit().await?;
        Ok(replay)
    }

    pub(crate) async fn close_replay(
        &self,
        term: i64,
        replay: i64,
        state: &str,
        now: Ts,
    ) -> Result<bool, Trouble> {
        let mut writer = self.writer().await?;
        let mut tx = writer.conn().begin_with(sql::BEGIN).await?;
        fence(&mut tx, term).await?;
        let done = sqlx::query(sql::STREAM_REPLAY_END)
            .bind(replay)
            .bind(state)
            .bind(now.0)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// A caller that is dropped halfway leaves nothing: the transaction is undone with it.
    pub(crate) async fn write_stream(&self, commit: &StreamCommit) -> Result<Committed, Trouble> {
        let mut writer = self.writer().await?;
        let mut tx = writer.conn().begin_with(sql::BEGIN).await?;
        fence(&mut tx, commit.term).await?;
        let row = sqlx::query(sql::STREAM_MAY_WRITE)
            .bind(commit.trigger.0)
            .bind(commit.replay)
            .fetch_optional(&mut *tx)
            .await?;
        let may_write = rows::one(row, |columns| columns.take::<bool>())?;
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
        for poison in &commit.retried {
            let done = sqlx::query(sql::STREAM_POISON_RETRY)
                .bind(commit.trigger.0)
                .bind(poison)
                .execute(&mut *tx)
                .await?;
            if done.rows_affected() != 1 {
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

pub(crate) async fn fence(conn: &mut SqliteConnection, term: i64) -> Result<(), Trouble> {
    let held = sqlx::query(sql::TERM_CHECK)
        .bind(term)
        .fetch_optional(conn)
        .await?;
    held.map(drop).ok_or(Trouble::TermLost)
}

/// Moves a cursor by one of two texts, if it stands where it is expected; says whether it did.
pub(crate) async fn move_cursor(
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
        .execute(&mut *conn)
        .await?;
    if moved.rows_affected() != 1 {
        return Ok(false);
    }
    if let Some((from, to, why)) = &cut.gap {
        sqlx::query(sql::STREAM_GAP_INSERT)
            .bind(trigger.0)
            .bind(replay)
            .bind(&cut.partition.topic)
            .bind(&cut.partition.incarnation)
            .bind(cut.partition.partition)
            .bind(from)
            .bind(to)
            .bind(why)
            .bind(now.0)
            .execute(conn)
            .await?;
    }
    Ok(true)
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

/// Begins cursors, of the replay that is named or of those that they name.
async fn insert_cursors(
    conn: &mut SqliteConnection,
    term: i64,
    replay: Option<i64>,
    cursors: &[Cursor],
) -> Result<(), Trouble> {
    for cursor in cursors {
        sqlx::query(sql::STREAM_CURSOR_BEGIN)
            .bind(cursor.trigger.0)
            .bind(replay.unwrap_or(cursor.replay))
            .bind(&cursor.partition.topic)
            .bind(&cursor.partition.incarnation)
            .bind(cursor.partition.partition)
            .bind(cursor.next_offset)
            .bind(cursor.end_offset)
            .bind(term)
            .bind(&cursor.halted)
            .bind(cursor.counts.lost)
            .bind(cursor.updated_at.0)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

//! Transactions of streams: a few statements each, over arrays, begun by the fence.

use crate::arrays::column;
use crate::engine::fence;
use crate::rows::trigger;
use crate::rows::{self, Cells};
use crate::sql;
use crate::text::{maybe_stored, stored};
use crate::trouble::Trouble;
use sqlx::{Connection, PgConnection};
use tidemill_model::{DagNo, TriggerNo, Ts};
use tidemill_store::*;

pub(crate) async fn keep_trigger(
    conn: &mut PgConnection,
    dag: DagNo,
    name: &str,
    now: Ts,
) -> Result<TriggerRecord, Trouble> {
    sqlx::query(sql::STREAM_TRIGGER_PUT)
        .bind(dag.0)
        .bind(stored(name))
        .bind(now.0)
        .execute(&mut *conn)
        .await?;
    let row = sqlx::query(sql::STREAM_TRIGGER_ONE)
        .bind(dag.0)
        .bind(stored(name))
        .fetch_one(&mut *conn)
        .await?;
    Ok(trigger(&mut Cells::of(&row))?)
}

pub(crate) async fn write_cursors(
    conn: &mut PgConnection,
    term: i64,
    cursors: &[Cursor],
) -> Result<(), Trouble> {
    let mut tx = conn.begin().await?;
    fence(&mut tx, Some(term)).await?;
    insert_cursors(&mut tx, term, None, cursors).await?;
    Ok(tx.commit().await?)
}

/// Begins cursors, of the replay that is named or of those that they name.
async fn insert_cursors(
    conn: &mut PgConnection,
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
            .bind(maybe_stored(&cursor.halted))
            .bind(cursor.counts.lost)
            .bind(cursor.updated_at.0)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

pub(crate) async fn write_replay(
    conn: &mut PgConnection,
    term: i64,
    trigger: TriggerNo,
    wish: &serde_json::Value,
    cursors: &[Cursor],
    now: Ts,
) -> Result<i64, Trouble> {
    let mut tx = conn.begin().await?;
    fence(&mut tx, Some(term)).await?;
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
    conn: &mut PgConnection,
    term: i64,
    replay: i64,
    state: &str,
    now: Ts,
) -> Result<bool, Trouble> {
    let mut tx = conn.begin().await?;
    fence(&mut tx, Some(term)).await?;
    let done = sqlx::query(sql::STREAM_REPLAY_END)
        .bind(replay)
        .bind(state)
        .bind(now.0)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(done.rows_affected() == 1)
}

/// A transaction that is not committed is undone when it is dropped.
pub(crate) async fn write_stream(
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
pub(crate) async fn move_cursor(
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
        .bind(maybe_stored(&cut.halted))
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
            .bind(stored(why))
            .bind(now.0)
            .execute(conn)
            .await?;
    }
    Ok(true)
}

async fn insert_runs(conn: &mut PgConnection, runs: &[NewStreamRun]) -> Result<(), Trouble> {
    sqlx::query(sql::STREAM_RUNS_INSERT)
        .bind(column(runs, |run| run.row.run.0))
        .bind(column(runs, |run| run.row.dag.0))
        .bind(column(runs, |run| stored(&run.row.run_id)))
        .bind(column(runs, |run| run.row.run_type.name()))
        .bind(column(runs, |run| run.row.state.name()))
        .bind(column(runs, |run| run.row.version.0))
        .bind(column(runs, |run| maybe_stored(&run.row.cause)))
        .bind(column(runs, |run| {
            run.row.data_interval_start.map(|at| at.0)
        }))
        .bind(column(runs, |run| run.row.data_interval_end.map(|at| at.0)))
        .bind(column(runs, |run| run.row.run_after.0))
        .bind(column(runs, |run| run.row.queued_at.0))
        .bind(column(runs, |run| run.row.conf.to_string()))
        .bind(column(runs, |run| maybe_stored(&run.row.triggered_by)))
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
        .bind(column(runs, |run| maybe_stored(&run.batch.lane)))
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
        .bind(stored(&poison.class))
        .bind(stored(&poison.message))
        .bind(&poison.key)
        .bind(&poison.value)
        .bind(poison.headers.to_string())
        .bind(commit.now.0)
        .execute(conn)
        .await?;
    Ok(())
}

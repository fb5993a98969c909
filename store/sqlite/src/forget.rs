//! Old runs, and how they go: whole runs, in pieces of a bounded size.

use crate::engine::list_of;
use crate::rows;
use crate::trouble::Trouble;
use crate::{SqliteStore, sql};
use sqlx::Connection;
use tidemill_model::RunNo;
use tidemill_store::{Forgotten, LookedAt, OldRuns, StoreError};

/// What belongs to a run and may be much.
const PIECES: [&str; 4] = [
    sql::FORGET_NOTES,
    sql::FORGET_VALUES,
    sql::FORGET_TRIES,
    sql::FORGET_TASKS,
];
/// The most pages that are given back to the file system after a piece: they are copied, and a
/// pass waits for that.
const GIVE_BACK: &str = "pragma incremental_vacuum(256)";

impl SqliteStore {
    pub(crate) async fn look_at(&self, which: &OldRuns) -> Result<Vec<LookedAt>, StoreError> {
        let query = sqlx::query(sql::OLD_RUNS)
            .bind(which.after.0)
            .bind(which.look_at)
            .bind(which.ended_before.0)
            .bind(which.keep_last);
        self.list(query, rows::looked_at).await
    }

    pub(crate) async fn forget(&self, runs: &[RunNo], rows_max: u32) -> Result<Forgotten, Trouble> {
        let mut writer = self.writer().await?;
        let mut tx = writer.conn().begin().await?;
        let over = run_nos(&mut tx, sql::FORGET_RUNS_OVER, runs).await?;
        let list = list_of(over.iter().map(|run| run.0));
        // How far its successes had read outlives a run.
        sqlx::query(sql::FORGET_SPANS)
            .bind(&list)
            .execute(&mut *tx)
            .await?;
        for piece in PIECES {
            let query = sqlx::query(piece).bind(&list).bind(rows_max);
            query.execute(&mut *tx).await?;
        }
        let left = run_nos(&mut tx, sql::FORGET_RUNS_LEFT, &over).await?;
        let is_left = |run: &RunNo| left.contains(run);
        let gone: Vec<RunNo> = over.into_iter().filter(|run| !is_left(run)).collect();
        let list = list_of(gone.iter().map(|run| run.0));
        for last in [sql::FORGET_DATES, sql::FORGET_RUNS] {
            sqlx::query(last).bind(&list).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        sqlx::query(GIVE_BACK).fetch_all(writer.conn()).await?;
        Ok(Forgotten { gone, left })
    }
}

async fn run_nos(
    conn: &mut sqlx::SqliteConnection,
    query: &'static str,
    runs: &[RunNo],
) -> Result<Vec<RunNo>, Trouble> {
    let list = list_of(runs.iter().map(|run| run.0));
    let found = sqlx::query(query).bind(list).fetch_all(conn).await?;
    rows::all(&found, |columns| Ok(RunNo(columns.take()?)))
}

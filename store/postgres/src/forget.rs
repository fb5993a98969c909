//! Old runs, and how they go: whole runs, in pieces of a bounded size.

use crate::engine::fence;
use crate::rows;
use crate::trouble::Trouble;
use crate::{PostgresStore, sql};
use sqlx::{Connection, PgConnection};
use tidemill_model::RunNo;
use tidemill_store::{Forgotten, LookedAt, OldRuns, StoreError};

/// What belongs to a run and may be much.
const PIECES: [&str; 4] = [
    sql::FORGET_NOTES,
    sql::FORGET_VALUES,
    sql::FORGET_TRIES,
    sql::FORGET_TASKS,
];

impl PostgresStore {
    pub(crate) async fn look_at(&self, which: &OldRuns) -> Result<Vec<LookedAt>, StoreError> {
        let query = sqlx::query(sql::OLD_RUNS)
            .bind(which.after.0)
            .bind(i64::from(which.look_at))
            .bind(which.ended_before.0)
            .bind(i64::from(which.keep_last));
        self.list(query, rows::looked_at).await
    }

    pub(crate) async fn forget(
        &self,
        runs: &[RunNo],
        rows_max: u32,
    ) -> Result<Forgotten, StoreError> {
        self.writable()?;
        let term = self.lease.term();
        let runs: Vec<i64> = runs.iter().map(|run| run.0).collect();
        self.with(move |conn| {
            Box::pin(async move {
                let mut tx = conn.begin().await?;
                fence(&mut tx, term).await?;
                let over = run_nos(&mut tx, sql::FORGET_RUNS_OVER, &runs).await?;
                // How far its successes had read outlives a run.
                sqlx::query(sql::FORGET_SPANS)
                    .bind(&over)
                    .execute(&mut *tx)
                    .await?;
                for piece in PIECES {
                    let query = sqlx::query(piece).bind(&over).bind(i64::from(rows_max));
                    query.execute(&mut *tx).await?;
                }
                let left = run_nos(&mut tx, sql::FORGET_RUNS_LEFT, &over).await?;
                let gone: Vec<i64> = over.into_iter().filter(|run| !left.contains(run)).collect();
                for last in [sql::FORGET_DATES, sql::FORGET_RUNS] {
                    sqlx::query(last).bind(&gone).execute(&mut *tx).await?;
                }
                tx.commit().await?;
                let numbers = |runs: Vec<i64>| runs.into_iter().map(RunNo).collect();
                Ok(Forgotten {
                    gone: numbers(gone),
                    left: numbers(left),
                })
            })
        })
        .await
    }
}

async fn run_nos(
    conn: &mut PgConnection,
    query: &'static str,
    runs: &[i64],
) -> Result<Vec<i64>, Trouble> {
    let found = sqlx::query(query).bind(runs).fetch_all(conn).await?;
    rows::all(&found, |columns| columns.take())
}

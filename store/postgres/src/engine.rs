//! The verbs of the engine.

use crate::rows::{self, Cells};
use crate::text::{maybe_stored, stored};
use crate::trouble::Trouble;
use crate::{PostgresStore, SHARD, Work, sql, version};
use async_trait::async_trait;
use sqlx::{Connection, PgConnection};
use std::collections::HashMap;
use tidemill_model::{DagNo, RunNo, TaskNo, Ts};
use tidemill_store::*;

#[async_trait]
impl EngineStore for PostgresStore {
    /// Takes the term, or says with [`StoreError::Owned`] who holds it: ask again.
    async fn take_term(&self, holder: &str, now: Ts) -> Result<i64, StoreError> {
        self.writable()?;
        match self.lease.take(holder, now).await {
            Ok(Ok(term)) => Ok(term),
            Ok(Err(holder)) => Err(StoreError::Owned {
                what: self.address.to_string(),
                pid: holder,
            }),
            Err(trouble) => Err(self.say(trouble)),
        }
    }

    async fn load(&self) -> Result<Loaded, StoreError> {
        self.with(|conn| Box::pin(read_all(conn))).await
    }

    async fn commit_pass(&self, pass: &Pass) -> Result<(), StoreError> {
        self.writable()?;
        let _under_way = self.lease.pass();
        let mut writer = self.writer.lock().await;
        writer
            .commit(self, pass)
            .await
            .map_err(|trouble| self.say(trouble))
    }

    async fn put_versions(
        &self,
        versions: &[NewVersion],
    ) -> Result<Vec<StoredVersion>, StoreError> {
        self.writable()?;
        let _turn = self.versions.lock().await;
        let (term, versions) = (self.lease.term(), versions.to_vec());
        self.with(move |conn| {
            Box::pin(async move { version::put_all(conn, term, &versions).await })
        })
        .await
    }

    async fn put_import_errors(
        &self,
        file: &str,
        errors: &[ImportError],
        now: Ts,
    ) -> Result<(), StoreError> {
        self.writable()?;
        let (term, file) = (self.lease.term(), stored(file).into_owned());
        let errors = match errors {
            [] => None,
            errors => Some(serde_json::to_string(errors).map_err(|err| self.say(err.into()))?),
        };
        self.with(move |conn| {
            Box::pin(async move {
                let query = match errors {
                    None => sqlx::query(sql::IMPORT_ERROR_FORGET).bind(file),
                    Some(errors) => sqlx::query(sql::IMPORT_ERROR_PUT)
                        .bind(file)
                        .bind(errors)
                        .bind(now.0),
                };
                let mut tx = conn.begin().await?;
                fence(&mut tx, term).await?;
                query.execute(&mut *tx).await?;
                Ok(tx.commit().await?)
            })
        })
        .await
    }

    async fn mark_stale(&self, stale: &[DagNo], _now: Ts) -> Result<(), StoreError> {
        self.writable()?;
        let term = self.lease.term();
        let stale: Vec<i64> = stale.iter().map(|dag| dag.0).collect();
        self.with(move |conn| {
            Box::pin(async move {
                let mut tx = conn.begin().await?;
                fence(&mut tx, term).await?;
                sqlx::query(sql::DAGS_MARK_STALE)
                    .bind(stale)
                    .execute(&mut *tx)
                    .await?;
                Ok(tx.commit().await?)
            })
        })
        .await
    }

    async fn conflicting_run(
        &self,
        dag: DagNo,
        key: &RunKey,
    ) -> Result<Option<RunRow>, StoreError> {
        self.find(
            sqlx::query(sql::RUN_CONFLICTING)
                .bind(dag.0)
                .bind(stored(&key.run_id))
                .bind(key.logical_date.map(|at| at.0))
                .bind(maybe_stored(&key.cause)),
            rows::run,
        )
        .await
    }

    async fn run_with_tasks(
        &self,
        run: RunNo,
    ) -> Result<Option<(RunRow, Vec<TaskRow>)>, StoreError> {
        self.with(move |conn| Box::pin(read_run_with_tasks(conn, run)))
            .await
    }

    async fn find_run(&self, dag: DagNo, run_id: &str) -> Result<Option<RunRow>, StoreError> {
        self.find(
            sqlx::query(sql::RUN_ROW_BY_NAME)
                .bind(dag.0)
                .bind(stored(run_id)),
            rows::run,
        )
        .await
    }

    async fn forget_runs(&self, runs: &[RunNo], rows_max: u32) -> Result<Forgotten, StoreError> {
        self.forget(runs, rows_max).await
    }

    async fn newest_run(&self, dag: DagNo, span: &DateSpan) -> Result<Option<RunRow>, StoreError> {
        self.find(
            sqlx::query(sql::RUN_NEWEST)
                .bind(dag.0)
                .bind(span.from.map_or(i64::MIN, |from| from.0))
                .bind(span.until.0)
                .bind(span.with_manual),
            rows::run,
        )
        .await
    }

    async fn has_earlier_task(
        &self,
        dag: DagNo,
        task: TaskNo,
        before: Ts,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(sql::TASK_EARLIER)
            .bind(dag.0)
            .bind(task.0)
            .bind(before.0);
        let found = self.find(query, |columns| columns.take()).await?;
        Ok(found.unwrap_or(false))
    }
}

impl PostgresStore {
    pub(crate) fn writable(&self) -> Result<(), StoreError> {
        match self.may_write {
            true => Ok(()),
            false => Err(self.say(Trouble::ReadOnly)),
        }
    }

    /// A write of whoever has the term, in a transaction that begins with the term's row. A store
    /// that has not taken the term, as that of a stand-by, is refused.
    pub(crate) async fn fenced<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writable()?;
        let term = self.lease.term().ok_or(StoreError::TermLost)?;
        self.with(move |conn| {
            Box::pin(async move {
                let mut tx = conn.begin().await?;
                fence(&mut tx, Some(term)).await?;
                let done = work(&mut tx).await?;
                tx.commit().await?;
                Ok(done)
            })
        })
        .await
    }
}

/// Holds the term's row until the transaction ends. A store that has never taken the term writes
/// for nobody, and is not fenced: it fills a new database.
pub(crate) async fn fence(conn: &mut PgConnection, term: Option<i64>) -> Result<(), Trouble> {
    let Some(term) = term else { return Ok(()) };
    let held = sqlx::query(sql::FENCE)
        .bind(SHARD)
        .bind(term)
        .fetch_optional(conn)
        .await?;
    held.map(drop).ok_or(Trouble::TermLost)
}

async fn read_run_with_tasks(
    conn: &mut PgConnection,
    run: RunNo,
) -> Result<Option<(RunRow, Vec<TaskRow>)>, Trouble> {
    let mut tx = conn.begin_with(sql::BEGIN_READING).await?;
    let row = sqlx::query(sql::RUN_ROW)
        .bind(run.0)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = rows::one(row, rows::run)? else {
        return Ok(None);
    };
    let tasks = sqlx::query(sql::TASKS_OF_RUNS)
        .bind(vec![run.0])
        .fetch_all(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(Some((row, rows::all(&tasks, rows::task)?)))
}

/// All of it is one moment: the reads share a snapshot.
async fn read_all(conn: &mut PgConnection) -> Result<Loaded, Trouble> {
    let mut tx = conn.begin_with(sql::BEGIN_READING).await?;
    let dags = sqlx::query(sql::DAGS_BY_NUMBER).fetch_all(&mut *tx).await?;
    let names = sqlx::query(sql::TASK_NAMES_ALL).fetch_all(&mut *tx).await?;
    let pools = sqlx::query(sql::POOLS).fetch_all(&mut *tx).await?;
    let backfills = sqlx::query(sql::BACKFILLS_OPEN).fetch_all(&mut *tx).await?;
    let backfill_runs = sqlx::query(sql::BACKFILL_RUNS_ACTIVE)
        .fetch_all(&mut *tx)
        .await?;
    let assets = sqlx::query(sql::ASSETS).fetch_all(&mut *tx).await?;
    let waiting = sqlx::query(sql::ASSET_WAITING).fetch_all(&mut *tx).await?;
    let counters = sqlx::query(sql::COUNTERS).fetch_one(&mut *tx).await?;
    let mut counters = Cells::of(&counters);
    let loaded = Loaded {
        dags: rows::all(&dags, rows::dag)?,
        runs: active_runs(&mut tx).await?,
        versions: needed_versions(&mut tx).await?,
        pools: rows::all(&pools, rows::pool)?,
        task_names: rows::all(&names, rows::task_name_of_dag)?,
        assets: rows::all(&assets, rows::asset)?,
        waiting_events: rows::all(&waiting, rows::waiting_event)?,
        backfills: rows::with_runs(
            rows::all(&backfills, rows::backfill)?,
            rows::all(&backfill_runs, rows::backfill_run)?,
        ),
        last_run: counters.take()?,
        last_seq: counters.take()?,
        last_backfill: counters.take()?,
        last_event: counters.take()?,
    };
    tx.commit().await?;
    Ok(loaded)
}

async fn active_runs(conn: &mut PgConnection) -> Result<Vec<(RunRow, Vec<TaskRow>)>, Trouble> {
    let runs = sqlx::query(sql::RUNS_ACTIVE).fetch_all(&mut *conn).await?;
    let tasks = sqlx::query(sql::TASKS_ACTIVE).fetch_all(&mut *conn).await?;
    let mut of_run: HashMap<RunNo, Vec<TaskRow>> = HashMap::new();
    for task in rows::all(&tasks, rows::task)? {
        of_run.entry(task.run).or_default().push(task);
    }
    let runs = rows::all(&runs, rows::run)?.into_iter();
    Ok(runs
        .map(|run| {
            let tasks = of_run.remove(&run.run).unwrap_or_default();
            (run, tasks)
        })
        .collect())
}

async fn needed_versions(conn: &mut PgConnection) -> Result<Vec<VersionRecord>, Trouble> {
    let versions = sqlx::query(sql::VERSIONS_NEEDED)
        .fetch_all(&mut *conn)
        .await?;
    let files = sqlx::query(sql::VERSION_FILES_NEEDED)
        .fetch_all(&mut *conn)
        .await?;
    let mut versions = rows::all(&versions, rows::version)?;
    let places: HashMap<_, _> = versions
        .iter()
        .enumerate()
        .map(|(at, version)| (version.version, at))
        .collect();
    for (version, file) in rows::all(&files, rows::version_file)? {
        if let Some(at) = places.get(&version) {
            versions[*at].files.push(file);
        }
    }
    Ok(versions)
}

//! The verbs of the engine.

use crate::pass;
use crate::rows::{self, Cells};
use crate::trouble::Trouble;
use crate::{SqliteStore, sql, version};
use async_trait::async_trait;
use sqlx::SqliteConnection;
use std::collections::HashMap;
use tidemill_model::{DagNo, RunNo, TaskNo, Ts};
use tidemill_store::*;

#[async_trait]
impl EngineStore for SqliteStore {
    async fn take_term(&self, holder: &str, now: Ts) -> Result<i64, StoreError> {
        self.raise_term(holder, now)
            .await
            .map_err(|trouble| self.say(trouble))
    }

    async fn load(&self) -> Result<Loaded, StoreError> {
        self.read_all().await.map_err(|trouble| self.say(trouble))
    }

    async fn commit_pass(&self, pass: &Pass) -> Result<(), StoreError> {
        self.write_pass(pass)
            .await
            .map_err(|trouble| self.say(trouble))
    }

    async fn put_versions(
        &self,
        versions: &[NewVersion],
    ) -> Result<Vec<StoredVersion>, StoreError> {
        let mut writer = self.writer().await.map_err(|trouble| self.say(trouble))?;
        version::put_all(writer.conn(), versions)
            .await
            .map_err(|trouble| self.say(trouble))
    }

    async fn put_import_errors(
        &self,
        file: &str,
        errors: &[ImportError],
        now: Ts,
    ) -> Result<(), StoreError> {
        self.keep_import_errors(file, errors, now)
            .await
            .map_err(|trouble| self.say(trouble))
    }

    async fn mark_stale(&self, stale: &[DagNo], _now: Ts) -> Result<(), StoreError> {
        self.set_stale(stale)
            .await
            .map_err(|trouble| self.say(trouble))
    }

    async fn conflicting_run(
        &self,
        dag: DagNo,
        key: &RunKey,
    ) -> Result<Option<RunRow>, StoreError> {
        self.find(
            sqlx::query(sql::RUN_CONFLICTING)
                .bind(dag.0)
                .bind(&key.run_id)
                .bind(key.logical_date.map(|at| at.0))
                .bind(&key.cause),
            rows::run,
        )
        .await
    }

    async fn run_with_tasks(
        &self,
        run: RunNo,
    ) -> Result<Option<(RunRow, Vec<TaskRow>)>, StoreError> {
        self.read_run_with_tasks(run)
            .await
            .map_err(|trouble| self.say(trouble))
    }

    async fn find_run(&self, dag: DagNo, run_id: &str) -> Result<Option<RunRow>, StoreError> {
        self.find(
            sqlx::query(sql::RUN_ROW_BY_NAME).bind(dag.0).bind(run_id),
            rows::run,
        )
        .await
    }

    async fn forget_runs(&self, runs: &[RunNo], rows_max: u32) -> Result<Forgotten, StoreError> {
        self.forget(runs, rows_max)
            .await
            .map_err(|trouble| self.say(trouble))
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

/// Numbers as a JSON array, which SQL takes apart again.
pub(crate) fn list_of(numbers: impl Iterator<Item = i64>) -> String {
    serde_json::Value::from_iter(numbers).to_string()
}

impl SqliteStore {
    async fn raise_term(&self, holder: &str, now: Ts) -> Result<i64, Trouble> {
        let mut writer = self.writer().await?;
        let row = sqlx::query(sql::TERM_TAKE)
            .bind(holder)
            .bind(now.0)
            .fetch_one(writer.conn())
            .await?;
        Ok(Cells::of(&row).take()?)
    }

    /// No await stands between the first statement and the last, so a caller that is dropped
    /// leaves no transaction open.
    async fn write_pass(&self, pass: &Pass) -> Result<(), Trouble> {
        let mut writer = self.writer().await?;
        let (session, statements) = writer.session().await?;
        pass::commit(&session, statements, pass)
    }

    async fn keep_import_errors(
        &self,
        file: &str,
        errors: &[ImportError],
        now: Ts,
    ) -> Result<(), Trouble> {
        let mut writer = self.writer().await?;
        let query = match errors {
            [] => sqlx::query(sql::IMPORT_ERROR_FORGET).bind(file),
            errors => sqlx::query(sql::IMPORT_ERROR_PUT)
                .bind(file)
                .bind(serde_json::to_string(errors)?)
                .bind(now.0),
        };
        query.execute(writer.conn()).await?;
        Ok(())
    }

    async fn set_stale(&self, stale: &[DagNo]) -> Result<(), Trouble> {
        let mut writer = self.writer().await?;
        let list = list_of(stale.iter().map(|dag| dag.0));
        sqlx::query(sql::DAGS_MARK_STALE)
            .bind(list)
            .execute(writer.conn())
            .await?;
        Ok(())
    }

    async fn read_run_with_tasks(
        &self,
        run: RunNo,
    ) -> Result<Option<(RunRow, Vec<TaskRow>)>, Trouble> {
        let mut tx = self.readers.begin().await?;
        let row = sqlx::query(sql::RUN_ROW)
            .bind(run.0)
            .fetch_optional(&mut *tx)
            .await?;
        let Some(row) = rows::one(row, rows::run)? else {
            return Ok(None);
        };
        let list = list_of([run.0].into_iter());
        let tasks = sqlx::query(sql::TASKS_OF_RUNS)
            .bind(list)
            .fetch_all(&mut *tx)
            .await?;
        Ok(Some((row, rows::all(&tasks, rows::task)?)))
    }

    /// All of it is one moment: the reads share a transaction.
    async fn read_all(&self) -> Result<Loaded, Trouble> {
        let mut tx = self.readers.begin().await?;
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
        Ok(Loaded {
            dags: rows::all(&dags, rows::dag)?,
            runs: active_runs(&mut tx).await?,
            versions: needed_versions(&mut tx).await?,
            task_names: rows::all(&names, rows::task_name_of_dag)?,
            assets: rows::all(&assets, rows::asset)?,
            waiting_events: rows::all(&waiting, rows::waiting_event)?,
            pools: rows::all(&pools, rows::pool)?,
            backfills: rows::with_runs(
                rows::all(&backfills, rows::backfill)?,
                rows::all(&backfill_runs, rows::backfill_run)?,
            ),
            last_run: counters.take()?,
            last_seq: counters.take()?,
            last_backfill: counters.take()?,
            last_event: counters.take()?,
        })
    }
}

async fn active_runs(conn: &mut SqliteConnection) -> Result<Vec<(RunRow, Vec<TaskRow>)>, Trouble> {
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

async fn needed_versions(conn: &mut SqliteConnection) -> Result<Vec<VersionRecord>, Trouble> {
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

//! What pages, the API and the command line read.

use crate::rows::{self, Cells};
use crate::text::{maybe_stored, stored};
use crate::trouble::Trouble;
use crate::{PostgresStore, forget_broken, session, sql};
use async_trait::async_trait;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Connection, PgConnection, Postgres};
use tidemill_model::{
    BackfillNo, DagNo, EventNo, MapIndex, RunNo, RunState, TaskNo, TaskState, VersionNo,
};
use tidemill_store::*;

type Reading<'q> = Query<'q, Postgres, PgArguments>;

#[async_trait]
impl PageStore for PostgresStore {
    async fn dags(&self) -> Result<Vec<DagRecord>, StoreError> {
        self.list(sqlx::query(sql::DAGS), rows::dag).await
    }

    async fn dag(&self, dag_id: &str) -> Result<Option<DagRecord>, StoreError> {
        self.find(
            sqlx::query(sql::DAG_BY_NAME).bind(stored(dag_id)),
            rows::dag,
        )
        .await
    }

    async fn runs(&self, filter: &RunFilter) -> Result<RunList, StoreError> {
        let filter = filter.clone();
        if filter.is_special() {
            return self
                .with(move |conn| Box::pin(find_runs(conn, filter)))
                .await;
        }
        self.with(move |conn| Box::pin(list_runs(conn, filter)))
            .await
    }

    async fn run(&self, dag_id: &str, run_id: &str) -> Result<Option<RunRecord>, StoreError> {
        self.find(
            sqlx::query(sql::RUN_RECORD_BY_NAME)
                .bind(stored(dag_id))
                .bind(stored(run_id)),
            rows::run_record,
        )
        .await
    }

    async fn run_by_no(&self, run: RunNo) -> Result<Option<RunRecord>, StoreError> {
        self.find(sqlx::query(sql::RUN_RECORD).bind(run.0), rows::run_record)
            .await
    }

    async fn old_runs(&self, which: &OldRuns) -> Result<Vec<LookedAt>, StoreError> {
        self.look_at(which).await
    }

    async fn tasks(&self, runs: &[RunNo]) -> Result<Vec<TaskRow>, StoreError> {
        self.list(
            sqlx::query(sql::TASKS_OF_RUNS).bind(runs.iter().map(|run| run.0).collect::<Vec<_>>()),
            rows::task,
        )
        .await
    }

    async fn task(
        &self,
        run: RunNo,
        task: TaskNo,
        map_index: MapIndex,
    ) -> Result<Option<TaskRow>, StoreError> {
        let query = sqlx::query(sql::TASK).bind(run.0);
        self.find(query.bind(task.0).bind(map_index.0), rows::task)
            .await
    }

    async fn task_page(
        &self,
        run: RunNo,
        states: &[TaskState],
        offset: u32,
        limit: u32,
    ) -> Result<Vec<TaskRow>, StoreError> {
        let names: Vec<&str> = states.iter().map(|state| state.name()).collect();
        let query = sqlx::query(sql::TASK_PAGE)
            .bind(run.0)
            .bind((!names.is_empty()).then_some(names))
            .bind(i64::from(limit))
            .bind(i64::from(offset));
        self.list(query, rows::task).await
    }

    async fn task_counts(&self, run: RunNo) -> Result<Vec<(TaskState, i64)>, StoreError> {
        let query = sqlx::query(sql::TASK_COUNTS).bind(run.0);
        let mut counts = self.list(query, rows::task_count).await?;
        counts.sort_unstable();
        Ok(counts)
    }

    async fn tries(
        &self,
        run: RunNo,
        task: TaskNo,
        map_index: MapIndex,
    ) -> Result<Vec<TryRow>, StoreError> {
        self.list(
            sqlx::query(sql::TRIES)
                .bind(run.0)
                .bind(task.0)
                .bind(map_index.0),
            |columns| rows::task(columns).map(|task| TryRow { task }),
        )
        .await
    }

    async fn run_values(&self, run: RunNo) -> Result<Vec<ValueRow>, StoreError> {
        self.list(sqlx::query(sql::VALUES_OF_RUN).bind(run.0), rows::value)
            .await
    }

    async fn task_notes(&self, run: RunNo) -> Result<Vec<TaskNote>, StoreError> {
        self.list(sqlx::query(sql::TASK_NOTES).bind(run.0), rows::task_note)
            .await
    }

    async fn backfills(&self) -> Result<Vec<BackfillRecord>, StoreError> {
        self.list(sqlx::query(sql::BACKFILLS), rows::backfill_record)
            .await
    }

    async fn backfill_dates(&self, backfill: BackfillNo) -> Result<Vec<BackfillDate>, StoreError> {
        self.list(
            sqlx::query(sql::BACKFILL_DATES).bind(backfill.0),
            rows::backfill_date,
        )
        .await
    }

    async fn assets(&self) -> Result<Vec<AssetRow>, StoreError> {
        self.list(sqlx::query(sql::ASSETS), rows::asset).await
    }

    async fn asset_events(&self, filter: &EventFilter) -> Result<EventList, StoreError> {
        let count = sqlx::query(sql::ASSET_EVENTS_COUNT)
            .bind(filter.asset.map(|asset| asset.0))
            .bind(maybe_stored(&filter.dag_id))
            .bind(maybe_stored(&filter.run_id))
            .bind(maybe_stored(&filter.task_id))
            .bind(filter.part_of.map(|run| run.0));
        let total = self.find(count, |columns| columns.take()).await?;
        let page = sqlx::query(sql::ASSET_EVENTS)
            .bind(filter.asset.map(|asset| asset.0))
            .bind(maybe_stored(&filter.dag_id))
            .bind(maybe_stored(&filter.run_id))
            .bind(maybe_stored(&filter.task_id))
            .bind(filter.part_of.map(|run| run.0))
            .bind(i64::from(filter.limit))
            .bind(i64::from(filter.offset));
        Ok(EventList {
            events: self.list(page, rows::asset_event).await?,
            total: total.unwrap_or(0),
        })
    }

    async fn last_asset_events(&self) -> Result<Vec<AssetEventRow>, StoreError> {
        let query = sqlx::query(sql::ASSET_LAST_EVENTS);
        self.list(query, rows::asset_event).await
    }

    async fn asset_deliveries(&self, events: &[EventNo]) -> Result<Vec<AssetDelivery>, StoreError> {
        let query = sqlx::query(sql::ASSET_DELIVERIES)
            .bind(events.iter().map(|event| event.0).collect::<Vec<i64>>());
        self.list(query, rows::delivery).await
    }

    async fn pools(&self) -> Result<Vec<PoolRecord>, StoreError> {
        self.list(sqlx::query(sql::POOLS), rows::pool).await
    }

    async fn task_names(&self, dag: DagNo) -> Result<Vec<(TaskNo, String)>, StoreError> {
        self.list(sqlx::query(sql::TASK_NAMES).bind(dag.0), rows::task_name)
            .await
    }

    async fn version(&self, version: VersionNo) -> Result<Option<VersionRecord>, StoreError> {
        self.with(move |conn| Box::pin(read_version(conn, version)))
            .await
    }

    async fn versions(&self, dag: DagNo) -> Result<Vec<VersionRecord>, StoreError> {
        self.list(sqlx::query(sql::VERSIONS_OF_DAG).bind(dag.0), rows::version)
            .await
    }

    async fn import_errors(&self) -> Result<Vec<ImportErrors>, StoreError> {
        self.list(sqlx::query(sql::IMPORT_ERRORS), rows::import_errors)
            .await
    }

    async fn installation(&self) -> Result<String, StoreError> {
        let id = self.find(sqlx::query(sql::INSTALLATION), |columns| columns.take());
        id.await?.ok_or_else(|| StoreError::Unreadable {
            what: "the table `installation` is empty; restore it from a backup".to_string(),
        })
    }

    async fn last_change(&self) -> Result<i64, StoreError> {
        let last = self.find(sqlx::query(sql::LAST_CHANGE), |columns| columns.take());
        Ok(last.await?.unwrap_or(0))
    }

    async fn changes_after(&self, seq: i64, limit: u32) -> Result<Vec<Change>, StoreError> {
        self.list(
            sqlx::query(sql::CHANGES_AFTER)
                .bind(seq)
                .bind(i64::from(limit)),
            rows::change,
        )
        .await
    }

    async fn run_counts(&self) -> Result<Vec<(DagNo, RunState, i64)>, StoreError> {
        let mut counts = self
            .list(sqlx::query(sql::RUN_COUNTS), rows::run_count)
            .await?;
        counts.sort_unstable();
        Ok(counts)
    }
}

impl PostgresStore {
    /// All records that a query finds.
    pub(crate) async fn list<T>(
        &self,
        query: Reading<'_>,
        read: rows::Read<T>,
    ) -> Result<Vec<T>, StoreError> {
        let listed = async { rows::all(&self.fetch(query).await?, read) };
        listed.await.map_err(|trouble| self.say(trouble))
    }

    /// The one record that a query finds, if it does.
    pub(crate) async fn find<T>(
        &self,
        query: Reading<'_>,
        read: rows::Read<T>,
    ) -> Result<Option<T>, StoreError> {
        let found = async { rows::one(self.fetch(query).await?.into_iter().next(), read) };
        found.await.map_err(|trouble| self.say(trouble))
    }
}

impl PostgresStore {
    async fn fetch(&self, query: Reading<'_>) -> Result<Vec<PgRow>, Trouble> {
        self.fetch_by(self.conn().await?, query).await
    }

    /// The same by this connection.
    pub(crate) async fn fetch_by(
        &self,
        mut conn: PoolConnection<Postgres>,
        query: Reading<'_>,
    ) -> Result<Vec<PgRow>, Trouble> {
        let found = match self.address.is_pooled {
            false => session::within(query.fetch_all(&mut *conn)).await,
            true => session::within(session::fetch_pooled(&mut conn, query)).await,
        };
        forget_broken(conn, &found);
        found
    }
}

/// The page and the total are of one moment. Runs of one DAG have a text of their own, for they
/// have an index of their own.
async fn list_runs(conn: &mut PgConnection, filter: RunFilter) -> Result<RunList, Trouble> {
    let mut tx = conn.begin_with(sql::BEGIN_READING).await?;
    let (page, total) = match &filter.dag_id {
        Some(dag_id) => {
            let row = sqlx::query(sql::DAG_BY_NAME)
                .bind(stored(dag_id))
                .fetch_optional(&mut *tx)
                .await?;
            let Some(dag) = rows::one(row, rows::dag)? else {
                return Ok(RunList {
                    runs: Vec::new(),
                    total: 0,
                });
            };
            (
                sqlx::query(sql::RUNS_OF_DAG).bind(dag.dag.0),
                sqlx::query(sql::RUNS_OF_DAG_COUNT).bind(dag.dag.0),
            )
        }
        None => (
            sqlx::query(sql::RUNS_OF_ALL),
            sqlx::query(sql::RUNS_OF_ALL_COUNT),
        ),
    };
    let states: Vec<&str> = filter.states.iter().map(|state| state.name()).collect();
    let states = (!states.is_empty()).then_some(states);
    let run_type = filter.run_type.map(|run_type| run_type.name());
    let before = filter.before.map(|before| before.0);
    let page = page
        .bind(states.clone())
        .bind(run_type)
        .bind(before)
        .bind(i64::from(filter.limit))
        .bind(i64::from(filter.offset));
    let page = page.fetch_all(&mut *tx).await?;
    let total = total
        .bind(states)
        .bind(run_type)
        .bind(before)
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(RunList {
        runs: rows::all(&page, rows::run_record)?,
        total: Cells::of(&total).take()?,
    })
}

/// Runs by dates or in another order: one text that looks at all runs.
async fn find_runs(conn: &mut PgConnection, filter: RunFilter) -> Result<RunList, Trouble> {
    let mut tx = conn.begin_with(sql::BEGIN_READING).await?;
    let mut dag = None;
    if let Some(dag_id) = &filter.dag_id {
        let query = sqlx::query(sql::DAG_BY_NAME).bind(stored(dag_id));
        let row = query.fetch_optional(&mut *tx).await?;
        let Some(found) = rows::one(row, rows::dag)? else {
            return Ok(RunList {
                runs: Vec::new(),
                total: 0,
            });
        };
        dag = Some(found.dag.0);
    }
    let states: Vec<&str> = filter.states.iter().map(|state| state.name()).collect();
    let states = (!states.is_empty()).then_some(states);
    let ranges = [
        filter.logical_date,
        filter.run_after,
        filter.start_date,
        filter.end_date,
    ];
    let bind_all = |query: Reading<'static>| {
        let query = query.bind(dag).bind(states.clone());
        let query = query.bind(filter.run_type.map(|run_type| run_type.name()));
        let query = query.bind(filter.before.map(|before| before.0));
        ranges.iter().fold(query, |query, (from, until)| {
            query.bind(from.map(|at| at.0)).bind(until.map(|at| at.0))
        })
    };
    let ordered = |descending: bool| {
        let order = filter.order.filter(|order| order.descending == descending);
        order.map(|order| order.by.name())
    };
    let page = bind_all(sqlx::query(sql::RUNS_FOUND))
        .bind(ordered(false))
        .bind(ordered(true))
        .bind(i64::from(filter.limit))
        .bind(i64::from(filter.offset));
    let page = page.fetch_all(&mut *tx).await?;
    let total = bind_all(sqlx::query(sql::RUNS_FOUND_COUNT));
    let total = total.fetch_one(&mut *tx).await?;
    tx.commit().await?;
    Ok(RunList {
        runs: rows::all(&page, rows::run_record)?,
        total: Cells::of(&total).take()?,
    })
}

async fn read_version(
    conn: &mut PgConnection,
    version: VersionNo,
) -> Result<Option<VersionRecord>, Trouble> {
    let mut tx = conn.begin_with(sql::BEGIN_READING).await?;
    let row = sqlx::query(sql::VERSION)
        .bind(version.0)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(mut record) = rows::one(row, rows::version)? else {
        return Ok(None);
    };
    let files = sqlx::query(sql::VERSION_FILES)
        .bind(version.0)
        .fetch_all(&mut *tx)
        .await?;
    tx.commit().await?;
    record.files = rows::all(&files, rows::version_file)?
        .into_iter()
        .map(|(_, file)| file)
        .collect();
    Ok(Some(record))
}

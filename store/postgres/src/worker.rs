//! Workers in processes of their own: both sides of what they and the scheduler tell each other.

use crate::arrays::{bind_attempts, column};
use crate::lease::TERM_LEASE;
use crate::rows::{self, Columns, Unreadable};
use crate::text::stored;
use crate::trouble::Trouble;
use crate::{PostgresStore, SHARD, sql};
use async_trait::async_trait;
use sqlx::postgres::PgRow;
use std::time::Duration;
use tidemill_model::attempt::Verdict;
use tidemill_model::{
    Attempt, DagNo, Epoch, MapIndex, Outcome, Reason, RunNo, TaskNo, TaskState, Ts, VersionNo,
};
use tidemill_store::*;

fn attempt(columns: &mut dyn Columns) -> Result<Attempt, Unreadable> {
    Ok(Attempt {
        run: RunNo(columns.take()?),
        task_no: TaskNo(columns.take()?),
        map_index: MapIndex(columns.take()?),
        epoch: Epoch(columns.take()?),
    })
}

pub(crate) fn attempt_and_number(columns: &mut dyn Columns) -> Result<(Attempt, i64), Unreadable> {
    Ok((attempt(columns)?, columns.take()?))
}

fn claim(columns: &mut dyn Columns) -> Result<Claim, Unreadable> {
    Ok(Claim {
        attempt: attempt(columns)?,
        version: VersionNo(columns.take()?),
        try_number: columns.take()?,
        sealed: columns.maybe()?,
        is_whole: columns.take()?,
        dag_id: columns.take()?,
        run: rows::run(columns)?,
        map_item: columns.maybe_json()?,
    })
}

fn killed(columns: &mut dyn Columns) -> Result<(Attempt, Reason), Unreadable> {
    let attempt = attempt(columns)?;
    let reason = columns.own_text()?.and_then(Reason::from_name);
    // A reason that only a newer scheduler knows still ends the attempt.
    Ok((attempt, reason.unwrap_or(Reason::Cancelled)))
}

fn record(columns: &mut dyn Columns) -> Result<WorkerRecord, Unreadable> {
    let number = |number: i64| u32::try_from(number).unwrap_or(0);
    let (worker, host, pid) = (columns.take()?, columns.take()?, number(columns.take()?));
    let slots: i32 = columns.take()?;
    let queues: String = columns.take()?;
    let (url, token) = (columns.maybe()?, columns.maybe()?);
    Ok(WorkerRecord {
        worker,
        host,
        pid,
        slots: number(i64::from(slots)),
        queues: queues.split(',').map(str::to_string).collect(),
        logs: url.zip(token).map(|(url, token)| LogDoor { url, token }),
        is_draining: columns.take()?,
        started_at: Ts(columns.take()?),
        seen_at: Ts(columns.take()?),
    })
}

/// What one row of the arrivals says.
enum Arrival {
    /// The oldest transaction that was under way.
    Oldest(Option<u64>),
    Withdrawn(Attempt),
    Claimed(Attempt, i64),
    Ended(WorkerReport),
}

fn arrival(columns: &mut dyn Columns) -> Result<Arrival, Unreadable> {
    let kind: i32 = columns.take()?;
    let (attempt, worker) = attempt_and_number(columns)?;
    let outcome = columns.own_text()?;
    Ok(match (kind, outcome) {
        (0, oldest) => Arrival::Oldest(oldest.and_then(|text| text.parse().ok())),
        (1, _) => Arrival::Withdrawn(attempt),
        (3, Some(outcome)) => Arrival::Ended(WorkerReport {
            attempt,
            worker,
            outcome: readable(attempt, outcome),
        }),
        _ => Arrival::Claimed(attempt, worker),
    })
}

/// How an attempt ended. A report that cannot be read says only that it is over: it must hold up
/// neither the others nor its own attempt's slot.
fn readable(attempt: Attempt, text: &str) -> Outcome {
    serde_json::from_str(text).unwrap_or_else(|err| {
        tracing::error!(%attempt, %err, "A worker's report cannot be read; its attempt counts as lost");
        let what = "its worker's report cannot be read";
        Outcome::without_process(Verdict::Lost, Reason::Lost, what)
    })
}

/// What the rows of the arrivals say, and the oldest transaction that was under way then.
pub(crate) fn arrivals(found: &[PgRow]) -> Result<(Arrivals, Option<u64>), Trouble> {
    let mut arrivals = Arrivals::default();
    let mut oldest = None;
    for arrival in rows::all(found, arrival)? {
        match arrival {
            Arrival::Oldest(found) => oldest = found,
            Arrival::Withdrawn(attempt) => arrivals.withdrawn.push(attempt),
            Arrival::Claimed(attempt, worker) => arrivals.claims.push((attempt, worker)),
            Arrival::Ended(report) => arrivals.reports.push(report),
        }
    }
    Ok((arrivals, oldest))
}

#[async_trait]
impl DispatchStore for PostgresStore {
    async fn arrivals(&self, limit: u32) -> Result<Arrivals, StoreError> {
        let mut writer = self.writer.lock().await;
        let arrivals = writer.arrivals(self, limit).await;
        arrivals.map_err(|trouble| self.say(trouble))
    }

    async fn dispatched(&self) -> Result<Vec<(Attempt, i64)>, StoreError> {
        self.list(sqlx::query(sql::DISPATCHED), attempt_and_number)
            .await
    }

    async fn expire_workers(&self) -> Result<Vec<i64>, StoreError> {
        self.list(sqlx::query(sql::WORKERS_EXPIRE), |columns| columns.take())
            .await
    }

    async fn workers(&self) -> Result<Vec<WorkerRecord>, StoreError> {
        self.list(sqlx::query(sql::WORKERS), record).await
    }

    async fn set_draining(&self, worker: i64, is_draining: bool) -> Result<bool, StoreError> {
        let query = sqlx::query(sql::WORKER_DRAIN)
            .bind(worker)
            .bind(is_draining);
        let drained = self.with(move |conn| {
            Box::pin(async move { Ok(query.execute(conn).await?.rows_affected()) })
        });
        Ok(drained.await? > 0)
    }

    async fn heartbeat(&self) -> Result<Option<Ts>, StoreError> {
        let query = sqlx::query(sql::TERM_LEASE_HEARTBEAT)
            .bind(SHARD)
            .bind(TERM_LEASE.as_secs_f64());
        self.find(query, |columns| columns.take()).await
    }
}

#[async_trait]
impl WorkerStore for PostgresStore {
    async fn enter(&self, worker: &NewWorker) -> Result<i64, StoreError> {
        let query = sqlx::query(sql::WORKER_ENTER)
            .bind(stored(&worker.host))
            .bind(i64::from(worker.pid))
            .bind(i32::try_from(worker.slots).unwrap_or(i32::MAX))
            .bind(column(&worker.queues, |queue| stored(queue).into_owned()))
            .bind(worker.logs.as_ref().map(|logs| logs.url.as_str()))
            .bind(worker.logs.as_ref().map(|logs| logs.token.as_str()))
            .bind(worker.lease.as_secs_f64());
        let entered = self.find(query, |columns| columns.take()).await?;
        entered.ok_or_else(|| self.say(Trouble::Unreadable("no worker was made".to_string())))
    }

    async fn renew(&self, worker: i64) -> Result<Renewal, StoreError> {
        let query = sqlx::query(sql::WORKER_RENEW).bind(worker);
        let renewed: Option<bool> = self.find(query, |columns| columns.take()).await?;
        Ok(Renewal {
            is_alive: renewed.is_some(),
            is_draining: renewed.unwrap_or(false),
        })
    }

    async fn kills(&self, worker: i64) -> Result<Vec<(Attempt, Reason)>, StoreError> {
        self.list(sqlx::query(sql::WORKER_KILLS).bind(worker), killed)
            .await
    }

    async fn claim(&self, worker: i64, limit: u32) -> Result<Vec<Claim>, StoreError> {
        let query = sqlx::query(sql::WORKER_CLAIM)
            .bind(worker)
            .bind(i64::from(limit))
            .bind(SHARD);
        self.list(query, claim).await
    }

    async fn held(&self, worker: i64) -> Result<Vec<Claim>, StoreError> {
        self.list(sqlx::query(sql::WORKER_HELD).bind(worker), claim)
            .await
    }

    async fn report(&self, reports: &[WorkerReport]) -> Result<(), StoreError> {
        let attempts = column(reports, |report| report.attempt);
        let outcomes: Result<Vec<String>, _> = reports
            .iter()
            .map(|report| serde_json::to_string(&report.outcome))
            .collect();
        let outcomes = outcomes.map_err(|err| self.say(err.into()))?;
        let query = bind_attempts(sqlx::query(sql::WORKER_REPORT), &attempts)
            .bind(column(reports, |report| report.worker))
            .bind(outcomes);
        self.list(query, |_| Ok(())).await?;
        Ok(())
    }

    async fn definition(&self, version: VersionNo) -> Result<Option<VersionRecord>, StoreError> {
        // A version never changes, so its two parts need not be read at one moment.
        let query = sqlx::query(sql::VERSION).bind(version.0);
        let Some(mut record) = self.find(query, rows::version).await? else {
            return Ok(None);
        };
        let query = sqlx::query(sql::VERSION_FILES).bind(version.0);
        let files = self.list(query, rows::version_file).await?;
        record.files = files.into_iter().map(|(_, file)| file).collect();
        Ok(Some(record))
    }

    async fn task_states(
        &self,
        run: RunNo,
        tasks: &[TaskNo],
    ) -> Result<Vec<(TaskNo, TaskState)>, StoreError> {
        let tasks = column(tasks, |task| task.0);
        let query = sqlx::query(sql::TASK_STATES).bind(run.0).bind(tasks);
        self.list(query, rows::task_state).await
    }

    async fn task_numbers(&self, dag: DagNo) -> Result<Vec<(TaskNo, String)>, StoreError> {
        PageStore::task_names(self, dag).await
    }

    async fn leave(&self, worker: i64) -> Result<(), StoreError> {
        let query = sqlx::query(sql::WORKER_LEAVE).bind(worker);
        self.list(query, |_| Ok(())).await?;
        Ok(())
    }
}

/// What a bell is rung for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rings {
    /// Attempts to claim or to end: for workers.
    Work,
    /// Claims and reports: for the scheduler.
    Arrivals,
    /// What is asked of other processes: for the scheduler.
    Wishes,
}

/// A connection that hears what others say in the database. A word that is lost costs time and
/// nothing else: whoever waits here also looks by itself now and then.
pub struct Listener {
    store: std::sync::Arc<PostgresStore>,
    rings: Rings,
    ear: Option<sqlx::postgres::PgListener>,
}

impl Listener {
    /// Hears of one thing.
    pub fn new(store: std::sync::Arc<PostgresStore>, rings: Rings) -> Listener {
        Listener {
            store,
            rings,
            ear: None,
        }
    }

    /// Returns when the bell is rung, or after `floor`. A connection that breaks is made anew.
    pub async fn wait(&mut self, floor: Duration) {
        let heard = tokio::time::timeout(floor, self.hear()).await;
        if let Ok(Err(trouble)) = heard {
            tracing::debug!(error = %trouble, "The database cannot be listened to; it is asked instead");
            self.ear = None;
            tokio::time::sleep(floor).await;
        }
    }

    async fn hear(&mut self) -> Result<(), Trouble> {
        if self.ear.is_none() {
            let mut ear = sqlx::postgres::PgListener::connect_with(&self.store.pool).await?;
            ear.listen(match self.rings {
                Rings::Work => "tidemill_work",
                Rings::Arrivals => "tidemill_arrivals",
                Rings::Wishes => "tidemill_wishes",
            })
            .await?;
            self.ear = Some(ear);
            return Ok(()); // something may have been said before
        }
        if let Some(ear) = &mut self.ear {
            ear.recv().await?;
            // Words that are there already are one with this one.
            while tokio::time::timeout(Duration::ZERO, ear.recv())
                .await
                .is_ok_and(|word| word.is_ok())
            {}
        }
        Ok(())
    }
}

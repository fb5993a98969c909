//! SQLite.

use super::config::Mode;
use super::load::Plan;
use super::rows::{Row, Rows};
use super::statement::Statement;
use super::target::{Target, trouble};
use crate::operator::Failure;
use futures_util::TryStreamExt;
use serde_json::{Map, Value};
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Column, Connection, Either, Executor, Row as _, TypeInfo, ValueRef};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Rows of one insert.
const ROWS_MAX: usize = 500;
/// Values of one insert; SQLite takes 32,766.
const VALUES_MAX: usize = 32_000;
/// Steps of SQLite between two looks at whether it should stop.
const STEPS: i32 = 10_000;

pub(super) struct Sqlite {
    connection: SqliteConnection,
    timeout: Duration,
    /// Set when the work is dropped: the thread of the connection is to stop.
    stop: Arc<AtomicBool>,
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, SqliteArguments>;

impl Sqlite {
    pub(super) async fn open(options: &SqliteConnectOptions) -> Result<Sqlite, Failure> {
        let opened = SqliteConnection::connect_with(options).await;
        let mut connection = opened.map_err(|err| trouble(&err))?;
        let stop = Arc::new(AtomicBool::new(false));
        let for_thread = Arc::clone(&stop);
        let mut handle = connection
            .lock_handle()
            .await
            .map_err(|err| trouble(&err))?;
        handle.set_progress_handler(STEPS, move || !for_thread.load(Ordering::Acquire));
        drop(handle);
        Ok(Sqlite {
            connection,
            timeout: Duration::MAX,
            stop,
        })
    }

    async fn execute(&mut self, sql: String, values: Vec<Value>) -> Result<u64, Failure> {
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for value in values {
            query = bound(query, value);
        }
        let done = tokio::time::timeout(self.timeout, query.execute(&mut self.connection));
        let done = done.await.map_err(|_| too_late(self.timeout))?;
        Ok(done.map_err(|err| trouble(&err))?.rows_affected())
    }

    async fn insert(&mut self, plan: &Plan, rows: Vec<Vec<Value>>) -> Result<(), Failure> {
        let one = format!("({})", vec!["?"; plan.columns.len()].join(","));
        let all = vec![one; rows.len()].join(",");
        let conflict = match plan.mode {
            Mode::Upsert => plan.on_conflict(),
            Mode::Append | Mode::Replace => String::new(),
        };
        let (table, columns) = (&plan.table, plan.column_list());
        let sql = format!("insert into {table} ({columns}) values {all} {conflict}");
        self.execute(sql, rows.into_iter().flatten().collect())
            .await?;
        Ok(())
    }
}

fn too_late(timeout: Duration) -> Failure {
    Failure::refused(format!(
        "a statement took longer than `timeout`, {} s",
        timeout.as_secs_f64()
    ))
}

fn bound(query: Query<'_>, value: Value) -> Query<'_> {
    match value {
        Value::Null => query.bind(None::<String>),
        Value::Bool(one) => query.bind(one),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => query.bind(whole),
            None => query.bind(number.as_f64()),
        },
        Value::String(text) => query.bind(text),
        other => query.bind(other.to_string()),
    }
}

/// A row by what SQLite keeps in each of its values.
fn row_of(row: &SqliteRow) -> Result<Row, sqlx::Error> {
    let mut values = Map::new();
    for (at, column) in row.columns().iter().enumerate() {
        let raw = row.try_get_raw(at)?;
        let kind = raw.type_info().name().to_string();
        let value = match kind.as_str() {
            _ if raw.is_null() => Value::Null,
            "INTEGER" | "BOOLEAN" => Value::from(row.try_get_unchecked::<i64, _>(at)?),
            "REAL" => Value::from(row.try_get_unchecked::<f64, _>(at)?),
            "BLOB" => {
                let bytes: Vec<u8> = row.try_get_unchecked(at)?;
                Value::from(
                    bytes
                        .iter()
                        .map(|byte| format!("{byte:02x}"))
                        .collect::<String>(),
                )
            }
            _ => Value::from(row.try_get_unchecked::<String, _>(at)?),
        };
        values.insert(column.name().to_string(), value);
    }
    Ok(values)
}

impl Target for Sqlite {
    async fn prepare_once(&mut self) -> Result<(), Failure> {
        let sql = "create table if not exists tidemill_once (
            id text primary key, output text, at text not null default current_timestamp)";
        self.execute(sql.to_string(), Vec::new()).await.map(|_| ())
    }

    async fn begin(&mut self, timeout: Duration) -> Result<(), Failure> {
        self.timeout = timeout;
        self.execute("begin immediate".to_string(), Vec::new())
            .await
            .map(|_| ())
    }

    async fn mark(&mut self, id: &str) -> Result<Option<String>, Failure> {
        let sql = "insert into tidemill_once (id) values (?) on conflict do nothing";
        let marked = self.execute(sql.to_string(), vec![Value::from(id)]).await?;
        if marked == 1 {
            return Ok(None);
        }
        let found = sqlx::query("select coalesce(output, 'null') from tidemill_once where id = ?")
            .bind(id)
            .fetch_one(&mut self.connection);
        found
            .await
            .and_then(|row| row.try_get(0))
            .map(Some)
            .map_err(|err| trouble(&err))
    }

    async fn remember(&mut self, id: &str, output: &str) -> Result<(), Failure> {
        let sql = "update tidemill_once set output = ? where id = ?";
        let values = vec![Value::from(output), Value::from(id)];
        self.execute(sql.to_string(), values).await.map(|_| ())
    }

    async fn run(
        &mut self,
        statement: &Statement,
        values: &[Value],
        rows: &mut Rows,
    ) -> Result<u64, Failure> {
        let sql = statement.text(|_| "?".to_string());
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        for value in values {
            query = bound(query, value.clone());
        }
        let timeout = self.timeout;
        let work = async {
            let mut count = 0;
            let mut answers = self.connection.fetch_many(query);
            while let Some(answer) = answers.try_next().await.map_err(|err| trouble(&err))? {
                match answer {
                    Either::Left(done) => count += done.rows_affected(),
                    Either::Right(row) => {
                        rows.take(row_of(&row).map_err(|err| trouble(&err))?)
                            .await?
                    }
                }
            }
            Ok(count)
        };
        tokio::time::timeout(timeout, work)
            .await
            .unwrap_or_else(|_| Err(too_late(timeout)))
    }

    async fn load(&mut self, plan: &Plan) -> Result<u64, Failure> {
        if plan.mode == Mode::Replace {
            self.execute(format!("delete from {}", plan.table), Vec::new())
                .await?;
        }
        let n_at_once = (VALUES_MAX / plan.columns.len().max(1)).clamp(1, ROWS_MAX);
        let mut batch = Vec::with_capacity(n_at_once);
        let mut n_rows = 0;
        for row in plan.rows()? {
            batch.push(row?);
            n_rows += 1;
            if batch.len() == n_at_once {
                self.insert(plan, std::mem::take(&mut batch)).await?;
            }
        }
        if !batch.is_empty() {
            self.insert(plan, batch).await?;
        }
        Ok(n_rows)
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        self.execute("commit".to_string(), Vec::new())
            .await
            .map(|_| ())
    }
}

//! PostgreSQL.

use super::config::{Format, Mode};
use super::load::Plan;
use super::rows::{Rows, csv_line};
use super::statement::Statement;
use super::target::{Target, trouble};
use crate::operator::Failure;
use futures_util::TryStreamExt;
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{
    AssertSqlSafe, Column, Connection, Either, Executor, Row, SqlSafeStr, Statement as _, TypeInfo,
};
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// How much is sent at a time.
const CHUNK: usize = 256 * 1024;
/// A server that does not answer by then is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Held while the table of `once` is made, so that two who make it do not collide.
const ONCE_LOCK: i64 = 0x7469_6465_6f6e_6365;

pub(super) struct Postgres(PgConnection);

impl Postgres {
    pub(super) async fn open(options: &PgConnectOptions) -> Result<Postgres, Failure> {
        // A server that notices that nobody listens any more ends the statement.
        let options = options
            .clone()
            .options([("client_connection_check_interval", "1s")]);
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options));
        let late = || Failure::refused("the database does not answer");
        let connection = opened.await.map_err(|_| late())?;
        Ok(Postgres(connection.map_err(|err| trouble(&err))?))
    }

    async fn execute(&mut self, sql: String) -> Result<u64, Failure> {
        let done = self.0.execute(AssertSqlSafe(sql)).await;
        Ok(done.map_err(|err| trouble(&err))?.rows_affected())
    }

    async fn copy(&mut self, plan: &Plan, into: &str) -> Result<u64, Failure> {
        let header = matches!(plan.format, Format::Csv);
        let sql = format!(
            "copy {into} ({}) from stdin with (format csv, header {header})",
            plan.column_list()
        );
        let mut copy = self
            .0
            .copy_in_raw(&sql)
            .await
            .map_err(|err| trouble(&err))?;
        let sent = match plan.format {
            Format::Csv => send_file(&mut copy, plan).await,
            Format::Ndjson => send_rows(&mut copy, plan).await,
        };
        match sent {
            Ok(()) => copy.finish().await.map_err(|err| trouble(&err)),
            Err(failure) => {
                let _ = copy.abort("the file cannot be read").await; // the transaction is over anyway
                Err(failure)
            }
        }
    }
}

type CopyIn<'c> = sqlx::postgres::PgCopyIn<&'c mut PgConnection>;

async fn send_file(copy: &mut CopyIn<'_>, plan: &Plan) -> Result<(), Failure> {
    let unreadable = |err: std::io::Error| {
        Failure::could_not_start(format!("load: cannot read {}: {err}", plan.path.display()))
    };
    let mut file = tokio::fs::File::open(&plan.path)
        .await
        .map_err(unreadable)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let n = file.read(&mut buffer).await.map_err(unreadable)?;
        if n == 0 {
            return Ok(());
        }
        copy.send(&buffer[..n]).await.map_err(|err| trouble(&err))?;
    }
}

async fn send_rows(copy: &mut CopyIn<'_>, plan: &Plan) -> Result<(), Failure> {
    let mut buffer = Vec::with_capacity(CHUNK + CHUNK / 4);
    for row in plan.rows()? {
        csv_line(&mut buffer, row?.into_iter());
        if buffer.len() >= CHUNK {
            copy.send(&*buffer).await.map_err(|err| trouble(&err))?;
            buffer.clear();
        }
    }
    copy.send(&*buffer).await.map_err(|err| trouble(&err))?;
    Ok(())
}

impl Target for Postgres {
    async fn prepare_once(&mut self) -> Result<(), Failure> {
        let asked =
            sqlx::query("select to_regclass('tidemill_once') is not null").fetch_one(&mut self.0);
        let is_there: bool = asked
            .await
            .and_then(|row| row.try_get(0))
            .map_err(|err| trouble(&err))?;
        if is_there {
            return Ok(());
        }
        self.execute(format!(
            "begin; select pg_advisory_xact_lock({ONCE_LOCK});
             create table if not exists tidemill_once (
                 id text primary key, output text, at timestamptz not null default now());
             commit"
        ))
        .await
        .map(|_| ())
    }

    async fn begin(&mut self, timeout: Duration) -> Result<(), Failure> {
        let millis = timeout.as_millis().clamp(1, i32::MAX as u128);
        let sql = format!("begin; set local statement_timeout = {millis}");
        self.execute(sql).await.map(|_| ())
    }

    async fn mark(&mut self, id: &str) -> Result<Option<String>, Failure> {
        // Whoever comes second waits here for the end of the first one's transaction.
        let marked =
            sqlx::query("insert into tidemill_once (id) values ($1) on conflict do nothing")
                .bind(id)
                .execute(&mut self.0)
                .await
                .map_err(|err| trouble(&err))?;
        if marked.rows_affected() == 1 {
            return Ok(None);
        }
        let found = sqlx::query("select coalesce(output, 'null') from tidemill_once where id = $1")
            .bind(id)
            .fetch_one(&mut self.0);
        found
            .await
            .and_then(|row| row.try_get(0))
            .map(Some)
            .map_err(|err| trouble(&err))
    }

    async fn remember(&mut self, id: &str, output: &str) -> Result<(), Failure> {
        let kept = sqlx::query("update tidemill_once set output = $2 where id = $1")
            .bind(id)
            .bind(output)
            .execute(&mut self.0);
        kept.await.map(|_| ()).map_err(|err| trouble(&err))
    }

    /// The server says which type each parameter has; each is sent as a text and cast to it. Rows
    /// come as JSON, which the server makes, so that every type has its usual text.
    async fn run(
        &mut self,
        statement: &Statement,
        values: &[Value],
        rows: &mut Rows,
    ) -> Result<u64, Failure> {
        let plain = statement.text(|at| format!("${}", at + 1));
        let asked = self.0.prepare(AssertSqlSafe(plain).into_sql_str());
        let described = asked.await.map_err(|err| trouble(&err))?;
        let types: Vec<String> = match described.parameters() {
            Some(Either::Left(types)) => types.iter().map(|one| one.name().to_string()).collect(),
            Some(Either::Right(_)) | None => Vec::new(),
        };
        let has_rows = !described.columns().is_empty();
        let twice = described.columns().iter().enumerate().find(|(at, column)| {
            described.columns()[..*at]
                .iter()
                .any(|one| one.name() == column.name())
        });
        if let Some((_, column)) = twice {
            let message = format!(
                "two columns are called `{}`: name one of them with `as`",
                column.name()
            );
            return Err(Failure::bad_output(message).for_good());
        }
        let cast = statement.text(|at| match types.get(at) {
            Some(name) => format!("(${}::text)::{}", at + 1, name.to_lowercase()),
            None => format!("${}", at + 1),
        });
        let sql = match has_rows {
            true if is_query(&cast) => format!("select row_to_json(t)::text from (\n{cast}\n) t"),
            true => format!("with t as (\n{cast}\n) select row_to_json(t)::text from t"),
            false => cast,
        };
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        for (at, value) in values.iter().enumerate() {
            let is_json = types.get(at).is_some_and(|name| name.starts_with("JSON"));
            query = query.bind(text_of(value, is_json));
        }
        let mut count = 0;
        let mut answers = self.0.fetch_many(query);
        while let Some(answer) = answers.try_next().await.map_err(|err| trouble(&err))? {
            match answer {
                Either::Left(done) => count += done.rows_affected(),
                Either::Right(row) => {
                    let text: String = row.try_get(0).map_err(|err| trouble(&err))?;
                    let row = serde_json::from_str(&text)
                        .map_err(|err| Failure::bad_output(format!("a row is not JSON: {err}")))?;
                    rows.take(row).await?;
                }
            }
        }
        Ok(count)
    }

    async fn load(&mut self, plan: &Plan) -> Result<u64, Failure> {
        if plan.columns.is_empty() {
            if plan.mode == Mode::Replace {
                self.execute(format!("delete from {}", plan.table)).await?;
            }
            return Ok(0);
        }
        match plan.mode {
            Mode::Append => self.copy(plan, &plan.table).await,
            Mode::Replace => {
                self.execute(format!("delete from {}", plan.table)).await?;
                self.copy(plan, &plan.table).await
            }
            Mode::Upsert => {
                let (columns, key) = (plan.column_list(), plan.key_list());
                self.execute(format!(
                    "create temporary table tidemill_load on commit drop as select {columns} from {} with no data",
                    plan.table
                ))
                .await?;
                let n_rows = self.copy(plan, "tidemill_load").await?;
                // Of rows with the same key in the file the last one counts.
                self.execute(format!(
                    "insert into {} ({columns})
                     select distinct on ({key}) {columns} from tidemill_load order by {key}, ctid desc
                     {}",
                    plan.table,
                    plan.on_conflict()
                ))
                .await?;
                Ok(n_rows)
            }
        }
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        self.execute("commit".to_string()).await.map(|_| ())
    }
}

/// May a statement stand in `from ( … )`?
fn is_query(sql: &str) -> bool {
    let first = sql.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
    let word: String = first
        .chars()
        .take_while(char::is_ascii_alphabetic)
        .collect();
    matches!(
        word.to_ascii_lowercase().as_str(),
        "select" | "values" | "table" | "with"
    )
}

/// A value as PostgreSQL reads it from a text.
fn text_of(value: &Value, is_json: bool) -> Option<String> {
    match value {
        Value::Null => None,
        _ if is_json => Some(value.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(item_of).collect();
            Some(format!("{{{}}}", items.join(",")))
        }
        other => Some(other.to_string()),
    }
}

fn item_of(item: &Value) -> String {
    match text_of(item, false) {
        None => "NULL".to_string(),
        Some(text) if item.is_array() => text,
        Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

//! One pass of the engine: the hot path, and what is done when its answer is lost.

use crate::arrays::Rows;
use crate::asset_arrays::AssetRows;
use crate::marks::Marks;
use crate::rows::{self, Cells};
use crate::session::{self, Role};
use crate::text;
use crate::trouble::Trouble;
use crate::{PostgresStore, SHARD, sql};
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres};
use tidemill_model::Attempt;
use tidemill_store::{Arrivals, Change, Pass, RunRow};

/// The scheduler's own connection.
#[derive(Default)]
pub(crate) struct Writer {
    conn: Option<PgConnection>,
    /// The session of that connection, as the server calls it.
    backend: Option<Backend>,
    /// A pass that may have been committed, though nobody has said so.
    in_doubt: Option<Doubt>,
    /// Where the queues stand, in this term.
    marks: Option<(Option<i64>, Marks)>,
}

/// A write whose answer is lost: what it would have left, and the session that was asked.
#[derive(Clone)]
struct Doubt {
    mark: Mark,
    backend: Option<Backend>,
}

/// A session of the server: its process and when that began.
#[derive(Clone)]
struct Backend(i32, String);

/// What tells that a pass has happened: it is unique, and only that pass writes it.
#[derive(Clone, PartialEq)]
enum Mark {
    Change(Box<Change>),
    NewRun(Box<RunRow>),
    /// The pass makes nothing new. Its rows are whole, so that twice is the same as once.
    Nothing,
}

impl Mark {
    fn of(pass: &Pass) -> Mark {
        match (pass.changes.first(), pass.new_runs.first()) {
            (Some(change), _) => Mark::Change(Box::new(change.clone())),
            (None, Some(run)) => Mark::NewRun(Box::new(run.clone())),
            (None, None) => Mark::Nothing,
        }
    }

    async fn is_there(&self, conn: &mut PgConnection) -> Result<bool, Trouble> {
        match self {
            Mark::Change(change) => {
                let query = sqlx::query(sql::CHANGE).bind(change.seq);
                let found = rows::one(query.fetch_optional(conn).await?, rows::change)?;
                Ok(found.as_ref() == Some(change))
            }
            Mark::NewRun(run) => {
                let query = sqlx::query(sql::RUN_ROW).bind(run.run.0);
                let found = rows::one(query.fetch_optional(conn).await?, rows::run)?;
                Ok(found.is_some_and(|found| found.dag == run.dag && found.run_id == run.run_id))
            }
            Mark::Nothing => Ok(false),
        }
    }
}

impl Writer {
    /// Where its next scans begin.
    #[cfg(test)]
    pub(crate) fn marks_for_test(&mut self) -> (i64, u64) {
        let marks = self.marks.as_mut().map(|known| &mut known.1);
        marks.map_or((0, 0), |marks| (marks.dispatch(), marks.reports()))
    }

    /// Writes a pass, or finds that it has been written.
    ///
    /// A lost answer is not guessed at: the session that was asked is ended, so that nothing of it
    /// can come later, and then the pass's own mark is looked for. A pass that has not happened is
    /// written again, once; after that the caller is told that the server is away, and may ask
    /// with the same pass again.
    pub(crate) async fn commit(
        &mut self,
        store: &PostgresStore,
        pass: &Pass,
    ) -> Result<(), Trouble> {
        if self.settle(store, pass).await? {
            self.is_there(pass);
            return Ok(());
        }
        match self.write(store, pass).await {
            Err(trouble) if trouble.leaves_doubt() => {
                self.doubt(pass);
                tracing::warn!(error = %trouble, "The answer to a commit is lost; it is looked for");
                if self.settle(store, pass).await? {
                    self.is_there(pass);
                    return Ok(());
                }
                let written = self.write(store, pass).await;
                if written.as_ref().is_err_and(Trouble::leaves_doubt) {
                    self.doubt(pass);
                }
                written
            }
            certain => certain,
        }
    }

    /// A pass turned out to have been committed.
    fn is_there(&mut self, pass: &Pass) {
        if let Some((_, marks)) = &mut self.marks {
            marks.committed(pass);
        }
    }

    fn doubt(&mut self, pass: &Pass) {
        self.conn = None;
        self.in_doubt = Some(Doubt {
            mark: Mark::of(pass),
            backend: self.backend.take(),
        });
    }

    /// Ends the doubt about an earlier write. Was it of this pass, and has it happened?
    async fn settle(&mut self, store: &PostgresStore, pass: &Pass) -> Result<bool, Trouble> {
        let Some(Doubt { mark, backend }) = self.in_doubt.clone() else {
            return Ok(false);
        };
        let conn = self.conn(store).await?;
        let looked = session::within(async {
            if let Some(Backend(pid, began)) = backend {
                end_session(conn, pid, &began).await?;
            }
            mark.is_there(conn).await
        });
        match looked.await {
            Ok(is_there) => {
                self.in_doubt = None;
                tracing::info!(is_there, "The outcome of the commit is known");
                Ok(is_there && mark == Mark::of(pass))
            }
            Err(trouble) => {
                self.conn = None;
                Err(trouble)
            }
        }
    }

    async fn write(&mut self, store: &PostgresStore, pass: &Pass) -> Result<(), Trouble> {
        self.know_marks(store).await?;
        let (conn, marks) = self.conn_and_marks(store).await?;
        let statement = bound(pass, marks, sql::PASS);
        // The whole answer is read: only its end says that the commit has happened.
        let row = session::within(statement.fetch_one(conn)).await?;
        match Cells::of(&row).take::<bool>()? {
            true => {
                marks.committed(pass);
                Ok(())
            }
            false => Err(Trouble::TermLost),
        }
    }

    /// What has come in from workers, from the marks on.
    pub(crate) async fn arrivals(
        &mut self,
        store: &PostgresStore,
        limit: u32,
    ) -> Result<Arrivals, Trouble> {
        let looked = self.look_for_arrivals(store, limit).await;
        if looked.as_ref().is_err_and(Trouble::leaves_doubt) {
            self.conn = None;
        }
        looked
    }

    async fn look_for_arrivals(
        &mut self,
        store: &PostgresStore,
        limit: u32,
    ) -> Result<Arrivals, Trouble> {
        self.know_marks(store).await?;
        let (conn, marks) = self.conn_and_marks(store).await?;
        let query = sqlx::query(sql::ARRIVALS)
            .bind(i64::from(limit))
            .bind(marks.dispatch())
            .bind(marks.reports().to_string());
        let found = session::within(query.fetch_all(conn)).await?;
        let (arrivals, oldest) = crate::worker::arrivals(&found)?;
        let is_all = arrivals.reports.len() < limit as usize;
        let told = arrivals.reports.iter().map(|report| report.attempt);
        marks.looked(told, oldest.filter(|_| is_all));
        Ok(arrivals)
    }

    /// Reads once in a term where the queues stand.
    async fn know_marks(&mut self, store: &PostgresStore) -> Result<(), Trouble> {
        let term = store.lease.term();
        if self.marks.as_ref().is_some_and(|known| known.0 == term) {
            return Ok(());
        }
        let conn = self.conn(store).await?;
        let query = sqlx::query(sql::DISPATCH_MARKS).bind(SHARD);
        let found = session::within(query.fetch_all(conn)).await?;
        let mut rows = rows::all(&found, crate::worker::attempt_and_number)?;
        let is_stored = |row: &(Attempt, i64)| row.0.run.0 == 0;
        let stored = rows
            .iter()
            .find(|row| is_stored(row))
            .map_or(0, |row| row.1);
        rows.retain(|row| !is_stored(row));
        self.marks = Some((term, Marks::new(stored, rows)));
        Ok(())
    }

    async fn conn_and_marks(
        &mut self,
        store: &PostgresStore,
    ) -> Result<(&mut PgConnection, &mut Marks), Trouble> {
        self.conn(store).await?;
        match (&mut self.conn, &mut self.marks) {
            (Some(conn), Some((_, marks))) => Ok((conn, marks)),
            _ => Err(Trouble::TimedOut(0)),
        }
    }

    /// The connection; a new one where there is none.
    async fn conn(&mut self, store: &PostgresStore) -> Result<&mut PgConnection, Trouble> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => {
                let mut conn = session::connect(&store.address, Role::Passes).await?;
                let row = session::within(sqlx::query(sql::BACKEND).fetch_one(&mut conn)).await?;
                let mut columns = Cells::of(&row);
                self.backend = Some(Backend(columns.take()?, columns.take()?));
                conn
            }
        };
        Ok(self.conn.insert(conn))
    }
}

/// The statement of a pass with everything that it writes.
pub(crate) fn bound<'q>(
    pass: &Pass,
    marks: &Marks,
    text: &'static str,
) -> Query<'q, Postgres, PgArguments> {
    let rows = Rows::of(pass);
    let statement = rows.bind(sqlx::query(text).bind(SHARD).bind(pass.term));
    let statement = statement
        .bind(marks.next_seq())
        .bind(marks.to_store())
        .bind(marks.stored());
    rows.bind_alerts(AssetRows::of(pass).bind(statement))
        .bind(pass.streams.to_json(text::stored).to_string())
        .bind(rows.on_latest_version())
}

/// Ends another session and waits until it is gone. One that is gone already is not found.
async fn end_session(conn: &mut PgConnection, pid: i32, began: &str) -> Result<(), Trouble> {
    let query = sqlx::query(sql::BACKEND_END).bind(pid).bind(began);
    let Some(row) = query.fetch_optional(conn).await? else {
        return Ok(());
    };
    match Cells::of(&row).take::<bool>()? {
        true => Ok(()),
        false => Err(Trouble::Unreadable(format!(
            "the session {pid}, whose answer is lost, does not end"
        ))),
    }
}

//! The memory of Tidemill in one SQLite file.
//!
//! One process owns the file: it holds a lock beside it and writes through one connection.
//! Pages read through a few read-only connections and never wait for the writer. A pass of the
//! engine takes a shorter way than the other writes, see [`SqliteStore`].

mod alert;
mod asset;
mod engine;
mod forget;
mod lock;
mod outside;
mod pages;
mod pass;
#[allow(unsafe_code, reason = "the only place that calls SQLite's C interface")]
mod raw;
mod rows;
mod span;
mod sql;
mod stream;
mod stream_write;
#[cfg(test)]
mod tests;
mod told;
mod trouble;
mod version;

use crate::lock::OwnerLock;
use crate::pass::PassStatements;
use crate::raw::{QuietConnection, Session};
use crate::trouble::Trouble;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Row, SqlSafeStr, SqliteConnection};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;
use tidemill_store::StoreError;
use tokio::sync::{Mutex, MutexGuard};

const PAGE_BYTES: u32 = 4096;
const N_READERS: u32 = 4;
/// Nobody else writes, so a wait for the file's own lock is short: a checkpoint or a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const READER_WAIT: Duration = Duration::from_secs(10);
/// The log is moved into the database each 4,000 pages (16 MiB), so that few passes pay for it.
const CHECKPOINT_PAGES: &str = "4000";
/// And is cut back to this after a burst.
const LOG_BYTES_KEPT: &str = "67108864";
const WRITER_CACHE_KIB: &str = "-16384";

/// A store in one SQLite file.
///
/// A pass is written on the calling thread, by statements that stay prepared, and is durable when
/// the call returns. The engine has a thread of its own for that. All other calls leave the
/// calling thread free. [`SqliteStore::close`] is the orderly end; a dropped store loses nothing.
#[derive(Debug)]
pub struct SqliteStore {
    /// For messages.
    what: String,
    /// `None` when the file was opened for reading.
    writer: Option<Mutex<Writer>>,
    readers: SqlitePool,
    /// Last, so that the file is closed when another process gets it.
    _lock: OwnerLock,
}

/// The connection that writes, and its statements; these are dropped first.
#[derive(Debug)]
struct Writer {
    pass: Option<PassStatements>,
    conn: SqliteConnection,
    /// The connection as SQLite knows it, while sqlx has been asked nothing since it was locked
    /// out of it: a pass then needs no word with sqlx's thread, which would cost two thread
    /// switches a commit.
    quiet: Option<QuietConnection>,
}

impl Writer {
    /// The connection for sqlx's use. From here on its thread may have something to do, even
    /// after the caller has been dropped halfway.
    fn conn(&mut self) -> &mut SqliteConnection {
        self.quiet = None;
        &mut self.conn
    }

    /// The connection and the statements of a pass.
    async fn session(&mut self) -> Result<(Session<'_>, &mut PassStatements), Trouble> {
        let quiet = match &mut self.quiet {
            Some(quiet) => quiet,
            // Waits until sqlx's thread has done all that it was told.
            none => none.insert(QuietConnection::of(&mut self.conn.lock_handle().await?)),
        };
        let session = Session::new(quiet);
        let statements = match &mut self.pass {
            Some(statements) => statements,
            none => none.insert(PassStatements::prepare(&session)?),
        };
        Ok((session, statements))
    }
}

impl SqliteStore {
    /// Opens the database, making it where there is none, and becomes its owner.
    ///
    /// # Errors
    /// [`StoreError::Owned`] when another process has it, [`StoreError::Unreadable`] when it is
    /// no database or was written by a newer program, [`StoreError::Unavailable`] else.
    pub async fn open(path: &Path) -> Result<SqliteStore, StoreError> {
        let what = path.display().to_string();
        let lock = lock::own(path).await?;
        let readers = reader_pool(path);
        let writer = open_writer(path)
            .await
            .map_err(|trouble| trouble.about(&what))?;
        Ok(SqliteStore {
            what,
            writer: Some(Mutex::new(writer)),
            readers,
            _lock: lock,
        })
    }

    /// Opens the database for reading, while no server owns it. Several readers may do so.
    ///
    /// # Errors
    /// As [`SqliteStore::open`]; a database that is older than this program is unreadable too,
    /// until its server has been started once.
    pub async fn open_read_only(path: &Path) -> Result<SqliteStore, StoreError> {
        let what = path.display().to_string();
        let lock = lock::share(path)?;
        let readers = reader_pool(path);
        check_schema(&readers)
            .await
            .map_err(|trouble| trouble.about(&what))?;
        Ok(SqliteStore {
            what,
            writer: None,
            readers,
            _lock: lock,
        })
    }

    /// Moves the log into the database file, as far as no reader still needs it. SQLite does so
    /// by itself during passes; this is for quiet moments.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        let mut writer = self.writer().await.map_err(|trouble| self.say(trouble))?;
        let done = sqlx::query("pragma wal_checkpoint(truncate)")
            .execute(writer.conn())
            .await;
        done.map(|_| ()).map_err(|err| self.say(err.into()))
    }

    /// Ends all connections and gives the ownership back.
    ///
    /// # Errors
    /// When the last writes to the file fail. Nothing that was committed is lost by that.
    pub async fn close(self) -> Result<(), StoreError> {
        self.readers.close().await;
        let Some(writer) = self.writer else {
            return Ok(());
        };
        let Writer { pass, conn, .. } = writer.into_inner();
        drop(pass);
        conn.close()
            .await
            .map_err(|err| Trouble::from(err).about(&self.what))
    }

    async fn writer(&self) -> Result<MutexGuard<'_, Writer>, Trouble> {
        match &self.writer {
            Some(writer) => Ok(writer.lock().await),
            None => Err(Trouble::ReadOnly),
        }
    }

    fn say(&self, trouble: Trouble) -> StoreError {
        trouble.about(&self.what)
    }
}

async fn open_writer(path: &Path) -> Result<Writer, Trouble> {
    // The file may hold what only its owner should see; SQLite gives its other files this mode.
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(sqlx::Error::Io)?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .page_size(PAGE_BYTES)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        // The pass uses the connection from its own thread; SQLite then locks it by itself.
        .serialized(true)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("journal_size_limit", LOG_BYTES_KEPT)
        .pragma("cache_size", WRITER_CACHE_KIB)
        .disable_statement_logging();
    let mut conn = options.connect().await?;
    let migrations = sql::MIGRATIONS.iter().map(|(version, name, text)| {
        Migration::new(
            *version,
            (*name).into(),
            MigrationType::Simple,
            text.into_sql_str(),
            false,
        )
    });
    Migrator::with_migrations(migrations.collect())
        .run(&mut conn)
        .await?;
    Ok(Writer {
        pass: None,
        conn,
        quiet: None,
    })
}

fn reader_pool(path: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    SqlitePoolOptions::new()
        .max_connections(N_READERS)
        .acquire_timeout(READER_WAIT)
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

/// A reader cannot migrate, so the schema must be the one that this program knows.
async fn check_schema(readers: &SqlitePool) -> Result<(), Trouble> {
    let known = || sql::MIGRATIONS.iter().map(|(version, ..)| *version);
    let found = sqlx::query("select version from _sqlx_migrations where success order by version")
        .fetch_all(readers)
        .await?;
    let applied: Result<Vec<i64>, sqlx::Error> = found.iter().map(|row| row.try_get(0)).collect();
    let applied = applied?;
    // Numbers are given to what is made at the same time, so one may be missing in the middle.
    if let Some(unknown) = applied
        .iter()
        .rev()
        .find(|found| known().all(|one| one != **found))
    {
        return Err(Trouble::newer_schema(*unknown));
    }
    match known().find(|version| !applied.contains(version)) {
        None => Ok(()),
        Some(missing) => Err(Trouble::Unreadable(format!(
            "its schema is older than this program: {missing} is missing; start the server once to bring it up"
        ))),
    }
}

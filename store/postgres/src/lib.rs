//! The memory of Tidemill in a PostgreSQL database.
//!
//! Several processes may use one database: one of them holds the term and is the scheduler, the
//! others wait for it, work for it or only read. Every write of the scheduler is fenced by the
//! term, in the same transaction, and so is every wish of people that changes what it decides on:
//! it reaches whoever has the term, or is refused. Not fenced is
//!
//! - what workers write: that they come, live and leave, what they claim, how it has ended
//!   (`report`), and what a task reads (`task_span`). It moves no run: a pass takes it in;
//! - that a worker is to claim nothing more (`set_draining`), which any process may be asked for;
//! - that workers whose lease is over are struck off, and unclaimed attempts that are to be ended
//!   are marked so (`expire_workers`, `arrivals`): both follow from rows and the database's clock
//!   alone, so it is the same whoever does it;
//! - what is asked of a process that is not the scheduler (`wish`): it writes the wish and takes it
//!   back. Taking and answering one is fenced;
//! - the schema; and the versions, mistakes, secrets and alerts of a store that has never taken a
//!   term, as when tests fill a new database. A process that stands by writes none of them.

mod address;
mod alert;
mod arrays;
mod asset_arrays;
mod engine;
mod forget;
mod lease;
mod marks;
mod outside;
mod pages;
mod pass;
mod roles;
mod rows;
mod schema;
mod session;
mod span;
mod sql;
mod stream;
mod stream_write;
#[cfg(test)]
mod tests;
mod text;
mod told;
mod trouble;
mod version;
mod wish;
mod worker;

pub use address::{Address, is_postgres};
pub use lease::TERM_LEASE;
pub use roles::roles;
pub use schema::{SchemaState, migrate, state};
pub use worker::{Listener, Rings};

use crate::lease::Lease;
use crate::pass::Writer;
use crate::session::Role;
use crate::trouble::Trouble;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{PgConnection, Postgres};
use std::pin::Pin;
use std::time::Duration;
use tidemill_store::StoreError;
use tokio::sync::{Mutex, watch};

/// Several statements on one connection.
type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, Trouble>> + Send + 'c>>;

/// All runs belong to one shard, until there are several schedulers at once.
const SHARD: i32 = 0;
const N_READERS: u32 = 8;
const POOL_WAIT: Duration = Duration::from_secs(10);
/// A confirmation of the term counts for so long: two leases.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(10);
const READER_IDLE: Duration = Duration::from_secs(60);

/// A store in a PostgreSQL database.
///
/// Passes go through a connection of their own, whose session is set for them; everything else
/// shares a few. A connection that breaks is made anew by the next call.
pub struct PostgresStore {
    address: Address,
    may_write: bool,
    writer: Mutex<Writer>,
    versions: Mutex<()>,
    pool: PgPool,
    lease: Lease,
}

impl PostgresStore {
    /// Opens the database. An empty one is given its tables.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when its schema is newer or older than this program,
    /// [`StoreError::Unavailable`] when it cannot be reached.
    pub async fn open(address: &Address) -> Result<PostgresStore, StoreError> {
        schema::ready(address, true).await?;
        Ok(PostgresStore::at(address, true, Role::Plain))
    }

    /// Opens a database that has its tables already, for a worker.
    ///
    /// # Errors
    /// As [`PostgresStore::open`]; a database without tables is unreadable too.
    pub async fn open_existing(address: &Address) -> Result<PostgresStore, StoreError> {
        schema::ready(address, false).await?;
        Ok(PostgresStore::at(address, true, Role::Worker))
    }

    /// Opens the database for reading, beside whoever writes.
    ///
    /// # Errors
    /// As [`PostgresStore::open`]; a database without tables is unreadable too.
    pub async fn open_read_only(address: &Address) -> Result<PostgresStore, StoreError> {
        schema::ready(address, false).await?;
        Ok(PostgresStore::at(address, false, Role::Plain))
    }

    fn at(address: &Address, may_write: bool, role: Role) -> PostgresStore {
        let is_pooled = address.is_pooled;
        let pool = PgPoolOptions::new()
            .max_connections(N_READERS)
            .acquire_timeout(POOL_WAIT)
            .idle_timeout(READER_IDLE)
            // A server that was restarted has left dead connections behind.
            .test_before_acquire(true)
            .after_connect(move |conn, _| {
                Box::pin(async move {
                    if is_pooled {
                        return Ok(());
                    }
                    let set_up = session::set_up(conn, role).await;
                    set_up.map_err(|trouble| sqlx::Error::Protocol(trouble.to_string()))
                })
            })
            .connect_lazy_with(address.options.clone());
        PostgresStore {
            address: address.clone(),
            may_write,
            writer: Mutex::default(),
            versions: Mutex::default(),
            pool,
            lease: Lease::new(address.clone()),
        }
    }

    /// Turns true when another process has taken the term from this one.
    pub fn term_lost(&self) -> watch::Receiver<bool> {
        self.lease.lost()
    }

    /// Has the server confirmed within the last ten seconds that the term is this store's?
    pub fn is_held(&self) -> bool {
        self.lease.is_fresh(CONFIRMED_WITHIN)
    }

    /// Gives the term back and ends all connections, so that a stand-by takes over at once. A
    /// store that is dropped loses nothing, and a stand-by notices that it is gone.
    pub async fn close(&self) {
        self.lease.give_back().await;
        *self.writer.lock().await = Writer::default();
        self.pool.close().await;
    }

    fn say(&self, trouble: Trouble) -> StoreError {
        trouble.about(&self.address)
    }

    /// Several statements on one connection, as one call with an end.
    async fn with<T: Send>(
        &self,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send,
    ) -> Result<T, StoreError> {
        let mut conn = self.conn().await.map_err(|trouble| self.say(trouble))?;
        let done = session::within(work(&mut conn)).await;
        forget_broken(conn, &done);
        done.map_err(|trouble| self.say(trouble))
    }

    async fn conn(&self) -> Result<PoolConnection<Postgres>, Trouble> {
        Ok(self.pool.acquire().await?)
    }
}

/// A connection whose call has no known end is not used again.
fn forget_broken<T>(mut conn: PoolConnection<Postgres>, done: &Result<T, Trouble>) {
    if done.as_ref().is_err_and(Trouble::leaves_doubt) {
        conn.close_on_drop();
    }
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PostgresStore({})", self.address)
    }
}

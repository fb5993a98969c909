//! The term: who is the scheduler, and for how long nobody else may be.
//!
//! Safety is the fence's alone: every write shares the lock of the term's row and looks at its
//! number. The lease only says when another may take the term from somebody who does not answer,
//! and the advisory lock lets an orderly end, or the end of a process, be known at once.

use crate::address::Address;
use crate::rows::Cells;
use crate::session::{self, Role};
use crate::trouble::Trouble;
use crate::{SHARD, sql};
use sqlx::{Connection, PgConnection};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tidemill_model::Ts;
use tokio::sync::watch;

/// Without a renewal for so long, another process may take the term.
pub const TERM_LEASE: Duration = Duration::from_secs(5);
/// Each renewal may fail twice before the lease is over.
const RENEW_EVERY: Duration = Duration::from_millis(1_600);
/// An engine whose pass has not come back for so long is stuck, and its term is let go.
const PASS_STUCK: Duration = Duration::from_secs(60);
/// The first half of the advisory locks' keys: the letters `tide`.
const LOCK_CLASS: i32 = 0x7469_6465;

/// This process's hold on the term.
pub(crate) struct Lease {
    address: Address,
    /// The term that this store has taken; 0 before.
    term: Arc<AtomicI64>,
    keeper: tokio::sync::Mutex<Option<Keeper>>,
    is_lost: watch::Sender<bool>,
    pass_began: Arc<Mutex<Option<Instant>>>,
    renewed: Arc<Mutex<Option<Instant>>>,
}

/// The task that renews the lease, on a connection of its own.
struct Keeper {
    task: tokio::task::JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Lease {
    pub(crate) fn new(address: Address) -> Lease {
        Lease {
            address,
            term: Arc::new(AtomicI64::new(0)),
            keeper: tokio::sync::Mutex::new(None),
            is_lost: watch::Sender::new(false),
            pass_began: Arc::default(),
            renewed: Arc::default(),
        }
    }

    /// The term that this store has taken, if it has.
    pub(crate) fn term(&self) -> Option<i64> {
        Some(self.term.load(Ordering::Acquire)).filter(|term| *term > 0)
    }

    /// Tells when the term is another's.
    pub(crate) fn lost(&self) -> watch::Receiver<bool> {
        self.is_lost.subscribe()
    }

    /// Has the server confirmed the term within this time?
    pub(crate) fn is_fresh(&self, within: Duration) -> bool {
        lock(&self.renewed).is_some_and(|renewed| renewed.elapsed() < within)
    }

    /// Says that a pass is under way until the value is dropped.
    pub(crate) fn pass(&self) -> PassUnderWay {
        *lock(&self.pass_began) = Some(Instant::now());
        PassUnderWay(Arc::clone(&self.pass_began))
    }

    /// Takes the term if nobody holds it: its holder is gone, or has not renewed its lease, or is
    /// this very store. `Err(holder)` says who holds it.
    pub(crate) async fn take(&self, holder: &str, now: Ts) -> Result<Result<i64, String>, Trouble> {
        let began = Instant::now();
        let mut keeper = self.keeper.lock().await;
        let holds_it = keeper.is_some();
        let mut conn = session::connect(&self.address, Role::Plain).await?;
        must_see_all(&mut conn).await?;
        let has_sign = sign(&mut conn).await?;
        let taken = session::within(take(&mut conn, holder, now, has_sign, holds_it)).await?;
        let term = match taken {
            Ok(term) => term,
            Err(holder) => {
                let _ = conn.close().await; // what it has is given back either way
                return Ok(Err(holder));
            }
        };
        if let Some(older) = keeper.take() {
            older.task.abort();
        }
        self.term.store(term, Ordering::Release);
        *lock(&self.renewed) = Some(began);
        let (stop, stopped) = watch::channel(false);
        let renewal = Renewal {
            address: self.address.clone(),
            term,
            conn: Some(conn),
            has_sign,
            is_lost: self.is_lost.clone(),
            pass_began: Arc::clone(&self.pass_began),
            renewed: Arc::clone(&self.renewed),
        };
        *keeper = Some(Keeper {
            task: tokio::spawn(renewal.run(stopped)),
            stop,
        });
        Ok(Ok(term))
    }

    /// Gives the term back, so that another process may take it at once.
    pub(crate) async fn give_back(&self) {
        if let Some(keeper) = self.keeper.lock().await.take() {
            let _ = keeper.stop.send(true);
            let _ = keeper.task.await; // a keeper that has failed keeps nothing
        }
    }
}

/// A pass that has not returned.
pub(crate) struct PassUnderWay(Arc<Mutex<Option<Instant>>>);

impl Drop for PassUnderWay {
    fn drop(&mut self) {
        *lock(&self.0) = None;
    }
}

fn lock(began: &Mutex<Option<Instant>>) -> MutexGuard<'_, Option<Instant>> {
    began.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Renewal {
    address: Address,
    term: i64,
    conn: Option<PgConnection>,
    has_sign: bool,
    is_lost: watch::Sender<bool>,
    pass_began: Arc<Mutex<Option<Instant>>>,
    renewed: Arc<Mutex<Option<Instant>>>,
}

impl Renewal {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        loop {
            match tokio::time::timeout(RENEW_EVERY, stopped.changed()).await {
                Ok(Ok(())) => return self.end().await,
                Ok(Err(_)) => return, // the store was dropped
                Err(_) => {}
            }
            let is_stuck = lock(&self.pass_began).is_some_and(|began| began.elapsed() > PASS_STUCK);
            if is_stuck {
                tracing::error!("A pass has not come back; this scheduler lets its term go");
                continue;
            }
            // The lease runs from when the server did it: that was after this.
            let began = Instant::now();
            match tokio::time::timeout(RENEW_EVERY, self.renew()).await {
                Ok(Ok(true)) => *lock(&self.renewed) = Some(began),
                Ok(Ok(false)) => {
                    self.is_lost.send_replace(true);
                    return;
                }
                Ok(Err(trouble)) => {
                    tracing::warn!(error = %trouble, "Cannot renew this scheduler's lease; it is tried again");
                    self.conn = None;
                }
                Err(_) => self.conn = None,
            }
        }
    }

    /// Is the term still this process's?
    async fn renew(&mut self) -> Result<bool, Trouble> {
        let conn = match &mut self.conn {
            Some(conn) => conn,
            None => {
                self.has_sign = false;
                let conn = session::connect(&self.address, Role::Plain).await?;
                self.conn.insert(conn)
            }
        };
        if !self.has_sign {
            self.has_sign = sign(conn).await?;
        }
        let renewed = sqlx::query(sql::TERM_LEASE_RENEW)
            .bind(SHARD)
            .bind(self.term)
            .bind(TERM_LEASE.as_secs_f64())
            .bind(self.has_sign)
            .execute(conn)
            .await?;
        Ok(renewed.rows_affected() > 0)
    }

    async fn end(self) {
        let Some(mut conn) = self.conn else { return };
        let ended = sqlx::query(sql::TERM_LEASE_END)
            .bind(SHARD)
            .bind(self.term)
            .execute(&mut conn);
        let _ = tokio::time::timeout(RENEW_EVERY, ended).await; // else it ends by itself
        let _ = tokio::time::timeout(RENEW_EVERY, conn.close()).await;
    }
}

/// A scheduler that saw only some rows would decide by them.
async fn must_see_all(conn: &mut PgConnection) -> Result<(), Trouble> {
    let row = sqlx::query(sql::TERM_SEES_ALL).fetch_one(conn).await?;
    match Cells::of(&row).take::<bool>()? {
        true => Ok(()),
        false => Err(Trouble::Unreadable(
            "this database role sees only some of the rows; the scheduler needs that of the owner of the tables".to_string(),
        )),
    }
}

/// Shows that this process lives: the lock is free again when it does not.
async fn sign(conn: &mut PgConnection) -> Result<bool, Trouble> {
    let row = sqlx::query(sql::TERM_SIGN)
        .bind(LOCK_CLASS)
        .bind(SHARD)
        .fetch_one(conn)
        .await?;
    Ok(Cells::of(&row).take()?)
}

async fn take(
    conn: &mut PgConnection,
    holder: &str,
    now: Ts,
    has_sign: bool,
    holds_it: bool,
) -> Result<Result<i64, String>, Trouble> {
    let mut tx = conn.begin().await?;
    sqlx::query(sql::TERM_LEASE_BEGIN)
        .bind(SHARD)
        .execute(&mut *tx)
        .await?;
    let row = sqlx::query(sql::TERM_LEASE_JUDGE)
        .bind(SHARD)
        .fetch_one(&mut *tx)
        .await?;
    let mut columns = Cells::of(&row);
    let (is_over, was_signed): (bool, bool) = (columns.take()?, columns.take()?);
    let other: String = columns.take()?;
    // A lock that is free says that its holder is gone, and of one who never had it nothing.
    let is_gone = has_sign && was_signed;
    if !(is_over || is_gone || holds_it) {
        tx.rollback().await?;
        return Ok(Err(other));
    }
    let row = sqlx::query(sql::TERM_TAKE)
        .bind(SHARD)
        .bind(holder)
        .bind(now.0)
        .fetch_one(&mut *tx)
        .await?;
    let term = Cells::of(&row).take()?;
    sqlx::query(sql::TERM_LEASE_TAKE)
        .bind(SHARD)
        .bind(term)
        .bind(TERM_LEASE.as_secs_f64())
        .bind(has_sign)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(Ok(term))
}

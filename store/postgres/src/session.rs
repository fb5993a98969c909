//! Connections: what each session is set to, and that nobody waits for ever.

use crate::address::Address;
use crate::sql;
use crate::trouble::Trouble;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{ConnectOptions, Connection, PgConnection, Postgres};
use std::time::Duration;

/// A connection is there by then, or the server counts as away.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// A call is over by then. It is longer than the server's own limit for a statement, so that the
/// server's word comes first, and this one is for a server that has fallen silent.
pub(crate) const CALL_WAIT: Duration = Duration::from_secs(40);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Everything else.
    Plain,
    /// Passes of the engine.
    Passes,
    /// Claims and reports of a worker.
    Worker,
}

/// A connection of its own, outside of the pool.
pub(crate) async fn connect(address: &Address, role: Role) -> Result<PgConnection, Trouble> {
    let opened = async {
        let mut conn = address.options.connect().await?;
        if !address.is_pooled {
            set_up(&mut conn, role).await?;
        }
        Ok(conn)
    };
    match tokio::time::timeout(CONNECT_WAIT, opened).await {
        Ok(opened) => opened,
        Err(_) => Err(Trouble::TimedOut(CONNECT_WAIT.as_secs())),
    }
}

/// The rows that a query finds, where each transaction may be another session's: what the session
/// would be set to is set for the transaction, and the statement has no name in it.
pub(crate) async fn fetch_pooled(
    conn: &mut PgConnection,
    query: Query<'_, Postgres, PgArguments>,
) -> Result<Vec<PgRow>, Trouble> {
    let mut tx = conn.begin_with(sql::BEGIN_POOLED).await?;
    let found = query.persistent(false).fetch_all(&mut *tx).await?;
    tx.commit().await?;
    Ok(found)
}

/// Sets a new session up.
pub(crate) async fn set_up(conn: &mut PgConnection, role: Role) -> Result<(), Trouble> {
    sqlx::raw_sql(sql::SESSION).execute(&mut *conn).await?;
    let more = match role {
        Role::Plain => return Ok(()),
        Role::Passes => sql::SESSION_PASS,
        Role::Worker => sql::SESSION_WORKER,
    };
    sqlx::raw_sql(more).execute(&mut *conn).await?;
    Ok(())
}

/// A call with an end, whatever becomes of the server.
pub(crate) async fn within<T, E>(call: impl Future<Output = Result<T, E>>) -> Result<T, Trouble>
where
    Trouble: From<E>,
{
    match tokio::time::timeout(CALL_WAIT, call).await {
        Ok(ended) => ended.map_err(Trouble::from),
        Err(_) => Err(Trouble::TimedOut(CALL_WAIT.as_secs())),
    }
}

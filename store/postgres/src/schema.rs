//! The schema: which one the database has, and bringing it up.

use crate::address::Address;
use crate::rows::Cells;
use crate::session::{self, Role};
use crate::sql;
use crate::trouble::Trouble;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection, PgConnection, SqlSafeStr};
use tidemill_store::StoreError;

/// Older servers lack settings that a session needs.
const SERVER_MIN: i32 = 140_000;
/// The key of the advisory lock under which the schema is changed: the letters `schema`.
const SCHEMA_LOCK: i64 = 0x7363_6865_6d61;

/// How far the schema of a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaState {
    /// The migrations that were applied; `None` where there is no schema at all.
    pub applied: Option<Vec<i64>>,
}

impl SchemaState {
    /// The newest migration that was applied.
    pub fn newest(&self) -> Option<i64> {
        self.applied.as_ref()?.last().copied()
    }

    /// Migrations of this program that were not applied, by number.
    pub fn missing(&self) -> Vec<i64> {
        let applied = self.applied.as_deref().unwrap_or_default();
        let known = sql::MIGRATIONS.iter().map(|(version, ..)| *version);
        known.filter(|version| !applied.contains(version)).collect()
    }

    /// A migration that this program does not know: a newer one has been here.
    pub fn unknown(&self) -> Option<i64> {
        let applied = self.applied.as_deref().unwrap_or_default();
        let is_known = |found: &i64| sql::MIGRATIONS.iter().any(|(version, ..)| version == found);
        applied.iter().rev().find(|found| !is_known(found)).copied()
    }
}

/// How far the schema is.
///
/// # Errors
/// When the server cannot be reached.
pub async fn state(address: &Address) -> Result<SchemaState, StoreError> {
    let looked = async {
        let mut conn = session::connect(address, Role::Plain).await?;
        let state = session::within(look(&mut conn)).await?;
        let _ = conn.close().await; // it was only read
        Ok(state)
    };
    looked
        .await
        .map_err(|trouble: Trouble| trouble.about(address))
}

/// Brings the schema up to this program's.
///
/// # Errors
/// When the server cannot be reached, or its schema is newer.
pub async fn migrate(address: &Address) -> Result<SchemaState, StoreError> {
    let brought_up = async {
        let mut conn = session::connect(address, Role::Plain).await?;
        let state = apply_missing(&mut conn).await?;
        let _ = conn.close().await; // everything is committed
        Ok(state)
    };
    brought_up
        .await
        .map_err(|trouble: Trouble| trouble.about(address))
}

/// Makes sure that the schema is this program's. One that is not there at all is made.
pub(crate) async fn ready(address: &Address, may_make: bool) -> Result<(), StoreError> {
    let made_sure = async {
        let mut conn = session::connect(address, Role::Plain).await?;
        let mut state = look(&mut conn).await?;
        // By a pooler nobody can wait for a turn, which a session holds.
        if !state.missing().is_empty() && !address.is_pooled {
            // Another process may be in the middle of it.
            wait_for_turn(&mut conn).await?;
            state = look(&mut conn).await?;
        }
        if state.applied.is_none() && may_make {
            state = apply_missing(&mut conn).await?;
        }
        let _ = conn.close().await; // everything is committed
        judge(&state)
    };
    made_sure
        .await
        .map_err(|trouble: Trouble| trouble.about(address))
}

fn judge(state: &SchemaState) -> Result<(), Trouble> {
    refuse_newer(state)?;
    let refuse = |why: String| Err(Trouble::Unreadable(why));
    match (&state.applied, state.missing().first()) {
        (Some(_), None) => Ok(()),
        (None, _) => {
            refuse("it has no tables of Tidemill; `tidemill db migrate` makes them".to_string())
        }
        (Some(_), Some(missing)) => refuse(format!(
            "its schema is older than this program: {missing} is missing; `tidemill db migrate` brings it up"
        )),
    }
}

async fn apply_missing(conn: &mut PgConnection) -> Result<SchemaState, Trouble> {
    wait_for_turn(conn).await?;
    refuse_newer(&look(conn).await?)?;
    // A migration may rewrite a table: it is waited for.
    sqlx::raw_sql("set statement_timeout = 0; set idle_in_transaction_session_timeout = 0")
        .execute(&mut *conn)
        .await?;
    let migrations = sql::MIGRATIONS.iter().map(|(version, name, text)| {
        let text = text.into_sql_str();
        Migration::new(*version, (*name).into(), MigrationType::Simple, text, false)
    });
    Migrator::with_migrations(migrations.collect())
        .run(&mut *conn)
        .await?;
    look(conn).await
}

/// One process at a time changes the schema. The turn ends with the session.
async fn wait_for_turn(conn: &mut PgConnection) -> Result<(), Trouble> {
    sqlx::query(sql::SCHEMA_TURN)
        .bind(SCHEMA_LOCK)
        .execute(conn)
        .await?;
    Ok(())
}

fn refuse_newer(state: &SchemaState) -> Result<(), Trouble> {
    match state.unknown() {
        Some(unknown) => Err(Trouble::Unreadable(format!(
            "its schema {unknown} is newer than this program; use the tidemill that wrote it, or a newer one"
        ))),
        None => Ok(()),
    }
}

async fn look(conn: &mut PgConnection) -> Result<SchemaState, Trouble> {
    let there = session::fetch_pooled(conn, sqlx::query(sql::SCHEMA_THERE)).await?;
    let row = there.first().ok_or(sqlx::Error::RowNotFound)?;
    let mut columns = Cells::of(row);
    let (server, is_there): (i32, bool) = (columns.take()?, columns.take()?);
    if server < SERVER_MIN {
        return Err(Trouble::Unreadable(format!(
            "PostgreSQL {} is too old; 14 or newer is needed",
            server / 10_000
        )));
    }
    if !is_there {
        return Ok(SchemaState { applied: None });
    }
    let found = session::fetch_pooled(conn, sqlx::query(sql::SCHEMA_APPLIED)).await?;
    let applied = crate::rows::all(&found, |columns| columns.take())?;
    let applied = Some(applied).filter(|applied: &Vec<i64>| !applied.is_empty());
    Ok(SchemaState { applied })
}

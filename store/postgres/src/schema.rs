//! The schema: which one the database has, and bringing it up.

use crate::address::Address;
use crate::rows::Columns;
use crate::session::{self, Role};
use crate::sql;
use crate::trouble::Trouble;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection, PgConnection, SqlSafeStr};
use tidemill_store::StoreError;

/// Older servers lack settings that a session needs.
const SERVER_MIN: i32 = 140_000;

/// How far the schema of a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaState {
    /// The newest migration that was applied; `None` where there is no schema at all.
    pub found: Option<i64>,
    /// The newest migration that this program knows.
    pub known: i64,
}

/// The newest migration that this program knows.
fn newest_known() -> i64 {
    let versions = sql::MIGRATIONS.iter().map(|(version, ..)| *version);
    versions.max().unwrap_or(0)
}

/// How far the schema is.
///
/// # Errors
/// When the server cannot be reached.
pub async fn state(address: &Address) -> Result<SchemaState, StoreError> {
    let looked = async {
        let mut conn = session::connect(address, Role::Plain).await?;
        let found = session::within(found(&mut conn)).await?;
        let _ = conn.close().await; // it was only read
        Ok(SchemaState {
            found,
            known: newest_known(),
        })
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
        refuse_newer(found(&mut conn).await?)?;
        // A migration may rewrite a table: it is waited for.
        sqlx::raw_sql("set statement_timeout = 0; set idle_in_transaction_session_timeout = 0")
            .execute(&mut conn)
            .await?;
        let migrations = sql::MIGRATIONS.iter().map(|(version, name, text)| {
            let text = text.into_sql_str();
            Migration::new(*version, (*name).into(), MigrationType::Simple, text, false)
        });
        Migrator::with_migrations(migrations.collect())
            .run(&mut conn)
            .await?;
        let found = found(&mut conn).await?;
        let _ = conn.close().await; // everything is committed
        Ok(SchemaState {
            found,
            known: newest_known(),
        })
    };
    brought_up
        .await
        .map_err(|trouble: Trouble| trouble.about(address))
}

/// Makes sure that the schema is this program's. One that is not there at all is made.
pub(crate) async fn ready(address: &Address, may_make: bool) -> Result<(), StoreError> {
    let state = state(address).await?;
    refuse_newer(state.found).map_err(|trouble| trouble.about(address))?;
    match state.found {
        Some(found) if found == state.known => Ok(()),
        None if may_make => migrate(address).await.map(|_| ()),
        None => Err(Trouble::Unreadable("it has no tables of Tidemill; `tidemill db migrate` makes them".to_string()).about(address)),
        Some(found) => Err(Trouble::Unreadable(format!(
            "its schema {found} is older than this program's {}; `tidemill db migrate` brings it up",
            state.known
        ))
        .about(address)),
    }
}

fn refuse_newer(found: Option<i64>) -> Result<(), Trouble> {
    match found.filter(|found| *found > newest_known()) {
        Some(found) => Err(Trouble::Unreadable(format!(
            "its schema {found} is newer than this program; use the tidemill that wrote it, or a newer one"
        ))),
        None => Ok(()),
    }
}

async fn found(conn: &mut PgConnection) -> Result<Option<i64>, Trouble> {
    let row = sqlx::query(sql::SCHEMA_THERE).fetch_one(&mut *conn).await?;
    let mut columns = Columns::of(&row);
    let (server, is_there): (i32, bool) = (columns.next()?, columns.next()?);
    if server < SERVER_MIN {
        return Err(Trouble::Unreadable(format!(
            "PostgreSQL {} is too old; 14 or newer is needed",
            server / 10_000
        )));
    }
    if !is_there {
        return Ok(None);
    }
    let row = sqlx::query(sql::SCHEMA_VERSION).fetch_one(conn).await?;
    Columns::of(&row).next()
}

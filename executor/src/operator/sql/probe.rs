//! Is the database of a connection there, and does it let one in?

use super::place::server_of;
use super::target::trouble;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection as _};
use tidemill_connection::Connection;

/// Logs in at a PostgreSQL server, or opens a SQLite file, and says what it has found. Changes
/// nothing there.
///
/// # Errors
/// Why not, for people.
pub async fn reach_database(connection: &Connection) -> Result<String, String> {
    match connection.conn_type.as_str() {
        "sqlite" => open_file(connection).await,
        _ => log_in(connection).await,
    }
}

async fn log_in(connection: &Connection) -> Result<String, String> {
    let options = server_of(connection).map_err(|failure| failure.message)?;
    let options = options
        .application_name("tidemill")
        .disable_statement_logging();
    let said = |err: sqlx::Error| trouble(&err).message;
    let mut server = options.connect().await.map_err(said)?;
    let asked = sqlx::query_as("select current_database(), current_user::text");
    let (database, user): (String, String) = asked.fetch_one(&mut server).await.map_err(said)?;
    let _ = server.close().await; // it has said what was asked
    Ok(format!("`{user}` is let into the database `{database}`"))
}

async fn open_file(connection: &Connection) -> Result<String, String> {
    let path = connection.host.as_ref().or(connection.schema.as_ref());
    let path = path.filter(|path| !path.is_empty());
    let path = path.ok_or_else(|| "it names no file".to_string())?;
    if !path.starts_with('/') {
        return Err(format!(
            "{path} is relative to the folder of a run: only a whole path can be tested"
        ));
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .disable_statement_logging();
    let said = |err: sqlx::Error| format!("{path}: {}", trouble(&err).message);
    let mut file = options.connect().await.map_err(said)?;
    let asked = sqlx::query_scalar("select count(*) from sqlite_master where type = 'table'");
    let n_tables: i64 = asked.fetch_one(&mut file).await.map_err(said)?;
    let _ = file.close().await; // nothing was written
    Ok(format!("{path} is a database with {n_tables} tables"))
}

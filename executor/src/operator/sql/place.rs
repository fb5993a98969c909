//! Where the database is.

use super::run::wrong;
use crate::operator::{Failure, Job};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::sqlite::SqliteConnectOptions;
use std::str::FromStr;
use std::time::Duration;
use tidemill_connection::Connection;

/// How long SQLite waits for another writer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// A database, with everything that a connection to it needs.
pub(crate) enum Place {
    /// A server.
    Postgres(Box<PgConnectOptions>),
    /// A file.
    Sqlite(Box<SqliteConnectOptions>),
}

impl Place {
    /// That of an address, or of a connection.
    ///
    /// # Errors
    /// What is wrong with it, without a part of a secret.
    pub(crate) fn of(job: &Job, url: Option<&str>, id: Option<&str>) -> Result<Place, Failure> {
        match (url, id) {
            (Some(url), _) => of_url(job, &job.text("url", url)?),
            (None, Some(id)) => of_connection(job, job.connection(id)?),
            (None, None) => Err(wrong("the task names no database")),
        }
    }
}

fn of_url(job: &Job, url: &str) -> Result<Place, Failure> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return file(job, path);
    }
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(wrong("an address begins with postgres:// or sqlite://"));
    }
    if holds_password(url) {
        return Err(wrong(
            "an address in a file holds no password: put it into a connection",
        ));
    }
    // The reasons of a refusal may quote parts of the address.
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| wrong("the address is not postgres://user@host:port/database"))?;
    Ok(server(options))
}

fn holds_password(url: &str) -> bool {
    let (authority, query) = url.split_once('?').unwrap_or((url, ""));
    let authority = authority.split_once("://").map_or("", |(_, rest)| rest);
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    user.is_some_and(|user| user.contains(':'))
        || query.split('&').any(|pair| pair.starts_with("password="))
}

fn server(options: PgConnectOptions) -> Place {
    let options = options
        .application_name("tidemill")
        .disable_statement_logging();
    Place::Postgres(Box::new(options))
}

fn file(job: &Job, path: &str) -> Result<Place, Failure> {
    if path.is_empty() || path.contains(['?', '#']) {
        return Err(wrong("the address of a SQLite database is sqlite://FILE"));
    }
    let options = SqliteConnectOptions::new()
        .filename(job.run_dir()?.join(path))
        .create_if_missing(true)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    Ok(Place::Sqlite(Box::new(options)))
}

/// A connection of Airflow's types `postgres` and `sqlite`.
fn of_connection(job: &Job, connection: &Connection) -> Result<Place, Failure> {
    let id = &connection.id;
    match connection.conn_type.as_str() {
        "sqlite" => file(
            job,
            connection
                .host
                .as_deref()
                .or(connection.schema.as_deref())
                .unwrap_or_default(),
        ),
        "postgres" | "postgresql" => Ok(server(server_of(connection)?)),
        other => Err(wrong(&format!(
            "connection `{id}` is of the type `{other}`: sql knows postgres and sqlite"
        ))),
    }
}

/// How a connection of Airflow's type `postgres` logs in.
pub(super) fn server_of(connection: &Connection) -> Result<PgConnectOptions, Failure> {
    let mut options = PgConnectOptions::new_without_pgpass();
    if let Some(host) = &connection.host {
        options = options.host(host);
    }
    if let Some(port) = connection.port {
        options = options.port(port);
    }
    if let Some(login) = &connection.login {
        options = options.username(login);
    }
    if let Some(password) = &connection.password {
        options = options.password(password.expose());
    }
    if let Some(database) = &connection.schema {
        options = options.database(database);
    }
    if let Some(mode) = connection.extra_text("sslmode") {
        let mode = PgSslMode::from_str(mode.expose());
        let id = &connection.id;
        let mode = mode.map_err(|_| wrong(&format!("connection `{id}`: its sslmode is none")))?;
        options = options.ssl_mode(mode);
    }
    if let Some(file) = connection.extra_text("sslrootcert") {
        options = options.ssl_root_cert(file.expose());
    }
    Ok(options)
}

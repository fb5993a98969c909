//! Can the other end of a connection be reached, and does it take the login?

use crate::daemon::alerts;
use crate::daemon::worker_settings::allowed_addresses;
use std::time::Duration;
use tidemill_connection::{Connection, Masker};
use tidemill_executor::operator::{reach_database, reach_http};
use tokio::net::TcpStream;

/// The other end must answer within this.
const PATIENCE: Duration = Duration::from_secs(5);

/// The ports of types that need not name theirs.
const PORTS: [(&str, u16); 9] = [
    ("mysql", 3306),
    ("mssql", 1433),
    ("oracle", 1521),
    ("redis", 6379),
    ("mongo", 27017),
    ("ssh", 22),
    ("sftp", 22),
    ("ftp", 21),
    ("kafka", 9092),
];

/// Logs in where Tidemill's own operators and alerts would, else opens a TCP connection, and says
/// what came of it. What is said holds no secret of the connection, whoever says it.
pub(super) async fn reach(connection: &Connection) -> Result<String, String> {
    let told = match tokio::time::timeout(PATIENCE, ask(connection)).await {
        Ok(told) => told,
        Err(_) => Err(format!("there is no answer within {PATIENCE:?}")),
    };
    let masker = Masker::new(&connection.hidden());
    let masked = |text: String| masker.text(&text).into_owned();
    told.map(masked).map_err(masked)
}

async fn ask(connection: &Connection) -> Result<String, String> {
    match connection.conn_type.as_str() {
        "postgres" | "postgresql" | "sqlite" => reach_database(connection).await,
        "http" | "https" => reach_http(connection, &allowed_addresses()).await,
        "smtp" => alerts::reach_mail(connection)
            .await
            .map(|()| "the mail server lets Tidemill in".to_string()),
        #[cfg(feature = "kafka")]
        "kafka" => brokers(connection).await,
        _ => port(connection).await,
    }
}

/// Asks the brokers, on a thread of its own: their client blocks.
#[cfg(feature = "kafka")]
async fn brokers(connection: &Connection) -> Result<String, String> {
    let login = crate::daemon::stream_login::login_of(connection)?;
    // It gives up before whoever waits for it does, and says why.
    let limit = PATIENCE.mul_f32(0.9);
    let asked = move || tidemill_kafka::task::reach(&login, limit);
    let asked = tokio::task::spawn_blocking(asked).await;
    match asked.map_err(|err| format!("a thread has ended: {err}"))? {
        Ok(1) => Ok("one broker lets Tidemill in".to_string()),
        Ok(n) => Ok(format!("{n} brokers let Tidemill in")),
        Err(err) => Err(err.to_string()),
    }
}

/// Opens a TCP connection and sends nothing.
async fn port(connection: &Connection) -> Result<String, String> {
    let host = connection.host.as_deref().unwrap_or_default();
    let (scheme, rest) = host.split_once("://").unwrap_or(("", host));
    let name = rest.split('/').next().unwrap_or_default();
    if name.is_empty() {
        return Err("it has no host to reach".to_string());
    }
    let by_scheme = match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    };
    let (name, in_name) = match name.rsplit_once(':') {
        Some((before, port)) if !before.contains(':') => (before, port.parse().ok()),
        _ => (name, None),
    };
    let by_type = PORTS.iter().find(|(kind, _)| *kind == connection.conn_type);
    let port = connection
        .port
        .or(in_name)
        .or(by_scheme)
        .or(by_type.map(|(_, port)| *port));
    let Some(port) = port else {
        let kind = &connection.conn_type;
        return Err(format!("it names no port, and `{kind}` has none by itself"));
    };
    match TcpStream::connect((name, port)).await {
        Ok(_) => Ok(format!(
            "{name}:{port} answers; login and password were not tried"
        )),
        Err(err) => Err(format!("{name}:{port} cannot be reached: {err}")),
    }
}

//! Can the other end of a connection be reached?

use std::time::Duration;
use tidemill_connection::Connection;
use tokio::net::TcpStream;

/// The other end must answer within this.
const PATIENCE: Duration = Duration::from_secs(5);

/// The ports of types that need not name theirs.
const PORTS: [(&str, u16); 12] = [
    ("postgres", 5432),
    ("mysql", 3306),
    ("mssql", 1433),
    ("oracle", 1521),
    ("redis", 6379),
    ("mongo", 27017),
    ("smtp", 25),
    ("ssh", 22),
    ("sftp", 22),
    ("ftp", 21),
    ("kafka", 9092),
    ("http", 80),
];

/// Opens a TCP connection, or looks at a file, and says what came of it. Nothing is sent.
pub(super) async fn reach(connection: &Connection) -> Result<String, String> {
    let host = connection.host.as_deref().unwrap_or_default();
    if connection.conn_type == "sqlite" {
        let is_there = std::path::Path::new(host).is_file();
        return match is_there {
            true => Ok(format!("the file {host} is there")),
            false => Err(format!("there is no file {host}")),
        };
    }
    let (scheme, rest) = host.split_once("://").unwrap_or(("", host));
    let name = rest.split('/').next().unwrap_or_default();
    if name.is_empty() {
        return Err("it has no host to reach".to_string());
    }
    let by_scheme = match scheme {
        "https" => Some(443),
        _ if connection.schema.as_deref() == Some("https") => Some(443),
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
    match tokio::time::timeout(PATIENCE, TcpStream::connect((name, port))).await {
        Ok(Ok(_)) => Ok(format!(
            "{name}:{port} answers; login and password were not tried"
        )),
        Ok(Err(err)) => Err(format!("{name}:{port} cannot be reached: {err}")),
        Err(_) => Err(format!("{name}:{port} does not answer within {PATIENCE:?}")),
    }
}

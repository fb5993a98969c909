//! The door by which others read the logs of this worker while they grow: whoever shows its word,
//! which only the database knows besides, gets bytes from a place on.

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use tidemill_log::Log;
use tokio::net::TcpListener;

/// The most bytes of one answer.
pub const CHUNK_MAX: usize = 1 << 20;

struct Door {
    logs: PathBuf,
    token: [u8; 32],
}

/// A word of 256 bits of chance.
///
/// # Errors
/// When the system gives none.
pub fn new_token() -> io::Result<String> {
    let mut bytes = [0u8; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Serves the logs of a folder on a listener, for as long as the runtime lives.
pub fn open(listener: TcpListener, logs: PathBuf, token: &str) {
    let door = Arc::new(Door {
        logs,
        token: hash(token),
    });
    let router = Router::new()
        .route("/logs/{run}/{name}", get(read))
        .with_state(door);
    tokio::spawn(async move { axum::serve(listener, router).await });
}

/// Words are compared by their hashes, so that the time it takes tells nothing of them.
fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

async fn read(
    State(door): State<Arc<Door>>,
    Path((run, name)): Path<(String, String)>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Vec<u8>, StatusCode> {
    let shown = headers.get(header::AUTHORIZATION);
    let shown = shown.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if shown.map(hash) != Some(door.token) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    if !is_log(&run, &name) {
        return Err(StatusCode::NOT_FOUND);
    }
    let from = query.get("from").map_or(Ok(0), |from| from.parse());
    let from: u64 = from.map_err(|_| StatusCode::BAD_REQUEST)?;
    let path = door.logs.join(run).join(name);
    let read = tokio::task::spawn_blocking(move || bytes_from(&path, from)).await;
    match read {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(err)) if err.kind() == io::ErrorKind::NotFound => Err(StatusCode::NOT_FOUND),
        _ => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Is it `<run>/<task>.<map index>.<try>`, and so inside the folder?
pub fn is_log(run: &str, name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = name.split('.').collect();
    is_number(run)
        && parts.len() == 3
        && is_number(parts[0])
        && is_number(parts[1].strip_prefix('-').unwrap_or(parts[1]))
        && is_number(parts[2])
}

fn bytes_from(path: &std::path::Path, from: u64) -> io::Result<Vec<u8>> {
    match Log::open(path)? {
        Some(mut log) => log.bytes(from, CHUNK_MAX),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::is_log;

    #[test]
    fn only_names_of_logs_are_opened() {
        assert!(is_log("12", "3.-1.1") && is_log("1", "1.0.12"));
        let wrong = [
            ("..", "3.-1.1"),
            ("1", "../2/3.-1.1"),
            ("1", "3.-1"),
            ("1", "3.-1.1.x"),
            ("", "3.-1.1"),
            ("1", "3.--1.1"),
            ("1", "3..1"),
        ];
        for (run, name) in wrong {
            assert!(!is_log(run, name), "{run}/{name}");
        }
    }
}

//! Logs that are not in the folder of this machine: read in the archive, if there is one, or
//! fetched from workers on other machines as they are read, and kept as copies.

use crate::daemon::log_archive::LogArchive;
use crate::daemon::worker::log_door;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper_util::rt::TokioIo;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tidemill_log::LogSource;
use tidemill_model::RunNo;
use tidemill_store::{DispatchStore, LogDoor, PageStore};
use tidemill_web::LogsElsewhere;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;

/// A worker that does not answer by then is passed over.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// One look at a log brings at most this many answers of a mebibyte.
const ANSWERS_MAX: usize = 64;
/// Copies of runs that are gone are looked for so often.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// Finds logs that are not on this machine. A shared log folder needs none of this: there each
/// log is here already.
pub fn elsewhere(
    archive: Option<LogArchive>,
    workers: Option<Arc<dyn DispatchStore>>,
    copies: PathBuf,
) -> LogsElsewhere {
    // One at a time, so that a copy is never written twice at one place.
    let turn = Arc::new(Mutex::new(()));
    Arc::new(move |name: PathBuf, is_complete: bool| {
        let (archive, workers) = (archive.clone(), workers.clone());
        let turn = Arc::clone(&turn);
        let copy = copies.join(&name);
        Box::pin(async move {
            // What is there is whole, while a copy may be of a worker that went away.
            if let Some(archive) = archive.filter(|_| is_complete)
                && let Some(log) = archive.find(&name).await
            {
                return Some(log);
            }
            let store = workers?;
            let _turn = turn.lock().await;
            let workers = store.workers().await.unwrap_or_else(|err| {
                tracing::warn!(%err, "Cannot ask which workers there are");
                Vec::new()
            });
            for door in workers.into_iter().filter_map(|worker| worker.logs) {
                match tokio::time::timeout(ANSWER_WAIT, bring(&door, &name, &copy)).await {
                    Ok(Ok(true)) => break,
                    Ok(Ok(false)) => {}
                    Ok(Err(err)) => {
                        tracing::warn!(%err, url = door.url, "Cannot read a log of a worker");
                    }
                    Err(_) => tracing::warn!(url = door.url, "A worker shows its logs too slowly"),
                }
            }
            copy.exists().then(|| Arc::new(copy) as Arc<dyn LogSource>)
        })
    })
}

/// Copies go with their runs: looked for now and then, in every process that keeps some.
pub async fn sweep_copies(pages: Arc<dyn PageStore>, copies: PathBuf) {
    loop {
        // None before the first copy.
        let mut folders = tokio::fs::read_dir(&copies).await.ok();
        while let Some(found) = &mut folders
            && let Ok(Some(folder)) = found.next_entry().await
        {
            let number = folder
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            let Some(number) = number else { continue };
            if let Ok(None) = pages.run_by_no(RunNo(number)).await {
                let _ = tokio::fs::remove_dir_all(folder.path()).await; // else the next time
            }
        }
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}

/// Adds to the copy what it lacks. `false` when the worker has no such log.
async fn bring(door: &LogDoor, name: &Path, copy: &Path) -> io::Result<bool> {
    let known = tokio::fs::metadata(copy).await.map_or(0, |file| file.len());
    let mut from = known;
    for _ in 0..ANSWERS_MAX {
        let Some(bytes) = ask(door, name, from).await? else {
            return Ok(false);
        };
        if bytes.is_empty() {
            break;
        }
        add(copy, &bytes).await?;
        from += bytes.len() as u64;
    }
    Ok(true)
}

async fn add(copy: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = copy.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    let mut options = tokio::fs::OpenOptions::new();
    let mut file = options
        .append(true)
        .create(true)
        .mode(0o600)
        .open(copy)
        .await?;
    file.write_all(bytes).await?;
    file.flush().await
}

async fn ask(door: &LogDoor, name: &Path, from: u64) -> io::Result<Option<Vec<u8>>> {
    let address = door.url.strip_prefix("http://").unwrap_or(&door.url);
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(connection);
    let request = Request::builder()
        .uri(format!("/logs/{}?from={from}", name.display()))
        .header("host", address)
        .header("authorization", format!("Bearer {}", door.token))
        .body(Body::empty())
        .map_err(io::Error::other)?;
    let answer = sender
        .send_request(request)
        .await
        .map_err(io::Error::other)?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        other => return Err(io::Error::other(format!("the worker answers {other}"))),
    }
    let body = Limited::new(answer.into_body(), log_door::CHUNK_MAX);
    let body = body.collect().await.map_err(io::Error::other)?;
    Ok(Some(body.to_bytes().to_vec()))
}

//! The way to a server: its Unix socket, or, where none runs, the same routes over its database.

use crate::args::DatabaseArgs;
use crate::daemon::database::{Database, Place};
use crate::daemon::home::Home;
use crate::daemon::server::{open_keeper, unexpected};
use crate::exit::{Exit, Failure};
use axum::body::Body;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tidemill_store::{Command, Refusal};
use tokio::net::UnixStream;
use tower::ServiceExt;

/// An answer is waited for so long; longer waits are many short ones.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// No answer to a command is larger than this.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Where a command finds its server.
pub struct Where {
    /// The state folder.
    pub home: PathBuf,
    /// The database, for when no server runs there.
    pub database: DatabaseArgs,
}

/// A server, or the database of one that does not run.
pub enum Client {
    /// The running server of this home.
    Socket(std::path::PathBuf),
    /// Reading only.
    Offline(axum::Router),
}

impl Client {
    /// The server of a home; its database when none runs and there is one.
    ///
    /// # Errors
    /// When there is neither.
    pub async fn of(at: &Where) -> Result<Client, Failure> {
        let home = Home::at(&at.home);
        if let Some(server) = home.server()
            && UnixStream::connect(&server.socket).await.is_ok()
        {
            return Ok(Client::Socket(server.socket));
        }
        let none = || {
            Failure::new(
                Exit::Unreachable,
                format!("no server runs in {}", home.path().display()),
            )
            .hint("start one with `tidemill serve`, or name its folder with --home")
        };
        let place = Place::of(&at.database, &home)?;
        if matches!(&place, Place::File(path) if !path.exists()) {
            return Err(none());
        }
        let database = Database::open_read_only(&place).await.map_err(|failure| {
            let hint = none().hint;
            Failure {
                hint: failure.hint.or(hint),
                ..failure
            }
        })?;
        let message = none().message;
        let keeper = open_keeper(&database, &home)?;
        let doors = tidemill_web::Doors {
            pages: database.pages,
            commands: Arc::new(move |command| {
                let (what, keeper) = (message.clone(), Arc::clone(&keeper));
                Box::pin(async move {
                    match command {
                        Command::Outside(wish) if !wish.changes() => {
                            keeper.answer(wish, false).await
                        }
                        _ => Err(Refusal::Unavailable { what }),
                    }
                })
            }),
            streams: database.streams,
            stream_door: None,
            hooks: None,
            changes: tokio::sync::broadcast::channel(1).0,
            logs: home.logs(),
            elsewhere: None,
            metrics: None,
            workers: database.dispatch,
            home_url: Arc::new(RwLock::new(String::new())),
            ready: Arc::new(|| false),
            logins: Arc::new(tidemill_web::Logins::new()),
            version: env!("CARGO_PKG_VERSION"),
        };
        Ok(Client::Offline(tidemill_web::socket_router(doors)))
    }

    /// Reads something.
    ///
    /// # Errors
    /// The server's refusal, with the status that it means.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.send("GET", path, None).await
    }

    /// Asks for something.
    ///
    /// # Errors
    /// The server's refusal, with the status that it means.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        self.send_with_key(method, path, body, None).await
    }

    /// Asks for something once, however often it is sent with the same key.
    ///
    /// # Errors
    /// The server's refusal, with the status that it means.
    pub async fn send_with_key(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<Value, Failure> {
        let mut request = axum::http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("x-tidemill-client", "cli")
            .header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let request = request
            .body(Body::from(body.map(Value::to_string).unwrap_or_default()))
            .map_err(unexpected)?;
        let answered = tokio::time::timeout(ANSWER_WAIT, self.exchange(request)).await;
        let (status, bytes) = answered.map_err(|_| {
            Failure::new(
                Exit::Unreachable,
                format!(
                    "the server has not answered within {} s",
                    ANSWER_WAIT.as_secs()
                ),
            )
        })??;
        let value: Value = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).unwrap_or_default()
        };
        if (200..300).contains(&status) {
            return Ok(value);
        }
        Err(refusal(status, &value))
    }

    async fn exchange(
        &self,
        request: axum::http::Request<Body>,
    ) -> Result<(u16, Vec<u8>), Failure> {
        let gone = |err: &dyn std::error::Error| {
            Failure::new(Exit::Unreachable, format!("the server has gone: {err}"))
        };
        match self {
            Client::Socket(path) => {
                let stream = UnixStream::connect(path).await.map_err(|err| gone(&err))?;
                let (mut sender, connection) =
                    hyper::client::conn::http1::handshake(TokioIo::new(stream))
                        .await
                        .map_err(|err| gone(&err))?;
                tokio::spawn(connection);
                let response = sender
                    .send_request(request)
                    .await
                    .map_err(|err| gone(&err))?;
                let status = response.status().as_u16();
                let body = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES_MAX)
                    .collect()
                    .await;
                Ok((
                    status,
                    body.map_err(|err| gone(err.as_ref()))?.to_bytes().to_vec(),
                ))
            }
            Client::Offline(router) => {
                let response = router.clone().oneshot(request).await.map_err(unexpected)?;
                let status = response.status().as_u16();
                let body = response
                    .into_body()
                    .collect()
                    .await
                    .map_err(|err| gone(&err))?;
                Ok((status, body.to_bytes().to_vec()))
            }
        }
    }
}

fn refusal(status: u16, value: &Value) -> Failure {
    let detail = match &value["detail"] {
        Value::String(detail) => detail.clone(),
        Value::Null => format!("the server answered {status}"),
        other => other.to_string(),
    };
    let exit = match status {
        400 | 422 => Exit::Usage,
        401 | 403 => Exit::Forbidden,
        404 => Exit::NotFound,
        409 => Exit::Conflict,
        502..=504 => Exit::Unreachable,
        _ => Exit::Error,
    };
    let failure = Failure::new(exit, detail);
    if exit == Exit::Unreachable {
        failure.hint("start a server with `tidemill serve`")
    } else {
        failure
    }
}

/// A run as people write it.
#[derive(Clone, Debug)]
pub struct RunRef {
    /// Its DAG.
    pub dag_id: String,
    /// Its name.
    pub run_id: String,
}

impl RunRef {
    /// Its path in the API.
    pub fn path(&self) -> String {
        format!(
            "/api/v2/dags/{}/dagRuns/{}",
            escape(&self.dag_id),
            escape(&self.run_id)
        )
    }

    /// Finds the run that a text names: `DAG/RUN_ID`, `DAG@latest`, `DAG@latest:failed`,
    /// `DAG@2026-11-20`, `latest`, or a short id.
    ///
    /// # Errors
    /// When there is none.
    pub async fn find(client: &Client, text: &str) -> Result<RunRef, Failure> {
        if let Some((dag_id, run_id)) = text.split_once('/') {
            let found = RunRef {
                dag_id: dag_id.to_string(),
                run_id: run_id.to_string(),
            };
            client.get(&found.path()).await?;
            return Ok(found);
        }
        let none = |why: String| {
            Failure::new(Exit::NotFound, why).hint("`tidemill runs list` shows the runs")
        };
        let (dag, which) = match text.split_once('@') {
            Some((dag, which)) => (dag, which),
            None if text.starts_with("latest") => ("~", text),
            None => {
                let found = client
                    .get(&format!("/api/tidemill/v1/runs/{}", escape(text)))
                    .await;
                let run = found.map_err(|_| none(format!("there is no run {text}")))?;
                return from_body(&run).ok_or_else(|| none(format!("there is no run {text}")));
            }
        };
        let state = which
            .strip_prefix("latest")
            .map(|rest| rest.trim_start_matches(':'));
        let query = state
            .filter(|state| !state.is_empty())
            .map(|state| format!("&state={state}"))
            .unwrap_or_default();
        let limit = if state.is_some() { 1 } else { 100 };
        let list = client
            .get(&format!(
                "/api/v2/dags/{}/dagRuns?limit={limit}{query}",
                escape(dag)
            ))
            .await?;
        let runs = list["dag_runs"].as_array().cloned().unwrap_or_default();
        let found = match state {
            Some(_) => runs.first(),
            None => runs.iter().find(|run| {
                run["logical_date"]
                    .as_str()
                    .is_some_and(|date| date.starts_with(which))
            }),
        };
        found
            .and_then(from_body)
            .ok_or_else(|| none(format!("there is no run {text}")))
    }
}

fn from_body(run: &Value) -> Option<RunRef> {
    Some(RunRef {
        dag_id: run["dag_id"].as_str()?.to_string(),
        run_id: run["dag_run_id"].as_str()?.to_string(),
    })
}

/// A path segment, percent-encoded.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(byte as char);
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

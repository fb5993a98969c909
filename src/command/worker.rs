//! `worker`, and `workers`: list, drain.

use super::client::{Client, Where};
use super::print::{Printer, line};
use super::serve::start_log;
use crate::args::{self, Workers};
use crate::daemon::config;
use crate::daemon::database::{Database, Place};
use crate::daemon::home::Home;
use crate::daemon::log_archive::{FinishedLogs, LogArchive, Logins};
use crate::daemon::server::{store_failure, unexpected, worker_failure};
use crate::daemon::worker::{Bell, RemoteWorker, log_door, ring_for_work};
use crate::daemon::worker_settings::{with_kept_logs, with_runs, worker_options};
use crate::exit::{Exit, Failure};
use serde_json::{Value, json};
use std::time::Duration;
use tidemill_connection::Places;
use tidemill_executor::Worker;
use tidemill_store::{LogDoor, NewWorker};
use tokio::signal::unix::{SignalKind, signal};

/// A worker that starts waits so long for the tasks of a dead one in its home to be gone.
const TAKE_OVER_WAIT: Duration = Duration::from_secs(15);

/// Runs a worker until it is told to stop.
pub fn worker(at: &Where, options: args::Worker) -> Result<Exit, Failure> {
    start_log();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.map_err(unexpected)?;
    let ended = runtime.block_on(work(at, options));
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn work(at: &Where, options: args::Worker) -> Result<Exit, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(unexpected)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unexpected)?;
    let home = Home::create(&at.home).map_err(unexpected)?;
    let place = Place::of(&at.database, &home)?;
    let place = match options.no_notify {
        true => place.by_pooler(),
        false => place,
    };
    let database = Database::open_existing(&place).await?;
    let config = config::read(&home.config()).map_err(|what| Failure::new(Exit::Usage, what))?;
    let store = database.shared_store().ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            "a worker in a process of its own needs a database that processes share",
        )
        .hint("name it with --database postgres://…; without one, `tidemill serve` runs the tasks itself")
    })?;
    let home = with_runs(home, options.work.runs.as_deref(), &config, &database).await?;
    let lease = Duration::from_secs(options.lease);
    let settings = tidemill_executor::WorkerOptions {
        lease,
        ..worker_options(
            &home,
            options.work.slots,
            Duration::from_secs(options.work.kill_grace),
            options.work.env_passthrough.clone(),
            &database,
        )
    };
    let (finished, logs_to_send) = FinishedLogs::new();
    let settings = with_kept_logs(&home, settings, &config.logs, finished)?;
    let logins = Logins {
        places: Places::of_process(),
        keeper: None,
    };
    let archive = LogArchive::open(config.logs.archive.as_ref(), &*database.pages, logins).await?;
    if let Some(archive) = archive {
        archive.send(home.logs(), logs_to_send);
    }
    let started = tokio::task::spawn_blocking(move || Worker::start(settings, TAKE_OVER_WAIT));
    let worker = started.await.map_err(unexpected)?.map_err(worker_failure)?;
    let identity = identity(&options, &home, lease).await?;
    greet(&options, &identity);
    let bell = Bell::new().map_err(unexpected)?;
    let runtime = tokio::runtime::Handle::current();
    let listening = std::sync::Arc::clone(&store);
    let ringer = (!options.no_notify).then(|| tokio::spawn(ring_for_work(listening, bell.clone())));
    let (of_thread, thread_ended) = tokio::sync::oneshot::channel();
    let for_thread = bell.clone();
    std::thread::Builder::new()
        .name("worker".to_string())
        .spawn(move || {
            let entered = RemoteWorker::new(store, runtime, worker, identity, home, for_thread);
            let _ = of_thread.send(entered.map(RemoteWorker::run));
        })
        .map_err(unexpected)?;
    let grace = Duration::from_secs(options.work.shutdown_timeout);
    let mut thread_ended = thread_ended;
    let ended = tokio::select! {
        ended = &mut thread_ended => ended,
        () = async { tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} } } => {
            eprintln!("stopping: waiting up to {grace:?} for running tasks; a second signal ends them now");
            bell.stop();
            tokio::select! {
                ended = &mut thread_ended => ended,
                () = async { tokio::select! {
                    _ = terminate.recv() => {}, _ = interrupt.recv() => {}, () = tokio::time::sleep(grace) => {}
                } } => {
                    bell.stop_now();
                    thread_ended.await
                }
            }
        }
    };
    if let Some(ringer) = ringer {
        ringer.abort();
    }
    database.close().await;
    match ended {
        Ok(Ok(())) => Ok(Exit::Ok),
        Ok(Err(err)) => Err(store_failure(err)),
        Err(_) => Err(Failure::new(
            Exit::Error,
            "the worker's thread has ended without a word",
        )),
    }
}

/// Who this worker is, with the door to its logs open.
async fn identity(
    options: &args::Worker,
    home: &Home,
    lease: Duration,
) -> Result<NewWorker, Failure> {
    let listener = tokio::net::TcpListener::bind(options.log_listen)
        .await
        .map_err(|err| {
            let message = format!("cannot listen on {}: {err}", options.log_listen);
            Failure::new(Exit::Unreachable, message)
        })?;
    let token = log_door::new_token().map_err(unexpected)?;
    let here = listener.local_addr().map_err(unexpected)?;
    let url = options
        .log_url
        .clone()
        .unwrap_or_else(|| format!("http://{here}"));
    log_door::open(listener, home.logs(), &token);
    Ok(NewWorker {
        host: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        pid: std::process::id(),
        slots: options.work.slots,
        queues: options.queues.clone(),
        logs: Some(LogDoor { url, token }),
        lease,
    })
}

fn greet(options: &args::Worker, identity: &NewWorker) {
    println!(
        "Tidemill {} works on {} with {} slots",
        env!("CARGO_PKG_VERSION"),
        options.queues.join(", "),
        identity.slots
    );
}

/// Runs one of the verbs of `workers`.
pub async fn workers(printer: &Printer, at: &Where, verb: Workers) -> Result<Exit, Failure> {
    let client = Client::of(at).await?;
    match verb {
        Workers::List => {
            let found = client.get("/api/tidemill/v1/workers").await?;
            let columns = ["worker", "host", "pid", "slots", "queues", "state", "seen"];
            let cell = |row: &Value, name: &str| match &row[name] {
                Value::Array(all) => {
                    let all: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
                    all.join(",")
                }
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let rows = found["workers"].as_array().into_iter().flatten();
            let rows = rows.map(|row| columns.iter().map(|name| cell(row, name)).collect());
            printer.list(&columns, rows.collect(), &found);
        }
        Workers::Drain { worker, undo } => {
            let path = format!("/api/tidemill/v1/workers/{worker}");
            let wish = json!({"is_draining": !undo});
            client.send("PATCH", &path, Some(&wish)).await?;
            line(&match undo {
                true => format!("worker {worker} takes tasks again"),
                false => format!("worker {worker} takes no more tasks; stop it when it has none"),
            });
        }
    }
    Ok(Exit::Ok)
}

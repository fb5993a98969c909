//! `serve` and `login-link`.

use super::client::{Client, Where};
use crate::args;
use crate::daemon::database::Place;
use crate::daemon::home::Home;
use crate::daemon::server::{ServeOptions, serve as serve_until_stopped, unexpected};
use crate::exit::{Exit, Failure};
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// Starts a server and runs it until it is told to stop.
pub fn serve(at: &Where, options: args::Serve) -> Result<Exit, Failure> {
    start_log();
    if !options.dags.is_dir() {
        let message = format!("there is no folder {}", options.dags.display());
        return Err(Failure::new(Exit::Usage, message)
            .hint("--dags names the folder that holds the DAG files"));
    }
    let place = Place::of(&at.database, &Home::at(&at.home))?;
    if options.only.is_some() && matches!(place, Place::File(_)) {
        return Err(Failure::new(
            Exit::Usage,
            "a part of a server needs a database that processes share",
        )
        .hint("name it with --database postgres://…"));
    }
    let queues = queues(&options.queues, &place);
    let options = ServeOptions {
        home: at.home.clone(),
        database: place,
        dags: options.dags.canonicalize().map_err(unexpected)?,
        runs: options.work.runs,
        listen: options.listen,
        slots: match options.only {
            Some(_) => 0,
            None => options.work.slots,
        },
        queues,
        only: options.only,
        shutdown_grace: Duration::from_secs(options.work.shutdown_timeout),
        kill_grace: Duration::from_secs(options.work.kill_grace),
        env_passthrough: options.work.env_passthrough,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.map_err(unexpected)?;
    let ended = runtime.block_on(serve_until_stopped(options));
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

/// A file has no other worker, so this one serves every queue; on a server the others may be
/// there for a purpose.
fn queues(named: &[String], place: &Place) -> Option<Vec<String>> {
    match place {
        _ if !named.is_empty() => Some(named.to_vec()),
        Place::File(_) => None,
        #[cfg(feature = "postgres")]
        Place::Server(_) => Some(vec!["default".to_string()]),
    }
}

/// The server's own log: sentences with fields, on standard error; JSON where nobody watches.
pub(super) fn start_log() {
    use std::io::IsTerminal;
    let filter = EnvFilter::try_from_env("TIDEMILL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    if std::io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().flatten_event(true).init();
    }
}

/// Prints a fresh one-time link for the pages.
pub async fn login_link(at: &Where) -> Result<Exit, Failure> {
    let client = Client::of(at).await?;
    if matches!(client, Client::Offline(_)) {
        return Err(
            Failure::new(Exit::Unreachable, "no server runs in this home")
                .hint("start one with `tidemill serve`; it prints a link"),
        );
    }
    let link = client
        .send("POST", "/api/tidemill/v1/login-links", None)
        .await?;
    let path = link["path"].as_str().unwrap_or("/");
    let url = Home::at(&at.home)
        .server()
        .map(|server| server.url)
        .unwrap_or_default();
    super::print::line(&format!("{url}{path}"));
    Ok(Exit::Ok)
}

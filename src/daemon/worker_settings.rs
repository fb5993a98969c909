//! What a worker of this program is told: by `serve`, `worker` and `run`.

use crate::daemon::config::{LogSettings, Settings};
use crate::daemon::database::Database;
use crate::daemon::home::Home;
use crate::daemon::log_archive::FinishedLogs;
use crate::daemon::server::{store_failure, unexpected};
use crate::exit::{Exit, Failure};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tidemill_executor::WorkerOptions;
use tidemill_executor::operator::{Allowed, Operators};

/// A frozen worker's tasks are ended before this is over.
const LEASE: Duration = Duration::from_secs(60);
/// One try may log this much.
const LOG_BYTES_MAX: u64 = 1 << 30;

/// The settings of a worker that looks after its logs as the configuration of its home says.
///
/// # Errors
/// When the system gives no thread.
pub fn with_kept_logs(
    home: &Home,
    options: WorkerOptions,
    settings: &LogSettings,
    finished: FinishedLogs,
) -> Result<WorkerOptions, Failure> {
    let tell = move |log| finished.tell(log);
    let keeper = tidemill_log::Keeper::start(home.logs(), settings.keep, tell);
    let keeper = keeper.map_err(unexpected)?;
    Ok(WorkerOptions {
        keeper: Some(Arc::new(keeper)),
        log_bytes_max: settings.try_max.unwrap_or(options.log_bytes_max),
        ..options
    })
}

/// The home with the folders of runs where the command line, or else the configuration, says. They
/// lie there under the installation's word, so that two databases never meet.
///
/// # Errors
/// When the database does not answer, or the folder cannot be made.
pub async fn with_runs(
    home: Home,
    named: Option<&Path>,
    settings: &Settings,
    database: &Database,
) -> Result<Home, Failure> {
    let Some(folder) = named.or(settings.runs.as_deref()) else {
        return Ok(home);
    };
    let installation = database.pages.installation().await.map_err(store_failure)?;
    home.with_runs(&folder.join(installation)).map_err(|err| {
        let message = format!(
            "the folder of runs {} cannot be made: {err}",
            folder.display()
        );
        Failure::new(Exit::Usage, message)
    })
}

/// The ranges of addresses that requests may go to though they are closed by default. A list that
/// cannot be read opens nothing.
pub fn allowed_addresses() -> Allowed {
    let text = std::env::var("TIDEMILL_HTTP_ALLOW").unwrap_or_default();
    Allowed::parse(&text).unwrap_or_else(|what| {
        tracing::error!(what, "TIDEMILL_HTTP_ALLOW cannot be read; it opens nothing");
        Allowed::default()
    })
}

/// The settings of a worker in a state folder, for `serve` and for `run`.
pub fn worker_options(
    home: &Home,
    slots: u32,
    kill_grace: Duration,
    env_passthrough: Vec<String>,
    database: &Database,
) -> WorkerOptions {
    let operators = Operators::built_in(home.path(), allowed_addresses());
    #[cfg(feature = "kafka")]
    let operators = crate::daemon::operator::with_kafka(
        operators,
        crate::daemon::operator::Spans {
            store: Arc::clone(&database.spans),
            runtime: tokio::runtime::Handle::current(),
        },
    );
    #[cfg(not(feature = "kafka"))]
    let _ = database; // only Kafka's operators keep something there
    WorkerOptions {
        home: home.path().to_path_buf(),
        slots,
        env_passthrough,
        kill_grace,
        lease: LEASE,
        log_bytes_max: LOG_BYTES_MAX,
        keeper: None,
        operators,
        supervisor_program: None,
    }
}

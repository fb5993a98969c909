//! `serve`: everything in one process, from start to a clean end.

use crate::args::Part;
use crate::daemon::alerts::Sender;
use crate::daemon::config::{self, LogSettings, Settings};
use crate::daemon::dag_folder::DagFolder;
use crate::daemon::database::{Database, Place};
use crate::daemon::engine::{EarlierWorkers, Engine, EngineDoor, EngineOptions, Input, own_worker};
use crate::daemon::events::Events;
use crate::daemon::follow::follow;
use crate::daemon::front::{Front, forget, refuse_second};
use crate::daemon::home::Home;
use crate::daemon::log_archive::{FinishedLogs, LogArchive, Logins};
use crate::daemon::outside::{Keeper, KeyPlace};
use crate::daemon::retention;
use crate::daemon::signals::{Signals, Wish};
use crate::daemon::stand_by;
use crate::daemon::wishes::{Attending, Doors};
use crate::daemon::worker_settings::{with_kept_logs, with_runs, worker_options};
use crate::exit::{Exit, Failure, chain};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tidemill_connection::Places;
use tidemill_executor::{Worker, WorkerError};
use tidemill_store::{Change, StoreError, StreamDoor};
use tokio::sync::{Notify, broadcast, oneshot};

/// A starting server waits so long for the tasks of a dead one to be gone.
const TAKE_OVER_WAIT: Duration = Duration::from_secs(15);
/// An engine that has not ended so long after its tasks' grace waits for its database.
const END_WAIT: Duration = Duration::from_secs(15);

/// Settings of a server.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The state folder.
    pub home: PathBuf,
    /// The database.
    pub database: Place,
    /// The DAG folder.
    pub dags: PathBuf,
    /// Where the folders of runs lie, if the command line says so.
    pub runs: Option<PathBuf>,
    /// Where pages are served; loopback only.
    pub listen: SocketAddr,
    /// Attempts at once.
    pub slots: u32,
    /// Only a part of a server.
    pub only: Option<Part>,
    /// The queues that it serves itself; all when `None`.
    pub queues: Option<Vec<String>>,
    /// How long running tasks may go on after SIGTERM.
    pub shutdown_grace: Duration,
    /// Between TERM and KILL of a task.
    pub kill_grace: Duration,
    /// Variables that tasks inherit besides the allow-list.
    pub env_passthrough: Vec<String>,
}

/// Runs a server until it is told to stop.
///
/// # Errors
/// When it cannot start, or its scheduler has lost its term.
pub async fn serve(options: ServeOptions) -> Result<Exit, Failure> {
    if !options.listen.ip().is_loopback() {
        let message = format!("{} is not a loopback address", options.listen);
        return Err(Failure::new(Exit::Usage, message)
            .hint("users and roles are not built yet, so pages are served on this machine only: use 127.0.0.1"));
    }
    let mut signals = Signals::new().map_err(unexpected)?;
    let home = Home::create(&options.home).map_err(|err| {
        Failure::new(
            Exit::Unreachable,
            format!("cannot make {}: {err}", options.home.display()),
        )
    })?;
    refuse_second(&home).await?;
    let settings = config::read(&home.config());
    let settings = settings.map_err(|what| Failure::new(Exit::Usage, what))?;
    let database = Database::open(&options.database).await?;
    let home = with_runs(home, options.runs.as_deref(), &settings, &database).await?;
    let (finished, logs_to_send) = FinishedLogs::new();
    let mut worker = start_worker(&options, &home, &database, &settings.logs, finished).await?;
    let keeper = open_keeper(&database, &home)?;
    let logins = Logins {
        places: Places::of_process(),
        keeper: Some(Arc::clone(&keeper)),
    };
    let archive = settings.logs.archive.as_ref();
    let archive = LogArchive::open(archive, &*database.pages, logins).await?;
    if let Some(archive) = &archive {
        archive.send(home.logs(), logs_to_send);
    }
    let front = Front::open(options.listen, &home, &database, &keeper, &archive).await?;
    if options.only == Some(Part::Api) {
        let _following = Following::of(&database, &front).await;
        front.announce(&home)?;
        front.set_ready(true);
        front.greet(
            &options,
            &home,
            Some("decides nothing: commands go to the scheduler by the database"),
        );
        signals.stop().await;
        forget(&home);
        database.close().await;
        return Ok(Exit::Ok);
    }
    let ended = match become_leader(
        &options,
        &home,
        &database,
        &mut worker,
        &front,
        &mut signals,
    )
    .await
    {
        Ok(Some(term)) => {
            let leader = Leader {
                options: &options,
                home: &home,
                database: &database,
                front: &front,
                keeper: &keeper,
                alert_bell: Arc::default(),
                archive,
            };
            leader.lead(worker, term, &mut signals).await
        }
        Ok(None) => Ok(Exit::Ok),
        Err(failure) => Err(failure),
    };
    forget(&home);
    database.close().await;
    ended
}

/// The term; nothing when the server was told to stop before it had it.
async fn become_leader(
    options: &ServeOptions,
    home: &Home,
    database: &Database,
    worker: &mut Worker,
    front: &Front,
    signals: &mut Signals,
) -> Result<Option<i64>, Failure> {
    let holder = match stand_by::take_term_soon(&*database.engine).await {
        Ok(term) => return Ok(Some(term)),
        Err(err @ StoreError::Owned { .. }) => err,
        Err(err) => return Err(store_failure(err)),
    };
    let _following = Following::of(database, front).await;
    front.announce(home)?;
    front.greet(options, home, Some(&format!("stands by: {holder}")));
    tracing::info!("This server stands by: {holder}");
    let term = tokio::select! {
        term = stand_by::wait_for_term(&*database.engine, worker) => term.map_err(store_failure)?,
        () = signals.stop() => return Ok(None),
    };
    tracing::warn!(term, "This stand-by is the scheduler now");
    Ok(Some(term))
}

/// Live pages of a process that is not the scheduler, for as long as the value is there.
struct Following(tokio::task::JoinHandle<()>);

impl Following {
    async fn of(database: &Database, front: &Front) -> Following {
        let (pages, changes) = (Arc::clone(&database.pages), front.changes.clone());
        let last = pages.last_change().await.ok(); // else it is asked again
        Following(tokio::spawn(follow(pages, changes, last)))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A server that has the term.
struct Leader<'s> {
    options: &'s ServeOptions,
    home: &'s Home,
    database: &'s Database,
    front: &'s Front,
    keeper: &'s Arc<Keeper>,
    alert_bell: Arc<Notify>,
    archive: Option<LogArchive>,
}

impl Leader<'_> {
    async fn lead(
        &self,
        worker: Worker,
        term: i64,
        signals: &mut Signals,
    ) -> Result<Exit, Failure> {
        let settings = config::read(&self.home.config());
        let settings = settings.map_err(|what| Failure::new(Exit::Usage, what))?;
        let retention = settings.retention;
        let (engine, door) = self.start_engine(worker, term, settings).await?;
        tokio::spawn(Arc::new(self.sender()).run(Arc::clone(&self.alert_bell)));
        self.front.lead_to(&door);
        let pages = Arc::clone(&self.database.pages);
        if let Some(archive) = &self.archive {
            archive.forget_with_runs(Arc::clone(&pages));
        }
        tokio::spawn(retention::keep(pages, door.clone(), retention));
        #[cfg(feature = "kafka")]
        let streams = crate::daemon::streams::Streams::start(
            self.database.clone(),
            door.clone(),
            term,
            Arc::clone(self.keeper),
            self.home.runs(),
        )
        .map_err(unexpected)?;
        #[cfg(feature = "kafka")]
        let wishes = Some(streams.door());
        #[cfg(not(feature = "kafka"))]
        let wishes = None;
        let attending = self.open_doors(&door, term, wishes)?;
        tokio::spawn(ring_for_arrivals(self.database.clone(), door.clone()));
        let folder = DagFolder::new(
            self.options.dags.clone(),
            self.database.clone(),
            door.clone(),
            self.home.versions(),
        );
        let folder = folder.await.map_err(store_failure)?;
        let (scanned, first_scan) = oneshot::channel();
        tokio::spawn(folder.watch(scanned));
        // A folder of ten thousand files must not keep the server from answering.
        let _ = tokio::time::timeout(Duration::from_secs(5), first_scan).await;
        self.front.announce(self.home)?;
        self.front.set_ready(true);
        self.front.greet(self.options, self.home, None);
        let ended = self.follow(engine, &door, signals).await;
        #[cfg(feature = "kafka")]
        tokio::task::block_in_place(|| streams.stop());
        self.front.set_ready(false);
        if let Some(attending) = attending {
            attending.finish().await;
        }
        match ended {
            Ok(Ok(())) => Ok(Exit::Ok),
            Ok(Err(err)) => Err(store_failure(err)),
            Err(_) => Err(Failure::new(
                Exit::Error,
                "the scheduler's thread has ended without a word",
            )),
        }
    }

    /// From here on streams and webhooks are attended to, and what is asked of them reaches them,
    /// here and by way of other processes.
    fn open_doors(
        &self,
        engine: &EngineDoor,
        term: i64,
        streams: Option<StreamDoor>,
    ) -> Result<Option<Attending>, Failure> {
        let (database, engine) = (self.database, engine.clone());
        let keeper = Arc::clone(self.keeper);
        let events = Events::start(database.clone(), engine.clone(), term, keeper);
        let events = events.map_err(unexpected)?;
        let doors = Doors {
            commands: engine.commands(),
            streams: events.door(streams),
            hooks: events.hooks(),
        };
        self.front.stream_to(Arc::clone(&doors.streams));
        self.front.call_to(Arc::clone(&doors.hooks));
        let is_ready = self.front.readiness();
        Ok(Attending::start(database, term, doors, is_ready))
    }

    /// Who tells people.
    fn sender(&self) -> Sender {
        Sender {
            store: Arc::clone(&self.database.alerts),
            places: Places::of_process(),
            keeper: Arc::clone(self.keeper),
            versions: self.home.versions(),
            url: self.front.url().to_string(),
        }
    }

    async fn start_engine(
        &self,
        worker: Worker,
        term: i64,
        settings: Settings,
    ) -> Result<(EngineEnd, EngineDoor), Failure> {
        let earlier = match &self.options.database {
            Place::File(_) => EarlierWorkers::AllGone,
            #[cfg(feature = "postgres")]
            Place::Server(address) => {
                let earlier = self.home.add_worker(own_worker(term), &address.to_string());
                EarlierWorkers::Gone(earlier.map_err(unexpected)?)
            }
        };
        let options = EngineOptions {
            pools: settings.pools,
            slots: self.options.slots,
            queues: self.options.queues.clone(),
            logs: self.home.logs(),
            versions: self.home.versions(),
            runs: self.home.runs(),
            no_retry: false,
            at_once: false,
            places: Places::of_process(),
            keeper: Some(Arc::clone(self.keeper)),
            alert_bell: Arc::clone(&self.alert_bell),
            earlier,
            metrics: Arc::clone(&self.front.metrics),
        };
        let changes = self.front.changes.clone();
        spawn_engine(options, self.database.clone(), term, worker, changes)
            .await
            .map_err(store_failure)
    }

    /// Reads the configuration again, for its pools; all else that it says needs a new start. One
    /// that is wrong changes nothing.
    fn reread(&self, door: &EngineDoor) {
        match config::read(&self.home.config()) {
            Ok(settings) => {
                tracing::info!("The pools of tidemill.toml are read again");
                door.send(Input::Pools(settings.pools));
            }
            Err(what) => {
                tracing::error!(what, "tidemill.toml is not taken; pools stay as they were")
            }
        }
    }

    /// Waits for the engine's end: by a signal, or because another process has the term.
    async fn follow(
        &self,
        mut engine: EngineEnd,
        door: &EngineDoor,
        signals: &mut Signals,
    ) -> Result<Result<(), StoreError>, oneshot::error::RecvError> {
        loop {
            tokio::select! {
                ended = &mut engine => return ended,
                // Its tasks are ended with this process, whatever its engine waits for.
                () = self.database.wait_until_lost() => return Ok(Err(StoreError::TermLost)),
                wish = signals.next() => match wish {
                    Wish::Stop => break,
                    Wish::Reread => self.reread(door),
                },
            }
        }
        self.front.set_ready(false);
        let grace = self.options.shutdown_grace;
        eprintln!(
            "stopping: waiting up to {grace:?} for running tasks; a second signal ends them now"
        );
        door.send(Input::Stop(grace));
        tokio::select! {
            ended = &mut engine => return ended,
            () = signals.stop() => {}
            () = tokio::time::sleep(grace + self.options.kill_grace + END_WAIT) => {}
        }
        door.send(Input::StopNow);
        engine.await
    }
}

/// Who keeps the connections and variables of a database.
///
/// # Errors
/// When there is a key that cannot be read.
pub fn open_keeper(database: &Database, home: &Home) -> Result<Arc<Keeper>, Failure> {
    let place = KeyPlace::of_process(home);
    let keeper = Keeper::open(Arc::clone(&database.outside), place);
    keeper
        .map(Arc::new)
        .map_err(|err| Failure::new(Exit::Usage, err.what))
}

/// Wakes the engine when workers of other processes have said something.
async fn ring_for_arrivals(database: Database, door: EngineDoor) {
    #[cfg(feature = "postgres")]
    if let Some(store) = database.shared_store() {
        use tidemill_store_postgres::{Listener, Rings};
        let mut listener = Listener::new(store, Rings::Arrivals);
        loop {
            listener.wait(Duration::from_secs(1)).await;
            door.send(Input::Arrivals);
        }
    }
    let _ = (database, door); // a file has no other worker
}

async fn start_worker(
    options: &ServeOptions,
    home: &Home,
    database: &Database,
    logs: &LogSettings,
    finished: FinishedLogs,
) -> Result<Worker, Failure> {
    let passthrough = options.env_passthrough.clone();
    let options = worker_options(
        home,
        options.slots,
        options.kill_grace,
        passthrough,
        database,
    );
    let options = with_kept_logs(home, options, logs, finished)?;
    let started = tokio::task::spawn_blocking(move || Worker::start(options, TAKE_OVER_WAIT)).await;
    started.map_err(unexpected)?.map_err(worker_failure)
}

type EngineEnd = oneshot::Receiver<Result<(), StoreError>>;

/// Starts an engine's thread. The first receiver tells its end.
///
/// # Errors
/// When the store cannot be read.
pub async fn spawn_engine(
    options: EngineOptions,
    database: Database,
    term: i64,
    worker: Worker,
    changes: broadcast::Sender<Arc<Change>>,
) -> Result<(EngineEnd, EngineDoor), StoreError> {
    let runtime = tokio::runtime::Handle::current();
    let (started, start) = oneshot::channel();
    let (ended, end) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("engine".to_string())
        .spawn(
            move || match Engine::new(options, database, term, runtime, worker, changes) {
                Ok((engine, door)) => {
                    let _ = started.send(Ok(door));
                    let _ = ended.send(engine.run());
                }
                Err(err) => {
                    let _ = started.send(Err(err));
                }
            },
        );
    let lost = |what: String| StoreError::Unreadable { what };
    thread.map_err(|err| lost(format!("the scheduler's thread cannot be started: {err}")))?;
    let door = start
        .await
        .map_err(|_| lost("the scheduler's thread has ended".to_string()))??;
    Ok((end, door))
}

/// An error without a better word.
pub fn unexpected(err: impl std::error::Error + 'static) -> Failure {
    Failure::new(Exit::Error, chain(&err))
}

/// A store's error, for people.
pub fn store_failure(err: StoreError) -> Failure {
    let failure = Failure::new(Exit::Unreachable, chain(&err));
    match err {
        StoreError::Owned { .. } => {
            failure.hint("a server runs in this home already; --home takes another folder")
        }
        StoreError::TermLost => {
            failure.hint("another server of this database is the scheduler now; start this one again to stand by")
        }
        StoreError::Unavailable { .. } | StoreError::Unreadable { .. } => failure,
    }
}

/// A worker's error, for people.
pub fn worker_failure(err: WorkerError) -> Failure {
    let failure = Failure::new(Exit::Unreachable, chain(&err));
    match err {
        WorkerError::Locked { .. } => {
            failure.hint("another tidemill works in this home, or tasks of an earlier one are still being ended; --home takes another folder")
        }
        WorkerError::System { .. } => failure,
    }
}

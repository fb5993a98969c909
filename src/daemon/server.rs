//! `serve`: everything in one process, from start to a clean end.

use crate::daemon::clock;
use crate::daemon::dag_folder::DagFolder;
use crate::daemon::engine::{Engine, EngineDoor, EngineOptions, Input};
use crate::daemon::home::{Home, ServerFile};
use crate::exit::{Exit, Failure, chain};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tidemill_executor::{Worker, WorkerError, WorkerOptions};
use tidemill_store::{Change, Command, CommandDoor, PageStore, StoreError};
use tidemill_store_sqlite::SqliteStore;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, oneshot};

/// Changes that a slow reader may lag behind before it reads rows instead.
const CHANGES_KEPT: usize = 1024;
/// A starting server waits so long for the tasks of a dead one to be gone.
const TAKE_OVER_WAIT: Duration = Duration::from_secs(15);

/// A frozen worker's tasks are ended before this is over.
const LEASE: Duration = Duration::from_secs(60);
/// One try may log this much.
const LOG_BYTES_MAX: u64 = 1 << 30;

/// Settings of a server.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The state folder.
    pub home: PathBuf,
    /// The DAG folder.
    pub dags: PathBuf,
    /// Where pages are served; loopback only.
    pub listen: SocketAddr,
    /// Attempts at once.
    pub slots: u32,
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
    let mut terminate = signal(SignalKind::terminate()).map_err(unexpected)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unexpected)?;
    let home = Home::create(&options.home).map_err(|err| {
        Failure::new(
            Exit::Unreachable,
            format!("cannot make {}: {err}", options.home.display()),
        )
    })?;
    let store = Arc::new(
        SqliteStore::open(&home.database())
            .await
            .map_err(store_failure)?,
    );
    let worker = start_worker(&options, &home).await?;
    let (changes, _) = broadcast::channel(CHANGES_KEPT);
    let (engine, door) = start_engine(&options, &home, &store, worker, changes.clone()).await?;

    let listener = TcpListener::bind(options.listen).await.map_err(|err| {
        Failure::new(
            Exit::Unreachable,
            format!("cannot listen on {}: {err}", options.listen),
        )
        .hint("another program may use it: --listen 127.0.0.1:0 takes a free port")
    })?;
    let url = format!("http://{}", listener.local_addr().map_err(unexpected)?);
    let folder = DagFolder::new(
        options.dags.clone(),
        Arc::clone(&store),
        door.clone(),
        home.versions(),
    );
    let folder = folder.await.map_err(store_failure)?;
    let (scanned, first_scan) = oneshot::channel();
    tokio::spawn(folder.watch(scanned));

    let ready = Arc::new(AtomicBool::new(false));
    let doors = doors(&store, &door, &changes, &home, &url, &ready);
    let link = format!("{url}{}", doors.logins.new_link_path());
    serve_pages(listener, &home, doors)?;
    // A folder of ten thousand files must not keep the server from answering.
    let _ = tokio::time::timeout(Duration::from_secs(5), first_scan).await;
    announce(&home, &url)?;
    ready.store(true, Ordering::Release);
    greet(&options, &home, &url, &link);

    let mut engine = engine;
    let ended = tokio::select! {
        ended = &mut engine => Some(ended),
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
    };
    ready.store(false, Ordering::Release);
    let ended = match ended {
        Some(ended) => ended,
        None => {
            eprintln!(
                "stopping: waiting up to {:?} for running tasks; a second signal ends them now",
                options.shutdown_grace
            );
            door.send(Input::Stop(options.shutdown_grace));
            tokio::select! {
                ended = &mut engine => ended,
                _ = async { tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} } } => {
                    door.send(Input::StopNow);
                    engine.await
                }
            }
        }
    };
    let _ = std::fs::remove_file(home.server_file());
    let _ = std::fs::remove_file(home.socket());
    match ended {
        Ok(Ok(())) => Ok(Exit::Ok),
        Ok(Err(err)) => Err(store_failure(err)),
        Err(_) => Err(Failure::new(
            Exit::Error,
            "the scheduler's thread has ended without a word",
        )),
    }
}

async fn start_worker(options: &ServeOptions, home: &Home) -> Result<Worker, Failure> {
    let passthrough = options.env_passthrough.clone();
    let options = worker_options(home, options.slots, options.kill_grace, passthrough);
    let started = tokio::task::spawn_blocking(move || Worker::start(options, TAKE_OVER_WAIT)).await;
    started.map_err(unexpected)?.map_err(worker_failure)
}

/// The settings of a worker in a state folder, for `serve` and for `run`.
pub fn worker_options(
    home: &Home,
    slots: u32,
    kill_grace: Duration,
    env_passthrough: Vec<String>,
) -> WorkerOptions {
    WorkerOptions {
        home: home.path().to_path_buf(),
        slots,
        env_passthrough,
        kill_grace,
        lease: LEASE,
        log_bytes_max: LOG_BYTES_MAX,
        secrets_dir: std::env::var_os("TIDEMILL_SECRETS_DIR").map(PathBuf::from),
        supervisor_program: None,
    }
}

type EngineEnd = oneshot::Receiver<Result<(), StoreError>>;

async fn start_engine(
    options: &ServeOptions,
    home: &Home,
    store: &Arc<SqliteStore>,
    worker: Worker,
    changes: broadcast::Sender<Arc<Change>>,
) -> Result<(EngineEnd, EngineDoor), Failure> {
    let pools = crate::daemon::config::pools(&home.config());
    let engine_options = EngineOptions {
        pools: pools.map_err(|what| Failure::new(Exit::Usage, what))?,
        slots: options.slots,
        logs: home.logs(),
        versions: home.versions(),
        runs: home.runs(),
        no_retry: false,
    };
    spawn_engine(engine_options, Arc::clone(store), worker, changes)
        .await
        .map_err(store_failure)
}

/// Starts an engine's thread. The first receiver tells its end.
///
/// # Errors
/// When the store cannot be read.
pub async fn spawn_engine<S: tidemill_store::EngineStore + PageStore + 'static>(
    options: EngineOptions,
    store: Arc<S>,
    worker: Worker,
    changes: broadcast::Sender<Arc<Change>>,
) -> Result<(EngineEnd, EngineDoor), StoreError> {
    let runtime = tokio::runtime::Handle::current();
    let (started, start) = oneshot::channel();
    let (ended, end) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("engine".to_string())
        .spawn(
            move || match Engine::new(options, store, runtime, worker, changes) {
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

fn doors(
    store: &Arc<SqliteStore>,
    door: &EngineDoor,
    changes: &broadcast::Sender<Arc<Change>>,
    home: &Home,
    url: &str,
    ready: &Arc<AtomicBool>,
) -> tidemill_web::Doors {
    let (pages, ready) = (Arc::clone(store), Arc::clone(ready));
    tidemill_web::Doors {
        pages,
        commands: command_door(door),
        changes: changes.clone(),
        logs: home.logs(),
        home_url: Arc::new(RwLock::new(url.to_string())),
        ready: Arc::new(move || ready.load(Ordering::Acquire)),
        logins: Arc::new(tidemill_web::Logins::new()),
        version: env!("CARGO_PKG_VERSION"),
    }
}

/// The engine's door in the form that the web knows.
pub fn command_door(door: &EngineDoor) -> CommandDoor {
    let door = door.clone();
    Arc::new(move |command: Command| {
        let door = door.clone();
        Box::pin(async move { door.ask(command).await })
    })
}

fn serve_pages(
    listener: TcpListener,
    home: &Home,
    doors: tidemill_web::Doors,
) -> Result<(), Failure> {
    let path = home.socket();
    let _ = std::fs::remove_file(&path); // of a server that is gone: this one owns the home
    let socket = UnixListener::bind(&path).map_err(|err| {
        Failure::new(
            Exit::Unreachable,
            format!("cannot listen on {}: {err}", path.display()),
        )
    })?;
    let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, owner_only).map_err(unexpected)?;
    let (pages, commands) = (
        tidemill_web::tcp_router(doors.clone()),
        tidemill_web::socket_router(doors),
    );
    tokio::spawn(async move { axum::serve(listener, pages).await });
    tokio::spawn(async move { axum::serve(socket, commands).await });
    Ok(())
}

fn announce(home: &Home, url: &str) -> Result<(), Failure> {
    let server = ServerFile {
        pid: std::process::id(),
        url: url.to_string(),
        socket: home.socket(),
        started_at: clock::now().to_string(),
    };
    home.announce(&server).map_err(unexpected)
}

fn greet(options: &ServeOptions, home: &Home, url: &str, link: &str) {
    println!("Tidemill {} is at {url}", env!("CARGO_PKG_VERSION"));
    println!("  log in once with  {link}");
    println!("  DAGs from         {}", options.dags.display());
    println!("  state in          {}", home.path().display());
    println!("  a fresh link      tidemill login-link");
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
        StoreError::Unavailable { .. } | StoreError::TermLost | StoreError::Unreadable { .. } => {
            failure
        }
    }
}

/// A worker's error, for people.
pub fn worker_failure(err: WorkerError) -> Failure {
    let failure = Failure::new(Exit::Unreachable, chain(&err));
    match err {
        WorkerError::Locked { .. } => {
            failure.hint("tasks of an earlier server are still being ended; try again")
        }
        WorkerError::System { .. } => failure,
    }
}

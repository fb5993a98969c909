//! What people and programs reach of a server: its pages, its socket, and what it says of itself.

use crate::daemon::clock;
use crate::daemon::database::Database;
use crate::daemon::engine::EngineDoor;
use crate::daemon::home::{Home, ServerFile};
use crate::daemon::log_archive::LogArchive;
use crate::daemon::log_fetch;
use crate::daemon::metrics::Metrics;
use crate::daemon::outside::Keeper;
use crate::daemon::server::{ServeOptions, unexpected};
use crate::daemon::wishes::Asker;
use crate::exit::{Exit, Failure};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, RwLock};
use tidemill_store::{Change, Command, CommandDoor, Refusal, StreamDoor, StreamWish};
use tidemill_web::{HookDoor, Logins, NotTaken};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::broadcast;

/// Changes that a slow reader may lag behind before it reads rows instead.
const CHANGES_KEPT: usize = 1024;

/// The front of a server. It is open before there is a scheduler behind it: pages are read from
/// the database, and commands are carried by the database to the process that is the scheduler.
pub struct Front {
    url: String,
    link: String,
    logins: Arc<Logins>,
    engine: Arc<OnceLock<EngineDoor>>,
    streams: Arc<OnceLock<StreamDoor>>,
    hooks: Arc<OnceLock<HookDoor>>,
    is_ready: Arc<AtomicBool>,
    /// Changes, as the engine tells them.
    pub changes: broadcast::Sender<Arc<Change>>,
    /// What is counted here.
    pub metrics: Arc<Metrics>,
}

impl Front {
    /// Opens the pages and the socket.
    ///
    /// # Errors
    /// When the address or the socket cannot be had.
    pub async fn open(
        listen: SocketAddr,
        home: &Home,
        database: &Database,
        keeper: &Arc<Keeper>,
        archive: &Option<LogArchive>,
    ) -> Result<Front, Failure> {
        let listener = TcpListener::bind(listen).await.map_err(|err| {
            Failure::new(
                Exit::Unreachable,
                format!("cannot listen on {listen}: {err}"),
            )
            .hint("another program may use it: --listen 127.0.0.1:0 takes a free port")
        })?;
        let url = format!("http://{}", listener.local_addr().map_err(unexpected)?);
        let logins = Arc::new(Logins::new());
        let front = Front {
            link: format!("{url}{}", logins.new_link_path()),
            url,
            logins,
            engine: Arc::default(),
            streams: Arc::default(),
            hooks: Arc::default(),
            is_ready: Arc::default(),
            changes: broadcast::channel(CHANGES_KEPT).0,
            metrics: Arc::new(Metrics::new()),
        };
        let doors = front.doors(home, database, keeper, archive);
        if database.dispatch.is_some() {
            let (pages, copies) = (Arc::clone(&database.pages), home.log_copies());
            tokio::spawn(log_fetch::sweep_copies(pages, copies));
        }
        let socket = own_socket(home)?;
        let (pages, commands) = (
            tidemill_web::tcp_router(doors.clone()),
            tidemill_web::socket_router(doors),
        );
        tokio::spawn(async move { axum::serve(listener, pages).await });
        tokio::spawn(async move { axum::serve(socket, commands).await });
        Ok(front)
    }

    /// What the web reaches of this process.
    fn doors(
        &self,
        home: &Home,
        database: &Database,
        keeper: &Arc<Keeper>,
        archive: &Option<LogArchive>,
    ) -> tidemill_web::Doors {
        let asker = database.wishes.clone().map(Asker::new).map(Arc::new);
        // What this process counts is asked of this process.
        let own = (
            late_door(&self.engine, keeper, None),
            late_stream_door(&self.streams, None),
        );
        tidemill_web::Doors {
            pages: Arc::clone(&database.pages),
            metrics: Some(metrics_door(&self.metrics, database, &own.0, &own.1)),
            commands: late_door(&self.engine, keeper, asker.clone()),
            streams: Arc::clone(&database.streams),
            stream_door: Some(late_stream_door(&self.streams, asker.clone())),
            hooks: Some(late_hook_door(&self.hooks, asker)),
            changes: self.changes.clone(),
            logs: home.logs(),
            elsewhere: Some(log_fetch::elsewhere(
                archive.clone(),
                database.dispatch.clone(),
                home.log_copies(),
            )),
            workers: database.dispatch.clone(),
            home_url: Arc::new(RwLock::new(self.url.clone())),
            ready: Arc::new(self.readiness()),
            logins: Arc::clone(&self.logins),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// From here on commands reach the scheduler.
    pub fn lead_to(&self, engine: &EngineDoor) {
        let _ = self.engine.set(engine.clone()); // a process leads once
    }

    /// From here on wishes about streams reach those who read them.
    pub fn stream_to(&self, door: StreamDoor) {
        let _ = self.streams.set(door); // a process leads once
    }

    /// From here on calls of webhooks make runs.
    pub fn call_to(&self, door: HookDoor) {
        let _ = self.hooks.set(door); // a process leads once
    }

    /// The address of its pages.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Says whether the server does its work.
    pub fn set_ready(&self, is_ready: bool) {
        self.is_ready.store(is_ready, Ordering::Release);
    }

    /// Tells whether the server does its work, whenever it is asked.
    pub fn readiness(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let is_ready = Arc::clone(&self.is_ready);
        move || is_ready.load(Ordering::Acquire)
    }

    /// Writes down where this server is reached.
    ///
    /// # Errors
    /// When the home cannot be written.
    pub fn announce(&self, home: &Home) -> Result<(), Failure> {
        let server = ServerFile {
            pid: std::process::id(),
            url: self.url.clone(),
            socket: home.socket(),
            started_at: clock::now().to_string(),
        };
        home.announce(&server).map_err(unexpected)
    }

    /// Tells whoever started it where it is, and `more`.
    pub fn greet(&self, options: &ServeOptions, home: &Home, more: Option<&str>) {
        println!("Tidemill {} is at {}", env!("CARGO_PKG_VERSION"), self.url);
        println!("  log in once with  {}", self.link);
        println!("  DAGs from         {}", options.dags.display());
        println!("  state in          {}", home.path().display());
        println!("  a fresh link      tidemill login-link");
        if let Some(more) = more {
            println!("  {more}");
        }
    }
}

/// Takes away what says that a server is here.
pub fn forget(home: &Home) {
    let _ = std::fs::remove_file(home.server_file());
    let _ = std::fs::remove_file(home.socket());
}

/// A home has one server, whatever its database is.
///
/// # Errors
/// When a server answers here.
pub async fn refuse_second(home: &Home) -> Result<(), Failure> {
    let Some(server) = home.server() else {
        return Ok(());
    };
    if UnixStream::connect(&server.socket).await.is_err() {
        return Ok(());
    }
    let message = format!(
        "a server (pid {}) runs in {} already",
        server.pid,
        home.path().display()
    );
    Err(Failure::new(Exit::Unreachable, message).hint("--home takes another folder"))
}

fn own_socket(home: &Home) -> Result<UnixListener, Failure> {
    let path = home.socket();
    let _ = std::fs::remove_file(&path); // of a server that is gone: this one owns the home
    let socket = UnixListener::bind(&path).map_err(|err| {
        Failure::new(
            Exit::Unreachable,
            format!("cannot listen on {}: {err}", path.display()),
        )
    })?;
    let owner_only = PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, owner_only).map_err(unexpected)?;
    Ok(socket)
}

/// The way to what this process counts.
fn metrics_door(
    metrics: &Arc<Metrics>,
    database: &Database,
    commands: &CommandDoor,
    streams: &StreamDoor,
) -> tidemill_web::MetricsDoor {
    let (metrics, database) = (Arc::clone(metrics), database.clone());
    let (commands, streams) = (Arc::clone(commands), Arc::clone(streams));
    Arc::new(move || {
        let (metrics, database) = (Arc::clone(&metrics), database.clone());
        let (commands, streams) = (Arc::clone(&commands), Arc::clone(&streams));
        Box::pin(async move { metrics.text(&database, &commands, &streams).await })
    })
}

/// A door to an engine that may come later, and to the keeper of the secrets. Until then it leads
/// to the scheduler of another process, if the database carries wishes.
fn late_door(
    engine: &Arc<OnceLock<EngineDoor>>,
    keeper: &Arc<Keeper>,
    asker: Option<Arc<Asker>>,
) -> CommandDoor {
    let (engine, keeper) = (Arc::clone(engine), Arc::clone(keeper));
    Arc::new(move |command: Command| {
        let (engine, keeper) = (engine.get().cloned(), Arc::clone(&keeper));
        let asker = asker.clone();
        Box::pin(async move {
            // The engine has nothing to decide about them, and nobody carries them.
            if let Command::Outside(wish) = command {
                return keeper.answer(wish, engine.is_some()).await;
            }
            match (engine, asker) {
                (Some(engine), _) => engine.ask(command).await,
                (None, Some(asker)) => asker.command(command).await,
                (None, None) => Err(Refusal::Unavailable {
                    what: "this server is not the scheduler: it starts".to_string(),
                }),
            }
        })
    })
}

/// A door for calls of webhooks that may be taken later here, and elsewhere until then.
fn late_hook_door(hooks: &Arc<OnceLock<HookDoor>>, asker: Option<Arc<Asker>>) -> HookDoor {
    let hooks = Arc::clone(hooks);
    Arc::new(move |call| {
        let (hooks, asker) = (hooks.get().cloned(), asker.clone());
        Box::pin(async move {
            match (hooks, asker) {
                (Some(door), _) => door(call).await,
                (None, Some(asker)) => asker.call(call).await,
                (None, None) => Err(NotTaken::Later {
                    why: "this server starts".to_string(),
                }),
            }
        })
    })
}

/// A door to streams that may be read later here, and elsewhere until then.
fn late_stream_door(streams: &Arc<OnceLock<StreamDoor>>, asker: Option<Arc<Asker>>) -> StreamDoor {
    let streams = Arc::clone(streams);
    Arc::new(move |wish: StreamWish| {
        let (streams, asker) = (streams.get().cloned(), asker.clone());
        Box::pin(async move {
            match (streams, asker) {
                (Some(door), _) => door(wish).await,
                (None, Some(asker)) => asker.stream(wish).await,
                (None, None) => Err(Refusal::Unavailable {
                    what: "this server reads no streams yet: it starts".to_string(),
                }),
            }
        })
    })
}

//! Which database: the file in the home, or a PostgreSQL server. The one place that knows both.

use crate::args::DatabaseArgs;
use crate::daemon::home::Home;
use crate::daemon::server::store_failure;
use crate::exit::{Exit, Failure};
use std::path::PathBuf;
use std::sync::Arc;
use tidemill_store::{
    AlertStore, DispatchStore, EngineStore, OutsideStore, PageStore, SpanStore, StreamStore,
    WishStore,
};
#[cfg(feature = "postgres")]
use tidemill_store_postgres::{Address, PostgresStore};
use tidemill_store_sqlite::SqliteStore;

/// Where the memory is.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a file that one process owns.
    File(PathBuf),
    /// On a server that several processes share.
    #[cfg(feature = "postgres")]
    Server(Box<Address>),
}

impl Place {
    /// Where the command line and the environment say.
    ///
    /// # Errors
    /// When the address cannot be read, or would show its password to everybody.
    pub fn of(args: &DatabaseArgs, home: &Home) -> Result<Place, Failure> {
        match &args.database {
            None => Ok(Place::File(home.database())),
            Some(url) => server(url, args),
        }
    }
}

impl Place {
    /// The same by way of a pooler that keeps no sessions; nothing changes for a file.
    #[must_use]
    pub fn by_pooler(self) -> Place {
        match self {
            Place::File(path) => Place::File(path),
            #[cfg(feature = "postgres")]
            Place::Server(address) => Place::Server(Box::new(address.by_pooler())),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::File(path) => write!(f, "{}", path.display()),
            #[cfg(feature = "postgres")]
            Place::Server(address) => write!(f, "{address}"),
        }
    }
}

/// Brings the schema up to this program's.
///
/// # Errors
/// When the database cannot be had, or is newer.
pub async fn migrate(place: &Place) -> Result<(), Failure> {
    match place {
        // Whoever owns the file brings it up.
        Place::File(path) => {
            let store = SqliteStore::open(path).await.map_err(store_failure)?;
            store.close().await.map_err(store_failure)
        }
        #[cfg(feature = "postgres")]
        Place::Server(address) => {
            let brought_up = tidemill_store_postgres::migrate(address).await;
            brought_up.map(drop).map_err(store_failure)
        }
    }
}

#[cfg(not(feature = "postgres"))]
fn server(_: &str, _: &DatabaseArgs) -> Result<Place, Failure> {
    Err(Failure::new(
        Exit::Usage,
        "this tidemill was built without PostgreSQL",
    ))
}

#[cfg(feature = "postgres")]
fn server(url: &str, args: &DatabaseArgs) -> Result<Place, Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, message);
    if !tidemill_store_postgres::is_postgres(url) {
        return Err(
            usage("--database is not an address of PostgreSQL".to_string())
                .hint("it begins with postgres://; without --database the server keeps a file in its home"),
        );
    }
    let is_from_environment = std::env::var("TIDEMILL_DATABASE").is_ok_and(|known| known == url);
    if Address::holds_password(url) && !is_from_environment {
        return Err(usage(
            "a password stands on the command line, where everybody on this machine can read it"
                .to_string(),
        )
        .hint("give it by --database-password-file, PGPASSFILE or TIDEMILL_DATABASE"));
    }
    let password = match &args.database_password_file {
        None => None,
        Some(file) => Some(std::fs::read_to_string(file).map_err(|err| {
            usage(format!(
                "cannot read the password in {}: {err}",
                file.display()
            ))
        })?),
    };
    let password = password
        .as_deref()
        .map(|text| text.trim_end_matches(['\r', '\n']));
    Address::parse(url, password)
        .map(|address| Place::Server(Box::new(address)))
        .map_err(|err| usage(err.to_string()))
}

/// An open database.
#[derive(Clone)]
pub struct Database {
    /// For the engine, who alone writes runs and tasks.
    pub engine: Arc<dyn EngineStore>,
    /// For everybody who reads.
    pub pages: Arc<dyn PageStore>,
    /// Connections and variables.
    pub outside: Arc<dyn OutsideStore>,
    /// How far streams are read.
    pub streams: Arc<dyn StreamStore>,
    /// What tasks read of topics.
    pub spans: Arc<dyn SpanStore>,
    /// What is to be told.
    pub alerts: Arc<dyn AlertStore>,
    /// For workers in other processes; a file has none.
    pub dispatch: Option<Arc<dyn DispatchStore>>,
    /// For what other processes ask of the scheduler; of a file there is no other.
    pub wishes: Option<Arc<dyn WishStore>>,
    #[cfg(feature = "postgres")]
    shared: Option<Arc<PostgresStore>>,
}

impl<S> From<Arc<S>> for Database
where
    S: EngineStore + PageStore + OutsideStore + StreamStore + SpanStore + AlertStore + 'static,
{
    fn from(store: Arc<S>) -> Database {
        Database {
            pages: Arc::<S>::clone(&store),
            outside: Arc::<S>::clone(&store),
            streams: Arc::<S>::clone(&store),
            spans: Arc::<S>::clone(&store),
            alerts: Arc::<S>::clone(&store),
            engine: store,
            dispatch: None,
            wishes: None,
            #[cfg(feature = "postgres")]
            shared: None,
        }
    }
}

impl Database {
    /// Opens it for a server.
    ///
    /// # Errors
    /// When it cannot be used, or a file has another owner.
    pub async fn open(place: &Place) -> Result<Database, Failure> {
        match place {
            Place::File(path) => {
                let store = SqliteStore::open(path).await.map_err(store_failure)?;
                Ok(Arc::new(store).into())
            }
            #[cfg(feature = "postgres")]
            Place::Server(address) => Ok(Database::shared(
                PostgresStore::open(address).await.map_err(store_failure)?,
            )),
        }
    }

    /// Opens one that a server has made, for a worker.
    ///
    /// # Errors
    /// When it cannot be used, or has no tables yet.
    pub async fn open_existing(place: &Place) -> Result<Database, Failure> {
        match place {
            // A worker beside a file is refused by its caller, with the reason.
            Place::File(_) => Ok(Arc::new(tidemill_store::memory::MemoryStore::new()).into()),
            #[cfg(feature = "postgres")]
            Place::Server(address) => {
                let store = PostgresStore::open_existing(address).await;
                Ok(Database::shared(store.map_err(store_failure)?))
            }
        }
    }

    /// The store that processes share, if this is one.
    #[cfg(feature = "postgres")]
    pub fn shared_store(&self) -> Option<Arc<PostgresStore>> {
        self.shared.clone()
    }

    /// Opens it for a command that only reads.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn open_read_only(place: &Place) -> Result<Database, Failure> {
        match place {
            Place::File(path) => {
                let store = SqliteStore::open_read_only(path).await;
                Ok(Arc::new(store.map_err(store_failure)?).into())
            }
            #[cfg(feature = "postgres")]
            Place::Server(address) => {
                let store = PostgresStore::open_read_only(address).await;
                Ok(Database::shared(store.map_err(store_failure)?))
            }
        }
    }

    #[cfg(feature = "postgres")]
    fn shared(store: PostgresStore) -> Database {
        let store = Arc::new(store);
        Database {
            shared: Some(Arc::clone(&store)),
            dispatch: Some(Arc::<PostgresStore>::clone(&store)),
            wishes: Some(Arc::<PostgresStore>::clone(&store)),
            ..store.into()
        }
    }

    /// Has the database confirmed lately that this process is the scheduler? A file always does.
    pub fn is_held(&self) -> bool {
        #[cfg(feature = "postgres")]
        if let Some(store) = &self.shared {
            return store.is_held();
        }
        true
    }

    /// Returns when another process has become the scheduler. Of a file, never.
    pub async fn wait_until_lost(&self) {
        #[cfg(feature = "postgres")]
        if let Some(store) = &self.shared
            && store.term_lost().wait_for(|lost| *lost).await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }

    /// Lets a stand-by take over at once.
    pub async fn close(&self) {
        #[cfg(feature = "postgres")]
        if let Some(store) = &self.shared {
            store.close().await;
        }
    }
}

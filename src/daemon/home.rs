//! The state folder: what lies where.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A socket's path may not be longer than this (unix(7)); a longer one moves to the runtime folder.
const SOCKET_PATH_MAX: usize = 100;

/// Earlier workers of a home that are remembered: attempts of older ones have long been counted
/// as lost.
const WORKERS_KEPT: usize = 100;

/// The state folder of a server, by default `./.tidemill`.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
    /// Where the folders of runs lie, if not here.
    runs: Option<PathBuf>,
}

/// What `server.json` says about a running server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServerFile {
    /// Its process.
    pub pid: u32,
    /// Where its pages are.
    pub url: String,
    /// Where commands reach it.
    pub socket: PathBuf,
    /// When it was ready, RFC 3339.
    pub started_at: String,
}

impl Home {
    /// Makes the folder, readable by its owner alone, with everything in it that must exist.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path) -> io::Result<Home> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)?;
        let home = Home {
            path: path.canonicalize()?,
            runs: None,
        };
        for folder in [home.logs(), home.versions(), home.runs()] {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        Ok(home)
    }

    /// The folder as it is, for commands that only read.
    pub fn at(path: &Path) -> Home {
        Home {
            path: path.canonicalize().unwrap_or_else(|_| path.to_path_buf()),
            runs: None,
        }
    }

    /// The same home with the folders of runs elsewhere, where other workers find them too.
    ///
    /// # Errors
    /// When that folder cannot be made.
    pub fn with_runs(self, folder: &Path) -> io::Result<Home> {
        std::fs::create_dir_all(folder)?;
        Ok(Home {
            runs: Some(folder.canonicalize()?),
            ..self
        })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The embedded database.
    pub fn database(&self) -> PathBuf {
        self.path.join("tidemill.db")
    }

    /// The configuration of the installation; it need not be there.
    pub fn config(&self) -> PathBuf {
        self.path.join("tidemill.toml")
    }

    /// The key of the secrets in the database, made when it is first needed.
    pub fn secrets_key(&self) -> PathBuf {
        self.path.join("secrets.key")
    }

    /// Logs: `<run>/<task>.<map index>.<try>`.
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// Read-only copies of DAG folders by version.
    pub fn versions(&self) -> PathBuf {
        self.path.join("versions")
    }

    /// Folders shared by the tasks of one run.
    pub fn runs(&self) -> PathBuf {
        let elsewhere = self.runs.clone();
        elsewhere.unwrap_or_else(|| self.path.join("runs"))
    }

    /// Copies of logs that were written on other machines.
    pub fn log_copies(&self) -> PathBuf {
        self.path.join("log-copies")
    }

    /// Results that a worker could not deliver yet.
    pub fn spool(&self) -> PathBuf {
        self.path.join("spool")
    }

    /// Notes a worker of this home before it starts anything, and gives the earlier ones of the
    /// same database: whoever has the home's lock knows that they are gone.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn add_worker(&self, worker: i64, database: &str) -> io::Result<BTreeSet<i64>> {
        let path = self.path.join("workers");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(err) if err.kind() == io::ErrorKind::NotFound => String::new(),
            Err(err) => return Err(err),
        };
        let here = text.lines().filter_map(|line| line.split_once(' '));
        let earlier = here
            .filter(|(_, of)| *of == database)
            .filter_map(|(worker, _)| worker.parse().ok())
            .collect();
        let n_old = text.lines().count().saturating_sub(WORKERS_KEPT);
        let draft = self.path.join("workers.new");
        let mut file = std::fs::File::create(&draft)?;
        for line in text.lines().skip(n_old) {
            writeln!(file, "{line}")?;
        }
        writeln!(file, "{worker} {database}")?;
        file.sync_all()?;
        std::fs::rename(draft, path)?;
        Ok(earlier)
    }

    /// What a running server says about itself.
    pub fn server_file(&self) -> PathBuf {
        self.path.join("server.json")
    }

    /// The socket for commands.
    pub fn socket(&self) -> PathBuf {
        let here = self.path.join("server.sock");
        if here.as_os_str().len() <= SOCKET_PATH_MAX {
            return here;
        }
        let folder =
            std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        folder.join(format!("tidemill-{}.sock", std::process::id()))
    }

    /// The server of this home, if its file says that there is one.
    pub fn server(&self) -> Option<ServerFile> {
        serde_json::from_slice(&std::fs::read(self.server_file()).ok()?).ok()
    }

    /// Writes `server.json` at once and whole.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn announce(&self, server: &ServerFile) -> io::Result<()> {
        let draft = self.path.join("server.json.new");
        let file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        serde_json::to_writer(&file, server)?;
        std::fs::rename(draft, self.server_file())
    }
}

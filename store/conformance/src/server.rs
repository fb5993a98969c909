//! A PostgreSQL server of a test's own: made in a temporary folder, reached by a socket in it,
//! durable as a real one is, and gone with the test, however the test ends.

pub use crate::certificate::{Certificate, as_other_user, free_port};
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A server that has not begun to answer by then is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the server at once and again for each line that it is told. When nobody holds the other
/// end of its standard input it ends the server and removes its folder: so the server ends with
/// the test's process, whatever becomes of that.
const WATCH: &str = r#"
folder=$1; shift
"$@" </dev/null & server=$!
while read -r again; do
  wait "$server"
  "$@" </dev/null & server=$!
done
kill -QUIT "$server" 2>/dev/null
wait "$server" 2>/dev/null
rm -rf "$folder"
"#;

/// Who may start a server: PostgreSQL refuses to run as root.
#[derive(Clone, Copy)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A server. It ends when the value is dropped.
pub struct Server {
    folder: PathBuf,
    programs: PathBuf,
    watch: Child,
    port: u16,
    n_databases: AtomicU32,
}

impl Server {
    /// The server that all tests of one program share. It ends with the program.
    ///
    /// # Panics
    /// When PostgreSQL is not installed, or does not start.
    pub fn shared() -> &'static Server {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Server::start)
    }

    /// A server of one's own, for tests that restart or kill it.
    ///
    /// # Panics
    /// When PostgreSQL is not installed, or does not start.
    pub fn start() -> Server {
        Server::start_with(None)
    }

    /// A server that is also reached by TCP on loopback, by TLS alone, and shows this certificate.
    ///
    /// # Panics
    /// When PostgreSQL is not installed, or does not start.
    pub fn start_with_tls(certificate: &Certificate) -> Server {
        Server::start_with(Some(certificate))
    }

    fn start_with(certificate: Option<&Certificate>) -> Server {
        let programs = programs();
        let user = other_user();
        let folder = tempfile::Builder::new()
            .prefix("tidemill-postgres-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .unwrap()
            .keep();
        if let Some(user) = user {
            chown(&folder, Some(user.uid), Some(user.gid)).unwrap();
        }
        let data = folder.join("data");
        let mut initdb = as_user(programs.join("initdb"), user);
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8"]);
        initdb
            .args(["--locale=C.UTF-8", "--no-sync", "-D"])
            .arg(&data);
        let made = initdb.current_dir(&folder).output().unwrap();
        assert!(made.status.success(), "initdb: {made:?}");
        // One user must show a password, so that this is tested too.
        let hba = "local all secretive scram-sha-256\nlocal all all trust\nhostssl all all 127.0.0.1/32 trust\n";
        std::fs::write(data.join("pg_hba.conf"), hba).unwrap();
        let mut port = 5432;
        let mut settings = vec!["listen_addresses=".to_string()];
        if let Some(certificate) = certificate {
            port = free_port();
            settings = vec![
                "listen_addresses=127.0.0.1".to_string(),
                "ssl=on".to_string(),
            ];
            certificate.put(&data, user);
        }
        settings.push(format!("port={port}"));
        let watch = start_watched(&folder, &programs, user, &settings);
        let server = Server {
            folder,
            programs,
            watch,
            port,
            n_databases: AtomicU32::new(0),
        };
        server.wait_until_it_answers();
        server
    }

    /// A new, empty database.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new_database(&self) -> String {
        let number = self.n_databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.sql("postgres", &format!("create database {name}"));
        self.url("postgres", &name)
    }

    /// The address of a database for a user.
    pub fn url(&self, user: &str, database: &str) -> String {
        format!(
            "postgres:///{database}?user={user}&host={}",
            self.folder.display()
        )
    }

    /// A program of this PostgreSQL, e.g. `pgbench`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// The port of its socket's name, and of TCP where it listens there.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder with its socket.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs SQL by psql and gives what it prints.
    ///
    /// # Panics
    /// When the SQL is refused.
    pub fn sql(&self, database: &str, text: &str) -> String {
        match self.sql_as("postgres", database, text) {
            Ok(printed) => printed,
            Err(refused) => panic!("{text}: {refused}"),
        }
    }

    /// Runs SQL by psql as a user. `Err` is what the server says against it.
    ///
    /// # Errors
    /// When the SQL is refused.
    ///
    /// # Panics
    /// When psql cannot be started.
    pub fn sql_as(&self, user: &str, database: &str, text: &str) -> Result<String, String> {
        let ran = self.psql(user, database, text).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_string();
        match ran.status.success() {
            true => Ok(text(&ran.stdout)),
            false => Err(text(&ran.stderr)),
        }
    }

    fn psql(&self, user: &str, database: &str, text: &str) -> Command {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        psql.args(["-U", user, "-p", &self.port.to_string()])
            .arg("-h")
            .arg(&self.folder)
            .args(["-d", database, "-c", text]);
        psql
    }

    /// The number of its first process.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        let text = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        text.lines().next().unwrap().parse().unwrap()
    }

    /// Ends it by a signal (`INT` fast, `QUIT` immediate, `KILL`) and starts it again.
    ///
    /// # Panics
    /// When it does not come back.
    pub fn restart(&mut self, signal: &str) {
        self.stop(signal);
        self.resume();
    }

    /// Ends it by a signal; its data stay.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&mut self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &pid])
            .status();
        assert!(sent.unwrap().success());
        wait_for("the server to end", || {
            (!Path::new(&format!("/proc/{pid}")).exists() || is_zombie(&pid)).then_some(())
        });
    }

    /// Starts it again after [`Server::stop`].
    ///
    /// # Panics
    /// When it does not come back.
    pub fn resume(&mut self) {
        wait_for("its other processes to end", || {
            self.is_unused().then_some(())
        });
        let mut told = self.watch.stdin.as_ref().unwrap();
        told.write_all(b"again\n").unwrap();
        self.wait_until_it_answers();
    }

    /// After a kill, the processes of the dead server end by themselves, each when it notices.
    fn is_unused(&self) -> bool {
        let Ok(entries) = std::fs::read_dir("/proc") else {
            return true;
        };
        let data = self.folder.join("data");
        !entries
            .flatten()
            .any(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == data))
    }

    fn wait_until_it_answers(&self) {
        wait_for("PostgreSQL to answer", || {
            let asked = self
                .psql("postgres", "postgres", "select 1")
                .output()
                .unwrap();
            asked.status.success().then_some(())
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        let _ = self.watch.wait(); // it has ended either way
    }
}

fn is_zombie(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}

fn start_watched(folder: &Path, programs: &Path, user: Option<User>, more: &[String]) -> Child {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .unwrap();
    let mut watch = as_user(PathBuf::from("/bin/sh"), user);
    watch.args(["-c", WATCH, "watch"]).arg(folder);
    watch
        .arg(programs.join("postgres"))
        .arg("-D")
        .arg(folder.join("data"));
    for setting in [
        &format!("unix_socket_directories={}", folder.display()),
        "fsync=on",
        "synchronous_commit=on",
        "full_page_writes=on",
        "max_connections=200",
        "log_lock_waits=on",
    ] {
        watch.args(["-c", setting]);
    }
    for setting in more {
        watch.args(["-c", setting]);
    }
    watch.current_dir(folder).stdin(Stdio::piped());
    watch.stdout(log.try_clone().unwrap()).stderr(log);
    watch.spawn().unwrap()
}

fn as_user(program: PathBuf, user: Option<User>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

/// The folder with `initdb`, `postgres` and `psql`.
fn programs() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        let mut versions: Vec<_> = versions.flatten().map(|version| version.path()).collect();
        versions.sort();
        folders.extend(versions.iter().rev().map(|version| version.join("bin")));
    }
    let has_all = |folder: &PathBuf| {
        ["initdb", "postgres", "psql"]
            .iter()
            .all(|name| folder.join(name).is_file())
    };
    folders.into_iter().find(has_all).expect(
        "this test needs PostgreSQL 14 or newer: `apt-get install postgresql`, or run `make test`",
    )
}

/// Whom the server runs as: `postgres` or `nobody` where this process is root.
pub(crate) fn other_user() -> Option<User> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let find = |name: &str| {
        let line = users
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")))?;
        let mut numbers = line.split(':').skip(2).map(str::parse);
        Some(User {
            uid: numbers.next()?.ok()?,
            gid: numbers.next()?.ok()?,
        })
    };
    let found = find("postgres").or_else(|| find("nobody"));
    Some(found.expect("PostgreSQL does not run as root, and there is no user postgres or nobody"))
}

fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

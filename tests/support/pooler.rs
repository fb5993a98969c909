//! PgBouncer in front of PostgreSQL.

use super::waiting::wait_for;
use super::{PATIENCE, postgres};
use std::path::PathBuf;
use std::process::{Child, Command};

/// A pooler that gives each transaction any of two sessions. It ends with the value.
pub struct PgBouncer {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl PgBouncer {
    /// One in front of a server.
    pub fn start(server: &postgres::Server) -> PgBouncer {
        let folder = tempfile::Builder::new()
            .prefix("tidemill-pgbouncer-")
            .tempdir()
            .unwrap();
        let port = postgres::free_port();
        let settings = format!(
            "[databases]\n* = host={} port={} user=postgres\n[pgbouncer]\npool_mode = transaction\n\
             default_pool_size = 2\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\nlogfile = {}\n",
            server.folder().display(),
            server.port(),
            folder.path().join("log").display()
        );
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).unwrap();
        let mut command = Command::new(pgbouncer());
        // It refuses to run as root.
        postgres::as_other_user(&mut command, folder.path());
        let child = command.arg("-q").arg(&file).spawn().unwrap();
        let pooler = PgBouncer {
            child,
            folder,
            port,
        };
        wait_for("the pooler", PATIENCE, || {
            std::net::TcpStream::connect(("127.0.0.1", pooler.port)).ok()
        });
        pooler
    }

    /// The address of a database by this way.
    pub fn url(&self, database: &str) -> String {
        let port = self.port;
        format!("postgres://postgres@127.0.0.1:{port}/{database}?sslmode=disable")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pgbouncer() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.push("/usr/sbin".into());
    let found = folders.iter().map(|folder| folder.join("pgbouncer"));
    found
        .into_iter()
        .find(|program| program.is_file())
        .expect("this test needs PgBouncer: `apt-get install pgbouncer`, or run `make test`")
}

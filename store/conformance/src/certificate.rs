//! What the programs that a test starts need: a port, a user, a certificate.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server::{User, other_user};

/// Lets a program that refuses to run as root run as the server's user, who then owns the folder
/// with its files.
///
/// # Panics
/// When there is no other user.
pub fn as_other_user(command: &mut Command, folder: &Path) {
    let Some(user) = other_user() else { return };
    let files = std::fs::read_dir(folder).unwrap().flatten();
    let files = files.map(|entry| entry.path());
    for path in files.chain([folder.to_path_buf()]) {
        chown(path, Some(user.uid), Some(user.gid)).unwrap();
    }
    command.uid(user.uid).gid(user.gid).current_dir(folder);
}

/// A port that nobody has at this moment.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A certificate for `localhost`, with the authority that it is from, made for a test.
pub struct Certificate {
    folder: tempfile::TempDir,
}

impl Default for Certificate {
    fn default() -> Certificate {
        Certificate::new()
    }
}

impl Certificate {
    /// Makes both, with `openssl`.
    ///
    /// # Panics
    /// When openssl is not installed.
    pub fn new() -> Certificate {
        let folder = tempfile::tempdir().unwrap();
        let made = Certificate { folder };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        made.openssl(&format!(
            "req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=test -days 2 \
             -addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign"
        ));
        made.openssl(&format!(
            "req {key} -keyout server.key -out server.csr -subj /CN=localhost"
        ));
        let names = made.folder.path().join("names");
        std::fs::write(names, "subjectAltName=DNS:localhost\n").unwrap();
        made.openssl(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
             -out server.crt -days 2 -extfile names",
        );
        made.openssl(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
             -out expired.crt -days -1 -extfile names",
        );
        made
    }

    fn openssl(&self, args: &str) {
        let mut openssl = Command::new("openssl");
        openssl
            .args(args.split_whitespace())
            .current_dir(self.folder.path());
        let ran = openssl
            .output()
            .expect("this test needs openssl: `apt-get install openssl`, or run `make test`");
        assert!(ran.status.success(), "openssl {args}: {ran:?}");
    }

    /// The file of the authority.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The file of the certificate, and of the same when its time is over.
    pub fn certificates(&self) -> [PathBuf; 2] {
        ["server.crt", "expired.crt"].map(|name| self.folder.path().join(name))
    }

    /// The file of its key.
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("server.key")
    }

    /// Puts it where the server looks. The key must be the server's alone.
    pub(crate) fn put(&self, data: &Path, user: Option<User>) {
        for name in ["server.crt", "server.key"] {
            let to = data.join(name);
            std::fs::copy(self.folder.path().join(name), &to).unwrap();
            std::fs::set_permissions(&to, Permissions::from_mode(0o600)).unwrap();
            if let Some(user) = user {
                chown(&to, Some(user.uid), Some(user.gid)).unwrap();
            }
        }
    }
}

//! The clients: one for each set of certificates, so that connections are used again.

use super::guard::{Allowed, GuardedNames};
use crate::operator::Failure;
use reqwest::{Certificate, Client};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// A connection that does not stand by then never will.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// More sets of certificates than this are not kept.
const CLIENTS_MAX: usize = 32;
/// A file of certificates is not larger.
const CA_FILE_MAX: u64 = 4 * 1024 * 1024;

/// A file of certificates as it was when its client was made.
type Key = Option<(PathBuf, SystemTime)>;

/// All clients of a worker.
#[derive(Default)]
pub(super) struct Clients(Mutex<HashMap<Key, Client>>);

impl Clients {
    /// The client that trusts this file's certificates, or the system's.
    pub(super) fn get(&self, ca_file: Option<&Path>, allowed: &Allowed) -> Result<Client, Failure> {
        let key = match ca_file {
            Some(path) => Some((path.to_path_buf(), changed_at(path)?)),
            None => None,
        };
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = make(ca_file, allowed)?;
        if clients.len() >= CLIENTS_MAX {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }
}

fn changed_at(path: &Path) -> Result<SystemTime, Failure> {
    let meta = path.metadata().and_then(|meta| meta.modified());
    meta.map_err(|err| unreadable(path, &err))
}

fn unreadable(path: &Path, err: &dyn std::fmt::Display) -> Failure {
    Failure::could_not_start(format!("ca_file: cannot read {}: {err}", path.display()))
}

/// A client that trusts this file's certificates, or the system's.
pub(super) fn make(ca_file: Option<&Path>, allowed: &Allowed) -> Result<Client, Failure> {
    // Another part of the program may have chosen the same provider before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("tidemill/", env!("CARGO_PKG_VERSION")))
        // Redirects are followed here, one by one, and each is looked at.
        .redirect(reqwest::redirect::Policy::none())
        // A proxy would look names up where nobody guards them.
        .no_proxy()
        .dns_resolver(GuardedNames(allowed.clone()))
        .connect_timeout(CONNECT_TIMEOUT);
    if let Some(path) = ca_file {
        builder = builder.tls_certs_only(certificates(path)?);
    }
    let made = builder.build();
    made.map_err(|err| {
        let why = super::answer::chain(&err);
        Failure::could_not_start(format!("cannot make an HTTP client: {why}"))
    })
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, Failure> {
    use std::io::Read;
    let mut pem = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(CA_FILE_MAX).read_to_end(&mut pem));
    read.map_err(|err| unreadable(path, &err))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|err| unreadable(path, &err))?;
    if found.is_empty() {
        return Err(unreadable(path, &"it holds no certificate"));
    }
    Ok(found)
}

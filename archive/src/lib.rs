//! Finished logs in storage that speaks S3: how they get there, how they are read from there, and
//! how they go with their runs. The only room that names the client of such storage.
//!
//! An object is the packed form of a log, under `PREFIX/INSTALLATION/RUN/TASK.MAP.TRY.zst`. It is
//! read by ranges, so any part of it opens at once.
#![cfg(feature = "s3")]

mod forget;
mod login;
mod read;
mod send;

pub use login::{Login, LoginDoor};
pub use read::{Archived, Away};
pub use send::send_all;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::ClientOptions;
use object_store::path::Path as Place;
use object_store::{BackoffConfig, ObjectStoreExt, RetryConfig};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Storage that cannot be connected to by then is away.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// One request may take so long, the slowest being a part of eight mebibytes.
const REQUEST_WAIT: Duration = Duration::from_secs(60);
/// A request that fails is repeated by the client so often, and no longer than this.
const REPEATS: usize = 3;
const REPEAT_WAIT: Duration = Duration::from_secs(20);

/// Whether a log is there is known within this, or it counts as unknown: somebody waits.
const ASK_WAIT: Duration = Duration::from_secs(5);

/// Where logs go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The bucket; it has to exist.
    pub bucket: String,
    /// What stands before every name in it; may be empty.
    pub prefix: String,
    /// The address of storage that is not Amazon's, `https://…`, or `http://…` where the way is safe.
    pub endpoint: Option<String>,
    /// The region; `AWS_REGION` or `us-east-1` when `None`.
    pub region: Option<String>,
}

/// The archive cannot do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It does not do it, or does not answer.
    #[error("the archive of logs {0}")]
    There(String),
    /// A log cannot be read on this machine.
    #[error("a log cannot be read to be sent")]
    Here(#[source] std::io::Error),
}

impl ArchiveError {
    fn new(what: &str, err: &object_store::Error) -> ArchiveError {
        // Without the answer's body, of which the storage's owner alone knows what it holds.
        let mut text = format!("cannot {what}: {err}");
        if let Some((short, _)) = text.split_once(": <") {
            text = short.to_string();
        }
        let text: String = text.chars().take(500).collect();
        ArchiveError::There(tidemill_log::inert(&text))
    }
}

/// The archive of one installation.
#[derive(Clone, Debug)]
pub struct Archive {
    store: Arc<AmazonS3>,
    root: Place,
}

impl Archive {
    /// Opens an archive, without asking it anything. Who one is comes from `login`, and without
    /// that from where Amazon's own programs look: `AWS_ACCESS_KEY_ID` and its like, the web
    /// identity of a container, the role of the machine.
    ///
    /// # Errors
    /// When the settings make no address.
    pub fn open(
        settings: &Settings,
        installation: &str,
        login: Option<LoginDoor>,
    ) -> Result<Archive, ArchiveError> {
        let _ = rustls::crypto::ring::default_provider().install_default(); // once is enough
        let client = ClientOptions::new()
            .with_connect_timeout(CONNECT_WAIT)
            .with_timeout(REQUEST_WAIT);
        let retry = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: REPEATS,
            retry_timeout: REPEAT_WAIT,
        };
        let mut builder = AmazonS3Builder::from_env()
            .with_client_options(client)
            .with_retry(retry)
            .with_bucket_name(&settings.bucket)
            // Not every storage knows how to delete many objects at once.
            .with_disable_bulk_delete(true);
        if let Some(region) = &settings.region {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = &settings.endpoint {
            let is_plain = endpoint.starts_with("http://");
            builder = builder.with_endpoint(endpoint).with_allow_http(is_plain);
        }
        if let Some(login) = login {
            builder = builder.with_credentials(Arc::new(Login::new(login)));
        }
        let store = builder.build();
        let store = store.map_err(|err| ArchiveError::new("be opened", &err))?;
        let root = settings.prefix.split('/').filter(|part| !part.is_empty());
        Ok(Archive {
            store: Arc::new(store),
            root: root.chain([installation]).collect(),
        })
    }

    /// Is this log there? By its place in a folder of logs, `RUN/TASK.MAP.TRY`.
    ///
    /// # Errors
    /// When nobody can tell within some seconds.
    pub async fn has(&self, name: &Path) -> Result<bool, ArchiveError> {
        let place = self.place(name);
        match tokio::time::timeout(ASK_WAIT, self.store.head(&place)).await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(object_store::Error::NotFound { .. })) => Ok(false),
            Ok(Err(err)) => Err(ArchiveError::new("be asked", &err)),
            Err(_) => Err(ArchiveError::There("does not answer in time".to_string())),
        }
    }

    /// The object of a log.
    fn place(&self, name: &Path) -> Place {
        let stored = tidemill_log::stored_path(name);
        let parts = stored
            .iter()
            .map(|part| part.to_string_lossy().into_owned());
        let mut place = self.root.clone();
        for part in parts {
            place = place.join(part);
        }
        place
    }
}

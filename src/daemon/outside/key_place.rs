//! Where the key of the secrets at rest is kept: outside of the database.

use crate::daemon::home::Home;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tidemill_connection::{Keys, Secret, Unusable};

/// The variable that holds keys.
const KEY: &str = "TIDEMILL_SECRETS_KEY";
/// The variable that names a file of keys.
const KEY_FILE: &str = "TIDEMILL_SECRETS_KEY_FILE";
/// A file of keys is not larger.
const FILE_MAX: u64 = 64 * 1024;

/// Where the keys are.
#[derive(Clone, Debug)]
pub enum KeyPlace {
    /// In the environment of the server; only its administrator can change it.
    Environment(Secret),
    /// In a file that somebody else keeps.
    File(PathBuf),
    /// In the home, made when it is first needed.
    Home(PathBuf),
}

impl KeyPlace {
    /// As the environment says, else in the home.
    pub fn of_process(home: &Home) -> KeyPlace {
        if let Ok(keys) = std::env::var(KEY) {
            return KeyPlace::Environment(Secret::new(keys));
        }
        match std::env::var_os(KEY_FILE) {
            Some(file) => KeyPlace::File(PathBuf::from(file)),
            None => KeyPlace::Home(home.secrets_key()),
        }
    }

    /// The keys; nothing where none have been made yet.
    ///
    /// # Errors
    /// When they cannot be read, or are none.
    pub fn read(&self) -> Result<Option<Keys>, Unusable> {
        match self.text()? {
            None => Ok(None),
            Some(text) => Keys::parse(text.expose())
                .map(Some)
                .map_err(|err| self.wrong(&err)),
        }
    }

    fn text(&self) -> Result<Option<Secret>, Unusable> {
        match self {
            KeyPlace::Environment(keys) => Ok(Some(keys.clone())),
            KeyPlace::File(path) => read_file(path).map(Some),
            KeyPlace::Home(path) if !path.exists() => Ok(None),
            KeyPlace::Home(path) => read_file(path).map(Some),
        }
    }

    fn wrong(&self, err: &Unusable) -> Unusable {
        Unusable::new(format!("{self}: {err}"))
    }

    /// Keeps keys, where this program may.
    ///
    /// # Errors
    /// When the place is somebody else's, or cannot be written.
    pub fn write(&self, keys: &Keys) -> Result<(), Unusable> {
        let KeyPlace::Home(path) = self else {
            return Err(Unusable::new(format!(
                "{self} is not changed by this program"
            )));
        };
        let failed = |err| Unusable::new(format!("cannot write {}: {err}", path.display()));
        write_file(path, &keys.text()).map_err(failed)
    }

    /// May this program make new keys here?
    pub const fn is_ours(&self) -> bool {
        matches!(self, KeyPlace::Home(_))
    }
}

impl std::fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KeyPlace::Environment(_) => write!(f, "${KEY}"),
            KeyPlace::File(path) => write!(f, "{} (${KEY_FILE})", path.display()),
            KeyPlace::Home(path) => write!(f, "{}", path.display()),
        }
    }
}

fn read_file(path: &Path) -> Result<Secret, Unusable> {
    let failed = |err| Unusable::new(format!("cannot read the key in {}: {err}", path.display()));
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(file = %path.display(), "Others than its owner can read the key of the secrets; chmod 600 ends that");
    }
    let mut text = String::new();
    file.take(FILE_MAX)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(Secret::new(text))
}

/// The new file takes the old one's place at once and durably: a key that is lost is a loss of all
/// that it has sealed.
fn write_file(path: &Path, text: &Secret) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let _ = std::fs::remove_file(&new);
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text.expose().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// The keys by which a worker opens what is sent to it; nothing where it has none.
///
/// # Errors
/// When they cannot be read, or are none.
pub fn keys_of_worker(home: &Home) -> Result<Option<Keys>, Unusable> {
    let place = KeyPlace::of_process(home);
    match place.text()? {
        None => Ok(None),
        Some(text) => Keys::parse_for_worker(text.expose())
            .map(Some)
            .map_err(|err| place.wrong(&err)),
    }
}

//! Compiled code on disk. Loading it means running it with all rights of this process, so each file
//! is sealed: its first 32 bytes are the HMAC-SHA256 of its name and its content under a key that
//! only the owner of the folder can read. A file that does not fit is not loaded, and is made again.

use crate::run::{Failure, Why};
use hmac::{Hmac, KeyInit, Mac};
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

const KEY: usize = 32;
const SEAL: usize = 32;
/// The most that all files take; then the oldest go.
const CACHE_MAX: u64 = 1 << 30;
/// The most that one of them may be.
pub(crate) const CODE_MAX: u64 = 512 << 20;

/// A folder of compiled code.
pub(crate) struct Cache {
    folder: PathBuf,
    key: [u8; KEY],
}

/// The name of a module's code: the hash of the module, and of all that its code depends on.
pub(crate) fn name(module: &[u8], environment: u64) -> String {
    let hash = Sha256::digest(module);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex}-{environment:016x}")
}

fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let message = format!("cannot {what} {}", path.display());
    move |err| Failure::new(Why::Host, format!("{message}: {err}"))
}

impl Cache {
    /// Opens a folder; makes it and its key when they are missing.
    pub(crate) fn open(folder: &Path) -> Result<Cache, Failure> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed("make the folder", folder))?;
        let mut cache = Cache {
            folder: folder.to_path_buf(),
            key: [0; KEY],
        };
        let path = folder.join("key");
        cache.key = key(&path, &cache.draft("key")).map_err(failed("use the key", &path))?;
        Ok(cache)
    }

    /// The code of that name; `None` when there is none or it is not as we left it.
    pub(crate) fn get(&self, name: &str) -> Option<Vec<u8>> {
        let mut file = private(&self.folder.join(name)).ok()?;
        let mut seal = [0u8; SEAL];
        file.read_exact(&mut seal).ok()?;
        let mut code = Vec::new();
        file.take(CODE_MAX).read_to_end(&mut code).ok()?;
        if self.mac(name, &code).verify_slice(&seal).is_err() {
            tracing::warn!(
                name,
                "compiled code in the cache is not as it was left; made again"
            );
            return None;
        }
        Some(code)
    }

    /// Keeps code under a name.
    pub(crate) fn put(&self, name: &str, code: &[u8]) -> Result<(), Failure> {
        let path = self.folder.join(name);
        let draft = self.draft(name);
        let write = || {
            let mut file = new_file(&draft)?;
            file.write_all(&self.mac(name, code).finalize().into_bytes())?;
            file.write_all(code)?;
            std::fs::rename(&draft, &path)?;
            self.trim()
        };
        write().map_err(failed("write", &path))
    }

    /// A name for a file that is not finished; nobody else writes it.
    pub(crate) fn draft(&self, name: &str) -> PathBuf {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        self.folder.join(format!("{name}.{process}.{number}"))
    }

    fn mac(&self, name: &str, code: &[u8]) -> Hmac<Sha256> {
        // A shorter key stands in a block of the hash, followed by zeros (RFC 2104).
        let mut block = [0u8; 64];
        block[..KEY].copy_from_slice(&self.key);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(code);
        mac
    }

    /// Removes the oldest files until the rest is within the limit.
    fn trim(&self) -> io::Result<()> {
        let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(&self.folder)?.flatten() {
            if let Ok(found) = entry.metadata()
                && found.is_file()
                && entry.file_name() != "key"
            {
                files.push((found.modified()?, found.len(), entry.path()));
            }
        }
        files.sort();
        let mut all: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in files {
            if all <= CACHE_MAX {
                break;
            }
            std::fs::remove_file(path)?;
            all -= size;
        }
        Ok(())
    }
}

/// A new file that nobody else can read.
pub(crate) fn new_file(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.custom_flags(flags(OFlags::NOFOLLOW)).open(path)
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

/// Opens a plain file of ours that nobody else can change or read.
fn private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    let file = options
        .read(true)
        .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
        .open(path)?;
    let found = file.metadata()?;
    let is_ours = found.is_file()
        && found.uid() == rustix::process::geteuid().as_raw()
        && found.mode() & 0o077 == 0;
    if !is_ours {
        let message = "it is not a plain file of this user that is closed to all others";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(file)
}

/// Reads the key, or makes one. Of two processes that make one at once, one wins.
fn key(path: &Path, draft: &Path) -> io::Result<[u8; KEY]> {
    let mut key = [0u8; KEY];
    match private(path) {
        Ok(mut file) => {
            file.read_exact(&mut key)?;
            return Ok(key);
        }
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        Err(_) => {}
    }
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    let mut file = new_file(draft)?;
    file.write_all(&key)?;
    file.sync_all()?;
    let linked = std::fs::hard_link(draft, path);
    std::fs::remove_file(draft)?;
    match linked {
        Err(err) if err.kind() != io::ErrorKind::AlreadyExists => return Err(err),
        _ => {}
    }
    private(path)?.read_exact(&mut key)?;
    Ok(key)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn code_comes_back_as_it_was_kept_and_only_under_its_own_name() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        cache.put("a", b"code").unwrap();
        assert_eq!(cache.get("a").unwrap(), b"code");
        assert_eq!(
            Cache::open(folder.path()).unwrap().get("a").unwrap(),
            b"code"
        );
        std::fs::copy(folder.path().join("a"), folder.path().join("b")).unwrap();
        assert_eq!((cache.get("b"), cache.get("c")), (None, None));
        let mode = std::fs::metadata(folder.path().join("a")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn code_that_was_touched_or_is_open_to_others_is_not_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let path = folder.path().join("a");
        for change in 0..36 {
            cache.put("a", b"code").unwrap();
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[change] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(cache.get("a"), None, "byte {change}");
        }
        cache.put("a", b"code").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(cache.get("a"), None);
        std::fs::remove_file(&path).unwrap();
        cache.put("other", b"code").unwrap();
        std::os::unix::fs::symlink(folder.path().join("other"), &path).unwrap();
        assert_eq!(cache.get("a"), None);
    }

    #[test]
    fn another_key_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        Cache::open(folder.path())
            .unwrap()
            .put("a", b"code")
            .unwrap();
        std::fs::remove_file(folder.path().join("key")).unwrap();
        assert_eq!(Cache::open(folder.path()).unwrap().get("a"), None);
    }
}

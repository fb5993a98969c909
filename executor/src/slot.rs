//! Folders of tasks: one for each attempt at a time, used again while it is still empty.

use crate::sys::{self, Ids};
use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::time::{SystemTime, UNIX_EPOCH};

/// The folders of one running attempt.
#[derive(Debug)]
pub(crate) struct Slot {
    number: u32,
    user: Option<Ids>,
    /// Where it starts, `$TIDEMILL_TASK_DIR`.
    pub work: PathBuf,
    /// `$TIDEMILL_OUTPUT`; exists once the task writes it.
    pub output: PathBuf,
    /// `$TIDEMILL_REJECTS`; exists once the task writes it.
    pub rejects: PathBuf,
    /// Its command and secrets as files; exists when there are any.
    beside: PathBuf,
    has_files: bool,
}

impl Slot {
    /// Writes a file that only the task's user can read.
    pub(crate) fn write_file(&mut self, name: &str, content: &str) -> io::Result<PathBuf> {
        if !self.has_files {
            self.has_files = true;
            make_folder(&self.beside, self.user.as_ref())?;
        }
        let path = self.beside.join(name);
        let mut options = fs::File::options();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        io::Write::write_all(&mut file, content.as_bytes())?;
        if let Some(user) = &self.user {
            sys::give_to(&path, user)?;
        }
        Ok(path)
    }
}

/// All slots of a worker.
pub(crate) struct Slots {
    root: PathBuf,
    trash: PathBuf,
    free: Vec<u32>,
    next: u32,
    /// Slots whose folder exists and is empty, by user.
    ready: HashSet<(u32, Option<u32>)>,
    started: u128,
    thrown: u64,
    remover: Option<Sender<PathBuf>>,
}

impl Slots {
    /// Takes over a home: what an earlier process left in its slots goes to the trash.
    pub(crate) fn open(home: &Path) -> io::Result<Slots> {
        let started = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos();
        let mut slots = Slots {
            root: home.join("slots"),
            trash: home.join("trash"),
            free: Vec::new(),
            next: 0,
            ready: HashSet::new(),
            started,
            thrown: 0,
            remover: None,
        };
        if let Ok(left) = fs::read_dir(&slots.trash) {
            for entry in left.flatten() {
                slots.remove_later(entry.path());
            }
        }
        if slots.root.exists() {
            let old = slots.root.clone();
            slots.throw_away(&old)?;
        }
        fs::create_dir_all(&slots.root)?;
        Ok(slots)
    }

    /// An empty folder for an attempt.
    pub(crate) fn take(&mut self, user: Option<&Ids>) -> io::Result<Slot> {
        let number = self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        let name = match user {
            Some(user) => format!("{number}-u{}", user.uid),
            None => number.to_string(),
        };
        let base = self.root.join(name);
        let slot = Slot {
            number,
            user: user.cloned(),
            work: base.join("work"),
            output: base.join("output"),
            rejects: base.join("rejects"),
            beside: base.join("files"),
            has_files: false,
        };
        let key = (number, user.map(|user| user.uid));
        if !self.ready.contains(&key) {
            let made = make_folder(&base, user).and_then(|()| make_folder(&slot.work, user));
            if let Err(err) = made {
                self.free.push(number);
                return Err(err);
            }
            self.ready.insert(key);
        }
        Ok(slot)
    }

    /// Takes an attempt's folders back.
    pub(crate) fn give_back(&mut self, slot: Slot) {
        let key = (slot.number, slot.user.as_ref().map(|user| user.uid));
        if slot.has_files {
            let _ = fs::remove_dir_all(&slot.beside); // at once: they may hold secrets
        }
        if !is_as_made(&slot.work) {
            self.ready.remove(&key);
            // A folder that can neither be used again nor moved away costs its slot number.
            if slot.work.symlink_metadata().is_ok()
                && let Err(err) = self.throw_away(&slot.work)
            {
                tracing::warn!(%err, folder = %slot.work.display(), "cannot clear a task's folder");
                return;
            }
        }
        self.free.push(slot.number);
    }

    fn throw_away(&mut self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(&self.trash)?;
        self.thrown += 1;
        let place = self.trash.join(format!("{}-{}", self.started, self.thrown));
        fs::rename(folder, &place)?;
        self.remove_later(place);
        Ok(())
    }

    fn remove_later(&mut self, path: PathBuf) {
        let remover = self.remover.get_or_insert_with(|| {
            let (sender, paths) = channel::<PathBuf>();
            let remove_all = move || {
                for path in paths {
                    if let Err(err) = remove(&path) {
                        tracing::warn!(%err, path = %path.display(), "cannot delete");
                    }
                }
            };
            // Without the thread the trash stays until the next start.
            let _ = std::thread::Builder::new()
                .name("trash".to_string())
                .spawn(remove_all);
            sender
        });
        let _ = remover.send(path);
    }
}

fn make_folder(path: &Path, user: Option<&Ids>) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(err) => Err(err),
        Ok(()) => user.map_or(Ok(()), |user| sys::give_to(path, user)),
    }
}

/// Is a task's folder still the empty one it was?
fn is_as_made(path: &Path) -> bool {
    let is_private =
        |meta: fs::Metadata| meta.is_dir() && meta.permissions().mode() & 0o7777 == 0o700;
    path.symlink_metadata().is_ok_and(is_private)
        && fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

fn remove(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

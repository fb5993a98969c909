//! Files that appear. Each is told once: by its path, its size, when it was changed and which one
//! it is. One that is put in place anew is another.

use super::Shared;
use crate::daemon::clock;
use crate::daemon::engine::{EngineDoor, WantedStreams};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tidemill_model::event::{EventSource, FileDrop};
use tidemill_model::{DagNo, Ts};
use tidemill_store::Happening;

/// The thread looks so often whether it is still needed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Files that one look at a folder tells of; the rest comes with the next.
const AT_ONCE: usize = 100;

/// A trigger's folder.
struct Folder {
    dag: DagNo,
    dag_id: String,
    trigger: String,
    drop: FileDrop,
    is_paused: bool,
    next: Instant,
    known: BTreeMap<PathBuf, Known>,
}

/// A file as it was at the last look.
#[derive(Clone, Copy, PartialEq)]
struct Known {
    size: u64,
    changed_ns: i128,
    inode: u64,
    since: Instant,
    is_told: bool,
}

/// Starts the thread that looks.
pub(super) fn start(shared: &Arc<Shared>) -> std::io::Result<()> {
    let weak = Arc::downgrade(shared);
    let door = shared.door.clone();
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new()
        .name("files".to_string())
        .spawn(move || attend(&weak, &door, &runtime))
        .map(drop)
}

fn attend(weak: &Weak<Shared>, door: &EngineDoor, runtime: &tokio::runtime::Handle) {
    let mut wanted = door.streams();
    let mut folders: Vec<Folder> = Vec::new();
    let mut is_first = true;
    loop {
        let next = folders.iter().map(|folder| folder.next).min();
        let wait = next.map_or(LOOK_EVERY, |next| {
            next.saturating_duration_since(Instant::now())
                .min(LOOK_EVERY)
        });
        let changed = async { tokio::time::timeout(wait, wanted.changed()).await };
        let changed = runtime.block_on(changed);
        let Some(shared) = weak.upgrade() else { return };
        match changed {
            Ok(Err(_)) => return, // the engine is gone
            Ok(Ok(())) => is_first = true,
            Err(_) => {}
        }
        if std::mem::take(&mut is_first) {
            let now = wanted.borrow_and_update().clone();
            runtime.block_on(shared.register(&now));
            folders = follow(folders, &now);
        }
        for folder in &mut folders {
            if folder.next <= Instant::now() {
                folder.next = Instant::now() + folder.drop.poke_interval;
                runtime.block_on(folder.look(&shared));
            }
        }
    }
}

/// The folders that are to be looked at now, with what is known of them.
fn follow(mut before: Vec<Folder>, wanted: &[WantedStreams]) -> Vec<Folder> {
    let mut now = Vec::new();
    for one in wanted {
        for trigger in &one.definition.event_triggers {
            let (true, EventSource::File(drop)) = (trigger.is_enabled, &trigger.source) else {
                continue;
            };
            let is_same = |folder: &Folder| folder.dag == one.dag && folder.trigger == trigger.name;
            let known = before.iter().position(is_same).map(|at| before.remove(at));
            let known = known.filter(|folder| folder.drop == *drop);
            now.push(Folder {
                dag: one.dag,
                dag_id: one.definition.id.clone(),
                trigger: trigger.name.clone(),
                drop: drop.clone(),
                is_paused: one.is_paused,
                next: known
                    .as_ref()
                    .map_or_else(Instant::now, |folder| folder.next),
                known: known.map(|folder| folder.known).unwrap_or_default(),
            });
        }
    }
    now
}

impl Folder {
    /// Looks once, and tells of what has come. What cannot be told now is told at the next look.
    async fn look(&mut self, shared: &Shared) {
        if self.is_paused {
            return;
        }
        let record = shared
            .database
            .streams
            .put_trigger(self.dag, &self.trigger, clock::now())
            .await;
        let Ok(record) = record.map_err(|err| self.complain(shared, &err.to_string())) else {
            return;
        };
        if record.is_paused {
            return;
        }
        let found = tidemill_executor::operator::matching(Path::new(&self.drop.path));
        match found {
            Ok(files) => self.notice(&files),
            Err(what) => return self.complain(shared, &what),
        }
        let settle = self.drop.settle;
        let is_due = |known: &Known| !known.is_told && known.since.elapsed() >= settle;
        let due: Vec<(PathBuf, Known)> = self
            .known
            .iter()
            .filter(|(_, known)| is_due(known))
            .map(|(path, known)| (path.clone(), *known))
            .take(AT_ONCE)
            .collect();
        for (path, known) in due {
            let what = self.happening(&path, &known);
            let is_old = shared.is_known(record.trigger, &what.key).await;
            let told = match is_old {
                Ok(true) => Ok(None),
                Ok(false) => shared.tell(self.dag, record.trigger, what).await,
                Err(refusal) => Err(refusal),
            };
            match told {
                Ok(_) => {
                    if let Some(known) = self.known.get_mut(&path) {
                        known.is_told = true;
                    }
                }
                Err(refusal) => return self.complain(shared, &refusal.to_string()),
            }
        }
    }

    /// Which files there are now, and since when they are as they are.
    fn notice(&mut self, files: &[PathBuf]) {
        let mut now = BTreeMap::new();
        for path in files {
            let Ok(meta) = path.metadata() else { continue };
            if !meta.is_file() {
                continue;
            }
            let seen = Known {
                size: meta.len(),
                changed_ns: i128::from(meta.mtime()) * 1_000_000_000
                    + i128::from(meta.mtime_nsec()),
                inode: meta.ino(),
                since: Instant::now(),
                is_told: false,
            };
            let before = self.known.get(path).copied();
            let before = before.filter(|known| {
                (known.size, known.changed_ns, known.inode)
                    == (seen.size, seen.changed_ns, seen.inode)
            });
            now.insert(path.clone(), before.unwrap_or(seen));
        }
        self.known = now;
    }

    fn happening(&self, path: &Path, known: &Known) -> Happening {
        let path = path.to_string_lossy();
        let (size, changed, inode) = (known.size, known.changed_ns, known.inode);
        let micros = i64::try_from(changed / 1_000).unwrap_or(0);
        let facts: Map<String, Value> = [
            ("type", json!("file")),
            ("path", json!(path)),
            ("size", json!(size)),
            ("mtime", json!(Ts(micros))),
        ]
        .map(|(name, value)| (name.to_string(), value))
        .into_iter()
        .collect();
        Happening {
            dag_id: self.dag_id.clone(),
            trigger: self.trigger.clone(),
            key: format!("{path}:{size}.{changed}.{inode}"),
            is_known: false,
            facts,
        }
    }

    fn complain(&self, shared: &Shared, why: &str) {
        tracing::warn!(
            dag.id = self.dag_id,
            trigger = self.trigger,
            why,
            "A file that has come makes no run yet"
        );
        shared.note(self.dag, &self.trigger, |told| {
            told.why = Some(why.to_string());
        });
    }
}

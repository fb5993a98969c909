//! The looks.

use super::config::Config;
use super::glob::matching;
use crate::operator::sensor::{Look, Seen, wait};
use crate::operator::{Done, End, Failure, Job};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// What is known of a file, and since when.
type Known = BTreeMap<PathBuf, (u64, SystemTime, Instant)>;

/// Waits for a file.
pub(crate) async fn run(job: Job) -> Result<Done, End> {
    let config: Config = job.settings()?;
    let path = job.text("path", &config.path)?;
    let path = job.run_dir()?.join(path);
    let settle = Duration::from_millis(config.settle);
    // A file that must settle is looked at as often as that, whatever the interval of pokes.
    let mut patience = config.patience;
    if config.settle > 0 {
        patience.poke_interval = patience.poke_interval.min(config.settle);
    }
    let file = File {
        path,
        settle,
        known: Known::new(),
    };
    wait(&job, &patience, file).await
}

/// What is waited for.
struct File {
    path: PathBuf,
    settle: Duration,
    known: Known,
}

impl Look for File {
    async fn look(&mut self) -> Result<Seen, End> {
        let (asked, was) = (self.path.clone(), std::mem::take(&mut self.known));
        let looked = tokio::task::spawn_blocking(move || look(&asked, was)).await;
        self.known = looked.map_err(|err| Failure::refused(format!("cannot look: {err}")))??;
        Ok(seen(&self.known, self.settle, &self.path))
    }
}

/// Which files there are now, and since when they are as they are.
fn look(path: &Path, mut known: Known) -> Result<Known, Failure> {
    let now = Instant::now();
    let mut found = Known::new();
    let files = matching(path);
    for one in files.map_err(|what| Failure::could_not_start(what).for_good())? {
        let Ok(meta) = one.metadata() else { continue };
        if !meta.is_file() {
            continue;
        }
        let (size, changed) = (
            meta.len(),
            meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        );
        let since = match known.remove(&one) {
            Some((old_size, old_changed, since)) if (old_size, old_changed) == (size, changed) => {
                since
            }
            _ => now,
        };
        found.insert(one, (size, changed, since));
    }
    Ok(found)
}

fn seen(known: &Known, settle: Duration, path: &Path) -> Seen {
    let settled = known
        .iter()
        .find(|(_, (.., since))| since.elapsed() >= settle);
    match settled {
        Some((file, (size, ..))) => {
            let output = json!({ "path": file.display().to_string(), "size": size });
            Seen::There(Done {
                output: Some(output),
                ..Done::default()
            })
        }
        None if known.is_empty() => Seen::NotYet(format!("{} is not there", path.display())),
        None => Seen::NotYet(format!("{} still changes", path.display())),
    }
}

//! The looks.

use super::config::Config;
use crate::operator::sensor::{Look, Seen, wait};
use crate::operator::{Done, End, Failure, Job};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Files of one folder that are looked at.
const FILES_MAX: usize = 100_000;

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
    for one in matching(path)? {
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

/// The files that a path means; its last part may hold `*` and `?`.
fn matching(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let (Some(folder), Some(name)) = (path.parent(), name) else {
        return Err(
            Failure::could_not_start(format!("path: {} names no file", path.display())).for_good(),
        );
    };
    if !name.contains(['*', '?']) {
        return Ok(vec![path.to_path_buf()]);
    }
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(Vec::new()); // not there yet
    };
    let fits = |entry: &std::fs::DirEntry| {
        let own = entry.file_name().to_string_lossy().into_owned();
        !own.starts_with('.') && matches(&name, &own)
    };
    Ok(entries
        .flatten()
        .take(FILES_MAX)
        .filter(fits)
        .map(|entry| entry.path())
        .collect())
}

/// Does a name fit a pattern of `*` and `?`?
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, n) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
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

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_and_question_marks_fit_names() {
        for (pattern, name, fits) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.gz", false),
            ("a*b*c", "axxbyybc", true),
            ("a*b*c", "axxbyyb", false),
            ("day-??", "day-21", true),
            ("day-??", "day-1", false),
            ("*", "", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}

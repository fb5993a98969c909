//! Standard output and error of a module: into the log, into a file, and into the task's output.

use super::config::Output as Wanted;
use crate::log::last::LastLine;
use crate::log::sink::STDOUT_MAX;
use crate::operator::{Failure, Job, Stream};
use serde_json::Value;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidemill_wasm::Output;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Standard error.
pub(crate) struct Errors {
    job: Arc<Job>,
    last: Mutex<LastLine>,
}

impl Errors {
    pub(crate) fn new(job: &Arc<Job>) -> Arc<Errors> {
        Arc::new(Errors {
            job: Arc::clone(job),
            last: Mutex::default(),
        })
    }

    /// Its last line that is not blank.
    pub(crate) fn last(&self) -> Option<String> {
        lock(&self.last).take()
    }
}

impl Output for Errors {
    fn write(&self, bytes: &[u8]) {
        lock(&self.last).feed(bytes);
        self.job.print(Stream::Error, bytes);
    }
}

/// Standard output.
pub(crate) struct Words {
    job: Arc<Job>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The file that it goes to instead of the log, while it has no name yet.
    file: Option<Draft>,
    keeps_all: bool,
    all: Vec<u8>,
    is_cut: bool,
    last: LastLine,
}

/// A file that gets its name when it is complete.
struct Draft {
    file: File,
    draft: PathBuf,
    path: PathBuf,
    failed: Option<std::io::Error>,
}

impl Words {
    /// `keeps_all` when all of it is needed; `path` when it goes to a file.
    pub(crate) fn new(
        job: &Arc<Job>,
        keeps_all: bool,
        path: Option<PathBuf>,
    ) -> Result<Arc<Words>, Failure> {
        let file = path.map(Draft::new).transpose()?;
        Ok(Arc::new(Words {
            job: Arc::clone(job),
            kept: Mutex::new(Kept {
                file,
                keeps_all,
                ..Kept::default()
            }),
        }))
    }

    /// The file gets its name.
    pub(crate) fn publish(&self) -> Result<(), Failure> {
        match lock(&self.kept).file.take() {
            Some(draft) => draft.publish(),
            None => Ok(()),
        }
    }

    /// All of it as text, as far as it was kept.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.kept).all).into_owned()
    }

    /// What of it becomes the task's output.
    pub(crate) fn output(&self, wanted: Wanted) -> Result<Option<Value>, Failure> {
        let mut kept = lock(&self.kept);
        if kept.is_cut && matches!(wanted, Wanted::Stdout | Wanted::Json) {
            return Err(Failure::bad_output(format!(
                "standard output is over {STDOUT_MAX} bytes, too much for an output; write it to `stdout_file`"
            )));
        }
        match wanted {
            Wanted::None => Ok(None),
            Wanted::LastLine => Ok(kept.last.take().map(Value::String)),
            Wanted::Stdout => {
                let text = String::from_utf8_lossy(&kept.all);
                let text = text.strip_suffix('\n').unwrap_or(&text);
                Ok(Some(Value::String(text.to_string())))
            }
            Wanted::Json => serde_json::from_slice(&kept.all)
                .map(Some)
                .map_err(|err| Failure::bad_output(format!("standard output is not JSON: {err}"))),
        }
    }
}

impl Output for Words {
    fn write(&self, bytes: &[u8]) {
        let mut kept = lock(&self.kept);
        if kept.keeps_all {
            let room = STDOUT_MAX - kept.all.len();
            kept.all.extend_from_slice(&bytes[..bytes.len().min(room)]);
            kept.is_cut |= bytes.len() > room;
        }
        kept.last.feed(bytes);
        if let Some(draft) = &mut kept.file {
            return draft.write(bytes);
        }
        drop(kept);
        self.job.print(Stream::Output, bytes);
    }
}

impl Draft {
    fn new(path: PathBuf) -> Result<Draft, Failure> {
        let mut draft = path.clone().into_os_string();
        draft.push(".part");
        let draft = PathBuf::from(draft);
        let file = File::create(&draft).map_err(|err| {
            let path = draft.display();
            Failure::could_not_start(format!("cannot make stdout_file {path}: {err}"))
        })?;
        Ok(Draft {
            file,
            draft,
            path,
            failed: None,
        })
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.failed.is_none()
            && let Err(err) = self.file.write_all(bytes)
        {
            self.failed = Some(err);
        }
    }

    fn publish(mut self) -> Result<(), Failure> {
        let done = match self.failed.take() {
            Some(err) => Err(err),
            None => std::fs::rename(&self.draft, &self.path),
        };
        done.map_err(|err| {
            let path = self.path.display();
            Failure::bad_output(format!("cannot write stdout_file {path}: {err}"))
        })
    }
}

impl Drop for Draft {
    /// What was not completed goes; what was has another name by now.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.draft);
    }
}

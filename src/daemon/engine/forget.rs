//! Runs that go: by their age, or because a person says so.

use super::Engine;
use std::path::Path;
use std::sync::Arc;
use tidemill_model::RunNo;
use tidemill_store::{Answer, Refusal, StoreError};
use tokio::sync::oneshot;

/// Rows of one kind that go at once: nothing else is written meanwhile.
const ROWS_MAX: u32 = 1_000;

/// Runs that somebody wants gone, and who waits for the answer.
pub(super) type ToForget = (Vec<RunNo>, oneshot::Sender<Result<Answer, Refusal>>);

impl Engine {
    /// Forgets a piece of what is to be forgotten. It is done between passes, when all that was
    /// made of these runs is written; a run that is in memory is not over, or is looked at again.
    pub(super) fn forget_runs(&mut self) -> Result<(), StoreError> {
        for (mut runs, reply) in std::mem::take(&mut self.forgetting) {
            runs.retain(|run| !self.runs.contains_key(run));
            let store = Arc::clone(&self.store);
            let done = self.insist("Forgetting runs", || store.forget_runs(&runs, ROWS_MAX))?;
            for run in &done.gone {
                self.remove_folders(*run);
            }
            let _ = reply.send(Ok(Answer::Forgotten(done))); // whoever asked may be gone
        }
        Ok(())
    }

    /// What lies in the state folder goes beside the engine: it may be many files.
    fn remove_folders(&self, run: RunNo) {
        for folders in [&self.options.logs, &self.options.runs] {
            let folder = folders.join(run.to_string());
            self.runtime.spawn_blocking(move || remove(&folder));
        }
    }
}

fn remove(folder: &Path) {
    match std::fs::remove_dir_all(folder) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%err, folder = %folder.display(), "cannot remove what a forgotten run has left");
        }
        _ => {}
    }
}

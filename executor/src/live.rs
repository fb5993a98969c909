//! Attempts whose end has not been reported.

use crate::AttemptSpec;
use crate::here::Handle;
use crate::operator::shell::Fate;
use crate::slot::Slot;
use std::sync::Arc;
use tidemill_connection::Masker;
use tidemill_model::{Attempt, Outcome, Reason};

/// An attempt whose end has not been reported.
pub(crate) enum Live {
    /// In a process of its own.
    Process(Box<Process>),
    /// Inside this one.
    Here {
        attempt: Attempt,
        handle: Handle,
        outcome: Option<Box<Outcome>>,
    },
}

/// An attempt with a process.
pub(crate) struct Process {
    pub(crate) spec: AttemptSpec,
    pub(crate) slot: Slot,
    pub(crate) masker: Arc<Masker>,
    pub(crate) pid: Option<i32>,
    pub(crate) killed: Option<Reason>,
    pub(crate) fate: Option<Fate>,
}

impl Process {
    /// Where and as whom a task was to start, for the message of a start that failed.
    pub(crate) fn place(&self) -> String {
        let task = self.spec.dag.task(self.spec.task);
        let folder = task.cwd.as_ref().map(|cwd| self.spec.dag_dir.join(cwd));
        let folder = folder
            .as_deref()
            .unwrap_or(&self.slot.work)
            .display()
            .to_string();
        match &task.run_as_user {
            Some(user) => format!(" (in {folder}, as user {user})"),
            None => format!(" (in {folder})"),
        }
    }
}

impl Live {
    /// The attempt's process, if it has one.
    pub(crate) fn process(&mut self) -> Option<&mut Process> {
        match self {
            Live::Process(process) => Some(process),
            Live::Here { .. } => None,
        }
    }
}

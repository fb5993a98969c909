//! `shell`: a command or a script, in a process of its own.

mod end;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod fuzz;
mod rejects;
mod run;

pub(crate) use end::{Fate, Traces, after_timeout, note, of, quote};
pub(crate) use run::{Machine, Prepared, prepare};

use super::python;
use std::borrow::Cow;
use tidemill_model::dag::Shell;
use tidemill_model::{Operator, Task};

/// The command of a task that is a process: a shell task's own, or the one that runs Python.
pub(crate) fn shell_of(task: &Task) -> Option<Cow<'_, Shell>> {
    match &task.operator {
        Operator::Shell(shell) => Some(Cow::Borrowed(shell)),
        Operator::InProcess(work) if work.kind == python::KIND => {
            Some(Cow::Owned(python::as_shell(work)))
        }
        Operator::Empty
        | Operator::Branch(_)
        | Operator::ShortCircuit(_)
        | Operator::LatestOnly
        | Operator::TimeSensor(_)
        | Operator::ExternalTaskSensor(_)
        | Operator::TriggerDagRun(_)
        | Operator::InProcess(_) => None,
    }
}

//! `shell`: a command or a script, in a process of its own.

mod end;
mod run;

pub(crate) use end::{Fate, Traces, after_timeout, note, of};
pub(crate) use run::{Prepared, default_interpreter, prepare};

use tidemill_model::dag::Shell;
use tidemill_model::{Operator, Task};

/// The shell settings of a task, if it is one.
pub(crate) fn shell_of(task: &Task) -> Option<&Shell> {
    match &task.operator {
        Operator::Shell(shell) => Some(shell),
        Operator::Empty
        | Operator::Branch(_)
        | Operator::ShortCircuit(_)
        | Operator::LatestOnly
        | Operator::InProcess(_) => None,
    }
}

//! Exit statuses, and how an error is told. Both are part of the interface.

use std::process::ExitCode;

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; for commands that wait for a run: it ended in `success`.
    Ok,
    /// Something unexpected.
    Error,
    /// The command line is wrong, or a value does not fit its parameter.
    Usage,
    /// There is no such thing.
    NotFound,
    /// It is not allowed.
    Forbidden,
    /// It is there already, or its state forbids it.
    Conflict,
    /// No server, or no database.
    Unreachable,
    /// A DAG file is wrong.
    Invalid,
    /// The run ended in `failed`.
    RunFailed,
    /// The run was cancelled.
    RunCancelled,
    /// The wait was over before the run.
    TimedOut,
    /// SIGINT.
    Interrupted,
    /// SIGTERM.
    Terminated,
}

impl Exit {
    /// Every status with its number and meaning, in the order of `tidemill help exit-codes`.
    pub const ALL: &'static [(Exit, u8, &'static str)] = &[
        (
            Exit::Ok,
            0,
            "done; the run that was waited for ended in success",
        ),
        (Exit::Error, 1, "unexpected error"),
        (
            Exit::Usage,
            2,
            "usage error, or a value that does not fit its parameter",
        ),
        (Exit::NotFound, 3, "not found"),
        (Exit::Forbidden, 4, "authentication needed, or forbidden"),
        (
            Exit::Conflict,
            5,
            "conflict: it exists already, or its state forbids it",
        ),
        (Exit::Unreachable, 6, "no server or no database"),
        (Exit::Invalid, 10, "a DAG file has errors"),
        (Exit::RunFailed, 20, "the run ended in failed"),
        (Exit::RunCancelled, 21, "the run was cancelled"),
        (Exit::TimedOut, 124, "--timeout is over; the run goes on"),
        (Exit::Interrupted, 130, "SIGINT"),
        (Exit::Terminated, 143, "SIGTERM"),
    ];

    /// Its number.
    pub fn code(self) -> u8 {
        Exit::ALL
            .iter()
            .find(|(exit, _, _)| *exit == self)
            .map_or(1, |(_, code, _)| *code)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// An error with the status that it ends the command with, and what to do next.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The status.
    pub exit: Exit,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl Failure {
    /// An error for people.
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure {
            exit,
            message: message.into(),
            hint: None,
        }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }
}

/// An error and its causes in one line.
pub fn chain(err: &(dyn std::error::Error + 'static)) -> String {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

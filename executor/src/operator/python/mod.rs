//! `python`: a script or a function, run by the user's own interpreter with nothing installed in
//! it. It is a process like `shell`'s: a small program that the interpreter runs, and that reads
//! from its standard input what to do.

mod config;
mod run;

pub(crate) use config::KIND;
pub(crate) use run::{as_shell, input};

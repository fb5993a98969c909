//! `file_sensor`: waits until a file is there and has stopped to change.

mod config;
mod run;

pub(crate) use run::run;

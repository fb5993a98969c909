//! `file_sensor`: waits until a file is there and has stopped to change.

mod config;
mod glob;
mod run;

pub use glob::matching;
pub(crate) use run::run;

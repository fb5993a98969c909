//! `http_sensor`: waits until an answer is as it should be.

mod config;
mod run;

pub(crate) use run::run;

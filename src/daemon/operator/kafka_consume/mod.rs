//! `kafka_consume`: reads a range of topics that is fixed before anything is read.

mod config;
mod run;

pub(super) use run::run;

//! `kafka_wait`: waits for a record, without a slot.

mod config;
mod run;

pub(super) use run::run;

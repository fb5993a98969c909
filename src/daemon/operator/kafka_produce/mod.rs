//! `kafka_produce`: writes records to a topic.

mod config;
mod run;

pub(super) use run::run;

//! The loops: the engine's thread, the DAG folder, and what starts and stops them.

pub mod alerts;
pub mod clock;
pub mod config;
pub mod dag_files;
pub mod dag_folder;
pub mod database;
pub mod definition;
pub mod engine;
pub mod events;
pub mod facts;
pub mod follow;
pub mod front;
pub mod home;
pub mod log_archive;
pub mod log_fetch;
pub mod metrics;
#[cfg(feature = "kafka")]
pub mod operator;
pub mod outputs;
pub mod outside;
pub mod retention;
pub mod server;
pub mod signals;
pub mod stand_by;
#[cfg(feature = "kafka")]
mod stream_hands;
#[cfg(feature = "kafka")]
pub mod stream_login;
pub mod stream_metrics;
#[cfg(feature = "kafka")]
pub mod streams;
pub mod wishes;
pub mod worker;
pub mod worker_settings;

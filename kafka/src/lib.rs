//! The bridge to Kafka: records of topics become runs, exactly once.
//!
//! The only room that names librdkafka. A source reads partitions by explicit offsets, makes
//! batches of what it reads, and hands each to the store in the transaction that moves the cursor.
//! Kafka's own offsets decide nothing here.

mod client;
mod dead_letter;
mod letters;
mod locate;
#[allow(
    unsafe_code,
    reason = "what librdkafka tells and its Rust face does not"
)]
mod raw;
mod record;
mod retry;
mod source;
mod status;
pub mod task;

pub use client::Login;
pub use locate::locate;
pub use retry::retried;
pub use source::{NameOf, Ports, Source, SourceSpec};
pub use status::{PartitionStatus, State, Status};

//! A real Kafka broker of a test's own, and a producer that keeps a ledger of what the broker has
//! confirmed. No part of the program.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod bare;
mod broker;
mod producer;
mod topics;

pub use bare::Bare;
pub use broker::{Broker, Identity, PASSWORD};
pub use producer::{Producer, Sent, Wish};

//! What setup and teardown tasks, branches, gates and `fail_fast` mean for a whole run. Each case
//! is played in forty orders, which must all end alike.
#![allow(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

#[path = "../support/mod.rs"]
mod support;

mod again;
mod assets;
mod branches;
mod claims;
mod hands;
mod in_step;
mod mapping;
mod past;
mod patience;
mod random_orders;
mod retries;
mod setups;
mod versions;
mod waits;

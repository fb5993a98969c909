//! The tests of the whole program on PostgreSQL: the same, each with a database of its own.

#![allow(
    clippy::duplicate_mod,
    reason = "each of the tests brings its support along, as it does alone"
)]

#[path = "assets.rs"]
mod assets;
#[path = "backfills.rs"]
mod backfills;
#[path = "between.rs"]
mod between;
#[path = "browser.rs"]
mod browser;
#[path = "elt.rs"]
mod elt;
#[path = "examples.rs"]
mod examples;
#[path = "flow.rs"]
mod flow;
#[path = "hands.rs"]
mod hands;
#[path = "later.rs"]
mod later;
#[path = "limits.rs"]
mod limits;
#[path = "logs.rs"]
mod logs;
#[path = "modules.rs"]
mod modules;
#[path = "operators.rs"]
mod operators;
#[path = "retention.rs"]
mod retention;
#[path = "schedules.rs"]
mod schedules;
#[path = "sensors.rs"]
mod sensors;
#[path = "serve.rs"]
mod serve;
#[path = "triggers.rs"]
mod triggers;

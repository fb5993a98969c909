//! The streams of `streams/` on PostgreSQL.

#[path = "streams/main.rs"]
mod streams;

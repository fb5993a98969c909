//! `serve.rs` on PostgreSQL: the same tests, each with a database of its own.

#[path = "serve.rs"]
mod serve;

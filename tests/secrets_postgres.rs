//! `secrets.rs` on PostgreSQL: the same tests, each with a database of its own.

#[path = "secrets.rs"]
mod secrets;

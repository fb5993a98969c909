//! The kills of `stream_kills/` on PostgreSQL.

#[path = "stream_kills/main.rs"]
mod stream_kills;

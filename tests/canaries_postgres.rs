//! `canaries.rs` on PostgreSQL.

#[path = "canaries.rs"]
mod canaries;

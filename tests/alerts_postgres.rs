//! `alerts.rs` on PostgreSQL.

#[path = "alerts.rs"]
mod alerts;

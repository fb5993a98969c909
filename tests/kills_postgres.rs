//! The kills of `kills/` on PostgreSQL: the same sieges, with a database of their own.

#[path = "kills/main.rs"]
mod kills;

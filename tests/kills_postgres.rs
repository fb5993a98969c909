//! The kills of `kills/` on PostgreSQL: the same sieges, with a database of their own; and kills
//! of what only PostgreSQL has: workers in processes of their own, and the database itself.

#[path = "kills/database.rs"]
mod database;
#[path = "kills/main.rs"]
mod kills;
#[path = "kills/worker.rs"]
mod worker;

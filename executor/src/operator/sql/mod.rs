//! `sql`: statements, a load and checks in one transaction of a PostgreSQL or SQLite database.

mod config;
mod load;
mod place;
mod postgres;
mod probe;
mod rows;
mod run;
mod sqlite;
mod statement;
mod target;

pub(crate) use place::Place;
pub use probe::reach_database;
pub(crate) use run::{run, value};

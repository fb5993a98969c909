//! `sql`: statements, a load and checks in one transaction of a PostgreSQL or SQLite database.

mod config;
mod load;
mod place;
mod postgres;
mod rows;
mod run;
mod sqlite;
mod statement;
mod target;

pub(crate) use place::Place;
pub(crate) use run::{run, value};

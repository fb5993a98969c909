//! `sql_sensor`: waits until a query gives a value that is true.

mod config;
mod run;

pub(crate) use run::run;

//! `http`: a request and what its answer means.

mod config;
mod run;

pub(crate) use run::run;

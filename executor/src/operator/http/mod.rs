//! `http`: a request, or one for each page, and what its answers mean.

mod answer;
mod client;
mod config;
mod guard;
mod probe;
mod request;
mod run;
mod wait;

pub(crate) use config::Config;
pub use guard::{Allowed, Net};
pub use probe::reach_http;
pub(crate) use run::{Http, ask, run};

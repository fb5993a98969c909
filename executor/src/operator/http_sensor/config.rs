//! The settings of `http_sensor`: those of a request, and how it is waited for.

use crate::operator::sensor::Patience;
use serde::Deserialize;

/// `[tasks.NAME.http_sensor]`; what is about the request is read as `http` reads it.
#[derive(Debug, Deserialize)]
pub(crate) struct Config {
    /// For one request; `timeout` is the time of all of them.
    #[serde(default)]
    pub request_timeout: Option<u64>,
    #[serde(flatten)]
    pub patience: Patience,
}

/// The keys that are not about the request.
pub(crate) const OWN_KEYS: [&str; 5] = [
    "request_timeout",
    "poke_interval",
    "timeout",
    "soft_fail",
    "exponential_backoff",
];

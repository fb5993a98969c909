//! Where the brokers are, and where in a topic.

use super::instant;
use crate::daemon::stream_login::login_of;
use serde::Deserialize;
use serde_json::Value;
use tidemill_executor::operator::{Failure, Job};
use tidemill_kafka::Login;
use tidemill_kafka::task::Edge;
use tidemill_model::trigger::{Format, Isolation};
use tidemill_store::NamedOffset;

/// `connection` or `brokers`.
#[derive(Debug, Deserialize)]
pub(super) struct Cluster {
    connection: Option<String>,
    #[serde(default)]
    brokers: Vec<String>,
}

impl Cluster {
    /// How one is let in.
    pub(super) fn login(&self, job: &Job) -> Result<Login, Failure> {
        match &self.connection {
            None => Ok(Login::open(&self.brokers)),
            Some(id) => login_of(job.connection(id)?)
                .map_err(|why| Failure::could_not_start(why).for_good()),
        }
    }
}

/// How records of topics are read.
#[derive(Debug, Deserialize)]
pub(super) struct Reading {
    pub topics: Vec<String>,
    key_format: Option<String>,
    value_format: Option<String>,
    isolation: Option<String>,
}

impl Reading {
    /// How keys are read.
    pub(super) fn key_format(&self) -> Format {
        let word = self.key_format.as_deref().and_then(Format::from_name);
        word.unwrap_or(Format::String)
    }

    /// How values are read.
    pub(super) fn value_format(&self) -> Format {
        let word = self.value_format.as_deref().and_then(Format::from_name);
        word.unwrap_or(Format::Json)
    }

    /// Which records of transactions count.
    pub(super) fn isolation(&self) -> Isolation {
        let word = self.isolation.as_deref().and_then(Isolation::from_name);
        word.unwrap_or(Isolation::ReadCommitted)
    }
}

/// A place in topics that is no word: an instant, or offsets by partition.
pub(super) fn edge(job: &Job, key: &str, value: &Value) -> Result<Edge, Failure> {
    let odd = || {
        let what = format!("{key}: an instant or {{ offsets = {{ 0 = 17 }} }} is wanted");
        Failure::could_not_start(what).for_good()
    };
    let value = job.value(key, value)?;
    match &value {
        Value::String(text) => Ok(Edge::At(instant(job, key, text)?)),
        Value::Object(fields) => {
            let offsets = fields.get("offsets").and_then(Value::as_object);
            let pairs = offsets.ok_or_else(odd)?.iter().map(|(partition, offset)| {
                let offset = match offset {
                    Value::String(text) => text.trim().parse().ok(),
                    other => other.as_i64(),
                };
                Some(NamedOffset {
                    topic: None,
                    partition: partition.parse().ok()?,
                    offset: offset.filter(|at| *at >= 0)?,
                })
            });
            Ok(Edge::Offsets(pairs.collect::<Option<_>>().ok_or_else(odd)?))
        }
        _ => Err(odd()),
    }
}

//! The looks: one request each.

use super::config::{Config, OWN_KEYS};
use crate::operator::http::{self, Http};
use crate::operator::sensor::{Look, Seen, wait};
use crate::operator::{Done, End, Failure, Job};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Waits for an answer.
pub(crate) async fn run(http: Arc<Http>, job: Job) -> Result<Done, End> {
    let own: Config = job.settings()?;
    let mut request: Map<String, Value> = job.settings()?;
    for key in OWN_KEYS {
        request.remove(key);
    }
    if let Some(timeout) = own.request_timeout {
        request.insert("timeout".to_string(), Value::from(timeout));
    }
    // A server that knows the key of an earlier look would give its answer to that again.
    let key = request.entry("idempotency_key");
    key.or_insert_with(|| Value::from(""));
    let request: http::Config = serde_json::from_value(Value::Object(request))
        .map_err(|err| Failure::could_not_start(format!("cannot read the settings: {err}")))?;
    let question = Question {
        http,
        job: &job,
        request,
    };
    wait(&job, &own.patience, question).await
}

struct Question<'j> {
    http: Arc<Http>,
    job: &'j Job,
    request: http::Config,
}

impl Look for Question<'_> {
    async fn look(&mut self) -> Result<Seen, End> {
        match http::ask(&self.http, self.job, &self.request).await {
            Ok(done) => Ok(Seen::There(done)),
            // An answer that is not the right one is none yet, whatever its status.
            Err(End::Failed(failure)) if failure.http_status.is_some() => {
                Ok(Seen::NotYet(failure.message))
            }
            Err(end) => Err(end),
        }
    }
}

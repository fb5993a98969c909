//! Work that goes on elsewhere after its request has been answered: its name is kept, the slot is
//! given back, and it is asked after until it is done.

use super::answer::Place;
use super::config::Wait;
use super::request::{Ask, read_url};
use super::run::{Attempt, done};
use crate::operator::sensor::{self, Look, Patience, Seen};
use crate::operator::{Done, End, Failure, Results};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The key under which the name of the work is kept while its task waits.
pub(crate) const SUBMITTED: &str = "submitted";

/// Asks how the work stands.
struct Question<'j> {
    attempt: &'j Attempt<'j>,
    first: Ask,
    wait: &'j Wait,
    /// The name of the work.
    known: Results,
}

impl Look for Question<'_> {
    async fn look(&mut self) -> Result<Seen, End> {
        let ask = self.attempt.question(&self.first, self.wait, &self.known)?;
        // `response_check` is about the answer to the submission.
        let answered = self.attempt.answer_that(ask, Place::Memory, None).await?;
        let mut results = Map::clone(&answered);
        results.extend(Map::clone(&self.known));
        self.attempt.seen(self.wait, Arc::new(results))
    }
}

impl Attempt<'_> {
    /// Submits the work, unless an attempt before this one has, and waits for it.
    pub(super) async fn submit(&self, ask: Ask, wait: &Wait) -> Result<Done, End> {
        let submitted = match self.job.kept(SUBMITTED) {
            Some(submitted) => {
                self.job.note(&format!(
                    "submitted before as {submitted}: it is only waited for"
                ));
                submitted
            }
            None => {
                let results = self.answer(ask.clone(), Place::Memory).await?;
                self.job.look("wait.id", &wait.id, &results)?
            }
        };
        let kept = (SUBMITTED.to_string(), submitted.clone());
        self.job.defer(vec![kept]);
        let patience = Patience {
            poke_interval: wait.interval,
            timeout: wait.timeout,
            soft_fail: false,
            exponential_backoff: false,
        };
        let known = Arc::new(Map::from_iter([(SUBMITTED.to_string(), submitted)]));
        let question = Question {
            attempt: self,
            first: ask,
            wait,
            known,
        };
        sensor::wait(self.job, &patience, question).await
    }

    /// The request that asks how the work stands. What was meant for one server is not told to
    /// another.
    fn question(&self, first: &Ask, wait: &Wait, known: &Results) -> Result<Ask, Failure> {
        let url = self.job.look("wait.url", &wait.url, known)?;
        let text = url.as_str().unwrap_or_default();
        let joined = first.url.join(text);
        let joined = joined.map_err(|err| {
            Failure::could_not_start(format!("wait.url: `{text}` is no address: {err}")).for_good()
        })?;
        Ok(first.clone().redirected(303, read_url(joined.as_str())?))
    }

    fn seen(&self, wait: &Wait, results: Results) -> Result<Seen, End> {
        let status = &results["response"]["text"];
        let said: String = status
            .as_str()
            .unwrap_or_default()
            .chars()
            .take(200)
            .collect();
        if let Some(fail_when) = &wait.fail_when
            && self.job.holds("wait.fail_when", fail_when, &results)?
        {
            return Err(Failure::bad_output(format!("fail_when is true: {said}")).into());
        }
        if !self.job.holds("wait.until", &wait.until, &results)? {
            return Ok(Seen::NotYet(said));
        }
        let output = match &self.config.response_filter {
            Some(filter) => self.job.look("response_filter", filter, &results)?,
            None => Value::clone(&results["response"]["text"]),
        };
        Ok(Seen::There(done(output, &results)))
    }
}

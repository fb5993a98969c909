//! Are the brokers there, and do they let one in?

use super::TaskError;
use crate::client::{Login, cannot_make};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tidemill_model::trigger::Isolation;

/// A name that needs not be there: asked after one topic, brokers do not list all of them.
const NO_TOPIC: &str = "tidemill-connection-test";

/// Complaints wait in a queue until somebody looks there.
const COMPLAINTS_WAIT: Duration = Duration::from_millis(200);

/// What the client complained of first: why it was not let in. Its answers say only that nobody
/// has answered, and later complaints that nobody is left.
#[derive(Default)]
struct Complaint(Mutex<Option<String>>);

impl ClientContext for Complaint {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, _: KafkaError, reason: &str) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| reason.to_string());
    }
}

impl ConsumerContext for Complaint {}

/// Logs in and asks how many brokers there are. Blocks, for `limit` at most.
///
/// # Errors
/// Why not, as the brokers or the client say it.
pub fn reach(login: &Login, limit: Duration) -> Result<usize, TaskError> {
    let settings = login.reader("tidemill.test", Isolation::ReadCommitted, &[]);
    let made = settings.create_with_context(Complaint::default());
    let client: BaseConsumer<Complaint> =
        made.map_err(|err| TaskError::ForGood(cannot_make(&err)))?;
    client
        .fetch_metadata(Some(NO_TOPIC), limit)
        .map(|found| found.brokers().len())
        .map_err(|err| {
            let _ = client.poll(COMPLAINTS_WAIT); // so they are told
            let complaint = client.context().0.lock();
            let complaint = complaint.unwrap_or_else(PoisonError::into_inner).take();
            TaskError::Brokers(complaint.unwrap_or_else(|| err.to_string()))
        })
}

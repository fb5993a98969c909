//! Records in quarantine are copied to the dead-letter topic: with their bytes, all their headers,
//! and where they come from. At least once; whoever reads them tells doubles by
//! `tidemill.error.id`. A topic that is away holds nothing up.

use crate::client::{Login, cannot_make};
use crate::record::stored_headers;
use rdkafka::client::ClientContext;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tidemill_store::PoisonRecord;

/// Letters that are not confirmed by then are sent again later.
const SEND_WAIT: Duration = Duration::from_secs(10);

/// What the brokers have confirmed, by number.
#[derive(Default)]
struct Confirmed {
    sent: Mutex<Vec<i64>>,
}

impl ClientContext for Confirmed {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "librdkafka: {message}");
    }

    fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
        tracing::debug!(%error, "librdkafka: {reason}");
    }
}

impl ProducerContext for Confirmed {
    type DeliveryOpaque = Box<i64>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<i64>) {
        match result {
            Ok(_) => {
                let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
                sent.push(*number);
            }
            Err((err, _)) => tracing::warn!(poison = *number, %err, "A dead letter was refused"),
        }
    }
}

/// A sender to one topic.
pub(crate) struct DeadLetters {
    topic: String,
    producer: BaseProducer<Confirmed>,
}

impl DeadLetters {
    pub(crate) fn new(login: &Login, topic: &str) -> Result<DeadLetters, String> {
        let producer = login
            .writer()
            .create_with_context(Confirmed::default())
            .map_err(|err| cannot_make(&err))?;
        Ok(DeadLetters {
            topic: topic.to_string(),
            producer,
        })
    }

    /// Sends letters and returns the numbers of those that are confirmed.
    pub(crate) fn send(&self, letters: &[PoisonRecord], dag_id: &str, trigger: &str) -> Vec<i64> {
        for letter in letters {
            let mut record = BaseRecord::with_opaque_to(&self.topic, Box::new(letter.poison))
                .headers(headers(letter, dag_id, trigger));
            if let Some(key) = &letter.key {
                record = record.key(key.as_slice());
            }
            if let Some(value) = &letter.value {
                record = record.payload(value.as_slice());
            }
            if let Err((err, _)) = self.producer.send::<[u8], [u8]>(record) {
                tracing::warn!(poison = letter.poison, %err, "A dead letter cannot be sent yet");
                break;
            }
        }
        if let Err(err) = self.producer.flush(SEND_WAIT) {
            tracing::debug!(%err, "Not all dead letters are confirmed");
        }
        let context = self.producer.context();
        std::mem::take(&mut *context.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The record's own headers in their order, then what happened.
fn headers(letter: &PoisonRecord, dag_id: &str, trigger: &str) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new();
    for (key, value) in stored_headers(&letter.headers) {
        headers = headers.insert(Header {
            key: &key,
            value: value.as_ref(),
        });
    }
    let place = &letter.partition;
    let told = [
        ("id", format!("{dag_id}/{trigger}/{}", letter.poison)),
        ("topic", place.topic.clone()),
        ("partition", place.partition.to_string()),
        ("offset", letter.offset.to_string()),
        ("dag", dag_id.to_string()),
        ("trigger", trigger.to_string()),
        ("stage", letter.class.clone()),
        ("message", letter.message.clone()),
    ];
    for (name, value) in told {
        headers = headers.insert(Header {
            key: &format!("tidemill.error.{name}"),
            value: Some(&value),
        });
    }
    headers
}

//! Records for a topic.

use super::{Stop, TaskError};
use crate::client::{Login, cannot_make};
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A wish to end is seen so soon.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A record to write.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Which partition; by its key, as Java's clients do it, when absent.
    pub partition: Option<i32>,
}

/// Where and how records are written.
#[derive(Clone, Debug)]
pub struct ProduceWish {
    /// The topic.
    pub topic: String,
    /// All records in one transaction of this id: an earlier attempt of the same id is undone.
    pub transaction: Option<String>,
    /// A record that is not confirmed by then counts as not written, though it may be.
    pub timeout: Duration,
}

/// What the brokers have confirmed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Produced {
    /// How many records.
    pub count: u64,
    /// The first and the last offset by partition.
    pub offsets: BTreeMap<i32, (i64, i64)>,
}

/// Writes records and returns when each is confirmed.
///
/// # Errors
/// What a record lacks, or what the brokers say.
pub fn produce(
    login: &Login,
    wish: &ProduceWish,
    records: impl Iterator<Item = Result<Outgoing, String>>,
    stop: &Stop,
) -> Result<Produced, TaskError> {
    let mut config = login.writer();
    let millis = wish.timeout.as_millis().max(1_000).to_string();
    config.set("delivery.timeout.ms", &millis);
    if let Some(id) = &wish.transaction {
        config.set("transactional.id", id);
        config.set("transaction.timeout.ms", &millis);
    }
    let producer: BaseProducer<Reports> = config
        .create_with_context(Reports::default())
        .map_err(|err| TaskError::ForGood(cannot_make(&err)))?;
    let Some(_) = &wish.transaction else {
        return send_all(&producer, wish, records, stop);
    };
    let refused = |what: &str, err: &KafkaError| {
        TaskError::Brokers(format!("the brokers refuse to {what} a transaction: {err}"))
    };
    producer
        .init_transactions(wish.timeout)
        .map_err(|err| refused("prepare", &err))?;
    producer
        .begin_transaction()
        .map_err(|err| refused("begin", &err))?;
    let written = send_all(&producer, wish, records, stop);
    if written.is_err() {
        // What cannot be undone now is undone by the broker when its time is up.
        let _ = producer.abort_transaction(LOOK_EVERY * 50);
        return written;
    }
    producer
        .commit_transaction(wish.timeout)
        .map_err(|err| refused("commit", &err))?;
    written
}

fn send_all(
    producer: &BaseProducer<Reports>,
    wish: &ProduceWish,
    records: impl Iterator<Item = Result<Outgoing, String>>,
    stop: &Stop,
) -> Result<Produced, TaskError> {
    let mut n_sent = 0;
    for record in records {
        let record = record.map_err(TaskError::ForGood)?;
        send(producer, &wish.topic, &record, stop)?;
        n_sent += 1;
        producer.context().refused()?;
    }
    // librdkafka itself gives up a record after its timeout; this is only should it not.
    let until = Instant::now() + wish.timeout * 2;
    while producer.context().lock().confirmed.count < n_sent {
        if stop.is_set() {
            return Err(TaskError::Stopped);
        }
        producer.poll(LOOK_EVERY);
        producer.context().refused()?;
        if Instant::now() > until {
            return Err(TaskError::Brokers("records are not confirmed".to_string()));
        }
    }
    Ok(producer.context().lock().confirmed.clone())
}

fn send(
    producer: &BaseProducer<Reports>,
    topic: &str,
    record: &Outgoing,
    stop: &Stop,
) -> Result<(), TaskError> {
    let mut headers = OwnedHeaders::new();
    for (key, value) in &record.headers {
        let value = Some(value);
        headers = headers.insert(Header { key, value });
    }
    let mut made = BaseRecord::<[u8], [u8]>::to(topic).headers(headers);
    if let Some(key) = &record.key {
        made = made.key(key);
    }
    if let Some(value) = &record.value {
        made = made.payload(value);
    }
    if let Some(partition) = record.partition {
        made = made.partition(partition);
    }
    loop {
        match producer.send(made) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                if stop.is_set() {
                    return Err(TaskError::Stopped);
                }
                producer.poll(LOOK_EVERY);
                producer.context().refused()?;
                made = again;
            }
            Err((err, _)) => return Err(why(&err)),
        }
    }
}

fn why(err: &KafkaError) -> TaskError {
    use RDKafkaErrorCode as Code;
    let code = err.rdkafka_error_code();
    let text = code.map_or_else(|| err.to_string(), |code| code.to_string());
    match code {
        Some(Code::MessageSizeTooLarge | Code::UnknownPartition | Code::InvalidPartitions) => {
            TaskError::ForGood(format!("a record was refused: {text}"))
        }
        Some(Code::MessageTimedOut) => TaskError::Brokers(
            "a record was not confirmed in time: it may have been written or not; `ce_id` tells doubles"
                .to_string(),
        ),
        _ => TaskError::Brokers(format!("a record was refused: {text}")),
    }
}

/// What the brokers have said of records.
#[derive(Default)]
struct Reports(Mutex<Told>);

#[derive(Default)]
struct Told {
    confirmed: Produced,
    refused: Option<KafkaError>,
}

impl Reports {
    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self) -> Result<(), TaskError> {
        match &self.lock().refused {
            Some(err) => Err(why(err)),
            None => Ok(()),
        }
    }
}

impl ClientContext for Reports {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "librdkafka: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "librdkafka: {reason}");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut told = self.lock();
        match result {
            Ok(message) => {
                let offset = message.offset();
                let confirmed = &mut told.confirmed;
                confirmed.count += 1;
                let place = confirmed.offsets.entry(message.partition());
                let place = place.or_insert((offset, offset));
                *place = (place.0.min(offset), place.1.max(offset));
            }
            Err((err, _)) => {
                told.refused.get_or_insert_with(|| err.clone());
            }
        }
    }
}

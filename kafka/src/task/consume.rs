//! A fixed range of topics, record by record.

use super::place::{check, reader};
use super::{Stop, TaskError};
use crate::client::{Login, Quiet};
use crate::record::Record;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Message, Offset, TopicPartitionList};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidemill_model::trigger::{Format, Isolation};
use tidemill_store::Span;

/// Brokers that give nothing for so long, though there is something, count as away.
const PATIENCE: Duration = Duration::from_secs(60);
/// A wish to end is seen so soon.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How records are read.
#[derive(Clone, Debug)]
pub struct ReadWish {
    /// Which records of transactions count.
    pub isolation: Isolation,
    /// How keys are read.
    pub key_format: Format,
    /// How values are read.
    pub value_format: Format,
}

/// Gives each record of the spans to `take`, as the line that tasks read: partition after
/// partition, each in its order. Ends at the end of a span, or where the brokers say that there is
/// nothing behind: markers of transactions and compacted records are no records.
///
/// # Errors
/// When a record is gone or is not of its format, the brokers stay away, or `take` says why.
pub fn read(
    login: &Login,
    wish: &ReadWish,
    spans: &[Span],
    stop: &Stop,
    mut take: impl FnMut(&str) -> Result<(), String>,
) -> Result<(), TaskError> {
    let client = reader(login, wish.isolation)?;
    check(&client, spans)?;
    for span in spans {
        let end = span.end.unwrap_or(span.first);
        if span.first < end {
            read_span(&client, wish, span, end, stop, &mut take)?;
        }
    }
    Ok(())
}

fn read_span(
    client: &BaseConsumer<Quiet>,
    wish: &ReadWish,
    span: &Span,
    end: i64,
    stop: &Stop,
    take: &mut impl FnMut(&str) -> Result<(), String>,
) -> Result<(), TaskError> {
    let partition = &span.partition;
    let mut list = TopicPartitionList::new();
    let first = Offset::Offset(span.first);
    let assigned = list
        .add_partition_offset(&partition.topic, partition.partition, first)
        .and_then(|()| client.assign(&list));
    assigned.map_err(|err| TaskError::Brokers(format!("a partition cannot be assigned: {err}")))?;
    let topic: Arc<str> = partition.topic.as_str().into();
    let mut next = span.first;
    let mut heard = Instant::now();
    let mut trouble = String::from("they give no record");
    loop {
        if stop.is_set() {
            return Err(TaskError::Stopped);
        }
        if heard.elapsed() > PATIENCE {
            let place = format!("{}/{} at {next}", partition.topic, partition.partition);
            let why = format!("the brokers cannot be used: {trouble} ({place})");
            return Err(TaskError::Brokers(why));
        }
        match client.poll(LOOK_EVERY) {
            None => {}
            Some(Ok(message)) => {
                let is_mine = message.topic() == partition.topic
                    && message.partition() == partition.partition;
                if !is_mine || message.offset() < next {
                    continue;
                }
                if message.offset() >= end {
                    return Ok(());
                }
                let record = Record::of(&message, &topic);
                let line = record.line(wish.key_format, wish.value_format);
                let line = line.map_err(|why| unreadable(&record, &why))?;
                take(&line).map_err(TaskError::Brokers)?;
                next = message.offset() + 1;
                heard = Instant::now();
                if next >= end {
                    return Ok(());
                }
            }
            Some(Err(KafkaError::PartitionEOF(of))) if of == partition.partition => return Ok(()),
            Some(Err(err)) => match err.rdkafka_error_code() {
                Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                    return Err(gone(span, next));
                }
                Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
                    let what = format!("topic `{}` is not there any more", partition.topic);
                    return Err(TaskError::ForGood(what));
                }
                Some(Code::GroupAuthorizationFailed) => {} // no group is used
                _ => trouble = err.to_string(),
            },
        }
    }
}

fn unreadable(record: &Record, why: &str) -> TaskError {
    let place = (&record.topic, record.partition, record.offset);
    TaskError::ForGood(format!(
        "the record {}/{} at offset {}: {why}",
        place.0, place.1, place.2
    ))
}

fn gone(span: &Span, next: i64) -> TaskError {
    let partition = &span.partition;
    TaskError::ForGood(format!(
        "{}/{}: the record at offset {next} is gone; it was there when the range was fixed",
        partition.topic, partition.partition
    ))
}

//! Which partitions there are, and where reading them begins.

use super::session::Trouble;
use crate::client::Quiet;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;
use tidemill_model::Ts;
use tidemill_model::trigger::Start;
use tidemill_store::Partition;

/// Brokers that have not answered a question by then count as away.
pub(crate) const ASK_WAIT: Duration = Duration::from_secs(5);

/// The partitions of the topics that are there, and the names of those that are not.
pub(crate) fn partitions(
    client: &BaseConsumer<Quiet>,
    topics: &[String],
) -> Result<(Vec<Partition>, Vec<String>), Trouble> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for name in topics {
        let metadata = client
            .fetch_metadata(Some(name), ASK_WAIT)
            .map_err(|err| Trouble::brokers("they do not tell which partitions there are", &err))?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == name);
        let Some(topic) = topic.filter(|topic| topic.error().is_none()) else {
            let code = topic.and_then(|topic| topic.error());
            missing.push(match code.map(RDKafkaErrorCode::from) {
                None
                | Some(
                    RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
                ) => format!("topic `{name}` is not there"),
                Some(code) => format!("topic `{name}`: {code}"),
            });
            continue;
        };
        found.extend(topic.partitions().iter().map(|partition| Partition {
            topic: name.clone(),
            incarnation: String::new(),
            partition: partition.id(),
        }));
    }
    Ok((found, missing))
}

/// The oldest offset that is kept, and that of the next record to be written.
pub(crate) fn watermarks(
    client: &BaseConsumer<Quiet>,
    partition: &Partition,
) -> Result<(i64, i64), Trouble> {
    client
        .fetch_watermarks(&partition.topic, partition.partition, ASK_WAIT)
        .map_err(|err| Trouble::brokers("they do not tell which offsets there are", &err))
}

/// The offset at which reading a new partition begins.
pub(crate) fn resolve(
    client: &BaseConsumer<Quiet>,
    partition: &Partition,
    start: &Start,
    now: Ts,
) -> Result<i64, Trouble> {
    let (low, high) = watermarks(client, partition)?;
    let at = match start {
        Start::Latest => return Ok(high),
        Start::Earliest => return Ok(low),
        Start::Offsets(offsets) => {
            let given = offsets.iter().find(|(of, _)| *of == partition.partition);
            return Ok(given.map_or(high, |(_, offset)| *offset));
        }
        Start::At(at) => *at,
        Start::Ago(ago) => Ts(now
            .0
            .saturating_sub(i64::try_from(ago.as_micros()).unwrap_or(i64::MAX))),
    };
    offset_at(client, partition, at, high)
}

/// The offset of the first record that is not older than an instant; `high` where none is.
pub(crate) fn offset_at(
    client: &BaseConsumer<Quiet>,
    partition: &Partition,
    at: Ts,
    high: i64,
) -> Result<i64, Trouble> {
    let wrong = |err| Trouble::brokers("they do not tell the offset of an instant", &err);
    let mut asked = TopicPartitionList::new();
    let millis = Offset::Offset(at.0.div_euclid(1_000).max(0));
    asked
        .add_partition_offset(&partition.topic, partition.partition, millis)
        .map_err(wrong)?;
    let told = client.offsets_for_times(asked, ASK_WAIT).map_err(wrong)?;
    let told = told.find_partition(&partition.topic, partition.partition);
    Ok(match told.map(|one| one.offset()) {
        Some(Offset::Offset(offset)) => offset,
        _ => high,
    })
}

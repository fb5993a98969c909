//! Which partitions there are, and where reading them begins.

use super::session::Trouble;
use crate::client::Quiet;
use crate::raw;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::Duration;
use tidemill_model::Ts;
use tidemill_model::trigger::Start;
use tidemill_store::Partition;

/// Brokers that have not answered a question by then count as away.
pub(crate) const ASK_WAIT: Duration = Duration::from_secs(5);

/// What there is to read.
pub(crate) struct Topics {
    /// The partitions, with the ids of their topics.
    pub partitions: Vec<Partition>,
    /// What is not there, told to people.
    pub missing: Vec<String>,
}

impl Topics {
    /// Asks for topics by name, and for all whose name fits a pattern; `ids_of` tells the ids of
    /// topics, where it does.
    pub(crate) fn ask(
        client: &BaseConsumer<Quiet>,
        names: &[String],
        pattern: Option<&regex::Regex>,
        ids_of: impl Fn(&[&str]) -> Option<BTreeMap<String, String>>,
    ) -> Result<Topics, Trouble> {
        let mut names = names.to_vec();
        let mut missing = Vec::new();
        if let Some(pattern) = pattern {
            let more = matching(client, pattern)?;
            if more.is_empty() && names.is_empty() {
                missing.push(format!("no topic fits `{pattern}`"));
            }
            names.extend(more);
            names.sort();
            names.dedup();
        }
        let (mut partitions, not_there) = partitions(client, &names)?;
        missing.extend(not_there);
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        let ids = ids_of(&known).unwrap_or_default();
        for partition in &mut partitions {
            partition.incarnation = ids.get(&partition.topic).cloned().unwrap_or_default();
        }
        Ok(Topics {
            partitions,
            missing,
        })
    }
}

/// The ids of topics, where the brokers tell them.
pub(crate) fn ids(
    client: &BaseConsumer<Quiet>,
    topics: &[&str],
) -> Option<BTreeMap<String, String>> {
    if topics.is_empty() {
        return None;
    }
    raw::topic_ids(client.client(), topics, ASK_WAIT)
}

/// Names of topics that fit; Kafka's own are nobody's.
fn matching(client: &BaseConsumer<Quiet>, pattern: &regex::Regex) -> Result<Vec<String>, Trouble> {
    let metadata = client
        .fetch_metadata(None, ASK_WAIT)
        .map_err(|err| Trouble::brokers("they do not tell which topics there are", &err))?;
    let names = metadata.topics().iter().map(|topic| topic.name());
    let fitting = names.filter(|name| !name.starts_with("__") && pattern.is_match(name));
    Ok(fitting.map(str::to_string).collect())
}

/// The partitions of the topics that are there, and what is not there.
fn partitions(
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

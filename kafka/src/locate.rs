//! Where a person's wish to read on elsewhere leads.

use crate::client::{Login, Quiet, cannot_make};
use crate::source::start::{ids, offset_at, watermarks};
use rdkafka::consumer::BaseConsumer;
use tidemill_model::trigger::KafkaTrigger;
use tidemill_store::{Cursor, NamedOffset, Partition, SeekTo};

/// The offsets at which the partitions of cursors would be read on; a partition that a wish does
/// not name stays where it is. Each with the partition as it is now: its topic may have been made
/// anew. Asks the brokers.
///
/// # Errors
/// Why that cannot be told.
pub fn locate(
    login: &Login,
    kafka: &KafkaTrigger,
    cursors: &[Cursor],
    to: &SeekTo,
) -> Result<Vec<(Partition, i64)>, String> {
    let client: BaseConsumer<Quiet> = login
        .reader("tidemill.seek", kafka.isolation, &kafka.config)
        .create_with_context(Quiet)
        .map_err(|err| cannot_make(&err))?;
    let mut topics: Vec<&str> = cursors
        .iter()
        .map(|cursor| cursor.partition.topic.as_str())
        .collect();
    topics.sort_unstable();
    topics.dedup();
    let ids = ids(&client, &topics).unwrap_or_default();
    let offsets = cursors.iter().map(|cursor| {
        let mut at = cursor.partition.clone();
        if let Some(id) = ids.get(&at.topic).filter(|_| !at.incarnation.is_empty()) {
            at.incarnation = id.clone();
        }
        let at = &at;
        let (low, high) = watermarks(&client, at).map_err(|trouble| trouble.to_string())?;
        let wished = match to {
            SeekTo::Earliest => low,
            SeekTo::Latest => high,
            SeekTo::At(instant) => {
                let found = offset_at(&client, at, *instant, high);
                found.map_err(|trouble| trouble.to_string())?
            }
            SeekTo::Offsets(named) => match NamedOffset::of(at, named) {
                Some(offset) => offset,
                None => return Ok((at.clone(), cursor.next_offset)),
            },
        };
        if !(low..=high).contains(&wished) {
            return Err(format!(
                "{}/{} has records {low} to {high}, and not {wished}",
                at.topic, at.partition
            ));
        }
        Ok((at.clone(), wished))
    });
    offsets.collect()
}

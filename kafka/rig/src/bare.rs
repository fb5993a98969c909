//! A plain consumer, to compare with: explicit offsets, no group, nothing kept.

use crate::Broker;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use std::time::Duration;

/// One that reads a topic from its beginning.
pub struct Bare {
    client: BaseConsumer,
}

impl Bare {
    /// Assigns all partitions.
    ///
    /// # Panics
    /// When the client cannot be made.
    pub fn new(broker: &Broker, topic: &str, n_partitions: i32) -> Bare {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", broker.address())
            .set("group.id", "bare")
            .set("enable.auto.commit", "false")
            .set("check.crcs", "true")
            .set("log_level", "0")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..n_partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning)
                .unwrap();
        }
        client.assign(&list).unwrap();
        Bare { client }
    }

    /// The value of the next record; `None` when none has come for a while.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn next(&self) -> Option<Vec<u8>> {
        let found = self.client.poll(Duration::from_millis(100))?.unwrap();
        Some(found.payload().unwrap_or_default().to_vec())
    }

    /// Reads so many records and looks at one byte of each.
    pub fn count(&self, n: u64) -> u64 {
        let mut sum = 0;
        let mut left = n;
        while left > 0 {
            if let Some(Ok(found)) = self.client.poll(Duration::from_millis(100)) {
                let byte = found.payload().and_then(|value| value.first());
                sum += u64::from(byte.copied().unwrap_or(0));
                left -= 1;
            }
        }
        sum
    }
}

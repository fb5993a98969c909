//! A plain consumer, to compare with: explicit offsets, no group, nothing kept.

use crate::Broker;
use rdkafka::Message;
use rdkafka::consumer::BaseConsumer;
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
        let client = broker.reader(topic, 0..n_partitions, &[("check.crcs", "true")]);
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

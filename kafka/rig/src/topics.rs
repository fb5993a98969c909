//! Topics: made, removed, widened and cut.

use crate::Broker;
use crate::broker::wait_for;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use std::ops::Range;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(30);

impl Broker {
    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new()
            .set("bootstrap.servers", self.address())
            .set("log_level", "0")
            .create()
            .unwrap()
    }

    fn done<T>(&self, work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(work)
    }

    pub(crate) fn answers(&self) -> bool {
        let admin = self.admin();
        let told = admin.inner().fetch_metadata(None, Duration::from_secs(2));
        told.is_ok_and(|told| !told.brokers().is_empty())
    }

    /// Makes a topic, with settings such as `("cleanup.policy", "compact")`, and waits for its
    /// leaders.
    ///
    /// # Panics
    /// When it is there already.
    pub fn create_topic(&self, name: &str, n_partitions: i32, settings: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, n_partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let admin = self.admin();
        let made = self.done(admin.create_topics([&topic], &AdminOptions::new()));
        made.unwrap().into_iter().for_each(|one| drop(one.unwrap()));
        self.wait_for_partitions(name, n_partitions);
    }

    /// A new topic of a new name.
    pub fn new_topic(&self, word: &str, n_partitions: i32) -> String {
        let name = self.new_name(word);
        self.create_topic(&name, n_partitions, &[]);
        name
    }

    fn wait_for_partitions(&self, name: &str, n_partitions: i32) {
        let admin = self.admin();
        wait_for("the partitions of a topic", || {
            let told = admin.inner().fetch_metadata(Some(name), WAIT).ok()?;
            let topic = told.topics().first()?;
            let leading = topic.partitions().iter().filter(|one| one.leader() >= 0);
            (leading.count() == n_partitions as usize).then_some(())
        });
    }

    /// Removes a topic and waits until it is gone.
    ///
    /// # Panics
    /// When it is not there.
    pub fn delete_topic(&self, name: &str) {
        let admin = self.admin();
        let gone = self.done(admin.delete_topics(&[name], &AdminOptions::new()));
        gone.unwrap().into_iter().for_each(|one| drop(one.unwrap()));
        wait_for("the end of a topic", || {
            let told = admin.inner().fetch_metadata(None, WAIT).ok()?;
            (!told.topics().iter().any(|one| one.name() == name)).then_some(())
        });
    }

    /// Gives a topic more partitions.
    ///
    /// # Panics
    /// When it has so many already.
    pub fn add_partitions(&self, name: &str, n_partitions: i32) {
        let admin = self.admin();
        let wish = NewPartitions::new(name, n_partitions as usize);
        let made = self.done(admin.create_partitions([&wish], &AdminOptions::new()));
        made.unwrap().into_iter().for_each(|one| drop(one.unwrap()));
        self.wait_for_partitions(name, n_partitions);
    }

    /// The offset that a group has committed, if it has.
    ///
    /// # Panics
    /// When the client cannot be made.
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.address())
            .set("group.id", group)
            .set("log_level", "0")
            .create()
            .unwrap();
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, partition);
        let told = client.committed_offsets(asked, WAIT).ok()?;
        match told.find_partition(topic, partition)?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }

    /// A client that reads these partitions from their beginning, and commits nothing.
    pub(crate) fn reader(
        &self,
        topic: &str,
        partitions: Range<i32>,
        more: &[(&str, &str)],
    ) -> BaseConsumer {
        let mut settings = ClientConfig::new();
        settings
            .set("bootstrap.servers", self.address())
            .set("group.id", "reader")
            .set("enable.auto.commit", "false")
            .set("log_level", "0");
        for (name, value) in more {
            settings.set(*name, *value);
        }
        let client: BaseConsumer = settings.create().unwrap();
        let mut all = TopicPartitionList::new();
        for partition in partitions {
            all.add_partition_offset(topic, partition, Offset::Beginning)
                .unwrap();
        }
        client.assign(&all).unwrap();
        client
    }

    /// The offsets that the records of a partition have now.
    ///
    /// # Panics
    /// When the client cannot be made, or the broker does not come to the end.
    pub fn offsets(&self, topic: &str, partition: i32) -> Vec<i64> {
        let tells_end = [("enable.partition.eof", "true")];
        let client = self.reader(topic, partition..partition + 1, &tells_end);
        let mut offsets = Vec::new();
        wait_for("the end of a partition", || {
            loop {
                match client.poll(Duration::from_millis(100))? {
                    Ok(found) => offsets.push(found.offset()),
                    Err(KafkaError::PartitionEOF(_)) => return Some(()),
                    Err(_) => return None,
                }
            }
        });
        offsets
    }

    /// Removes all records before an offset, as retention would.
    ///
    /// # Panics
    /// When there is no such partition.
    pub fn delete_records(&self, name: &str, partition: i32, before: i64) {
        let admin = self.admin();
        let mut wish = TopicPartitionList::new();
        let at = Offset::Offset(before);
        wish.add_partition_offset(name, partition, at).unwrap();
        let cut = self.done(admin.delete_records(&wish, &AdminOptions::new()));
        cut.unwrap();
    }
}

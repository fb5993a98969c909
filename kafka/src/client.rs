//! Settings of clients, in one place.

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use tidemill_model::trigger::Isolation;

/// Where the brokers are and how one is let in. Its values are secrets: it is not shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Login {
    /// As `HOST:PORT`.
    pub brokers: Vec<String>,
    /// Properties of security, by librdkafka's names.
    pub properties: Vec<(String, String)>,
}

impl Login {
    /// Brokers that let everybody in.
    pub fn open(brokers: &[String]) -> Login {
        Login {
            brokers: brokers.to_vec(),
            properties: Vec::new(),
        }
    }

    /// What every client has.
    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers.join(","));
        config.set("client.id", "tidemill");
        config.set("allow.auto.create.topics", "false");
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }

    /// A writer that loses nothing and writes nothing twice in one life. Keys go to the partitions
    /// to which Java's clients send them.
    pub(crate) fn writer(&self) -> ClientConfig {
        let mut config = self.base();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            .set("message.max.bytes", "67108864")
            .set("linger.ms", "5");
        config
    }

    /// A reader of explicit offsets. It joins no group, commits nothing, and stops at an offset
    /// that is not there instead of going elsewhere.
    pub(crate) fn reader(
        &self,
        group: &str,
        isolation: Isolation,
        more: &[(String, String)],
    ) -> ClientConfig {
        let mut config = self.base();
        // Memory is bounded by this for each partition.
        config.set("queued.max.messages.kbytes", "4096");
        config.set("topic.metadata.refresh.interval.ms", "30000");
        config.set("fetch.error.backoff.ms", "100");
        for (name, value) in more {
            config.set(name, value);
        }
        let isolation = match isolation {
            Isolation::ReadCommitted => "read_committed",
            Isolation::ReadUncommitted => "read_uncommitted",
        };
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("check.crcs", "true")
            .set("isolation.level", isolation);
        config
    }
}

/// Why a client cannot be made. librdkafka's own words may hold the value of a property, which
/// may be a password: they are left out.
pub(crate) fn cannot_make(err: &rdkafka::error::KafkaError) -> String {
    match err {
        rdkafka::error::KafkaError::ClientConfig(_, _, name, _) => {
            format!("the Kafka client does not take the property `{name}` as it is")
        }
        other => format!("the Kafka client cannot be made: {other}"),
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({})", self.brokers.join(","))
    }
}

/// What a client says goes to our log, at a level that does not fill it: its state is shown.
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(facility, "librdkafka: {message}");
            }
            _ => tracing::debug!(facility, "librdkafka: {message}"),
        }
    }

    fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
        tracing::debug!(%error, "librdkafka: {reason}");
    }
}

impl ConsumerContext for Quiet {}

//! A producer, and the ledger of what the broker has confirmed.

use crate::Broker;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(60);

/// A record to send.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Which partition; by its key when absent.
    pub partition: Option<i32>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// When it was made, in milliseconds.
    pub timestamp: Option<i64>,
}

impl Wish {
    /// A value for a partition.
    pub fn value(partition: i32, value: impl Into<Vec<u8>>) -> Wish {
        Wish {
            partition: Some(partition),
            value: Some(value.into()),
            ..Wish::default()
        }
    }
}

/// A line of the ledger: what the broker has confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset that the broker gave it.
    pub offset: i64,
    /// The value.
    pub value: Option<Vec<u8>>,
}

/// A producer that loses nothing: idempotent, with all acknowledgements.
pub struct Producer {
    producer: FutureProducer,
}

impl Producer {
    /// One for a broker.
    ///
    /// # Panics
    /// When the client cannot be made.
    pub fn new(broker: &Broker) -> Producer {
        Producer::with(broker, &[])
    }

    /// One in whose transactions records are written: see [`Producer::transaction`].
    ///
    /// # Panics
    /// When the client cannot be made.
    pub fn transactional(broker: &Broker, id: &str) -> Producer {
        // The broker's default undoes a transaction that a slow test has left open.
        let settings = [
            ("transactional.id", id),
            ("transaction.timeout.ms", "600000"),
        ];
        let made = Producer::with(broker, &settings);
        made.producer.init_transactions(WAIT).unwrap();
        made
    }

    fn with(broker: &Broker, settings: &[(&str, &str)]) -> Producer {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", broker.address())
            .set("enable.idempotence", "true")
            .set("message.max.bytes", "20000000")
            .set("queue.buffering.max.messages", "1000000")
            .set("linger.ms", "2")
            .set("log_level", "0");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        Producer {
            producer: config.create().unwrap(),
        }
    }

    /// Sends records and waits until each is confirmed.
    ///
    /// # Panics
    /// When one is refused.
    pub fn send(&self, topic: &str, wishes: &[Wish]) -> Vec<Sent> {
        let sent: Vec<DeliveryFuture> = wishes
            .iter()
            .map(|wish| self.enqueue(topic, wish))
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let confirmed = sent.into_iter().zip(wishes).map(|(one, wish)| {
            let place = runtime.block_on(one).unwrap().unwrap();
            Sent {
                topic: topic.to_string(),
                partition: place.partition,
                offset: place.offset,
                value: wish.value.clone(),
            }
        });
        confirmed.collect()
    }

    fn enqueue(&self, topic: &str, wish: &Wish) -> DeliveryFuture {
        let mut record: FutureRecord<'_, Vec<u8>, Vec<u8>> = FutureRecord::to(topic);
        record.partition = wish.partition;
        record.key = wish.key.as_ref();
        record.payload = wish.value.as_ref();
        record.timestamp = wish.timestamp;
        if !wish.headers.is_empty() {
            let mut headers = OwnedHeaders::new();
            for (key, value) in &wish.headers {
                headers = headers.insert(Header {
                    key,
                    value: value.as_ref(),
                });
            }
            record = record.headers(headers);
        }
        self.producer
            .send_result(record)
            .map_err(|(err, _)| err)
            .unwrap()
    }

    /// Sends records in a transaction, and commits or aborts it.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn transaction(&self, topic: &str, wishes: &[Wish], commits: bool) -> Vec<Sent> {
        self.producer.begin_transaction().unwrap();
        let sent = self.send(topic, wishes);
        match commits {
            true => self.producer.commit_transaction(WAIT).unwrap(),
            false => self.producer.abort_transaction(WAIT).unwrap(),
        }
        sent
    }

    /// Sends records in a transaction that is left open.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn open_transaction(&self, topic: &str, wishes: &[Wish]) -> Vec<Sent> {
        self.producer.begin_transaction().unwrap();
        self.send(topic, wishes)
    }

    /// Ends the open transaction well.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn commit(&self) {
        self.producer.commit_transaction(WAIT).unwrap();
    }
}

//! Streams that make runs of a DAG: what `[triggers.NAME.kafka]` says.

use crate::state::named;
use crate::time::Ts;
use std::time::Duration;

/// A stream whose records become runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// Its name in its DAG.
    pub name: String,
    /// Does it make runs at all?
    pub is_enabled: bool,
    /// Values for the parameters of its runs, as templates that see `trigger`.
    pub params: Vec<(String, String)>,
    /// What its runs are called, as a template that sees `trigger`. A name that another run has
    /// already gets a suffix.
    pub run_id: Option<String>,
    /// Where its records come from, and how they become runs.
    pub kafka: KafkaTrigger,
}

/// `[triggers.NAME.kafka]`.
#[derive(Clone, Debug, PartialEq)]
pub struct KafkaTrigger {
    /// Where the brokers are.
    pub cluster: Cluster,
    /// The topics that are read.
    pub topics: Vec<String>,
    /// A regular expression; topics that match it are read too.
    pub topic_pattern: Option<String>,
    /// Where reading begins in a partition that was never read.
    pub start: Start,
    /// One run for many records, or one for each.
    pub mode: StreamMode,
    /// A batch has at most so many records.
    pub max_messages: u32,
    /// A batch is closed when it holds so many bytes.
    pub max_bytes: u64,
    /// A batch is closed so long after its first record has arrived.
    pub window: Duration,
    /// Which records may share a run.
    pub batch_by: BatchBy,
    /// Which runs wait for each other.
    pub ordering: Ordering,
    /// What a failed run means for those that wait in its lane.
    pub on_lane_failure: OnLaneFailure,
    /// What becomes of the records of a run that has failed.
    pub on_run_failure: OnRunFailure,
    /// What becomes of records that come while the DAG or the trigger is paused.
    pub when_paused: WhenPaused,
    /// What becomes of records with a key and no value.
    pub tombstones: Tombstones,
    /// A record that is larger goes to quarantine by reference.
    pub max_record_bytes: u64,
    /// How keys are read.
    pub key_format: Format,
    /// How values are read.
    pub value_format: Format,
    /// Records for which this template is false make no run.
    pub filter: Option<String>,
    /// Records with a key that was seen lately make no run.
    pub dedupe: Option<Dedupe>,
    /// What becomes of a record that cannot be read.
    pub on_error: OnRecordError,
    /// Records in quarantine are copied to this topic.
    pub dead_letter_topic: Option<String>,
    /// What happens when records are gone before they were read.
    pub on_data_loss: OnDataLoss,
    /// Are records of transactions that may still be undone left unread?
    pub isolation: Isolation,
    /// The group that lag tools look at; `tidemill.DAG.TRIGGER` when absent.
    pub group_id: Option<String>,
    /// More properties of the client, from [`CLIENT_PROPERTIES`].
    pub config: Vec<(String, String)>,
}

impl KafkaTrigger {
    /// A stream of these topics, of which nothing else is said: what the format takes then.
    pub fn new(cluster: Cluster, topics: Vec<String>) -> KafkaTrigger {
        KafkaTrigger {
            cluster,
            topics,
            topic_pattern: None,
            start: Start::Latest,
            mode: StreamMode::Batch,
            max_messages: 1_000,
            max_bytes: 8 << 20,
            window: Duration::from_secs(1),
            batch_by: BatchBy::Partition,
            ordering: Ordering::Partition,
            on_lane_failure: OnLaneFailure::Continue,
            on_run_failure: OnRunFailure::Keep,
            when_paused: WhenPaused::Hold,
            tombstones: Tombstones::Deliver,
            max_record_bytes: 16 << 20,
            key_format: Format::String,
            value_format: Format::Json,
            filter: None,
            dedupe: None,
            on_error: OnRecordError::Dlq,
            dead_letter_topic: None,
            on_data_loss: OnDataLoss::Fail,
            isolation: Isolation::ReadCommitted,
            group_id: None,
            config: Vec::new(),
        }
    }
}

/// Where brokers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cluster {
    /// A connection says it, with what it takes to be let in.
    Connection(String),
    /// These, as `HOST:PORT`, without encryption.
    Brokers(Vec<String>),
}

/// Where reading begins. It is turned into numbers once, when the trigger is first seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// What is written from now on.
    Latest,
    /// All that is there.
    Earliest,
    /// The first record that is not older than an instant.
    At(Ts),
    /// The first record that is not older than so long ago.
    Ago(Duration),
    /// These offsets by partition; the end for others.
    Offsets(Vec<(i32, i64)>),
}

/// A key by which the same record is known when it was written twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedupe {
    /// A template over the record.
    pub key: String,
    /// For how long a key is remembered.
    pub ttl: Duration,
}

named!(
    /// How records become runs.
    StreamMode, "mode" {
        /// Many records are one run.
        Batch = "batch",
        /// Each record is a run.
        Record = "record",
    }
);
named!(
    /// Which records may share a run.
    BatchBy, "batch_by" {
        /// Those of one partition.
        Partition = "partition",
        /// Those of one partition with the same key.
        Key = "key",
        /// All of them, whatever their partition.
        Trigger = "trigger",
    }
);
named!(
    /// Which runs wait for each other: those of one lane run one after another.
    Ordering, "ordering" {
        /// A lane for each partition.
        Partition = "partition",
        /// A lane for each key; a record without one goes by its partition.
        Key = "key",
        /// No lanes.
        None = "none",
    }
);
named!(
    /// What a failed run means for those behind it in its lane.
    OnLaneFailure, "on_lane_failure" {
        /// They run.
        Continue = "continue",
        /// They wait until a person says so.
        Block = "block",
    }
);
named!(
    /// What becomes of the records of a failed run.
    OnRunFailure, "on_run_failure" {
        /// They stay with the run.
        Keep = "keep",
        /// They go to quarantine too.
        Quarantine = "quarantine",
    }
);
named!(
    /// What becomes of records that come while nothing is read.
    WhenPaused, "when_paused" {
        /// They are read afterwards.
        Hold = "hold",
        /// They are passed over.
        Skip = "skip",
    }
);
named!(
    /// What becomes of records without a value.
    Tombstones, "tombstones" {
        /// They are records like others.
        Deliver = "deliver",
        /// They are passed over and counted.
        Skip = "skip",
    }
);
named!(
    /// How bytes are read.
    Format, "format" {
        /// Any bytes; tasks see them in base64.
        Bytes = "bytes",
        /// UTF-8.
        String = "string",
        /// JSON; numbers keep every digit.
        Json = "json",
    }
);
named!(
    /// What becomes of a record that cannot be read or filtered.
    OnRecordError, "on_error" {
        /// It goes to quarantine, and to the dead-letter topic where there is one.
        Dlq = "dlq",
        /// It is passed over and counted.
        Skip = "skip",
        /// Its partition stops.
        Block = "block",
    }
);
named!(
    /// What happens when records are gone before they were read.
    OnDataLoss, "on_data_loss" {
        /// The partition stops until a person says where to go on.
        Fail = "fail",
        /// It goes on with the oldest record that is there.
        Earliest = "earliest",
        /// It goes on with what is written from now on.
        Latest = "latest",
    }
);
named!(
    /// Which records of transactions are read.
    Isolation, "isolation" {
        /// Those that are certain.
        ReadCommitted = "read_committed",
        /// All, also those that are undone later.
        ReadUncommitted = "read_uncommitted",
    }
);

/// Properties of the client (librdkafka's names) that a file may set. Others belong to the
/// connection, or would break what a trigger promises.
pub const CLIENT_PROPERTIES: &[&str] = &[
    "broker.address.family",
    "check.crcs",
    "client.rack",
    "connections.max.idle.ms",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "max.partition.fetch.bytes",
    "message.max.bytes",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "topic.metadata.refresh.interval.ms",
];

//! The keys of streams, beside those of [`crate::keys`].

use crate::keys::{FILE, Key, Kind, WEBHOOK, key, later};

#[rustfmt::skip]
pub(crate) const STREAM_STARTS: &[&str] = &["latest", "earliest"];
pub(crate) const MODES: &[&str] = &["batch", "record"];
pub(crate) const BATCH_BY: &[&str] = &["partition", "key", "trigger"];
pub(crate) const WHEN_PAUSED: &[&str] = &["hold", "skip"];
pub(crate) const ORDERINGS: &[&str] = &["partition", "key", "none"];
pub(crate) const LANE_FAILURES: &[&str] = &["continue", "block"];
pub(crate) const RUN_FAILURES: &[&str] = &["keep", "quarantine"];
pub(crate) const TOMBSTONES: &[&str] = &["deliver", "skip"];
pub(crate) const FORMATS: &[&str] = &["bytes", "string", "json"];
pub(crate) const RECORD_ERRORS: &[&str] = &["dlq", "skip", "block"];
pub(crate) const DATA_LOSSES: &[&str] = &["fail", "earliest", "latest"];
pub(crate) const ISOLATIONS: &[&str] = &["read_committed", "read_uncommitted"];

/// The most records of one batch.
pub(crate) const MESSAGES_MAX: i64 = 100_000;

/// `[triggers.NAME]`.
#[rustfmt::skip]
pub(crate) const TRIGGER: &[Key] = &[
    key("enabled", Kind::Bool, "true", "Does it make runs?"),
    key("params", Kind::TemplateTable, "{}", "Parameters of its runs; the templates see `trigger`."),
    key("kafka", Kind::Table(KAFKA), "", "Records of Kafka topics become runs."),
    key("run_id", Kind::Template, "", "What its runs are called; the template sees `trigger`. A name that another run has already gets a suffix."),
    key("webhook", Kind::Table(WEBHOOK), "", "Signed HTTP requests become runs."),
    key("file", Kind::Table(FILE), "", "Files that appear become runs."),
];

/// `[triggers.NAME.kafka]`.
#[rustfmt::skip]
pub(crate) const KAFKA: &[Key] = &[
    key("connection", Kind::Text, "", "The connection that says where the brokers are and how one is let in."),
    key("brokers", Kind::Texts, "", "The brokers as HOST:PORT, without encryption; instead of `connection`."),
    key("topics", Kind::Texts, "", "The topics that are read."),
    key("topic_pattern", Kind::Text, "", "A regular expression; topics that match it are read, and those that come later from their first record."),
    key("start", Kind::StreamStart, "\"latest\"", "Where reading begins in a partition that was never read; turned into offsets once. Partitions that come later begin at their first record."),
    key("mode", Kind::Choice(MODES), "\"batch\"", "One run for many records, or one for each."),
    key("max_messages", Kind::Int(1, MESSAGES_MAX), "1000", "A batch is closed at so many records."),
    key("max_bytes", Kind::Size, "\"8MiB\"", "A batch is closed at so many bytes."),
    key("window", Kind::Duration, "\"1s\"", "A batch is closed so long after its first record has arrived."),
    key("batch_by", Kind::Choice(BATCH_BY), "\"partition\"", "Records of one partition share a run, or only those with one key, or those of all partitions."),
    key("ordering", Kind::Choice(ORDERINGS), "\"partition\"", "Runs of one lane run one after another."),
    key("on_lane_failure", Kind::Choice(LANE_FAILURES), "\"continue\"", "After a failed run, do those behind it in its lane run?"),
    key("on_run_failure", Kind::Choice(RUN_FAILURES), "\"keep\"", "Do the records of a failed run go to quarantine?"),
    key("when_paused", Kind::Choice(WHEN_PAUSED), "\"hold\"", "Are records that come while the DAG or the trigger is paused read afterwards, or passed over?"),
    key("tombstones", Kind::Choice(TOMBSTONES), "\"deliver\"", "Are records without a value given to runs?"),
    key("max_record_bytes", Kind::Size, "\"16MiB\"", "A larger record goes to quarantine by reference."),
    key("key_format", Kind::Choice(FORMATS), "\"string\"", "How keys are read."),
    key("value_format", Kind::Choice(FORMATS), "\"json\"", "How values are read."),
    key("filter", Kind::Template, "", "Records for which this is false make no run; it sees `record`."),
    key("dedupe", Kind::Table(DEDUPE), "", "A record whose key was seen lately makes no run."),
    key("on_error", Kind::Choice(RECORD_ERRORS), "\"dlq\"", "What becomes of a record that cannot be read or filtered."),
    key("dead_letter_topic", Kind::Text, "", "Records in quarantine are copied to this topic."),
    key("on_data_loss", Kind::Choice(DATA_LOSSES), "\"fail\"", "What happens when records are gone before they were read."),
    key("isolation", Kind::Choice(ISOLATIONS), "\"read_committed\"", "Are records of open and undone transactions read?"),
    key("group_id", Kind::Text, "", "The name that brokers know the reader by; `tidemill.DAG.TRIGGER` when absent."),
    key("config", Kind::TemplateTable, "{}", "More properties of the client, by librdkafka's names."),
    later("schema_registry", "The connection of a schema registry."),
    later("key_schema", "The schema of keys."),
    later("value_schema", "The schema of values."),
];

/// `start`, as a table.
#[rustfmt::skip]
pub(crate) const STREAM_START: &[Key] = &[
    key("timestamp", Kind::Date, "", "The first record that is not older than this instant."),
    key("duration", Kind::Duration, "", "The first record that is not older than so long ago."),
    key("offsets", Kind::Any, "", "Offsets by partition; the end for others."),
];

/// `dedupe`.
#[rustfmt::skip]
pub(crate) const DEDUPE: &[Key] = &[
    key("key", Kind::Template, "", "What two records have in common that are the same; it sees `record`."),
    key("ttl", Kind::Duration, "\"24h\"", "For how long a key is remembered."),
];

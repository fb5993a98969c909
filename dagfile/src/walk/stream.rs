//! `[triggers]`: streams that make runs.

use super::dag::DagKeys;
use super::event::EventKeys;
use super::value::{integer, is_id};
use super::{Place, Text, Walk};
use crate::diagnostic::Diagnostic;
use crate::keys;
use crate::parse::{Key, Table, Value};
use jiff::tz::TimeZone;
use std::ops::Range;
use std::time::Duration;
use tidemill_model::RunType;
use tidemill_model::dag::ConcurrencyPolicy;
use tidemill_model::trigger::*;
use toml::Spanned;
use toml::de::DeValue;

/// What `[triggers.NAME]` says, with the templates that are still to be checked.
pub(crate) struct TriggerKeys {
    pub(crate) trigger: Trigger,
    /// Templates over one record.
    pub(crate) of_record: Vec<Text>,
    /// Templates over a run's records.
    pub(crate) of_run: Vec<Text>,
    /// The names of the parameters that it sets.
    pub(crate) params: Vec<Text>,
}

/// A run's records are one value of a row.
const BYTES_MAX: u64 = 64 << 20;
const TTL: Duration = Duration::from_secs(86_400);
/// The longest name that a topic may have, as Kafka has it.
const TOPIC_CHARS_MAX: usize = 249;

/// Is it `HOST:PORT`, one of them?
pub(crate) fn is_broker(text: &str) -> bool {
    let port = text.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    matches!(port, Some(Ok(1..))) && !text.contains([',', ' ', '/'])
}

/// May a topic have this name?
pub(crate) fn is_topic(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=TOPIC_CHARS_MAX).contains(&name.len())
        && name.bytes().all(is_allowed)
        && name != "."
        && name != ".."
}

impl Walk<'_> {
    /// Reads `[triggers]`.
    pub(crate) fn triggers(
        &mut self,
        table: &Table,
        dag: &DagKeys,
    ) -> (Vec<TriggerKeys>, Vec<EventKeys>) {
        let (mut streams, mut events) = (Vec::new(), Vec::new());
        for (key, value) in table {
            let Some((name, inner)) = self.named_table("a trigger", key, value) else {
                continue;
            };
            self.check_keys(inner, &Place::Trigger(name.clone()), keys::TRIGGER);
            match self.kind_of_trigger(inner, &name, key.span()) {
                Some("kafka") => streams.extend(self.stream(inner, name, key.span(), dag)),
                Some(_) => events.extend(self.event(inner, name, &key.span(), dag)),
                None => {}
            }
        }
        (streams, events)
    }

    /// The one key that says what makes its runs.
    fn kind_of_trigger(
        &mut self,
        table: &Table,
        name: &str,
        span: Range<usize>,
    ) -> Option<&'static str> {
        let kinds = ["kafka", "webhook", "file"];
        let written: Vec<_> = kinds
            .into_iter()
            .filter(|kind| table.contains_key(*kind))
            .collect();
        match written.as_slice() {
            [one] => return Some(one),
            [] => {
                let message = format!("trigger `{name}` does not say what makes its runs");
                let one = Diagnostic::error("TM0160", span, message);
                self.report(one.help(format!(
                    "add one of [triggers.{name}.kafka], [triggers.{name}.webhook] and [triggers.{name}.file]"
                )));
            }
            [first, second, ..] => {
                let message = format!("trigger `{name}` has both `{first}` and `{second}`");
                let one = Diagnostic::error("TM0160", span, message);
                self.report(one.help("make two triggers of it"));
            }
        }
        None
    }

    fn stream(
        &mut self,
        table: &Table,
        name: String,
        span: Range<usize>,
        dag: &DagKeys,
    ) -> Option<TriggerKeys> {
        let kafka = self.table(table, "kafka")?;
        let place = Place::Kafka(name.clone());
        self.check_keys(kafka, &place, keys::KAFKA);
        let (params, mut of_run) = self.templates_by_name(table, "params");
        let run_id = self.text(table, "run_id");
        of_run.extend(run_id.clone());
        let filter = self.text(kafka, "filter");
        let dedupe = self.dedupe(kafka);
        let of_record = filter
            .iter()
            .cloned()
            .chain(dedupe.iter().map(|(_, text)| text.clone()));
        let of_record = of_record.collect();
        let kafka = self.kafka(kafka, &span, filter, dedupe.map(|(dedupe, _)| dedupe), dag)?;
        Some(TriggerKeys {
            trigger: Trigger {
                is_enabled: self.boolean(table, "enabled").unwrap_or(true),
                name,
                params,
                run_id: run_id.map(|text| text.value),
                kafka,
            },
            of_record,
            of_run,
            params: self.names_in(table, "params"),
        })
    }

    fn kafka(
        &mut self,
        table: &Table,
        span: &Range<usize>,
        filter: Option<Text>,
        dedupe: Option<Dedupe>,
        dag: &DagKeys,
    ) -> Option<KafkaTrigger> {
        let cluster = self.cluster(table, span);
        let topics = self.topics(table, span);
        let zone = TimeZone::get(&dag.timezone).unwrap_or(TimeZone::UTC);
        let max_messages = self.int(table, "max_messages", 1, keys::MESSAGES_MAX);
        let plain = self.stream_words(table, KafkaTrigger::new(cluster?, topics));
        let kafka = KafkaTrigger {
            topic_pattern: self.topic_pattern(table),
            start: self.stream_start(table, &zone).unwrap_or(plain.start),
            max_messages: max_messages
                .and_then(|number| u32::try_from(number).ok())
                .unwrap_or(plain.max_messages),
            max_bytes: self
                .size(table, "max_bytes", BYTES_MAX)
                .unwrap_or(plain.max_bytes),
            window: self.duration(table, "window").unwrap_or(plain.window),
            max_record_bytes: self
                .size(table, "max_record_bytes", BYTES_MAX)
                .unwrap_or(plain.max_record_bytes),
            filter: filter.map(|text| text.value),
            dedupe,
            dead_letter_topic: self.topic(table, "dead_letter_topic"),
            group_id: self.string(table, "group_id"),
            config: self.client_config(table),
            ..plain
        };
        self.check_stream(&kafka, table, span, dag);
        Some(kafka)
    }

    /// What is said by a word of a list; where none stands, it is as it was.
    fn stream_words(&mut self, table: &Table, plain: KafkaTrigger) -> KafkaTrigger {
        let mut word =
            |name: &str, words: &[&str]| self.choice(table, name, words).unwrap_or_default();
        KafkaTrigger {
            mode: StreamMode::from_name(&word("mode", keys::MODES)).unwrap_or(plain.mode),
            batch_by: BatchBy::from_name(&word("batch_by", keys::BATCH_BY))
                .unwrap_or(plain.batch_by),
            ordering: Ordering::from_name(&word("ordering", keys::ORDERINGS))
                .unwrap_or(plain.ordering),
            on_lane_failure: OnLaneFailure::from_name(&word(
                "on_lane_failure",
                keys::LANE_FAILURES,
            ))
            .unwrap_or(plain.on_lane_failure),
            on_run_failure: OnRunFailure::from_name(&word("on_run_failure", keys::RUN_FAILURES))
                .unwrap_or(plain.on_run_failure),
            when_paused: WhenPaused::from_name(&word("when_paused", keys::WHEN_PAUSED))
                .unwrap_or(plain.when_paused),
            tombstones: Tombstones::from_name(&word("tombstones", keys::TOMBSTONES))
                .unwrap_or(plain.tombstones),
            key_format: Format::from_name(&word("key_format", keys::FORMATS))
                .unwrap_or(plain.key_format),
            value_format: Format::from_name(&word("value_format", keys::FORMATS))
                .unwrap_or(plain.value_format),
            on_error: OnRecordError::from_name(&word("on_error", keys::RECORD_ERRORS))
                .unwrap_or(plain.on_error),
            on_data_loss: OnDataLoss::from_name(&word("on_data_loss", keys::DATA_LOSSES))
                .unwrap_or(plain.on_data_loss),
            isolation: Isolation::from_name(&word("isolation", keys::ISOLATIONS))
                .unwrap_or(plain.isolation),
            ..plain
        }
    }

    fn cluster(&mut self, table: &Table, span: &Range<usize>) -> Option<Cluster> {
        let connection = self.text(table, "connection");
        let brokers = self.texts(table, "brokers");
        match (connection, brokers) {
            (Some(name), None) if is_id(&name.value) => Some(Cluster::Connection(name.value)),
            (Some(name), None) => {
                let message = format!("`{}` cannot be the name of a connection", name.value);
                self.report(Diagnostic::error("TM0107", name.span, message));
                None
            }
            (None, Some(brokers)) => {
                if let Some(odd) = brokers.iter().find(|text| !is_broker(&text.value)) {
                    let message = format!("`{}` is not a broker", odd.value);
                    let one = Diagnostic::error("TM0103", odd.span.clone(), message);
                    self.report(one.help("write it like \"kafka1.example:9092\""));
                }
                Some(Cluster::Brokers(
                    brokers.into_iter().map(|text| text.value).collect(),
                ))
                .filter(|cluster| *cluster != Cluster::Brokers(Vec::new()))
                .or_else(|| self.no_source(span))
            }
            _ => self.no_source(span),
        }
    }

    fn no_source(&mut self, span: &Range<usize>) -> Option<Cluster> {
        let message = "a stream has either `connection` or `brokers`";
        self.report(Diagnostic::error("TM0160", span.clone(), message));
        None
    }

    fn topics(&mut self, table: &Table, span: &Range<usize>) -> Vec<String> {
        let topics = self.texts(table, "topics").unwrap_or_default();
        if topics.is_empty()
            && !table.contains_key("topics")
            && !table.contains_key("topic_pattern")
        {
            let one = Diagnostic::error("TM0160", span.clone(), "a stream names its `topics`");
            self.report(one.help("add topics = [\"NAME\"]"));
        }
        let mut names: Vec<String> = Vec::new();
        for topic in topics {
            self.check_topic(&topic);
            if names.contains(&topic.value) {
                let message = format!("topic `{}` stands here twice", topic.value);
                self.report(Diagnostic::error("TM0103", topic.span, message));
            } else {
                names.push(topic.value);
            }
        }
        names
    }

    fn topic_pattern(&mut self, table: &Table) -> Option<String> {
        let text = self.text(table, "topic_pattern")?;
        if let Err(err) = regex::Regex::new(&text.value) {
            let why = err.to_string();
            let why = why.lines().last().unwrap_or_default().trim();
            let message = format!("`{}` is not a regular expression: {why}", text.value);
            self.report(Diagnostic::error("TM0103", text.span, message));
            return None;
        }
        Some(text.value)
    }

    fn topic(&mut self, table: &Table, name: &str) -> Option<String> {
        let topic = self.text(table, name)?;
        self.check_topic(&topic);
        Some(topic.value)
    }

    fn check_topic(&mut self, topic: &Text) {
        let name = &topic.value;
        if !is_topic(name) {
            let message = format!("`{name}` cannot be the name of a topic");
            self.report(
                Diagnostic::error("TM0107", topic.span.clone(), message)
                    .label("A-Z a-z 0-9 . _ and - only"),
            );
        }
    }

    fn stream_start(&mut self, table: &Table, zone: &TimeZone) -> Option<Start> {
        let value = table.get("start")?;
        let DeValue::Table(inner) = value.get_ref() else {
            let word = self.choice_of("start", value, keys::STREAM_STARTS)?;
            return Some(if word == "earliest" {
                Start::Earliest
            } else {
                Start::Latest
            });
        };
        self.check_keys(inner, &Place::StreamStart, keys::STREAM_START);
        if inner.len() != 1 {
            let message = "`start` has one of `timestamp`, `duration` and `offsets`";
            self.report(Diagnostic::error("TM0103", value.span(), message));
        }
        let at = self.date(inner, "timestamp", zone).map(Start::At);
        let ago = self.duration(inner, "duration").map(Start::Ago);
        let offsets = self.start_offsets(inner).map(Start::Offsets);
        at.or(ago).or(offsets)
    }

    fn start_offsets(&mut self, table: &Table) -> Option<Vec<(i32, i64)>> {
        let offsets = self.table(table, "offsets")?;
        let mut found = Vec::new();
        for (key, value) in offsets {
            let partition = key
                .get_ref()
                .parse::<i32>()
                .ok()
                .filter(|number| *number >= 0);
            let offset = integer(value).filter(|number| *number >= 0);
            match (partition, offset) {
                (Some(partition), Some(offset)) => found.push((partition, offset)),
                _ => {
                    let message = "`offsets` gives each partition its offset: { 0 = 17 }";
                    self.report(Diagnostic::error("TM0103", value.span(), message));
                }
            }
        }
        Some(found)
    }

    fn dedupe(&mut self, table: &Table) -> Option<(Dedupe, Text)> {
        let value = table.get("dedupe")?;
        let inner = self.table(table, "dedupe")?;
        self.check_keys(inner, &Place::Dedupe, keys::DEDUPE);
        let ttl = self.duration(inner, "ttl").unwrap_or(TTL);
        match self.text(inner, "key") {
            Some(key) => Some((
                Dedupe {
                    key: key.value.clone(),
                    ttl,
                },
                key,
            )),
            None => {
                let message = "`dedupe` needs a `key`";
                self.report(Diagnostic::error("TM0102", value.span(), message));
                None
            }
        }
    }

    fn client_config(&mut self, table: &Table) -> Vec<(String, String)> {
        let Some(config) = self.table(table, "config") else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for (key, value) in config {
            let name: &str = key.get_ref();
            if !CLIENT_PROPERTIES.contains(&name) {
                let message = format!("`{name}` is not a property that a file may set");
                let near = crate::suggest::nearest(name, CLIENT_PROPERTIES.iter().copied());
                let one = Diagnostic::error("TM0162", key.span(), message);
                self.report(match near {
                    Some(near) => one.label(format!("did you mean `{near}`?")),
                    None => one.label("not one of those"),
                });
            } else if let Some(text) = self.text_of(name, value) {
                found.push((name.to_string(), text.value));
            }
        }
        found
    }

    /// Texts by name, and the same as templates to check.
    pub(super) fn templates_by_name(
        &mut self,
        table: &Table,
        name: &str,
    ) -> (Vec<(String, String)>, Vec<Text>) {
        let Some(inner) = self.table(table, name) else {
            return Default::default();
        };
        let mut named = Vec::new();
        let mut texts = Vec::new();
        for (key, value) in inner {
            if let Some(text) = self.text_of(key.get_ref(), value) {
                named.push((key.get_ref().to_string(), text.value.clone()));
                texts.push(text);
            }
        }
        (named, texts)
    }

    /// The keys of a table, with their places.
    pub(super) fn names_in(&self, table: &Table, name: &str) -> Vec<Text> {
        let Some(DeValue::Table(inner)) = table.get(name).map(Spanned::get_ref) else {
            return Vec::new();
        };
        let name = |key: &Key| Text {
            value: key.get_ref().to_string(),
            span: key.span(),
        };
        inner.keys().map(name).collect()
    }

    fn check_stream(
        &mut self,
        kafka: &KafkaTrigger,
        table: &Table,
        span: &Range<usize>,
        dag: &DagKeys,
    ) {
        let at = |name: &str| table.get(name).map_or(span.clone(), Value::span);
        let mut clash = |span: Range<usize>, message: &str| {
            self.report(Diagnostic::error("TM0161", span, message));
        };
        let one_key = kafka.mode == StreamMode::Record || kafka.batch_by == BatchBy::Key;
        if kafka.ordering == Ordering::Key && !one_key {
            clash(
                at("ordering"),
                "`ordering = \"key\"` needs `mode = \"record\"` or `batch_by = \"key\"`",
            );
        }
        if kafka.ordering == Ordering::None && kafka.on_lane_failure == OnLaneFailure::Block {
            clash(
                at("on_lane_failure"),
                "without an `ordering` there is no lane to block",
            );
        }
        let policy = dag
            .concurrency
            .as_ref()
            .map(|(concurrency, _)| concurrency.policy);
        match policy {
            Some(ConcurrencyPolicy::Skip | ConcurrencyPolicy::Replace) => {
                clash(
                    span.clone(),
                    "a policy of [dag.concurrency] would drop records",
                );
            }
            Some(ConcurrencyPolicy::Queue) if kafka.ordering != Ordering::None => clash(
                span.clone(),
                "a run waits in a lane or by the key of [dag.concurrency], not both: set `ordering = \"none\"`",
            ),
            _ => {}
        }
        if !dag.allowed_run_types.contains(&RunType::AssetTriggered) {
            clash(
                span.clone(),
                "`allowed_run_types` of this DAG leaves out asset_triggered, which runs of streams are",
            );
        }
    }
}

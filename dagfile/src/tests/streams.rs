//! What streams become.

use super::good;
use crate::keys::{KAFKA, Kind};
use std::time::Duration;
use tidemill_model::Dag;
use tidemill_model::trigger::*;

fn dag(source: &str) -> Dag {
    good(source).dag.unwrap()
}

#[test]
fn what_streams_may_say_besides() {
    let dag = dag("
[triggers.a.kafka]
brokers = ['a:1']
topic_pattern = '^orders\\..*'
batch_by = 'trigger'
on_lane_failure = 'block'
on_run_failure = 'quarantine'
when_paused = 'skip'
[tasks]
t = 'true'
");
    let kafka = &dag.triggers[0].kafka;
    assert!(kafka.topics.is_empty());
    assert_eq!(kafka.topic_pattern.as_deref(), Some("^orders\\..*"));
    assert_eq!(
        (kafka.batch_by, kafka.when_paused),
        (BatchBy::Trigger, WhenPaused::Skip)
    );
    assert_eq!(
        (kafka.on_lane_failure, kafka.on_run_failure),
        (OnLaneFailure::Block, OnRunFailure::Quarantine)
    );
}

#[test]
fn a_stream_is_read_with_its_defaults() {
    let dag = dag("
[params]
region = ''
[triggers.orders]
params = { region = '{{ trigger.first.value.region }}' }
[triggers.orders.kafka]
brokers = ['a:1', 'b:2']
topics = ['orders.v1']
start = { offsets = { 0 = 17, 3 = 4 } }
max_bytes = '512KiB'
filter = '{{ record.value.amount > 0 }}'
dedupe = { key = '{{ record.value.id }}' }
config = { 'fetch.min.bytes' = '1024' }
[tasks]
t = 'echo {{ trigger.count }} {{ trigger.first.value.name | quote }}'
");
    let trigger = &dag.triggers[0];
    assert_eq!(
        (trigger.name.as_str(), trigger.is_enabled),
        ("orders", true)
    );
    assert_eq!(trigger.params[0].0, "region");
    let kafka = &trigger.kafka;
    assert_eq!(
        kafka.cluster,
        Cluster::Brokers(vec!["a:1".to_string(), "b:2".to_string()])
    );
    assert_eq!(kafka.start, Start::Offsets(vec![(0, 17), (3, 4)]));
    assert_eq!((kafka.max_messages, kafka.max_bytes), (1_000, 512 << 10));
    assert_eq!(
        (kafka.mode, kafka.ordering),
        (StreamMode::Batch, Ordering::Partition)
    );
    assert_eq!(
        (kafka.key_format, kafka.value_format),
        (Format::String, Format::Json)
    );
    assert_eq!(
        (kafka.on_error, kafka.isolation),
        (OnRecordError::Dlq, Isolation::ReadCommitted)
    );
    let dedupe = kafka.dedupe.as_ref().unwrap();
    assert_eq!(dedupe.ttl, Duration::from_secs(86_400));
}

fn read(more: &str) -> Vec<Trigger> {
    let stream = "[triggers.a.kafka]\nbrokers = ['a:1']\ntopics = ['t']";
    dag(&format!("{stream}\n{more}\n[tasks]\nt = 'true'\n")).triggers
}

/// What the table of keys tells people is what is read.
#[test]
fn a_default_that_is_written_out_means_what_its_absence_does() {
    let written = KAFKA.iter().filter(|key| !key.default.is_empty());
    let written = written.map(|key| format!("{} = {}", key.name, key.default));
    let other: Vec<String> = written.filter(|text| read(text) != read("")).collect();
    assert!(other.is_empty(), "{other:?}");
}

#[test]
fn each_word_that_a_key_of_a_stream_takes_means_something_else() {
    for key in KAFKA {
        let Kind::Choice(words) = key.kind else {
            continue;
        };
        // Lanes by key are of runs of one record.
        let beside = match key.name {
            "ordering" | "on_lane_failure" => "mode = 'record'",
            _ => "",
        };
        let meant = words
            .iter()
            .map(|word| read(&format!("{beside}\n{} = '{word}'", key.name)));
        let meant: Vec<Vec<Trigger>> = meant.collect();
        for (at, one) in meant.iter().enumerate() {
            assert!(!meant[..at].contains(one), "{} = {}", key.name, words[at]);
        }
    }
}

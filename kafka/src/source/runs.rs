//! From what was read to runs.

use super::reading::{Kept, Taken, hex, sha256};
use super::{Ports, SourceSpec};
use serde_json::{Value, json};
use std::sync::atomic::Ordering as Atomic;
use tidemill_model::trigger::*;
use tidemill_model::{RunNo, RunRow, RunState, RunType, TriggerNo, Ts};
use tidemill_store::{BatchRecord, NewStreamRun, Partition};

/// A first record is told to templates up to this many bytes.
const FIRST_BYTES_MAX: usize = 64 << 10;

/// Which reading makes runs.
pub(crate) struct Maker<'s> {
    pub spec: &'s SourceSpec,
    pub ports: &'s Ports,
    pub trigger: TriggerNo,
    pub replay: i64,
}

/// What one partition gives to a run.
#[derive(Clone, Copy)]
struct Part<'p> {
    partition: &'p Partition,
    generation: i64,
    records: &'p [Kept],
}

impl Maker<'_> {
    /// The runs of a cut, in the order of their first records.
    pub(crate) fn runs(&self, taken: &mut Taken, now: Ts) -> Vec<NewStreamRun> {
        let records = std::mem::take(&mut taken.records);
        let kafka = &self.spec.trigger.kafka;
        let groups: Vec<Vec<Kept>> = match (kafka.mode, kafka.batch_by) {
            (StreamMode::Record, _) => records.into_iter().map(|one| vec![one]).collect(),
            (StreamMode::Batch, BatchBy::Key) => by_key(records),
            (StreamMode::Batch, _) if records.is_empty() => Vec::new(),
            (StreamMode::Batch, BatchBy::Partition | BatchBy::Trigger) => vec![records],
        };
        let is_split = kafka.mode == StreamMode::Batch && kafka.batch_by == BatchBy::Key;
        let runs = groups.into_iter().enumerate().map(|(at, records)| {
            let slot = if is_split { at as i32 } else { 0 };
            let part = Part {
                partition: &taken.cut.partition,
                generation: taken.generation,
                records: &records,
            };
            let suffix = is_split.then(|| format!("__{slot}"));
            self.run(&[part], slot, suffix, now)
        });
        runs.collect()
    }

    /// The one run of several cuts, if there is anything in them.
    pub(crate) fn run_of_all(&self, taken: &mut [Taken], now: Ts) -> Option<NewStreamRun> {
        let records: Vec<Vec<Kept>> = taken
            .iter_mut()
            .map(|one| std::mem::take(&mut one.records))
            .collect();
        let parts = taken.iter().zip(&records).map(|(one, records)| Part {
            partition: &one.cut.partition,
            generation: one.generation,
            records,
        });
        let parts: Vec<Part<'_>> = parts.filter(|part| !part.records.is_empty()).collect();
        (!parts.is_empty()).then(|| self.run(&parts, 0, None, now))
    }

    /// The run of a record that leaves the quarantine.
    pub(crate) fn run_again(
        &self,
        partition: &Partition,
        record: Kept,
        poison: i64,
        now: Ts,
    ) -> NewStreamRun {
        let part = Part {
            partition,
            generation: 0,
            records: &[record],
        };
        self.run(&[part], 0, Some(format!("__retry{poison}")), now)
    }

    /// A run of what several partitions have given; it is known by the first of them.
    fn run(&self, parts: &[Part<'_>], slot: i32, suffix: Option<String>, now: Ts) -> NewStreamRun {
        let Part {
            partition,
            generation,
            records,
        } = parts[0];
        let first = records.first().map_or(0, |kept| kept.offset);
        let last = records.last().map_or(first, |kept| kept.offset);
        let mut key = format!(
            "kafka__{}__{}__{first}-{last}",
            partition.topic, partition.partition
        );
        let spec = self.spec;
        for (is_told, text) in [
            (spec.is_one_of_many, format!("__{}", spec.trigger.name)),
            (self.replay != 0, format!("__replay{}", self.replay)),
            (generation != 0, format!("__seek{generation}")),
            (suffix.is_some(), suffix.clone().unwrap_or_default()),
        ] {
            if is_told {
                key.push_str(&text);
            }
        }
        let is_again = suffix.filter(|suffix| suffix.starts_with("__retry"));
        let is_retry = is_again.is_some();
        let cause = format!(
            "kafka:{}:{}.{}:{}:{}:{}:{first}-{}:{slot}{}",
            self.trigger,
            self.replay,
            generation,
            partition.topic,
            partition.incarnation,
            partition.partition,
            last + 1,
            is_again.unwrap_or_default(),
        );
        let all = || parts.iter().flat_map(|part| part.records);
        let times = || all().filter_map(|kept| kept.timestamp);
        let lines: String = all().map(|kept| kept.line.as_str()).collect();
        let run = RunNo(self.ports.run_numbers.fetch_add(1, Atomic::AcqRel) + 1);
        let batch = BatchRecord {
            run,
            trigger: self.trigger,
            replay: self.replay,
            partition: partition.clone(),
            first_offset: first,
            end_offset: last + 1,
            slot,
            lane: self.lane(partition, records),
            n_records: all().count() as i64,
            n_bytes: all().map(|kept| kept.n_bytes as i64).sum(),
            sha256: hex(&sha256(lines.as_bytes())),
            facts: self.facts(parts),
        };
        let name = (self.ports.name)(&batch.facts).filter(|_| !is_retry);
        let row = RunRow {
            run,
            dag: spec.dag,
            run_id: name.unwrap_or(key),
            run_type: RunType::AssetTriggered,
            state: RunState::Queued,
            version: spec.version,
            cause: Some(cause),
            logical_date: None,
            data_interval_start: times().min(),
            data_interval_end: times().max(),
            run_after: now,
            queued_at: now,
            started_at: None,
            ended_at: None,
            conf: (self.ports.conf)(&batch.facts),
            triggered_by: Some(format!("kafka:{}", spec.trigger.name)),
            note: None,
            reason: None,
            retries_used: 0,
        };
        NewStreamRun {
            row,
            batch,
            records: lines.into_bytes(),
        }
    }

    /// What templates see as `trigger`. Of a run over several partitions `topic`, `partition` and
    /// the offsets are those of the first; `ranges` has all.
    fn facts(&self, parts: &[Part<'_>]) -> Value {
        let all = || parts.iter().flat_map(|part| part.records);
        let line = |kept: Option<&Kept>| {
            let line = kept.map(|kept| kept.line.as_str());
            let line = line.filter(|line| line.len() <= FIRST_BYTES_MAX);
            line.and_then(|line| serde_json::from_str::<Value>(line).ok())
        };
        let ranges = parts.iter().map(|part| {
            let first = part.records.first().map_or(0, |kept| kept.offset);
            let last = part.records.last().map_or(first, |kept| kept.offset);
            json!({
                "topic": part.partition.topic,
                "partition": part.partition.partition,
                "first_offset": first,
                "last_offset": last,
                "end_offset": last + 1,
            })
        });
        let ranges: Vec<Value> = ranges.collect();
        let mut facts = ranges[0].clone();
        let more = json!({
            "type": "kafka",
            "name": self.spec.trigger.name,
            "ranges": ranges,
            "count": all().count(),
            "bytes": all().map(|kept| kept.n_bytes).sum::<usize>(),
            "first_timestamp": all().filter_map(|kept| kept.timestamp).min(),
            "last_timestamp": all().filter_map(|kept| kept.timestamp).max(),
            "replay": self.replay,
            "first": line(all().next()),
            "last": line(all().last()),
        });
        if let (Value::Object(facts), Value::Object(more)) = (&mut facts, more) {
            facts.extend(more);
        }
        facts
    }

    fn lane(&self, partition: &Partition, records: &[Kept]) -> Option<String> {
        let of_partition = || match self.spec.trigger.kafka.batch_by {
            BatchBy::Trigger => "all".to_string(),
            _ => format!("{}/{}", partition.topic, partition.partition),
        };
        let lane = match self.spec.trigger.kafka.ordering {
            Ordering::None => return None,
            Ordering::Partition => of_partition(),
            Ordering::Key => match records.first().and_then(|kept| kept.key_hash) {
                Some(hash) => format!("key {}", hex(&hash[..8])),
                None => of_partition(),
            },
        };
        Some(match self.replay {
            0 => format!("{}: {lane}", self.spec.trigger.name),
            replay => format!("{} replay {replay}: {lane}", self.spec.trigger.name),
        })
    }
}

/// Records with the same key together, in the order in which the keys come.
fn by_key(records: Vec<Kept>) -> Vec<Vec<Kept>> {
    let mut groups: Vec<Vec<Kept>> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for kept in records {
        let at = *places.entry(kept.key_hash).or_insert(groups.len());
        if at == groups.len() {
            groups.push(Vec::new());
        }
        groups[at].push(kept);
    }
    groups
}

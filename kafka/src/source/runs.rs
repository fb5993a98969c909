//! From what was read to runs.

use super::reading::{Kept, Taken, hex, sha256};
use super::{Ports, SourceSpec};
use serde_json::{Value, json};
use std::sync::atomic::Ordering as Atomic;
use tidemill_model::trigger::*;
use tidemill_model::{RunNo, RunRow, RunState, RunType, TriggerNo, Ts};
use tidemill_store::{BatchRecord, Cut, NewStreamRun};

/// A first record is told to templates up to this many bytes.
const FIRST_BYTES_MAX: usize = 64 << 10;

/// Which reading makes runs.
pub(crate) struct Maker<'s> {
    pub spec: &'s SourceSpec,
    pub ports: &'s Ports,
    pub trigger: TriggerNo,
    pub replay: i64,
}

impl Maker<'_> {
    /// The runs of a cut, in the order of their first records.
    pub(crate) fn runs(&self, taken: &mut Taken, now: Ts) -> Vec<NewStreamRun> {
        let records = std::mem::take(&mut taken.records);
        let kafka = &self.spec.trigger.kafka;
        let groups: Vec<Vec<Kept>> = match (kafka.mode, kafka.batch_by) {
            (StreamMode::Record, _) => records.into_iter().map(|one| vec![one]).collect(),
            (StreamMode::Batch, BatchBy::Key) => by_key(records),
            (StreamMode::Batch, BatchBy::Partition) if records.is_empty() => Vec::new(),
            (StreamMode::Batch, BatchBy::Partition) => vec![records],
        };
        let is_split = kafka.mode == StreamMode::Batch && kafka.batch_by == BatchBy::Key;
        let runs = groups.into_iter().enumerate().map(|(at, records)| {
            let slot = if is_split { at as i32 } else { 0 };
            self.run(taken, slot, is_split, &records, now)
        });
        runs.collect()
    }

    fn run(
        &self,
        taken: &Taken,
        slot: i32,
        is_split: bool,
        records: &[Kept],
        now: Ts,
    ) -> NewStreamRun {
        let (cut, generation) = (&taken.cut, taken.generation);
        let partition = &cut.partition;
        let first = records.first().map_or(cut.expected, |kept| kept.offset);
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
            (is_split, format!("__{slot}")),
        ] {
            if is_told {
                key.push_str(&text);
            }
        }
        let cause = format!(
            "kafka:{}:{}.{}:{}:{}:{}:{first}-{}:{slot}",
            self.trigger,
            self.replay,
            generation,
            partition.topic,
            partition.incarnation,
            partition.partition,
            last + 1,
        );
        let times = || records.iter().filter_map(|kept| kept.timestamp);
        let lines: String = records.iter().map(|kept| kept.line.as_str()).collect();
        let run = RunNo(self.ports.run_numbers.fetch_add(1, Atomic::AcqRel) + 1);
        let batch = BatchRecord {
            run,
            trigger: self.trigger,
            replay: self.replay,
            partition: partition.clone(),
            first_offset: first,
            end_offset: last + 1,
            slot,
            lane: self.lane(cut, records),
            n_records: records.len() as i64,
            n_bytes: records.iter().map(|kept| kept.n_bytes as i64).sum(),
            sha256: hex(&sha256(lines.as_bytes())),
            facts: self.facts(cut, first, last, records),
        };
        let row = RunRow {
            run,
            dag: spec.dag,
            run_id: key,
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

    /// What templates see as `trigger`.
    fn facts(&self, cut: &Cut, first: i64, last: i64, records: &[Kept]) -> Value {
        let line = records.first().map(|kept| kept.line.as_str());
        let line = line.filter(|line| line.len() <= FIRST_BYTES_MAX);
        json!({
            "name": self.spec.trigger.name,
            "topic": cut.partition.topic,
            "partition": cut.partition.partition,
            "first_offset": first,
            "last_offset": last,
            "end_offset": last + 1,
            "count": records.len(),
            "bytes": records.iter().map(|kept| kept.n_bytes).sum::<usize>(),
            "replay": self.replay,
            "first": line.and_then(|line| serde_json::from_str::<Value>(line).ok()),
        })
    }

    fn lane(&self, cut: &Cut, records: &[Kept]) -> Option<String> {
        let of_partition = || format!("{}/{}", cut.partition.topic, cut.partition.partition);
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

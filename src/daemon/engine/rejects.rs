//! Records of a run that go to quarantine: their bytes, from what the run was made of.

use super::Engine;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::sync::Arc;
use tidemill_model::attempt::Reject;
use tidemill_model::trigger::Format;
use tidemill_model::{RunNo, Ts};
use tidemill_store::{BatchRecord, NewPoison, Partition};

/// A record as tasks read it.
#[derive(Deserialize)]
struct Line<'l> {
    topic: String,
    partition: i32,
    offset: i64,
    timestamp: Option<Ts>,
    #[serde(borrow)]
    key: Option<&'l RawValue>,
    #[serde(borrow)]
    value: Option<&'l RawValue>,
    value_base64: Option<String>,
    headers: Value,
    tombstone: bool,
}

impl Engine {
    /// The records that a task of a run has rejected. One that the run has not is passed over.
    pub(super) fn rejected(&mut self, run_no: RunNo, rejects: &[Reject]) -> Vec<NewPoison> {
        let told = |line: &Line| {
            let mut rejects = rejects.iter();
            let found = rejects.find(|reject| {
                let is_topic = reject
                    .topic
                    .as_ref()
                    .is_none_or(|topic| *topic == line.topic);
                is_topic && (reject.partition, reject.offset) == (line.partition, line.offset)
            });
            found.map(|reject| ("rejected", reject.reason.clone()))
        };
        self.records_as_poison(run_no, told)
    }

    /// All records of a run that has failed.
    pub(super) fn all_rejected(&mut self, run_no: RunNo) -> Vec<NewPoison> {
        let run_id = self.runs.get(&run_no).map(|run| run.row.run_id.clone());
        let message = format!("run {} has failed", run_id.unwrap_or_default());
        self.records_as_poison(run_no, |_| Some(("run_failed", message.clone())))
    }

    fn records_as_poison(
        &mut self,
        run_no: RunNo,
        told: impl Fn(&Line) -> Option<(&'static str, String)>,
    ) -> Vec<NewPoison> {
        let streams = Arc::clone(&self.database.streams);
        if !self.batches.contains_key(&run_no)
            && let Ok(Some(batch)) = self.insist("Reading a batch", || streams.batch(run_no))
        {
            self.know_batch(batch);
        }
        let records = self.insist("Reading records", || streams.records(run_no));
        let (Ok(Some(records)), Some(batch)) = (records, self.batches.get(&run_no)) else {
            return Vec::new();
        };
        let formats = self.formats(run_no, batch);
        let text = String::from_utf8_lossy(&records);
        let lines = text.lines().filter_map(|line| {
            let read: Line = serde_json::from_str(line).ok()?;
            let (class, message) = told(&read)?;
            Some(poison(read, batch, formats, class, message))
        });
        lines.collect()
    }

    /// How the keys and the values of a run were read.
    fn formats(&self, run_no: RunNo, batch: &BatchRecord) -> (Format, Format) {
        let name = batch.facts["name"].as_str().unwrap_or_default();
        let run = self.runs.get(&run_no);
        let trigger = run.and_then(|run| {
            let mut triggers = run.dag.triggers.iter();
            triggers.find(|trigger| trigger.name == name)
        });
        trigger.map_or((Format::String, Format::Json), |trigger| {
            (trigger.kafka.key_format, trigger.kafka.value_format)
        })
    }
}

fn poison(
    line: Line<'_>,
    batch: &BatchRecord,
    (key_format, value_format): (Format, Format),
    class: &str,
    message: String,
) -> NewPoison {
    let value = match (line.tombstone, line.value_base64) {
        (true, _) => None,
        (false, Some(text)) => STANDARD.decode(text).ok(),
        (false, None) => Some(bytes_of(value_format, line.value)),
    };
    NewPoison {
        partition: Partition {
            incarnation: batch.partition.incarnation.clone(),
            topic: line.topic,
            partition: line.partition,
        },
        offset: line.offset,
        timestamp: line.timestamp,
        class: class.to_string(),
        message,
        key: line.key.map(|key| bytes_of(key_format, Some(key))),
        value,
        headers: line.headers,
    }
}

/// The bytes behind a part of a line.
fn bytes_of(format: Format, part: Option<&RawValue>) -> Vec<u8> {
    let text = part.map_or("null", RawValue::get);
    let inner = || serde_json::from_str::<String>(text).unwrap_or_default();
    match format {
        Format::Json => text.as_bytes().to_vec(),
        Format::String => inner().into_bytes(),
        Format::Bytes => STANDARD.decode(inner()).unwrap_or_default(),
    }
}

//! What a pass writes of streams, and what people do with them besides reading.

use crate::stream::{NewPoison, Partition};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::borrow::Cow;
use tidemill_model::{RunNo, TriggerNo, Ts};

/// What a pass writes of streams: nothing, as a rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamRows {
    /// Records that a task or the end of a run puts into quarantine. The same cause comes once.
    pub poison: Vec<RejectedRow>,
    /// Runs that hold up their lane from now on.
    pub blocks: Vec<LaneBlock>,
    /// Runs that hold up nothing any more.
    pub unblocked: Vec<RunNo>,
}

impl StreamRows {
    /// Is there nothing to write?
    pub fn is_empty(&self) -> bool {
        self.poison.is_empty() && self.blocks.is_empty() && self.unblocked.is_empty()
    }

    /// All of it as one JSON text, bytes in hexadecimal, for stores that take it so. `form` gives
    /// a text the form in which that store keeps it.
    pub fn to_json(&self, form: fn(&str) -> Cow<'_, str>) -> Value {
        if self.is_empty() {
            return json!({});
        }
        let poison = self.poison.iter().map(|row| {
            let one = &row.poison;
            json!({
                "cause": form(&row.cause), "trigger": row.trigger, "replay": row.replay,
                "topic": one.partition.topic, "incarnation": one.partition.incarnation,
                "partition": one.partition.partition, "offset": one.offset,
                "timestamp": one.timestamp.map(|at| at.0), "class": form(&one.class),
                "message": form(&one.message), "key": one.key.as_deref().map(hex),
                "value": one.value.as_deref().map(hex), "headers": one.headers.to_string(),
                "at": row.at.0,
            })
        });
        let blocks = self.blocks.iter().map(|block| {
            json!({ "run": block.run, "trigger": block.trigger, "lane": form(&block.lane), "at": block.at.0 })
        });
        json!({
            "poison": poison.collect::<Vec<_>>(),
            "blocks": blocks.collect::<Vec<_>>(),
            "unblocked": self.unblocked,
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where a person wants reading to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeekTo {
    /// At the oldest record that is there.
    Earliest,
    /// At what is written from now on.
    Latest,
    /// At the first record that is not older than an instant.
    At(Ts),
    /// At these offsets by partition; other partitions stay where they are.
    Offsets(Vec<NamedOffset>),
}

/// An offset that somebody names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedOffset {
    /// In this topic; in each when absent.
    pub topic: Option<String>,
    /// In this partition, or in [`NamedOffset::ALL_OTHERS`].
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

impl NamedOffset {
    /// Stands for every partition that is not named.
    pub const ALL_OTHERS: i32 = -1;

    /// The offset of a partition: the one that says most closely where it is meant.
    pub fn of(partition: &Partition, named: &[NamedOffset]) -> Option<i64> {
        let fits = |one: &&NamedOffset| {
            let is_topic = one
                .topic
                .as_ref()
                .is_none_or(|topic| *topic == partition.topic);
            is_topic && [partition.partition, Self::ALL_OTHERS].contains(&one.partition)
        };
        let vague = |one: &&NamedOffset| (one.partition == Self::ALL_OTHERS, one.topic.is_none());
        let closest = named.iter().filter(fits).min_by_key(vague);
        closest.map(|one| one.offset)
    }
}

/// What a replay reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplayOf {
    /// What lies between two places.
    Between(SeekTo, SeekTo),
    /// What a run was made of.
    Run(RunNo),
}

/// A record of a run that goes to quarantine.
#[derive(Clone, Debug, PartialEq)]
pub struct RejectedRow {
    /// What put it there: the run, and the attempt where it was one.
    pub cause: String,
    /// The trigger.
    pub trigger: TriggerNo,
    /// The reading that the run belongs to.
    pub replay: i64,
    /// The record.
    pub poison: NewPoison,
    /// When.
    pub at: Ts,
}

/// A failed run that holds up those behind it in its lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneBlock {
    /// The run.
    pub run: RunNo,
    /// The trigger.
    pub trigger: TriggerNo,
    /// Its lane.
    pub lane: String,
    /// Since when.
    pub at: Ts,
}

/// Records that were gone before they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapRecord {
    /// Its number.
    pub gap: i64,
    /// The trigger.
    pub trigger: TriggerNo,
    /// Which reading.
    pub replay: i64,
    /// Which partition.
    pub partition: Partition,
    /// The first offset that was lost.
    pub from: i64,
    /// After the last.
    pub to: i64,
    /// Why, for people.
    pub why: String,
    /// When it was seen.
    pub seen_at: Ts,
}

/// A reading of a range, besides the live one.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayRecord {
    /// Its number, from 1.
    pub replay: i64,
    /// The trigger.
    pub trigger: TriggerNo,
    /// What was asked for, told to people.
    pub wish: Value,
    /// `running`, `done` or `cancelled`.
    pub state: String,
    /// When it began.
    pub created_at: Ts,
    /// When it ended.
    pub ended_at: Option<Ts>,
}

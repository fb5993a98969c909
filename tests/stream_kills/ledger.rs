//! What was planted: each record that the broker has confirmed, and what is to become of it.

use super::support::chance::Chance;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use tidemill_kafka_rig::{Sent, Wish};
use tidemill_store::Counts;

/// How many partitions the topic has.
pub const PARTITIONS: i32 = 2;

/// What a record was made to be. What becomes of it lies in those before it, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    Taken,
    /// Taken, and the task says that it is wrong.
    Rejected,
    Filtered,
    /// Not of its format.
    Poison,
    Tombstone,
    /// Written in a transaction that is undone: its offset is a gap.
    Undone,
}

/// What must become of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    Taken,
    Rejected,
    Filtered,
    Quarantined,
    Skipped,
    /// Its value was there before.
    Deduped,
    /// Retention has taken it before it was read.
    Lost,
    Undone,
}

/// All fates; each of them must have been planted for a siege to show anything.
pub const FATES: [Fate; 8] = [
    Fate::Taken,
    Fate::Rejected,
    Fate::Filtered,
    Fate::Quarantined,
    Fate::Skipped,
    Fate::Deduped,
    Fate::Lost,
    Fate::Undone,
];

/// What a reading leaves in the store.
#[derive(Debug, Default, PartialEq)]
pub struct Left {
    pub counts: Counts,
    /// Class, partition and offset of what is in quarantine, sorted.
    pub quarantine: Vec<(String, i32, i64)>,
    /// Partition, first offset and end of what was lost.
    pub gaps: Vec<(i32, i64, i64)>,
}

/// What must come of a reading.
pub struct Planted {
    /// The values that runs must have, by partition and offset.
    pub values: BTreeMap<(i32, i64), String>,
    pub left: Left,
}

/// What the broker has confirmed.
#[derive(Default)]
pub struct Ledger {
    lines: Vec<(Sent, Plan)>,
    n_planned: usize,
    /// Values that were planned for a partition; a double is one of them again.
    values: [Vec<(Vec<u8>, Plan)>; PARTITIONS as usize],
    lost: Option<(i32, Range<i64>)>,
}

impl Ledger {
    /// The next record to send.
    pub fn plan(&mut self, chance: &mut Chance) -> (Wish, Plan) {
        let partition = chance.between(0, PARTITIONS as u64 - 1) as i32;
        let plan = match chance.between(0, 19) {
            0..=1 => Plan::Poison,
            2..=4 => Plan::Filtered,
            5 => Plan::Tombstone,
            6 => Plan::Undone,
            7..=8 => Plan::Rejected,
            9..=10 => return self.double(partition, chance),
            _ => Plan::Taken,
        };
        self.plan_as(plan, partition, chance)
    }

    /// A record that is to become this.
    pub fn plan_as(&mut self, plan: Plan, partition: i32, chance: &mut Chance) -> (Wish, Plan) {
        self.n_planned += 1;
        let word = match plan {
            Plan::Rejected => "reject",
            Plan::Undone => "undone",
            _ => "record",
        };
        let number = self.n_planned;
        let mut value = format!("{word} {number} é \" \\ {:x}", chance.draw()).into_bytes();
        match plan {
            Plan::Poison => value.push(0xff), // no text ends so
            Plan::Taken | Plan::Rejected => {
                self.values[partition as usize].push((value.clone(), plan));
            }
            _ => {}
        }
        let key = if plan == Plan::Filtered { "no" } else { "yes" };
        let wish = Wish {
            partition: Some(partition),
            key: Some(key.into()),
            value: (plan != Plan::Tombstone).then_some(value),
            ..Wish::default()
        };
        (wish, plan)
    }

    /// A record of the partition once more, as a producer writes it that has not heard that it was
    /// written; a new one where there is none.
    fn double(&mut self, partition: i32, chance: &mut Chance) -> (Wish, Plan) {
        let known = &self.values[partition as usize];
        if known.is_empty() {
            return self.plan_as(Plan::Taken, partition, chance);
        }
        let at = chance.between(0, known.len() as u64 - 1) as usize;
        let (value, plan) = known[at].clone();
        let wish = Wish {
            key: Some("yes".into()),
            ..Wish::value(partition, value)
        };
        (wish, plan)
    }

    /// The broker has confirmed these.
    pub fn note(&mut self, sent: Vec<(Sent, Plan)>) {
        self.lines.extend(sent);
    }

    /// Offsets of a partition are gone before they were read.
    pub fn lose(&mut self, partition: i32, offsets: Range<i64>) {
        self.lost = Some((partition, offsets));
    }

    /// How many records a reading must have come past.
    pub fn n_passed(&self) -> i64 {
        let is_there = |fate: Fate| !matches!(fate, Fate::Lost | Fate::Undone);
        let fates = self.fates();
        fates.iter().filter(|(_, fate)| is_there(*fate)).count() as i64
    }

    /// Each record with what must become of it, by partition and offset.
    pub fn fates(&self) -> Vec<(&Sent, Fate)> {
        let mut lines: Vec<&(Sent, Plan)> = self.lines.iter().collect();
        lines.sort_by_key(|(sent, _)| (sent.partition, sent.offset));
        let mut seen = HashSet::new();
        let mut fate = |sent: &Sent, plan: Plan| match plan {
            Plan::Undone => Fate::Undone,
            _ if self.is_lost(sent) => Fate::Lost,
            Plan::Filtered => Fate::Filtered,
            Plan::Poison => Fate::Quarantined,
            Plan::Tombstone => Fate::Skipped,
            // The one that came first decides, if it was read.
            _ if !seen.insert(sent.value.clone()) => Fate::Deduped,
            Plan::Rejected => Fate::Rejected,
            Plan::Taken => Fate::Taken,
        };
        let told = lines
            .into_iter()
            .map(|(sent, plan)| (sent, fate(sent, *plan)));
        told.collect()
    }

    fn is_lost(&self, sent: &Sent) -> bool {
        let lost = self.lost.as_ref();
        lost.is_some_and(|(of, offsets)| *of == sent.partition && offsets.contains(&sent.offset))
    }

    /// What must come of the live reading.
    pub fn of_live(&self) -> Planted {
        let mut planted = self.planted(|_| true);
        if let Some((partition, offsets)) = &self.lost {
            planted.left.counts.lost = offsets.end - offsets.start;
            planted.left.gaps = vec![(*partition, offsets.start, offsets.end)];
        }
        planted
    }

    /// What must come of a replay of these offsets, by partition: the same as of the live reading.
    pub fn of_replay(&self, ranges: &BTreeMap<i32, Range<i64>>) -> Planted {
        self.planted(|sent| {
            let range = ranges.get(&sent.partition);
            range.is_some_and(|range| range.contains(&sent.offset))
        })
    }

    fn planted(&self, is_read: impl Fn(&Sent) -> bool) -> Planted {
        let mut values = BTreeMap::new();
        let mut left = Left::default();
        for (sent, fate) in self.fates().into_iter().filter(|(sent, _)| is_read(sent)) {
            let place = (sent.partition, sent.offset);
            let mut held = |class: &str| {
                let row = (class.to_string(), sent.partition, sent.offset);
                left.quarantine.push(row);
            };
            match fate {
                Fate::Rejected => held("rejected"),
                Fate::Quarantined => held("decode"),
                _ => {}
            }
            match fate {
                Fate::Taken | Fate::Rejected => {
                    left.counts.taken += 1;
                    let value = sent.value.clone().unwrap();
                    values.insert(place, String::from_utf8(value).unwrap());
                }
                Fate::Filtered => left.counts.filtered += 1,
                Fate::Quarantined => left.counts.quarantined += 1,
                Fate::Skipped => left.counts.skipped += 1,
                Fate::Deduped => left.counts.deduped += 1,
                Fate::Lost | Fate::Undone => {}
            }
        }
        left.quarantine.sort();
        Planted { values, left }
    }
}

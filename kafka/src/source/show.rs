//! What a session shows of itself.

use super::look::ASK_EVERY;
use super::session::{LOOK_EVERY, Lane, Session};
use crate::status::{PartitionStatus, State};
use std::time::Instant;
use tidemill_model::Ts;
use tidemill_store::Cursor;

impl Session<'_> {
    pub(crate) fn show(&mut self) {
        let now = Instant::now();
        if now < self.next_tell {
            return;
        }
        self.next_tell = now + LOOK_EVERY;
        let partitions: Vec<PartitionStatus> = self
            .lanes
            .iter()
            .map(|lane| self.partition_status(lane))
            .chain(self.halted.iter().map(halted_status))
            .collect();
        let state = self.state(&partitions);
        let decode_us = std::mem::take(&mut self.decode_us);
        self.worker.tell(|status| {
            status.decode_us += decode_us;
            status.partitions = partitions;
            status.state = state;
        });
    }

    fn state(&self, partitions: &[PartitionStatus]) -> State {
        let halted = partitions.iter().find_map(|one| one.halted.as_ref());
        if let Some(why) = halted {
            return State::Halted(why.clone());
        }
        if let Some(why) = &self.trouble {
            return State::Waiting(format!("the brokers cannot be used: {why}"));
        }
        if !self.notes.is_empty() {
            return State::Waiting(self.notes.join("; "));
        }
        if self.is_held {
            return State::HeldBack(format!("{} runs are not over", self.open_runs));
        }
        self.open_transaction(partitions)
            .map_or(State::Reading, State::OpenTransaction)
    }

    /// Where the end of what can be read has not moved between two looks.
    fn open_transaction(&self, partitions: &[PartitionStatus]) -> Option<String> {
        let now = (self.worker.ports.now)();
        let is_long = |since: Ts| now.0 - since.0 >= ASK_EVERY.as_micros() as i64;
        let mut all = partitions.iter();
        let one = all.find(|one| one.is_caught_up && one.held_since.is_some_and(is_long))?;
        let (high, last) = one.high.zip(one.last)?;
        Some(format!(
            "a transaction that began at offset {high} of {}/{} has not ended: {} offsets behind it wait",
            one.topic,
            one.partition,
            last - high
        ))
    }

    fn partition_status(&self, lane: &Lane) -> PartitionStatus {
        let reading = &lane.reading;
        let unread_since = reading.unread_since();
        let kept = self.retention.get(&reading.partition.topic);
        PartitionStatus {
            topic: reading.partition.topic.clone(),
            incarnation: reading.partition.incarnation.clone(),
            partition: reading.partition.partition,
            next_offset: reading.stored,
            low: lane.marks.map(|marks| marks.0),
            high: lane.marks.map(|marks| marks.1.max(reading.position)),
            last: lane.last,
            held_since: lane.held_since,
            is_caught_up: reading.is_caught_up && reading.stored == reading.position,
            read_up_to: reading.read_up_to,
            unread_since,
            kept_until: unread_since
                .zip(kept)
                .map(|(since, kept)| since.after(*kept)),
            halted: reading.halted.clone(),
        }
    }
}

fn halted_status(cursor: &Cursor) -> PartitionStatus {
    PartitionStatus {
        topic: cursor.partition.topic.clone(),
        incarnation: cursor.partition.incarnation.clone(),
        partition: cursor.partition.partition,
        next_offset: cursor.next_offset,
        low: None,
        high: None,
        last: None,
        held_since: None,
        is_caught_up: false,
        read_up_to: None,
        unread_since: None,
        kept_until: None,
        halted: cursor.halted.clone(),
    }
}

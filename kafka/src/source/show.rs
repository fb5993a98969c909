//! What a session shows of itself.

use super::session::{LOOK_EVERY, Lane, Session};
use crate::status::{PartitionStatus, State};
use std::time::Instant;
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
            .map(partition_status)
            .chain(self.halted.iter().map(halted_status))
            .collect();
        let state = self.state(&partitions);
        self.worker.tell(|status| {
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
        State::Reading
    }
}

fn partition_status(lane: &Lane) -> PartitionStatus {
    let reading = &lane.reading;
    PartitionStatus {
        topic: reading.partition.topic.clone(),
        incarnation: reading.partition.incarnation.clone(),
        partition: reading.partition.partition,
        next_offset: reading.stored,
        low: lane.marks.map(|marks| marks.0),
        high: lane.marks.map(|marks| marks.1.max(reading.position)),
        is_caught_up: reading.is_caught_up && reading.stored == reading.position,
        read_up_to: reading.read_up_to,
        halted: reading.halted.clone(),
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
        is_caught_up: false,
        read_up_to: None,
        halted: cursor.halted.clone(),
    }
}

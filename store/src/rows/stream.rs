//! From rows of streams to records.

use super::{Columns, Unreadable};
use crate::*;

/// A trigger that reads a stream.
pub fn trigger(columns: &mut dyn Columns) -> Result<TriggerRecord, Unreadable> {
    Ok(TriggerRecord {
        trigger: columns.take()?,
        dag: columns.take()?,
        dag_id: columns.take()?,
        name: columns.take()?,
        is_paused: columns.take()?,
        created_at: columns.take()?,
    })
}

/// A partition of one incarnation of a topic.
pub fn partition(columns: &mut dyn Columns) -> Result<Partition, Unreadable> {
    Ok(Partition {
        topic: columns.take()?,
        incarnation: columns.take()?,
        partition: columns.take()?,
    })
}

/// How far a trigger or a replay has read.
pub fn cursor(columns: &mut dyn Columns) -> Result<Cursor, Unreadable> {
    Ok(Cursor {
        trigger: columns.take()?,
        replay: columns.take()?,
        generation: columns.take()?,
        partition: partition(columns)?,
        next_offset: columns.take()?,
        end_offset: columns.maybe()?,
        halted: columns.maybe()?,
        counts: Counts {
            taken: columns.take()?,
            filtered: columns.take()?,
            missing: columns.take()?,
            skipped: columns.take()?,
            quarantined: columns.take()?,
            deduped: columns.take()?,
            lost: columns.take()?,
        },
        updated_at: columns.take()?,
    })
}

/// The records of a run.
pub fn batch(columns: &mut dyn Columns) -> Result<BatchRecord, Unreadable> {
    Ok(BatchRecord {
        run: columns.take()?,
        trigger: columns.take()?,
        replay: columns.take()?,
        partition: partition(columns)?,
        first_offset: columns.take()?,
        end_offset: columns.take()?,
        slot: columns.take()?,
        lane: columns.maybe()?,
        n_records: columns.take()?,
        n_bytes: columns.take()?,
        sha256: columns.take()?,
        facts: columns.json()?,
    })
}

/// A key that came once.
pub fn seen(columns: &mut dyn Columns) -> Result<SeenKey, Unreadable> {
    let hash: Vec<u8> = columns.take()?;
    Ok(SeenKey {
        hash: hash
            .try_into()
            .map_err(|_| Unreadable("a hash has another length".to_string()))?,
        partition: partition(columns)?,
        offset: columns.take()?,
        expires_at: columns.take()?,
    })
}

/// A record in quarantine.
pub fn poison(columns: &mut dyn Columns) -> Result<PoisonRecord, Unreadable> {
    Ok(PoisonRecord {
        poison: columns.take()?,
        trigger: columns.take()?,
        replay: columns.take()?,
        partition: partition(columns)?,
        offset: columns.take()?,
        timestamp: columns.maybe()?,
        class: columns.take()?,
        message: columns.take()?,
        key: columns.maybe()?,
        value: columns.maybe()?,
        headers: columns.json()?,
        state: columns.take()?,
        sent_at: columns.maybe()?,
        created_at: columns.take()?,
    })
}

/// Offsets that hold nothing.
pub fn gap(columns: &mut dyn Columns) -> Result<GapRecord, Unreadable> {
    Ok(GapRecord {
        gap: columns.take()?,
        trigger: columns.take()?,
        replay: columns.take()?,
        partition: partition(columns)?,
        from: columns.take()?,
        to: columns.take()?,
        why: columns.take()?,
        seen_at: columns.take()?,
    })
}

/// A wish to read again.
pub fn replay(columns: &mut dyn Columns) -> Result<ReplayRecord, Unreadable> {
    Ok(ReplayRecord {
        replay: columns.take()?,
        trigger: columns.take()?,
        wish: columns.json()?,
        state: columns.take()?,
        created_at: columns.take()?,
        ended_at: columns.maybe()?,
    })
}

/// A lane that waits for a hand.
pub fn block(columns: &mut dyn Columns) -> Result<LaneBlock, Unreadable> {
    Ok(LaneBlock {
        run: columns.take()?,
        trigger: columns.take()?,
        lane: columns.take()?,
        at: columns.take()?,
    })
}

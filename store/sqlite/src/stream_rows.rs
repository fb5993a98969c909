//! From rows of streams to records.

use crate::rows::Columns;
use crate::trouble::Trouble;
use tidemill_model::{DagNo, RunNo, TriggerNo, Ts};
use tidemill_store::*;

pub(crate) fn trigger(columns: &mut Columns<'_>) -> Result<TriggerRecord, Trouble> {
    Ok(TriggerRecord {
        trigger: TriggerNo(columns.next()?),
        dag: DagNo(columns.next()?),
        dag_id: columns.next()?,
        name: columns.next()?,
        is_paused: columns.next()?,
        created_at: Ts(columns.next()?),
    })
}

pub(crate) fn partition(columns: &mut Columns<'_>) -> Result<Partition, Trouble> {
    Ok(Partition {
        topic: columns.next()?,
        incarnation: columns.next()?,
        partition: columns.next()?,
    })
}

pub(crate) fn cursor(columns: &mut Columns<'_>) -> Result<Cursor, Trouble> {
    Ok(Cursor {
        trigger: TriggerNo(columns.next()?),
        replay: columns.next()?,
        generation: columns.next()?,
        partition: partition(columns)?,
        next_offset: columns.next()?,
        end_offset: columns.next()?,
        halted: columns.next()?,
        counts: Counts {
            taken: columns.next()?,
            filtered: columns.next()?,
            missing: columns.next()?,
            skipped: columns.next()?,
            quarantined: columns.next()?,
            deduped: columns.next()?,
            lost: columns.next()?,
        },
        updated_at: Ts(columns.next()?),
    })
}

pub(crate) fn batch(columns: &mut Columns<'_>) -> Result<BatchRecord, Trouble> {
    Ok(BatchRecord {
        run: RunNo(columns.next()?),
        trigger: TriggerNo(columns.next()?),
        replay: columns.next()?,
        partition: partition(columns)?,
        first_offset: columns.next()?,
        end_offset: columns.next()?,
        slot: columns.next()?,
        lane: columns.next()?,
        n_records: columns.next()?,
        n_bytes: columns.next()?,
        sha256: columns.next()?,
        facts: serde_json::from_str(columns.next()?)?,
    })
}

pub(crate) fn seen(columns: &mut Columns<'_>) -> Result<SeenKey, Trouble> {
    let hash: &[u8] = columns.next()?;
    Ok(SeenKey {
        hash: hash
            .try_into()
            .map_err(|_| Trouble::Unreadable("a hash has another length".to_string()))?,
        partition: partition(columns)?,
        offset: columns.next()?,
        expires_at: Ts(columns.next()?),
    })
}

pub(crate) fn poison(columns: &mut Columns<'_>) -> Result<PoisonRecord, Trouble> {
    Ok(PoisonRecord {
        poison: columns.next()?,
        trigger: TriggerNo(columns.next()?),
        replay: columns.next()?,
        partition: partition(columns)?,
        offset: columns.next()?,
        timestamp: columns.next::<Option<i64>>()?.map(Ts),
        class: columns.next()?,
        message: columns.next()?,
        key: columns.next()?,
        value: columns.next()?,
        headers: serde_json::from_str(columns.next()?)?,
        state: columns.next()?,
        sent_at: columns.next::<Option<i64>>()?.map(Ts),
        created_at: Ts(columns.next()?),
    })
}

pub(crate) fn gap(columns: &mut Columns<'_>) -> Result<GapRecord, Trouble> {
    Ok(GapRecord {
        gap: columns.next()?,
        trigger: TriggerNo(columns.next()?),
        replay: columns.next()?,
        partition: partition(columns)?,
        from: columns.next()?,
        to: columns.next()?,
        why: columns.next()?,
        seen_at: Ts(columns.next()?),
    })
}

pub(crate) fn replay(columns: &mut Columns<'_>) -> Result<ReplayRecord, Trouble> {
    Ok(ReplayRecord {
        replay: columns.next()?,
        trigger: TriggerNo(columns.next()?),
        wish: columns.json()?,
        state: columns.next()?,
        created_at: Ts(columns.next()?),
        ended_at: columns.next::<Option<i64>>()?.map(Ts),
    })
}

pub(crate) fn block(columns: &mut Columns<'_>) -> Result<LaneBlock, Trouble> {
    Ok(LaneBlock {
        run: RunNo(columns.next()?),
        trigger: TriggerNo(columns.next()?),
        lane: columns.next()?,
        at: Ts(columns.next()?),
    })
}

//! Assets and their events, from rows.

use super::{Columns, Unreadable};
use crate::{AssetDelivery, AssetEventRow, AssetRow, EventSource};
use tidemill_model::DagNo;

/// An asset.
pub fn asset(columns: &mut dyn Columns) -> Result<AssetRow, Unreadable> {
    Ok(AssetRow {
        asset: columns.take()?,
        name: columns.take()?,
        uri: columns.take()?,
        group: columns.take()?,
        description: columns.maybe()?,
        extra: columns.json()?,
        created_at: columns.take()?,
        updated_at: columns.take()?,
    })
}

/// An event of an asset, with the task that made it where one did.
pub fn asset_event(columns: &mut dyn Columns) -> Result<AssetEventRow, Unreadable> {
    let event = columns.take()?;
    let asset = columns.take()?;
    let (at, extra) = (columns.take()?, columns.json()?);
    let named: [Option<String>; 3] = [columns.maybe()?, columns.maybe()?, columns.maybe()?];
    let map_index: i32 = columns.take()?;
    let source = match named {
        [Some(dag_id), Some(run_id), Some(task_id)] => Some(EventSource {
            dag_id,
            run_id,
            task_id,
            map_index,
        }),
        _ => None,
    };
    Ok(AssetEventRow {
        event,
        asset,
        at,
        extra,
        source,
        emitted_by: columns.maybe()?,
    })
}

/// An event that a DAG waits with.
pub fn waiting_event(columns: &mut dyn Columns) -> Result<(DagNo, AssetEventRow), Unreadable> {
    Ok((columns.take()?, asset_event(columns)?))
}

/// What became of an event for a DAG.
pub fn delivery(columns: &mut dyn Columns) -> Result<AssetDelivery, Unreadable> {
    Ok(AssetDelivery {
        dag: columns.take()?,
        event: columns.take()?,
        run: columns.maybe()?,
    })
}

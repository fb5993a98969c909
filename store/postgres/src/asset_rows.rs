//! Assets and their events, from rows.

use crate::rows::Columns;
use crate::trouble::Trouble;
use tidemill_model::{AssetNo, DagNo, EventNo, RunNo};
use tidemill_store::{AssetDelivery, AssetEventRow, AssetRow, EventSource};

pub(crate) fn asset(columns: &mut Columns<'_>) -> Result<AssetRow, Trouble> {
    Ok(AssetRow {
        asset: AssetNo(columns.next()?),
        name: columns.next()?,
        uri: columns.next()?,
        group: columns.next()?,
        description: columns.next()?,
        extra: columns.json()?,
        created_at: columns.instant()?,
        updated_at: columns.instant()?,
    })
}

pub(crate) fn asset_event(columns: &mut Columns<'_>) -> Result<AssetEventRow, Trouble> {
    let event = EventNo(columns.next()?);
    let asset = AssetNo(columns.next()?);
    let (at, extra) = (columns.instant()?, columns.json()?);
    let named: [Option<String>; 3] = [columns.next()?, columns.next()?, columns.next()?];
    let map_index: i32 = columns.next()?;
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
        emitted_by: columns.next()?,
    })
}

pub(crate) fn waiting_event(columns: &mut Columns<'_>) -> Result<(DagNo, AssetEventRow), Trouble> {
    Ok((DagNo(columns.next()?), asset_event(columns)?))
}

pub(crate) fn delivery(columns: &mut Columns<'_>) -> Result<AssetDelivery, Trouble> {
    Ok(AssetDelivery {
        dag: DagNo(columns.next()?),
        event: EventNo(columns.next()?),
        run: columns.next::<Option<i64>>()?.map(RunNo),
    })
}

//! Assets and their events: what a pass writes of them.

use crate::raw::{Bind, Session, Statement};
use crate::trouble::Trouble;
use tidemill_store::{AssetEventRow, AssetRow};

pub(crate) fn put_asset(
    session: &Session<'_>,
    statement: &mut Statement,
    row: &AssetRow,
) -> Result<(), Trouble> {
    let extra = row.extra.to_string();
    let values = [
        Bind::Int(row.asset.0),
        Bind::Text(&row.name),
        Bind::Text(&row.uri),
        Bind::Text(&row.group),
        row.description.as_deref().into(),
        Bind::Text(&extra),
        Bind::Int(row.created_at.0),
        Bind::Int(row.updated_at.0),
    ];
    session.run(statement, &values)?;
    Ok(())
}

pub(crate) fn put_asset_event(
    session: &Session<'_>,
    statement: &mut Statement,
    event: &AssetEventRow,
) -> Result<(), Trouble> {
    let extra = event.extra.to_string();
    let source = event.source.as_ref();
    let values = [
        Bind::Int(event.event.0),
        Bind::Int(event.asset.0),
        Bind::Int(event.at.0),
        Bind::Text(&extra),
        source.map(|source| source.dag_id.as_str()).into(),
        source.map(|source| source.run_id.as_str()).into(),
        source.map(|source| source.task_id.as_str()).into(),
        Bind::Int(source.map_or(-1, |source| i64::from(source.map_index))),
        event.emitted_by.as_deref().into(),
    ];
    session.run(statement, &values)?;
    Ok(())
}

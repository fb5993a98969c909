//! What comes from outside and goes there: connections, variables, alerts, what tasks read.

use super::{Columns, Unreadable, partition};
use crate::{AlertRecord, AlertRow, ConnectionRecord, Span, VariableRecord};

/// A connection with its secrets as they are stored.
pub fn connection(columns: &mut dyn Columns) -> Result<ConnectionRecord, Unreadable> {
    Ok(ConnectionRecord {
        id: columns.take()?,
        conn_type: columns.take()?,
        description: columns.maybe()?,
        host: columns.maybe()?,
        port: columns.maybe()?,
        login: columns.maybe()?,
        schema: columns.maybe()?,
        password: columns.maybe()?,
        extra: columns.maybe()?,
        updated_at: columns.take()?,
    })
}

/// A variable with its value as it is stored.
pub fn variable(columns: &mut dyn Columns) -> Result<VariableRecord, Unreadable> {
    Ok(VariableRecord {
        key: columns.take()?,
        description: columns.maybe()?,
        is_marked: columns.take()?,
        value: columns.take()?,
        updated_at: columns.take()?,
    })
}

/// An alert that is to be sent.
pub fn alert(columns: &mut dyn Columns) -> Result<AlertRecord, Unreadable> {
    let row = AlertRow {
        key: columns.take()?,
        at: columns.take()?,
        body: columns.json()?,
    };
    let n_tries: i32 = columns.take()?;
    Ok(AlertRecord {
        row,
        n_tries: u32::try_from(n_tries).unwrap_or(u32::MAX),
        error: columns.maybe()?,
    })
}

/// What a task reads of a partition.
pub fn span(columns: &mut dyn Columns) -> Result<Span, Unreadable> {
    Ok(Span {
        partition: partition(columns)?,
        first: columns.take()?,
        end: columns.maybe()?,
    })
}

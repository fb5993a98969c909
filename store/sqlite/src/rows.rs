//! Rows of this database, for the records that are read from them.

use crate::trouble::Trouble;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row, Sqlite, Type};
pub(crate) use tidemill_store::rows::*;

/// The columns of a row, read one after the other.
pub(crate) struct Cells<'r> {
    row: &'r SqliteRow,
    at: usize,
}

impl<'r> Cells<'r> {
    pub(crate) fn of(row: &'r SqliteRow) -> Cells<'r> {
        Cells { row, at: 0 }
    }

    /// The next column, which is never NULL.
    pub(crate) fn take<T: Column>(&mut self) -> Result<T, Unreadable> {
        (self as &mut dyn Columns).take()
    }

    fn get<T: Decode<'r, Sqlite> + Type<Sqlite>>(&mut self) -> Result<T, Unreadable> {
        let at = self.at;
        self.at += 1;
        let value = self.row.try_get(at);
        value.map_err(|err| Unreadable(err.to_string()))
    }
}

impl Columns for Cells<'_> {
    fn flag(&mut self) -> Result<Option<bool>, Unreadable> {
        self.get()
    }

    fn small(&mut self) -> Result<Option<i32>, Unreadable> {
        self.get()
    }

    fn number(&mut self) -> Result<Option<i64>, Unreadable> {
        self.get()
    }

    fn text(&mut self) -> Result<Option<String>, Unreadable> {
        self.get()
    }

    fn own_text(&mut self) -> Result<Option<&str>, Unreadable> {
        self.get()
    }

    fn bytes(&mut self) -> Result<Option<Vec<u8>>, Unreadable> {
        self.get()
    }
}

/// Reads a record from its columns.
pub(crate) type Read<T> = fn(&mut dyn Columns) -> Result<T, Unreadable>;

/// All rows as records.
pub(crate) fn all<T>(rows: &[SqliteRow], read: Read<T>) -> Result<Vec<T>, Trouble> {
    let records = rows.iter().map(|row| read(&mut Cells::of(row)));
    Ok(records.collect::<Result<_, _>>()?)
}

/// One row as a record, if there is one.
pub(crate) fn one<T>(row: Option<SqliteRow>, read: Read<T>) -> Result<Option<T>, Trouble> {
    let record = row.map(|row| read(&mut Cells::of(&row)));
    Ok(record.transpose()?)
}

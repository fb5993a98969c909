//! From rows of a database to records. A backend says how one column is read ([`Columns`]); which
//! columns make a record, and in which order, is said here once for all of them.

mod asset;
mod outside;
mod record;
mod stream;

pub use asset::*;
pub use outside::*;
pub use record::*;
pub use stream::*;

use tidemill_model::{
    AssetNo, BackfillNo, DagNo, Epoch, EventNo, MapIndex, Reason, Reprocess, RunNo, RunState,
    RunType, SkipReason, TaskNo, TaskState, TriggerNo, Ts, VersionNo,
};

/// A stored value is not what this program writes.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

impl From<serde_json::Error> for Unreadable {
    fn from(err: serde_json::Error) -> Unreadable {
        Unreadable(format!("a stored JSON text is broken: {err}"))
    }
}

/// The columns of one row, read one after the other in the order of the SQL text. SQL's NULL is
/// `None`; a value of another type is an error.
pub trait Columns {
    /// The next column, a truth value.
    fn flag(&mut self) -> Result<Option<bool>, Unreadable>;
    /// The next column, a number of 32 bits.
    fn small(&mut self) -> Result<Option<i32>, Unreadable>;
    /// The next column, a number of 64 bits.
    fn number(&mut self) -> Result<Option<i64>, Unreadable>;
    /// The next column, a text as somebody gave it, with every character that it had.
    fn text(&mut self) -> Result<Option<String>, Unreadable>;
    /// The next column, a text of this program's own making, such as the name of a state or JSON.
    fn own_text(&mut self) -> Result<Option<&str>, Unreadable>;
    /// The next column, bytes.
    fn bytes(&mut self) -> Result<Option<Vec<u8>>, Unreadable>;
}

/// What one column can be.
pub trait Column: Sized {
    /// The next column as this; `None` for SQL's NULL.
    ///
    /// # Errors
    /// The column is of another type, or holds what this program does not write.
    fn read(columns: &mut dyn Columns) -> Result<Option<Self>, Unreadable>;
}

impl dyn Columns + '_ {
    /// The next column, which is never NULL.
    ///
    /// # Errors
    /// It is NULL, or as with [`Column::read`].
    pub fn take<T: Column>(&mut self) -> Result<T, Unreadable> {
        let missing = || Unreadable("a column that is never empty is NULL".to_string());
        T::read(self)?.ok_or_else(missing)
    }

    /// The next column, which may be NULL.
    ///
    /// # Errors
    /// As with [`Column::read`].
    pub fn maybe<T: Column>(&mut self) -> Result<Option<T>, Unreadable> {
        T::read(self)
    }

    /// The next column, a stored JSON text.
    ///
    /// # Errors
    /// It is NULL or not the JSON that this record has.
    pub fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, Unreadable> {
        let text = self.own_text()?.unwrap_or_default();
        Ok(serde_json::from_str(text)?)
    }

    /// The next column, a stored JSON text or NULL.
    ///
    /// # Errors
    /// It is not the JSON that this record has.
    pub fn maybe_json<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>, Unreadable> {
        let text = self.own_text()?;
        Ok(text.map(serde_json::from_str).transpose()?)
    }

    /// The next column, a number of 64 bits that is a count.
    ///
    /// # Errors
    /// It is negative or too large.
    pub fn count(&mut self) -> Result<u32, Unreadable> {
        let count: i64 = self.take()?;
        u32::try_from(count).map_err(|_| Unreadable(format!("{count} is no count")))
    }
}

/// Reads with one of the methods of [`Columns`].
macro_rules! columns {
    ($($type:ty: $method:ident),* $(,)?) => {$(
        impl Column for $type {
            fn read(columns: &mut dyn Columns) -> Result<Option<Self>, Unreadable> {
                columns.$method()
            }
        }
    )*};
}

columns! { bool: flag, i32: small, i64: number, String: text, Vec<u8>: bytes }

/// Reads a number and gives it its meaning.
macro_rules! numbers {
    ($($type:ident: $method:ident),* $(,)?) => {$(
        impl Column for $type {
            fn read(columns: &mut dyn Columns) -> Result<Option<Self>, Unreadable> {
                Ok(columns.$method()?.map($type))
            }
        }
    )*};
}

numbers! {
    DagNo: number, RunNo: number, VersionNo: number, BackfillNo: number, AssetNo: number,
    EventNo: number, TriggerNo: number, Ts: number, TaskNo: small, MapIndex: small, Epoch: number,
}

/// Reads one of the names that this program knows.
macro_rules! names {
    ($($type:ident),* $(,)?) => {$(
        impl Column for $type {
            fn read(columns: &mut dyn Columns) -> Result<Option<Self>, Unreadable> {
                let Some(name) = columns.own_text()? else {
                    return Ok(None);
                };
                let unknown = || Unreadable(format!("this program does not know `{name}`"));
                $type::from_name(name).map(Some).ok_or_else(unknown)
            }
        }
    )*};
}

names! { RunType, RunState, TaskState, Reprocess, SkipReason, Reason }

/// A number of a port. One that is out of range is none.
impl Column for u16 {
    fn read(columns: &mut dyn Columns) -> Result<Option<Self>, Unreadable> {
        Ok(columns.small()?.and_then(|port| u16::try_from(port).ok()))
    }
}

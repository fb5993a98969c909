//! Prepared statements of the writing connection, driven without sqlx's thread in between.
//!
//! All of this crate's unsafe code stands here. It rests on three promises:
//! - a [`Session`] exists only while sqlx's own thread has nothing to do for the connection: it
//!   was locked out of it, and has been asked nothing since (`Writer::conn` sees to that);
//! - a [`Statement`] is dropped before its connection is closed (field order in `Writer`);
//! - statements are used only with the connection that prepared them: there is one writer.

use libsqlite3_sys as ffi;
use sqlx::sqlite::LockedSqliteHandle;
use std::ffi::{CStr, c_int};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// SQLite has refused.
#[derive(Debug, thiserror::Error)]
#[error("{message} (SQLite code {code})")]
pub(crate) struct RawError {
    /// The extended result code.
    pub(crate) code: i32,
    message: String,
}

/// A value for a place in a statement.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bind<'a> {
    Null,
    Int(i64),
    Text(&'a str),
}

impl From<Option<i64>> for Bind<'_> {
    fn from(value: Option<i64>) -> Self {
        value.map_or(Bind::Null, Bind::Int)
    }
}

impl<'a> From<Option<&'a str>> for Bind<'a> {
    fn from(value: Option<&'a str>) -> Self {
        value.map_or(Bind::Null, Bind::Text)
    }
}

/// A statement that stays prepared.
#[derive(Debug)]
pub(crate) struct Statement {
    raw: NonNull<ffi::sqlite3_stmt>,
}

// SAFETY: a statement may be used by any thread, by one at a time; `&mut` in `Session::run` sees
// to that, and the connection is opened with SQLite's own mutex.
unsafe impl Send for Statement {}

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: the pointer came from prepare and is finalised once, here; the connection is
        // still open by the module's second promise and guards itself by its own mutex.
        unsafe { ffi::sqlite3_finalize(self.raw.as_ptr()) };
    }
}

/// A connection that sqlx's thread was locked out of, and about which it has been asked nothing
/// since.
#[derive(Debug)]
pub(crate) struct QuietConnection {
    db: NonNull<ffi::sqlite3>,
}

// SAFETY: as for a statement: one thread at a time by `&mut`, and SQLite's own mutex besides.
unsafe impl Send for QuietConnection {}

impl QuietConnection {
    pub(crate) fn of(handle: &mut LockedSqliteHandle<'_>) -> QuietConnection {
        QuietConnection {
            db: handle.as_raw_handle(),
        }
    }
}

/// The connection, while it is ours.
pub(crate) struct Session<'a> {
    db: NonNull<ffi::sqlite3>,
    locked: PhantomData<&'a mut ()>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(quiet: &'a mut QuietConnection) -> Session<'a> {
        Session {
            db: quiet.db,
            locked: PhantomData,
        }
    }

    /// Prepares a statement for many uses.
    pub(crate) fn prepare(&self, text: &str) -> Result<Statement, RawError> {
        let mut raw = std::ptr::null_mut();
        let n_bytes = c_int::try_from(text.len()).unwrap_or(c_int::MAX);
        // SAFETY: the connection is open and ours; the text is valid for `n_bytes`; `raw` is a
        // valid place for the result, and the tail is not asked for.
        let code = unsafe {
            ffi::sqlite3_prepare_v3(
                self.db.as_ptr(),
                text.as_ptr().cast(),
                n_bytes,
                ffi::SQLITE_PREPARE_PERSISTENT as _,
                &mut raw,
                std::ptr::null_mut(),
            )
        };
        match NonNull::new(raw) {
            Some(raw) if code == ffi::SQLITE_OK => Ok(Statement { raw }),
            _ => Err(self.error(code)),
        }
    }

    /// Runs a statement that has at most one row, and says whether it had one.
    pub(crate) fn run(
        &self,
        statement: &mut Statement,
        values: &[Bind<'_>],
    ) -> Result<bool, RawError> {
        let raw = statement.raw.as_ptr();
        let bound = self.bind(statement, values);
        // SAFETY: the statement is valid and ours alone.
        let code = bound.map(|()| unsafe { ffi::sqlite3_step(raw) });
        let outcome = match code {
            Ok(ffi::SQLITE_ROW) => Ok(true),
            Ok(ffi::SQLITE_DONE) => Ok(false),
            // The message belongs to the last call, so it is read before the reset.
            Ok(code) => Err(self.error(code)),
            Err(err) => Err(err),
        };
        // SAFETY: as above. After this the statement holds no pointer into `values`.
        unsafe {
            ffi::sqlite3_reset(raw);
            ffi::sqlite3_clear_bindings(raw);
        }
        outcome
    }

    fn bind(&self, statement: &mut Statement, values: &[Bind<'_>]) -> Result<(), RawError> {
        let raw = statement.raw.as_ptr();
        for (place, value) in (1..).zip(values) {
            // SAFETY: the statement is valid and ours alone. Texts are not copied: they outlive
            // the step in `run`, which clears the bindings before it returns.
            let code = unsafe {
                match value {
                    Bind::Null => ffi::sqlite3_bind_null(raw, place),
                    Bind::Int(value) => ffi::sqlite3_bind_int64(raw, place, *value),
                    Bind::Text(text) => ffi::sqlite3_bind_text64(
                        raw,
                        place,
                        text.as_ptr().cast(),
                        text.len() as u64,
                        ffi::SQLITE_STATIC(),
                        ffi::SQLITE_UTF8 as u8,
                    ),
                }
            };
            if code != ffi::SQLITE_OK {
                return Err(self.error(code));
            }
        }
        Ok(())
    }

    /// How many rows the last statement changed.
    pub(crate) fn n_changed(&self) -> i64 {
        // SAFETY: the connection is open and ours.
        unsafe { ffi::sqlite3_changes64(self.db.as_ptr()) }
    }

    /// Is a transaction open? SQLite ends one by itself after some errors.
    pub(crate) fn is_in_transaction(&self) -> bool {
        // SAFETY: the connection is open and ours.
        unsafe { ffi::sqlite3_get_autocommit(self.db.as_ptr()) == 0 }
    }

    fn error(&self, code: c_int) -> RawError {
        // SAFETY: the connection is open and ours; the message is valid until the next call on
        // it and is copied before that.
        let message = unsafe {
            let text = ffi::sqlite3_errmsg(self.db.as_ptr());
            if text.is_null() {
                String::new()
            } else {
                CStr::from_ptr(text).to_string_lossy().into_owned()
            }
        };
        RawError { code, message }
    }
}

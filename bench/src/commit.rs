//! The price of durability here: single-row commits on SQLite, synchronous=FULL, with pauses.
#![allow(
    unsafe_code,
    reason = "a handful of calls of SQLite's C interface, so that nothing stands between"
)]

use crate::report::Report;
use anyhow::{Result, bail};
use libsqlite3_sys as sqlite;
use std::ffi::CString;
use std::path::Path;
use std::time::{Duration, Instant};

const COMMITS: usize = 1000;
const PREPARE: [&str; 4] = [
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)",
    "INSERT INTO t VALUES (1, 0)",
];
const PAUSE: Duration = Duration::from_micros(500);

pub struct Database(*mut sqlite::sqlite3);

impl Drop for Database {
    fn drop(&mut self) {
        // SAFETY: the handle came from sqlite3_open and is closed once.
        unsafe { sqlite::sqlite3_close(self.0) };
    }
}

impl Database {
    /// A file with the table of the measurement.
    pub fn prepared(path: &Path) -> Result<Database> {
        let database = Database::open(path)?;
        for sql in PREPARE {
            database.exec(sql)?;
        }
        Ok(database)
    }

    /// One durable single-row commit.
    pub fn commit(&self) -> Result<()> {
        self.exec("UPDATE t SET a = a + 1 WHERE id = 1")
    }

    fn open(path: &Path) -> Result<Database> {
        let path = CString::new(path.as_os_str().as_encoded_bytes())?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: both pointers are valid for the call; a failed open leaves a handle to close.
        let code = unsafe { sqlite::sqlite3_open(path.as_ptr(), &raw mut handle) };
        let database = Database(handle);
        if code != sqlite::SQLITE_OK {
            bail!("SQLite cannot open a file: code {code}");
        }
        Ok(database)
    }

    fn exec(&self, sql: &str) -> Result<()> {
        let text = CString::new(sql)?;
        // SAFETY: the handle is open, the text ends with NUL, no callback is given.
        let code = unsafe {
            sqlite::sqlite3_exec(
                self.0,
                text.as_ptr(),
                None,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            )
        };
        if code != sqlite::SQLITE_OK {
            bail!("SQLite refused `{sql}`: code {code}");
        }
        Ok(())
    }
}

/// Measures and tells; the median in milliseconds.
pub fn measure(scratch: &Path, report: &mut Report) -> Result<f64> {
    let database = Database::prepared(&scratch.join("commit.db"))?;
    let mut times = Vec::with_capacity(COMMITS);
    for _ in 0..COMMITS {
        std::thread::sleep(PAUSE);
        let begin = Instant::now();
        database.commit()?;
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    report
        .section("one durable single-row commit (SQLite, WAL, synchronous=FULL, pauses of 0.5 ms)");
    report.row("median", times[COMMITS / 2], "ms");
    report.row("99 of 100 below", times[COMMITS * 99 / 100], "ms");
    Ok(times[COMMITS / 2])
}

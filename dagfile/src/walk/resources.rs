//! `resources`: what a task's processes may use.

use super::{Place, Walk};
use crate::diagnostic::Diagnostic;
use crate::keys;
use crate::parse::{Table, Value};
use std::time::Duration;
use tidemill_model::dag::Resources;

/// Less memory than any program needs to begin.
const MEMORY_MIN: u64 = 1 << 20;

impl Walk<'_> {
    /// The limits that a table writes.
    pub(crate) fn resources(&mut self, table: &Table) -> Resources {
        let Some(inner) = self.table(table, "resources") else {
            return Resources::default();
        };
        self.check_keys(
            inner,
            &Place::Inner("resources".to_string()),
            keys::RESOURCES,
        );
        let count = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        Resources {
            cpu: self.above(inner, "cpu", |walk| {
                walk.number(inner, "cpu", keys::CPU_MAX)
                    .map(|cpu| (cpu, cpu >= 0.01))
            }),
            memory: self.above(inner, "memory", |walk| {
                walk.size(inner, "memory", keys::BYTES_MAX)
                    .map(|bytes| (bytes, bytes >= MEMORY_MIN))
            }),
            processes: self
                .int(inner, "processes", 1, keys::PROCESSES_MAX)
                .map(count),
            open_files: self.int(inner, "open_files", 3, keys::FILES_MAX).map(count),
            file_size: self.size(inner, "file_size", keys::BYTES_MAX),
            cpu_time: self.above(inner, "cpu_time", |walk| {
                walk.duration(inner, "cpu_time")
                    .map(|span| (span, span >= Duration::from_secs(1)))
            }),
        }
    }

    /// A limit that is so low that nothing could run is a slip of the pen.
    fn above<T>(
        &mut self,
        table: &Table,
        name: &str,
        read: impl FnOnce(&mut Self) -> Option<(T, bool)>,
    ) -> Option<T> {
        let (limit, is_enough) = read(self)?;
        if is_enough {
            return Some(limit);
        }
        let span = table.get(name).map_or(0..0, Value::span);
        let least = match name {
            "cpu" => "0.01",
            "memory" => "1MiB",
            _ => "1s",
        };
        let message = format!("`resources.{name}` must be at least {least}");
        self.report(Diagnostic::error("TM0103", span, message).label("too little to run at all"));
        None
    }
}

//! The keys of `resources`.

use super::{Key, Kind, key};

/// More processors than any machine has.
pub(crate) const CPU_MAX: f64 = 4096.0;
/// More memory than any machine has.
pub(crate) const BYTES_MAX: u64 = 1 << 50;
/// As many as Linux can number.
pub(crate) const PROCESSES_MAX: i64 = 4_194_304;
/// As many as Linux lets a process open.
pub(crate) const FILES_MAX: i64 = 1_048_576;

/// `[tasks.NAME.resources]`.
#[rustfmt::skip]
pub(crate) const RESOURCES: &[Key] = &[
    key("cpu", Kind::Number, "", "Processors, such as 1.5, for all its processes together. Needs a control group."),
    key("memory", Kind::Size, "", "Memory for all its processes together; for each of them where there is no control group."),
    key("processes", Kind::Int(1, PROCESSES_MAX), "", "Processes and threads at once; without a control group those of its user, which holds for any user but root."),
    key("open_files", Kind::Int(3, FILES_MAX), "", "Open files of each process."),
    key("file_size", Kind::Size, "", "The size of a file that a process writes."),
    key("cpu_time", Kind::Duration, "", "Processor time of each process, in whole seconds."),
];

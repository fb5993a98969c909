//! What a task's processes may use of their machine.

use std::time::Duration;

/// Limits of a task's processes. What is absent is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Resources {
    /// Processors; 0.5 is half of one. All processes of the task together.
    pub cpu: Option<f64>,
    /// Bytes of memory. All processes together where there is a control group, else each.
    pub memory: Option<u64>,
    /// Processes and threads at once. All of the task together where there is a control group,
    /// else all of its user.
    pub processes: Option<u32>,
    /// Open files of each process.
    pub open_files: Option<u32>,
    /// Bytes of each file that a process writes.
    pub file_size: Option<u64>,
    /// Processor time of each process.
    pub cpu_time: Option<Duration>,
}

impl Resources {
    /// These limits, with those of `base` where these say nothing.
    pub fn over(self, base: Resources) -> Resources {
        Resources {
            cpu: self.cpu.or(base.cpu),
            memory: self.memory.or(base.memory),
            processes: self.processes.or(base.processes),
            open_files: self.open_files.or(base.open_files),
            file_size: self.file_size.or(base.file_size),
            cpu_time: self.cpu_time.or(base.cpu_time),
        }
    }

    /// Is any limit of the kind that holds for all processes of a task together?
    pub fn wants_group(&self) -> bool {
        self.cpu.is_some() || self.memory.is_some() || self.processes.is_some()
    }
}

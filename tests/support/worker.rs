//! A worker in a process of its own.

use super::waiting::wait_for;
use super::{PATIENCE, Place, processes};
use rustix::process::{Signal, kill_process};
use std::process::Child;

/// A worker process that this test started. It is killed when the value goes.
pub struct WorkerProcess {
    /// The process.
    pub child: Child,
    /// Its home.
    pub place: Place,
}

impl WorkerProcess {
    /// Starts one of the same database, with a home of its own.
    pub fn start(beside: &Place, more: &[&str]) -> WorkerProcess {
        let place = beside.beside();
        let log = std::fs::File::create(place.folder().join("worker.log")).unwrap();
        let mut command = place.tidemill();
        command.arg("worker").args(more);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        WorkerProcess { child, place }
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.place.folder().join("worker.log")).unwrap_or_default()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(processes::pid(self.child.id()), signal).unwrap();
    }

    /// Waits for its end.
    pub fn wait_until_gone(&mut self) -> std::process::ExitStatus {
        wait_for("the worker to end", PATIENCE, || {
            self.child.try_wait().unwrap()
        })
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

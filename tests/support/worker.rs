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
    /// Starts one in a home of its own, beside a server.
    pub fn start(beside: &Place, more: &[&str]) -> WorkerProcess {
        WorkerProcess::start_in(beside.beside(), more)
    }

    /// Starts one in this home.
    pub fn start_in(place: Place, more: &[&str]) -> WorkerProcess {
        let child = WorkerProcess::spawn(&place, more, &[]);
        WorkerProcess { child, place }
    }

    /// Starts one beside a server with more in its environment.
    pub fn start_with(beside: &Place, more: &[&str], env: &[(&str, &str)]) -> WorkerProcess {
        let place = beside.beside();
        let child = WorkerProcess::spawn(&place, more, env);
        WorkerProcess { child, place }
    }

    /// Starts it again in its home; the one before must have ended.
    pub fn start_again(&mut self, more: &[&str]) {
        self.child = WorkerProcess::spawn(&self.place, more, &[]);
    }

    fn spawn(place: &Place, more: &[&str], env: &[(&str, &str)]) -> Child {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(place.folder().join("worker.log"))
            .unwrap();
        let mut command = place.tidemill();
        command.arg("worker").args(more).envs(env.iter().copied());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        command.spawn().unwrap()
    }

    /// Everything that it has printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.place.folder().join("worker.log")).unwrap_or_default()
    }

    /// Sends a signal to the worker alone.
    pub fn signal(&self, signal: Signal) {
        kill_process(processes::pid(self.child.id()), signal).unwrap();
    }

    /// Waits for the worker's own end.
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

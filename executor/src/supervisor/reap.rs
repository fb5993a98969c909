//! The end of tasks: reaping, the hunt for what they left behind, TERM and KILL.

use super::message::{Cause, Ending, Report};
use super::tree::{self, Process, Stat};
use super::{HOLD_MAX, KILL_AGAIN_AFTER, Supervisor};
use crate::{resources, sys};
use rustix::process::Signal;
use std::collections::{HashMap, HashSet};
use std::time::Instant;

/// Whose an orphan is.
enum Owner {
    /// This task's.
    Task(u64),
    /// A task's that is over.
    Ended,
    /// It cannot be told.
    Unknown,
}

impl Supervisor {
    /// Takes the status of every child that has ended, and ends what ended tasks left behind.
    pub(super) fn reap(&mut self) {
        let mut any = false;
        while let Some(pid) = sys::ended_child() {
            any = true;
            let main_of = self.by_pid.get(&pid).copied();
            if main_of.is_some() {
                // While it is not reaped, its number and its group's cannot be anybody else's.
                tree::signal_group(pid, Signal::KILL);
            }
            let Some(exit) = sys::reap(pid, false) else {
                break;
            };
            self.strays.remove(&pid);
            if let Some(id) = main_of {
                self.by_pid.remove(&pid);
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.group
                        .as_deref()
                        .inspect(|group| resources::kill_group(group));
                    task.exit = Some(exit);
                    task.hold_until = Some(Instant::now() + HOLD_MAX);
                }
            }
        }
        if any {
            self.sweep();
        }
    }

    /// Kills orphans of ended tasks; reports the tasks of which nothing is left.
    pub(super) fn sweep(&mut self) {
        let mut held: HashSet<u64> = HashSet::new();
        for pid in self.unreaped_children() {
            if !self.by_pid.contains_key(&pid) {
                self.judge_orphan(pid, &mut held);
            }
        }
        let now = Instant::now();
        let over = |(id, task): (&u64, &super::Running)| {
            let is_over = task.exit.is_some()
                && (!held.contains(id) || task.hold_until.is_some_and(|until| until <= now));
            is_over.then_some(*id)
        };
        for id in self.tasks.iter().filter_map(over).collect::<Vec<_>>() {
            if let Some(task) = self.tasks.remove(&id)
                && let Some(exit) = task.exit
            {
                let ending = Ending {
                    id,
                    pid: task.pid,
                    exit,
                    out_of_memory: task.group.as_deref().is_some_and(resources::close_group),
                    cause: task.cause,
                };
                self.report(&Report::Ended(ending));
            }
        }
        if self.tasks.is_empty() && !self.strays.is_empty() {
            // The last task that may have left them has just gone.
            for pid in self.strays.keys().copied().collect::<Vec<_>>() {
                kill_family(&[pid]);
            }
        }
    }

    fn judge_orphan(&mut self, pid: i32, held: &mut HashSet<u64>) {
        let Some(stat) = tree::stat(pid) else { return };
        match self.owner(&stat) {
            Owner::Task(id) => {
                if self.tasks.get(&id).is_some_and(|task| task.exit.is_some()) {
                    kill_family(&[pid]);
                    held.insert(id);
                }
            }
            Owner::Ended => kill_family(&[pid]),
            Owner::Unknown => {
                let tasks = &self.tasks;
                let suspects = self
                    .strays
                    .entry(pid)
                    .or_insert_with(|| tasks.keys().copied().collect());
                suspects.retain(|id| tasks.contains_key(id));
                let alive = |id: &u64| tasks.get(id).is_some_and(|task| task.exit.is_none());
                if !suspects.iter().any(alive) {
                    kill_family(&[pid]);
                    held.extend(suspects.iter());
                }
            }
        }
    }

    /// By session or group, by environment, by the ancestry recorded before a kill.
    fn owner(&self, stat: &Stat) -> Owner {
        let by_number = |task: &super::Running| task.pid == stat.session || task.pid == stat.group;
        if let Some((id, _)) = self.tasks.iter().find(|(_, task)| by_number(task)) {
            return Owner::Task(*id);
        }
        if let Some(attempt) = tree::attempt_of(stat.process.pid) {
            let found = self.tasks.iter().find(|(_, task)| task.attempt == attempt);
            return found.map_or(Owner::Ended, |(id, _)| Owner::Task(*id));
        }
        let found = self
            .tasks
            .iter()
            .find(|(_, task)| task.family.contains(&stat.process));
        found.map_or(Owner::Unknown, |(id, _)| Owner::Task(*id))
    }

    /// Asks a task's tree to end; KILL follows after its grace.
    pub(super) fn terminate(&mut self, id: u64, cause: Cause) {
        let family = self.family_of(id);
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        if task.exit.is_some() || task.cause.is_some() {
            return;
        }
        task.cause = Some(cause);
        task.deadline = None;
        task.kill_at = Some(Instant::now() + task.grace);
        task.family.extend(family.values().map(|stat| stat.process));
        for signal in [Signal::TERM, Signal::CONT] {
            tree::signal_group(task.pid, signal);
            for stat in family.values().filter(|stat| stat.group != task.pid) {
                tree::signal(stat.process, signal);
            }
        }
    }

    /// Kills a task's tree now. Its end is reported when it is gone.
    pub(super) fn kill_tree(&mut self, id: u64, cause: Cause) {
        let family = self.family_of(id);
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        if task.exit.is_some() {
            return;
        }
        task.cause.get_or_insert(cause);
        task.deadline = None;
        task.kill_at = Some(Instant::now() + KILL_AGAIN_AFTER);
        task.family.extend(family.values().map(|stat| stat.process));
        if let Some(group) = &task.group {
            resources::kill_group(group);
        }
        tree::signal_group(task.pid, Signal::KILL);
        for stat in family.values() {
            tree::signal(stat.process, Signal::KILL);
        }
    }

    /// All processes of a task that can be found, those that have left its tree included.
    fn family_of(&self, id: u64) -> HashMap<i32, Stat> {
        let Some(task) = self.tasks.get(&id) else {
            return HashMap::new();
        };
        let mut roots = vec![task.pid];
        for pid in self.unreaped_children() {
            if !self.by_pid.contains_key(&pid)
                && let Some(stat) = tree::stat(pid)
                && matches!(self.owner(&stat), Owner::Task(owner) if owner == id)
            {
                roots.push(pid);
            }
        }
        tree::family(&roots)
    }
}

/// Kills processes with all that is below them now; what escapes is found by the next sweep.
fn kill_family(roots: &[i32]) {
    let family = tree::family(roots);
    let processes: Vec<Process> = family.values().map(|stat| stat.process).collect();
    for process in processes {
        tree::signal(process, Signal::KILL);
    }
}

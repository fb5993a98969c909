//! The end of a run here, for people: what each task took, why tasks failed, one line of counts.

use super::instance::Instance;
use super::print::{Printer, line};
use crate::daemon::engine;
use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;
use tidemill_model::time::human;
use tidemill_model::{Attempt, Dag, RunRow, TaskNo, TaskRow, TaskState};

/// Lines of a failing task's log that are shown.
const LAST_LINES: usize = 50;
/// Of more task instances than this only those are shown that took longest.
const TIMES_MAX: usize = 40;

/// A run that is over, with what its names mean.
pub(super) struct Summary<'r> {
    pub dag: &'r Dag,
    /// The numbers of its tasks, in the DAG's order.
    pub task_nos: &'r [TaskNo],
    pub logs: &'r Path,
    pub row: &'r RunRow,
    pub tasks: &'r [TaskRow],
}

impl Summary<'_> {
    pub(super) fn print(&self, printer: &Printer) {
        self.times(printer);
        for task in self.tasks {
            if task.state == TaskState::Failed {
                self.failure(printer, task);
            }
        }
        self.counts();
    }

    /// What each instance took that has begun, in the order of the file.
    fn times(&self, printer: &Printer) {
        let mut begun: Vec<(&TaskRow, Duration)> = self
            .tasks
            .iter()
            .filter_map(|task| Some((task, took(task)?)))
            .collect();
        let n_begun = begun.len();
        if n_begun > TIMES_MAX {
            begun.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
            begun.truncate(TIMES_MAX);
        }
        begun.sort_by_key(|(task, _)| (self.position(task), task.map_index));
        let names: Vec<String> = begun.iter().map(|(task, _)| self.name(task)).collect();
        let width = names.iter().map(|name| name.chars().count()).max();
        let width = width.unwrap_or_default();
        if n_begun > TIMES_MAX {
            line(&format!("\nthe {TIMES_MAX} tasks that took longest:"));
        } else {
            line("");
        }
        for ((task, took), name) in begun.into_iter().zip(names) {
            let tries = match task.try_number {
                ..=1 => String::new(),
                n => format!(", try {n}"),
            };
            let (took, state) = (human(took), printer.state(task.state.name()));
            line(&format!("  {name:width$}  {took:>8}  {state}{tries}"));
        }
    }

    fn failure(&self, printer: &Printer, task: &TaskRow) {
        let why = task
            .message
            .as_deref()
            .or(task.reason.map(|reason| reason.name()))
            .unwrap_or("failed");
        let (state, name) = (printer.state("failed"), self.name(task));
        line(&format!("\n{state} {name}: {why}"));
        let attempt = Attempt {
            run: self.row.run,
            task_no: task.task_no,
            map_index: task.map_index,
            epoch: task.epoch,
        };
        let log = engine::log_path(self.logs, attempt, task.try_number);
        for last in tidemill_log::tail(&log, LAST_LINES).unwrap_or_default() {
            line(&format!("  | {}", last.text));
        }
    }

    fn counts(&self) {
        let count = |state: TaskState| self.tasks.iter().filter(|task| task.state == state).count();
        let failed = count(TaskState::Failed) + count(TaskState::UpstreamFailed);
        let whole = self.row.started_at.zip(self.row.ended_at);
        let whole = whole.map_or(Duration::ZERO, |(from, to)| to.since(from));
        // A mapped task counts once for each of its instances.
        let places: HashSet<_> = self
            .tasks
            .iter()
            .map(|task| (task.task_no, task.map_index))
            .collect();
        let touched: HashSet<_> = self.tasks.iter().map(|task| task.task_no).collect();
        let n_tasks = places.len() + self.dag.tasks.len().saturating_sub(touched.len());
        line(&format!(
            "{n_tasks} tasks: {} ok, {} skipped, {failed} failed in {}",
            count(TaskState::Success),
            count(TaskState::Skipped),
            human(whole)
        ));
    }

    fn position(&self, task: &TaskRow) -> Option<usize> {
        self.task_nos.iter().position(|no| *no == task.task_no)
    }

    fn name(&self, task: &TaskRow) -> String {
        let task_id = self
            .position(task)
            .map_or("?", |at| self.dag.tasks[at].id.as_str());
        let map_index = task.map_index.0.try_into().ok();
        Instance {
            task: task_id,
            map_index,
        }
        .to_string()
    }
}

/// How long its last try took, if there was one.
fn took(task: &TaskRow) -> Option<Duration> {
    let (from, to) = task.started_at.zip(task.ended_at)?;
    Some(to.since(from))
}

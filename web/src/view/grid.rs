//! The grid: tasks by runs.

use super::rows::TaskLine;
use super::{Badge, height, span, text, urgency};
use std::collections::HashMap;
use std::time::Duration;
use tidemill_model::{RunType, TaskNo, TaskState, Ts};
use tidemill_store::{RunRecord, TaskRow};

/// A run as a column, or as a bar in a list.
#[derive(Clone, Debug)]
pub(crate) struct RunBar {
    pub(crate) url: String,
    pub(crate) badge: Badge,
    pub(crate) height: usize,
    pub(crate) label: String,
    pub(crate) kind: &'static str,
}

/// Bars of runs, oldest first; they are given newest first.
pub(crate) fn bars(runs: &[RunRecord], now: Ts) -> Vec<RunBar> {
    let length = |run: &RunRecord| span(run.row.started_at, run.row.ended_at, now);
    let longest = runs
        .iter()
        .filter_map(length)
        .max()
        .unwrap_or(Duration::ZERO);
    let bar = |run: &RunRecord| RunBar {
        url: text::run_url(&run.dag_id, &run.row.run_id),
        badge: run.row.state.into(),
        height: height(length(run), longest),
        label: format!(
            "{}, {}, {}",
            run.row.run_id,
            run.row.state,
            length(run).map_or("not started".to_string(), tidemill_model::time::human)
        ),
        kind: kind(run.row.run_type),
    };
    runs.iter().rev().map(bar).collect()
}

/// One letter for what caused a run.
pub(crate) const fn kind(run_type: RunType) -> &'static str {
    match run_type {
        RunType::Manual => "M",
        RunType::Scheduled => "S",
        RunType::Backfill => "B",
        RunType::AssetTriggered => "A",
    }
}

/// One cell; without an address where the run has no such task.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) url: String,
    pub(crate) badge: Badge,
    pub(crate) label: String,
}

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct GridRow {
    pub(crate) task: TaskLine,
    pub(crate) cells: Vec<Option<Cell>>,
}

/// Rows for these tasks; columns oldest first, from runs newest first. A mapped task shows the
/// worst of its instances.
pub(crate) fn rows(lines: &[TaskLine], runs: &[RunRecord], instances: &[TaskRow]) -> Vec<GridRow> {
    let mut worst: HashMap<(i64, TaskNo), &TaskRow> = HashMap::new();
    for row in instances {
        let entry = worst.entry((row.run.0, row.task_no)).or_insert(row);
        if urgency(row.state) < urgency(entry.state) {
            *entry = row;
        }
    }
    let cell = |line: &TaskLine, run: &RunRecord| {
        let row = worst.get(&(run.row.run.0, line.no));
        let state = match row {
            Some(row) => row.state,
            None if run.row.state.is_terminal() => return None,
            None => TaskState::None,
        };
        Some(Cell {
            url: text::task_url(
                &run.dag_id,
                &run.row.run_id,
                &line.id,
                row.map_or(-1, |row| row.map_index.0),
            ),
            badge: state.into(),
            label: format!(
                "{} in {}: {}",
                line.id,
                run.row.run_id,
                Badge::from(state).word
            ),
        })
    };
    lines
        .iter()
        .map(|line| GridRow {
            task: line.clone(),
            cells: runs.iter().rev().map(|run| cell(line, run)).collect(),
        })
        .collect()
}

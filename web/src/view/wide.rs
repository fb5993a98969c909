//! Runs of very many tasks: only the rows that a page shows are read.

use super::rows::TaskLine;
use super::urgency;
use crate::error::Fault;
use std::collections::HashSet;
use tidemill_model::{Dag, RunNo, TaskNo, TaskState};
use tidemill_store::{PageStore, RunRecord, TaskRow};

/// A DAG with more tasks than this is wide.
const TASKS_MAX: usize = 5_000;

/// Are the rows of a run too many to read them all for one page? With mapped tasks there is no
/// telling which rows belong to which page, so those are read all the same.
pub(crate) fn is_wide(dag: Option<&Dag>) -> bool {
    let is_wide = |dag: &Dag| {
        dag.tasks.len() > TASKS_MAX && dag.tasks.iter().all(|task| task.mapping.is_none())
    };
    dag.is_some_and(is_wide)
}

/// How many instances of a run are in which state, worst first. A run that is not over has one
/// without a state for each task that has no row yet.
pub(crate) async fn counts(
    pages: &dyn PageStore,
    run: &RunRecord,
    dag: &Dag,
) -> Result<Vec<(TaskState, usize)>, Fault> {
    let stored = pages.task_counts(run.row.run).await?;
    let size = |n: i64| usize::try_from(n).unwrap_or(0);
    let mut counts: Vec<(TaskState, usize)> = stored
        .into_iter()
        .map(|(state, n)| (state, size(n)))
        .collect();
    let n_rows: usize = counts.iter().map(|(_, n)| n).sum();
    if !run.row.state.is_terminal() && n_rows < dag.tasks.len() {
        let n_untouched = dag.tasks.len() - n_rows;
        match counts
            .iter_mut()
            .find(|(state, _)| *state == TaskState::None)
        {
            Some((_, n)) => *n += n_untouched,
            None => counts.push((TaskState::None, n_untouched)),
        }
    }
    counts.sort_by_key(|(state, _)| urgency(*state));
    Ok(counts)
}

/// Rows of a run, worst first: at most `limit` after the first `offset`, in one state where one
/// is chosen.
pub(crate) async fn most_urgent(
    pages: &dyn PageStore,
    run: RunNo,
    counts: &[(TaskState, usize)],
    chosen: Option<TaskState>,
    (offset, limit): (usize, usize),
) -> Result<Vec<TaskRow>, Fault> {
    let (mut skip, mut found) = (offset, Vec::new());
    for &(state, n) in counts {
        if chosen.is_some_and(|chosen| chosen != state) {
            continue;
        }
        if skip >= n {
            skip -= n;
            continue;
        }
        let left = limit - found.len();
        if left == 0 {
            break;
        }
        let page = pages
            .task_page(run, &[state], number(skip), number(left))
            .await?;
        skip = 0;
        found.extend(page);
    }
    Ok(found)
}

/// The rows of some tasks that stand together in the file, from the place `first` on. Where the
/// order of rows is not that of the file, or there are gaps, all rows are read.
pub(crate) async fn rows_of(
    pages: &dyn PageStore,
    run: RunNo,
    lines: &[TaskLine],
    first: usize,
) -> Result<Vec<TaskRow>, Fault> {
    let page = pages
        .task_page(run, &[], number(first), number(lines.len()))
        .await?;
    let found: HashSet<TaskNo> = page.iter().map(|row| row.task_no).collect();
    let has_all = lines.iter().all(|line| found.contains(&line.no));
    let is_whole_run = first == 0 && page.len() < lines.len();
    if has_all || is_whole_run {
        return Ok(page);
    }
    Ok(pages.tasks(&[run]).await?)
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

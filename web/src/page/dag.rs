//! The grid of a DAG: its tasks by its last runs.

use super::{DagHead, Frame, PageResult, dag_facts, dag_head, show};
use crate::Web;
use crate::view::grid::{self, GridRow, RunBar};
use crate::view::{self, rows, wide};
use askama::Template;
use axum::extract::{Path, Query, State};
use std::collections::HashMap;
use tidemill_model::{RunNo, RunState};
use tidemill_store::RunFilter;

const RUNS: usize = 25;
const CELLS_MAX: usize = 25_000;
const ROWS_MAX: usize = 1_000;

#[derive(Template)]
#[template(path = "grid.html")]
struct Grid {
    frame: Frame,
    head: DagHead,
    bars: Vec<RunBar>,
    rows: Vec<GridRow>,
    n_tasks: usize,
    first: usize,
    last: usize,
    earlier: Option<usize>,
    later: Option<usize>,
    older: Option<i64>,
}

/// The page that a DAG opens on.
pub(crate) async fn page(
    State(web): State<Web>,
    Path(dag_id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> PageResult {
    let facts = dag_facts(&web, &dag_id).await?;
    let number = |key: &str| query.get(key).and_then(|text| text.parse::<i64>().ok());
    let lines = rows::task_lines(facts.dag.as_deref(), &facts.names);
    // A wide DAG shows fewer runs, so that the page stays small.
    let n_runs = (CELLS_MAX / lines.len().max(1)).clamp(1, RUNS);
    let filter = RunFilter {
        dag_id: Some(dag_id.clone()),
        before: number("before").map(RunNo),
        limit: n_runs as u32,
        ..RunFilter::default()
    };
    let list = web.doors.pages.runs(&filter).await?;
    let numbers: Vec<RunNo> = list.runs.iter().map(|run| run.row.run).collect();
    let offset = usize::try_from(number("offset").unwrap_or(0))
        .unwrap_or(0)
        .min(lines.len());
    let end = (offset + ROWS_MAX).min(lines.len());
    let shown = &lines[offset..end];
    let instances = match numbers.as_slice() {
        [one] if wide::is_wide(facts.dag.as_deref()) => {
            wide::rows_of(web.doors.pages.as_ref(), *one, shown, offset).await?
        }
        numbers => web.doors.pages.tasks(numbers).await?,
    };
    let full = list.runs.len() == n_runs;
    let mut frame = Frame::new(
        dag_id.as_str(),
        Some(format!("dag:{dag_id}")),
        web.doors.version,
    );
    frame.refresh = list.runs.iter().any(|run| !run.row.state.is_terminal());
    if list
        .runs
        .first()
        .is_some_and(|run| run.row.state == RunState::Failed)
    {
        frame.title = format!("✗ {dag_id}");
    }
    show(&Grid {
        frame,
        head: dag_head(&web, &facts, "grid").await?,
        bars: grid::bars(&list.runs, view::now()),
        rows: grid::rows(shown, &list.runs, &instances),
        n_tasks: lines.len(),
        first: offset + 1,
        last: end,
        earlier: (offset > 0).then(|| offset.saturating_sub(ROWS_MAX)),
        later: (end < lines.len()).then_some(end),
        older: list.runs.last().filter(|_| full).map(|run| run.row.run.0),
    })
}

//! The list of DAGs, and the switch that pauses one.

use super::code::DiagnosticLine;
use super::{Frame, PageResult, ask, code, go, schedule_text, show, why_paused};
use crate::Web;
use crate::error::Fault;
use crate::view::grid::{self, RunBar};
use crate::view::names::Names;
use crate::view::{self, Badge, When, text};
use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use std::collections::HashMap;
use tidemill_model::{RunState, TaskState};
use tidemill_store::{Command, DagRecord, RunFilter, RunRecord};

const DAGS_PER_PAGE: usize = 100;
const BARS: u32 = 14;

/// What the empty list shows to start from.
pub(crate) const SAMPLE: &str = include_str!("../../static/sample.toml");

struct Line {
    id: String,
    url: String,
    title: String,
    description: String,
    schedule: String,
    next: Option<(When, String)>,
    is_paused: bool,
    is_stale: bool,
    /// Why it is paused without anybody's doing, and what it owes.
    of_pause: Vec<String>,
    bars: Vec<RunBar>,
    counts: Vec<(Badge, i64)>,
    failing: Option<(String, String)>,
}

#[derive(Template)]
#[template(path = "dags.html")]
struct Dags {
    frame: Frame,
    lines: Vec<Line>,
    errors: Vec<DiagnosticLine>,
    total: usize,
    query: String,
    earlier: Option<usize>,
    later: Option<usize>,
    sample: &'static str,
}

/// The list.
pub(crate) async fn list(
    State(web): State<Web>,
    Query(query): Query<HashMap<String, String>>,
) -> PageResult {
    let wanted = query.get("q").cloned().unwrap_or_default();
    let offset = query
        .get("offset")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0usize);
    let needle = wanted.to_lowercase();
    let mut dags = web.doors.pages.dags().await?;
    let is_empty = dags.is_empty();
    dags.retain(|dag| dag.dag_id.to_lowercase().contains(&needle));
    dags.retain(|dag| !dag.is_stale || !needle.is_empty());
    let total = dags.len();
    let mut counts: HashMap<_, Vec<(RunState, i64)>> = HashMap::new();
    for (dag, state, n) in web.doors.pages.run_counts().await? {
        counts.entry(dag).or_default().push((state, n));
    }
    let mut lines = Vec::new();
    let mut running = false;
    let shown = || dags.iter().skip(offset).take(DAGS_PER_PAGE);
    let mut of_pause = why_paused(&web, shown()).await;
    for dag in shown() {
        let counts = counts.remove(&dag.dag).unwrap_or_default();
        running |= counts
            .iter()
            .any(|(state, n)| !state.is_terminal() && *n > 0);
        let of_pause = of_pause.remove(&dag.dag_id).unwrap_or_default();
        lines.push(line(&web, dag, counts, of_pause).await?);
    }
    let mut frame = Frame::new("DAGs", Some(String::new()), web.doors.version);
    frame.refresh = running;
    let failing = lines.iter().filter(|line| line.failing.is_some()).count();
    if failing > 0 {
        frame.title = format!("✗ {failing} · DAGs");
    }
    show(&Dags {
        frame,
        errors: code::diagnostics(&web, None).await?,
        earlier: (offset > 0).then(|| offset.saturating_sub(DAGS_PER_PAGE)),
        later: (offset + DAGS_PER_PAGE < total).then_some(offset + DAGS_PER_PAGE),
        lines,
        total: if is_empty { 0 } else { total.max(1) },
        query: wanted,
        sample: SAMPLE,
    })
}

async fn line(
    web: &Web,
    record: &DagRecord,
    mut counts: Vec<(RunState, i64)>,
    of_pause: Vec<String>,
) -> Result<Line, Fault> {
    let now = view::now();
    let dag = web
        .definitions
        .get(web.doors.pages.as_ref(), record.version)
        .await?;
    let dag = dag.as_deref();
    let filter = RunFilter {
        dag_id: Some(record.dag_id.clone()),
        limit: BARS,
        ..RunFilter::default()
    };
    let runs = web.doors.pages.runs(&filter).await?.runs;
    let failing = match runs.first() {
        Some(run) if run.row.state == RunState::Failed => failing_task(web, record, run).await?,
        _ => None,
    };
    counts.sort_by_key(|(state, _)| match state {
        RunState::Failed => 0,
        RunState::Running => 1,
        RunState::Queued => 2,
        RunState::Success => 3,
    });
    let next = record
        .next_run
        .filter(|_| !record.is_paused && !record.is_stale);
    Ok(Line {
        id: record.dag_id.clone(),
        url: text::dag_url(&record.dag_id),
        title: text::inert(
            dag.and_then(|dag| dag.display_name.as_deref())
                .unwrap_or(&record.dag_id),
        ),
        description: text::cut(
            &text::inert(
                dag.and_then(|dag| dag.description.as_deref())
                    .unwrap_or_default(),
            ),
            160,
        ),
        schedule: schedule_text(dag),
        next: next.map(|at| (at.into(), view::relative(at, now))),
        is_paused: record.is_paused,
        is_stale: record.is_stale,
        of_pause,
        bars: grid::bars(&runs, now),
        counts: counts
            .into_iter()
            .filter(|(_, n)| *n > 0)
            .map(|(state, n)| (state.into(), n))
            .collect(),
        failing,
    })
}

/// The name and the page of the first task that failed in a run.
async fn failing_task(
    web: &Web,
    record: &DagRecord,
    run: &RunRecord,
) -> Result<Option<(String, String)>, Fault> {
    let rows = web.doors.pages.tasks(&[run.row.run]).await?;
    let failed = rows
        .iter()
        .filter(|row| row.state == TaskState::Failed)
        .min_by_key(|row| row.ended_at);
    let Some(row) = failed else { return Ok(None) };
    let names = Names::new(web.doors.pages.task_names(record.dag).await?);
    let id = names.id(row.task_no);
    Ok(Some((
        id.to_string(),
        text::task_url(&run.dag_id, &run.row.run_id, id, row.map_index.0),
    )))
}

/// Stops or resumes a DAG's schedule, and goes back to where the form was.
pub(crate) async fn pause(
    State(web): State<Web>,
    Path(dag_id): Path<String>,
    Form(form): Form<HashMap<String, String>>,
) -> PageResult {
    let paused = form.get("paused").map(String::as_str) == Some("true");
    let back = match form.get("back").map(String::as_str) {
        Some("dag") => text::dag_url(&dag_id),
        _ => "/dags".to_string(),
    };
    ask(&web, Command::SetPaused { dag_id, paused }).await?;
    Ok(go(&back))
}

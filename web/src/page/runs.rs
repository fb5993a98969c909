//! Tables of runs: of one DAG, and of all.

use super::{DagHead, Frame, PageResult, dag_facts, dag_head, show};
use crate::Web;
use crate::view::{self, Badge, When, span_text, text};
use askama::Template;
use axum::extract::{Path, Query, State};
use std::collections::HashMap;
use tidemill_model::{RunState, Ts};
use tidemill_store::{RunFilter, RunRecord};

const RUNS_PER_PAGE: u32 = 50;

struct Line {
    dag_id: String,
    dag_url: String,
    run_id: String,
    url: String,
    short: String,
    badge: Badge,
    cause: &'static str,
    logical: Option<When>,
    start: Option<When>,
    duration: String,
    version: i64,
    note: String,
}

struct Choice {
    name: &'static str,
    url: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "runs.html")]
struct Runs {
    frame: Frame,
    head: Option<DagHead>,
    lines: Vec<Line>,
    choices: Vec<Choice>,
    total: i64,
    newer: Option<String>,
    older: Option<String>,
}

/// The runs of one DAG.
pub(crate) async fn of_dag(
    State(web): State<Web>,
    Path(dag_id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> PageResult {
    let facts = dag_facts(&web, &dag_id).await?;
    let head = dag_head(&web, &facts, "runs").await?;
    let base = format!("{}/runs", head.url);
    let mut frame = Frame::new(
        format!("{dag_id} runs"),
        Some(format!("dag:{dag_id}")),
        web.doors.version,
    );
    let (lines, total, refresh) = lines(&web, Some(dag_id), &query).await?;
    frame.refresh = refresh;
    show(&page(frame, Some(head), lines, total, &base, &query))
}

/// The runs of all DAGs.
pub(crate) async fn all(
    State(web): State<Web>,
    Query(query): Query<HashMap<String, String>>,
) -> PageResult {
    let mut frame = Frame::new("Runs", Some(String::new()), web.doors.version);
    let (lines, total, refresh) = lines(&web, None, &query).await?;
    frame.refresh = refresh;
    show(&page(frame, None, lines, total, "/runs", &query))
}

fn state(query: &HashMap<String, String>) -> Option<RunState> {
    query
        .get("state")
        .and_then(|name| RunState::from_name(name))
}

fn offset(query: &HashMap<String, String>) -> u32 {
    query
        .get("offset")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

async fn lines(
    web: &Web,
    dag_id: Option<String>,
    query: &HashMap<String, String>,
) -> Result<(Vec<Line>, i64, bool), crate::error::Fault> {
    let filter = RunFilter {
        dag_id,
        states: state(query).into_iter().collect(),
        offset: offset(query),
        limit: RUNS_PER_PAGE,
        ..RunFilter::default()
    };
    let list = web.doors.pages.runs(&filter).await?;
    let now = view::now();
    let refresh = list.runs.iter().any(|run| !run.row.state.is_terminal());
    Ok((
        list.runs.iter().map(|run| line(run, now)).collect(),
        list.total,
        refresh,
    ))
}

fn line(run: &RunRecord, now: Ts) -> Line {
    let row = &run.row;
    Line {
        dag_id: run.dag_id.clone(),
        dag_url: text::dag_url(&run.dag_id),
        run_id: text::inert(&row.run_id),
        url: text::run_url(&run.dag_id, &row.run_id),
        short: row.run.short_id(),
        badge: row.state.into(),
        cause: row.run_type.name(),
        logical: row.logical_date.map(When::from),
        start: row.started_at.map(When::from),
        duration: span_text(row.started_at, row.ended_at, now),
        version: run.version_number,
        note: row
            .reason
            .map(|reason| reason.name().replace('_', " "))
            .unwrap_or_default(),
    }
}

fn page(
    frame: Frame,
    head: Option<DagHead>,
    lines: Vec<Line>,
    total: i64,
    base: &str,
    query: &HashMap<String, String>,
) -> Runs {
    let chosen = state(query);
    let url = |state: Option<RunState>, offset: u32| match state {
        Some(state) => format!("{base}?state={state}&offset={offset}"),
        None => format!("{base}?offset={offset}"),
    };
    let mut choices = vec![Choice {
        name: "all",
        url: url(None, 0),
        chosen: chosen.is_none(),
    }];
    choices.extend(
        [
            RunState::Failed,
            RunState::Running,
            RunState::Queued,
            RunState::Success,
        ]
        .map(|state| Choice {
            name: state.name(),
            url: url(Some(state), 0),
            chosen: chosen == Some(state),
        }),
    );
    let at = offset(query);
    let next = at.saturating_add(RUNS_PER_PAGE);
    Runs {
        frame,
        head,
        lines,
        choices,
        total,
        newer: (at > 0).then(|| url(chosen, at.saturating_sub(RUNS_PER_PAGE))),
        older: (i64::from(next) < total).then(|| url(chosen, next)),
    }
}

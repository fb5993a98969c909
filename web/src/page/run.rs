//! One run: what failed first, then its tasks, and the forms that steer it.

use super::{DagFacts, Frame, PageResult, ask, go, run_facts, show};
use crate::Web;
use crate::error::Fault;
use crate::view::rows::{self, InstanceLine};
use crate::view::wide;
use crate::view::{self, Badge, When, exit_text, span_text, text};
use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use std::collections::HashMap;
use tidemill_model::{Dag, MapIndex, RunState, TaskState, Ts};
use tidemill_store::{Command, Reach, RunRecord, TaskRow};

const ROWS_MAX: usize = 500;
const FAILURES_MAX: usize = 5;
const LAST_LINES: usize = 20;

/// A task that failed, with the end of its log.
pub(crate) struct Failure {
    title: String,
    url: String,
    note: String,
    tries: String,
    exit: Option<&'static str>,
    lines: Vec<super::log::ShownLine>,
}

#[derive(Template)]
#[template(path = "run.html")]
struct Run {
    frame: Frame,
    dag_id: String,
    dag_url: String,
    run_id: String,
    short: String,
    url: String,
    badge: Badge,
    reason: String,
    cause: String,
    logical: Option<When>,
    interval: Option<(When, When)>,
    queued: When,
    /// The instant before which it does not begin, while it waits for that.
    begins: Option<When>,
    start: Option<When>,
    end: Option<When>,
    duration: String,
    version: i64,
    conf: Option<String>,
    note: String,
    is_over: bool,
    can_clear_failed: bool,
    failures: Vec<Failure>,
    more_failures: usize,
    blocked: usize,
    counts: Vec<(Badge, usize)>,
    chosen: String,
    lines: Vec<InstanceLine>,
    groups: Vec<String>,
    n_instances: usize,
    later: Option<usize>,
}

/// The page.
pub(crate) async fn page(
    State(web): State<Web>,
    Path((dag_id, run_id)): Path<(String, String)>,
    Query(query): Query<HashMap<String, String>>,
) -> PageResult {
    let (facts, run) = run_facts(&web, &dag_id, &run_id).await?;
    let chosen = query.get("state").cloned().unwrap_or_default();
    let offset = query
        .get("offset")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0usize);
    let shown = shown(&web, &facts, &run, &chosen, offset).await?;
    let n_in = |state| {
        let of_state = shown.counts.iter().find(|(other, _)| *other == state);
        of_state.map_or(0, |(_, n)| *n)
    };
    let (n_failed, blocked) = (n_in(TaskState::Failed), n_in(TaskState::UpstreamFailed));
    let more_failures = n_failed.saturating_sub(FAILURES_MAX);
    let mut failures = Vec::new();
    for row in &shown.failed {
        failures.push(failure(&web, &facts, &run, row).await?);
    }
    let (lines, n_instances) = (shown.lines, shown.n_instances);
    let badge = |(state, n): &(TaskState, usize)| (Badge::from(*state), *n);
    let counts: Vec<(Badge, usize)> = shown.counts.iter().map(badge).collect();
    let row = &run.row;
    let mut frame = Frame::new(
        format!("{} {dag_id} {run_id}", row.state.glyph()),
        Some(format!("run:{}", row.run)),
        web.doors.version,
    );
    frame.refresh = !row.state.is_terminal();
    let now = view::now();
    show(&Run {
        frame,
        dag_url: text::dag_url(&dag_id),
        url: text::run_url(&dag_id, &run_id),
        short: row.run.short_id(),
        badge: row.state.into(),
        reason: row
            .reason
            .map(|reason| reason.name().replace('_', " "))
            .unwrap_or_default(),
        cause: cause(&run),
        logical: row.logical_date.map(When::from),
        interval: interval(&run),
        queued: row.queued_at.into(),
        begins: row.waits_to_begin(now).then(|| row.run_after.into()),
        start: row.started_at.map(When::from),
        end: row.ended_at.map(When::from),
        duration: span_text(row.started_at, row.ended_at, now),
        version: run.version_number,
        conf: conf(&row.conf),
        note: text::inert(row.note.as_deref().unwrap_or_default()),
        is_over: row.state.is_terminal(),
        can_clear_failed: blocked > 0 || n_failed > 0,
        failures,
        more_failures,
        blocked,
        counts,
        chosen,
        lines,
        groups: facts
            .dag
            .iter()
            .flat_map(|dag| &dag.groups)
            .map(|group| group.id.clone())
            .collect(),
        n_instances,
        later: (offset + ROWS_MAX < n_instances).then_some(offset + ROWS_MAX),
        dag_id,
        run_id: text::inert(&run_id),
    })
}

async fn failure(
    web: &Web,
    facts: &DagFacts,
    run: &RunRecord,
    row: &TaskRow,
) -> Result<Failure, Fault> {
    let id = facts.names.id(row.task_no);
    let log = super::log::log_of(web, row, row.try_number).await;
    let lines = tokio::task::spawn_blocking(move || tidemill_log::tail(&*log, LAST_LINES)).await;
    let map = if row.map_index.0 < 0 {
        String::new()
    } else {
        format!(" [{}]", row.map_index)
    };
    let lines = match lines {
        Ok(Ok(lines)) => lines,
        Ok(Err(err)) => {
            tracing::warn!(error = %err, "a log cannot be read");
            Vec::new()
        }
        Err(_) => Vec::new(),
    };
    Ok(Failure {
        title: format!("{id}{map}"),
        url: text::task_url(&run.dag_id, &run.row.run_id, id, row.map_index.0),
        note: rows::note(row),
        tries: rows::tries_text(row),
        exit: row.exit_code.and_then(exit_text),
        lines: super::log::shown(&lines, None),
    })
}

/// What the page shows of a run's instances.
struct Shown {
    counts: Vec<(TaskState, usize)>,
    /// The first that failed.
    failed: Vec<TaskRow>,
    lines: Vec<InstanceLine>,
    /// How many there are of those that are wished.
    n_instances: usize,
}

async fn shown(
    web: &Web,
    facts: &DagFacts,
    run: &RunRecord,
    chosen: &str,
    offset: usize,
) -> Result<Shown, Fault> {
    match facts.dag.as_deref().filter(|dag| wide::is_wide(Some(dag))) {
        Some(dag) => of_wide(web, facts, dag, run, chosen, offset).await,
        None => of_all(web, facts, run, chosen, offset).await,
    }
}

/// Of a run with so many tasks that their rows are read by pages, the most urgent first.
async fn of_wide(
    web: &Web,
    facts: &DagFacts,
    dag: &Dag,
    run: &RunRecord,
    chosen: &str,
    offset: usize,
) -> Result<Shown, Fault> {
    let (pages, no) = (web.doors.pages.as_ref(), run.row.run);
    let counts = wide::counts(pages, run, dag).await?;
    let state = TaskState::from_name(chosen);
    let of_state = |(other, n): &(TaskState, usize)| match state {
        Some(state) if state != *other => 0,
        _ => *n,
    };
    let rows = wide::most_urgent(pages, no, &counts, state, (offset, ROWS_MAX)).await?;
    let failed = pages
        .task_page(no, &[TaskState::Failed], 0, FAILURES_MAX as u32)
        .await?;
    let now = view::now();
    let times = (
        run.row.started_at.unwrap_or(now),
        run.row.ended_at.unwrap_or(now),
        now,
    );
    let line = |row: &TaskRow| {
        let line = rows::task_line(Some(dag), &facts.names, row.task_no);
        rows::instance_line(run, row, line.as_ref(), facts.names.id(row.task_no), times)
    };
    Ok(Shown {
        n_instances: counts.iter().map(of_state).sum(),
        lines: rows.iter().map(line).collect(),
        failed,
        counts,
    })
}

/// Of a run whose rows are all read: in the order of the DAG, the most urgent first where they
/// are more than one page.
async fn of_all(
    web: &Web,
    facts: &DagFacts,
    run: &RunRecord,
    chosen: &str,
    offset: usize,
) -> Result<Shown, Fault> {
    let stored = web.doors.pages.tasks(&[run.row.run]).await?;
    let task_lines = rows::task_lines(facts.dag.as_deref(), &facts.names);
    let instances = rows::instances(run, stored, &task_lines, facts.dag.as_deref());
    let is_failed = |row: &&TaskRow| row.state == TaskState::Failed;
    let mut failed: Vec<TaskRow> = instances.iter().filter(is_failed).cloned().collect();
    failed.sort_by_key(|row| row.ended_at);
    failed.truncate(FAILURES_MAX);
    let (lines, n_instances) = table(facts, run, &instances, &task_lines, chosen, offset);
    Ok(Shown {
        counts: rows::counts(&instances),
        failed,
        lines,
        n_instances,
    })
}

/// The wanted instances, in the order of the DAG or worst first.
fn table(
    facts: &DagFacts,
    run: &RunRecord,
    instances: &[TaskRow],
    task_lines: &[rows::TaskLine],
    chosen: &str,
    offset: usize,
) -> (Vec<InstanceLine>, usize) {
    let places: HashMap<_, _> = task_lines
        .iter()
        .enumerate()
        .map(|(at, line)| (line.no, at))
        .collect();
    let place = |row: &TaskRow| places.get(&row.task_no).copied().unwrap_or(usize::MAX);
    let mut wanted: Vec<&TaskRow> = instances
        .iter()
        .filter(|row| chosen.is_empty() || row.state.name() == chosen)
        .collect();
    if instances.len() > ROWS_MAX {
        wanted.sort_by_key(|row| (view::urgency(row.state), place(row), row.map_index));
    } else {
        wanted.sort_by_key(|row| (place(row), row.map_index));
    }
    let now = view::now();
    let begin = instances
        .iter()
        .filter_map(|row| row.started_at)
        .min()
        .unwrap_or(now);
    let over = instances.iter().all(|row| row.state.is_terminal());
    let last = instances
        .iter()
        .filter_map(|row| row.ended_at)
        .max()
        .unwrap_or(now);
    let times: (Ts, Ts, Ts) = (begin, if over { last } else { now }, now);
    let n = wanted.len();
    let lines = wanted.into_iter().skip(offset).take(ROWS_MAX).map(|row| {
        let line = places.get(&row.task_no).map(|at| &task_lines[*at]);
        rows::instance_line(run, row, line, facts.names.id(row.task_no), times)
    });
    (lines.collect(), n)
}

fn cause(run: &RunRecord) -> String {
    match &run.row.triggered_by {
        Some(by) => format!("{} by {}", run.row.run_type, text::inert(by)),
        None => run.row.run_type.to_string(),
    }
}

fn interval(run: &RunRecord) -> Option<(When, When)> {
    let (start, end) = run.row.data_interval_start.zip(run.row.data_interval_end)?;
    (start != end).then(|| (start.into(), end.into()))
}

/// The parameters as JSON; `None` when there are none.
fn conf(conf: &serde_json::Value) -> Option<String> {
    let is_empty = conf.as_object().is_none_or(serde_json::Map::is_empty);
    (!is_empty).then(|| {
        text::cut(
            &text::inert(&serde_json::to_string_pretty(conf).unwrap_or_default()),
            4000,
        )
    })
}

/// Ends the run.
pub(crate) async fn cancel(
    State(web): State<Web>,
    Path((dag_id, run_id)): Path<(String, String)>,
) -> PageResult {
    let back = text::run_url(&dag_id, &run_id);
    ask(&web, Command::Cancel { dag_id, run_id }).await?;
    Ok(go(&back))
}

/// Keeps a note on the run; an empty one forgets it.
pub(crate) async fn note(
    State(web): State<Web>,
    Path((dag_id, run_id)): Path<(String, String)>,
    Form(form): Form<HashMap<String, String>>,
) -> PageResult {
    let back = text::run_url(&dag_id, &run_id);
    let command = Command::SetNote {
        dag_id,
        run_id,
        task: None,
        note: form.get("note").cloned().unwrap_or_default(),
    };
    ask(&web, command).await?;
    Ok(go(&back))
}

/// Says that a task or all tasks of a group have ended so.
pub(crate) async fn mark_tasks(
    State(web): State<Web>,
    Path((dag_id, run_id)): Path<(String, String)>,
    Form(form): Form<HashMap<String, String>>,
) -> PageResult {
    let name = form
        .get("name")
        .map(|name| name.trim().to_string())
        .unwrap_or_default();
    let known = [TaskState::Success, TaskState::Failed, TaskState::Skipped];
    let asked = form.get("state").map(String::as_str);
    let state = known.into_iter().find(|known| Some(known.name()) == asked);
    let (Some(state), false) = (state, name.is_empty()) else {
        let what = "a task or a group by name, and `success`, `failed` or `skipped`";
        return Err(Fault::invalid("body", "state", what).into());
    };
    let back = text::run_url(&dag_id, &run_id);
    let command = Command::MarkTasks {
        dag_id,
        reach: Reach::of_run(run_id, vec![(name, MapIndex::NONE)]),
        state,
        dry_run: false,
    };
    ask(&web, command).await?;
    Ok(go(&back))
}

/// Says that the run has ended so.
pub(crate) async fn mark(
    State(web): State<Web>,
    Path((dag_id, run_id)): Path<(String, String)>,
    Form(form): Form<HashMap<String, String>>,
) -> PageResult {
    let state = form
        .get("state")
        .and_then(|name| RunState::from_name(name))
        .filter(|state| state.is_terminal());
    let Some(state) = state else {
        return Err(
            Fault::invalid("body", "state", "a run can be marked `success` or `failed`").into(),
        );
    };
    let back = text::run_url(&dag_id, &run_id);
    ask(
        &web,
        Command::MarkRun {
            dag_id,
            run_id,
            state,
        },
    )
    .await?;
    Ok(go(&back))
}

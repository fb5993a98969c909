//! A task instance: its tries, and its log, which follows while it is written.

use super::log::{ShownLine, is_complete, log_of, shown, size_text};
use super::why::{self, ConditionLine};
use super::{DagFacts, Frame, PageResult, ask, go, run_facts, show};
use crate::Web;
use crate::api::conditions;
use crate::error::Fault;
use crate::view::rows::{self, TaskLine};
use crate::view::{self, Badge, When, exit_text, span_text, text};
use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use std::collections::HashMap;
use tidemill_log::{Ends, LogLine, NOTE};
use tidemill_model::{MapIndex, TaskNo, TaskState, Ts};
use tidemill_store::{Command, Reach, RunRecord, TaskNote, TaskRow, WhyOf};

const HEAD: usize = 500;
const TAIL: usize = 2_000;

struct TryLine {
    number: i32,
    badge: Badge,
    duration: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "task.html")]
struct Task {
    frame: Frame,
    dag_id: String,
    dag_url: String,
    run_id: String,
    run_url: String,
    run_badge: Badge,
    task_id: String,
    title: String,
    url: String,
    map_index: i32,
    operator: String,
    badge: Badge,
    note: String,
    exit: Option<&'static str>,
    tries: Vec<TryLine>,
    shown_try: i32,
    scheduled: Option<When>,
    queued: Option<When>,
    start: Option<When>,
    end: Option<When>,
    duration: String,
    waited: String,
    log_url: String,
    lines_url: String,
    size_text: String,
    head: Vec<ShownLine>,
    gap: u64,
    gap_from: u64,
    tail: Vec<ShownLine>,
    next: u64,
    size: u64,
    is_done: bool,
    can_mark: bool,
    outputs: Vec<(String, String)>,
    /// While it waits: for what.
    conditions: Vec<ConditionLine>,
    /// What a person has noted on it.
    noted: String,
}

/// One instance and the tries that it had.
pub(crate) struct Instance {
    pub(crate) facts: DagFacts,
    pub(crate) run: RunRecord,
    pub(crate) row: TaskRow,
}

/// The instance of those names.
pub(crate) async fn find(
    web: &Web,
    dag_id: &str,
    run_id: &str,
    task_id: &str,
    map: MapIndex,
) -> Result<Instance, Fault> {
    let (facts, run) = run_facts(web, dag_id, run_id).await?;
    let mut row = None;
    if let Some(no) = facts.names.no(task_id) {
        row = web.doors.pages.task(run.row.run, no, map).await?;
        let task = facts
            .dag
            .as_deref()
            .and_then(|dag| rows::task_of(dag, task_id, no));
        if let (None, Some(task), MapIndex::NONE) = (&row, task, map)
            && is_untouched(web, &run, task, no).await?
        {
            // It has no row yet: nothing has happened to it.
            row = Some(TaskRow::new(run.row.run, no, map, task.retry.retries));
        }
    }
    match row {
        Some(row) => Ok(Instance { facts, run, row }),
        None => Err(missing(&facts, task_id, map)),
    }
}

/// Why a run has no such instance.
fn missing(facts: &DagFacts, task_id: &str, map: MapIndex) -> Fault {
    let Some(no) = facts.names.no(task_id) else {
        return Fault::no_such("task of this run", task_id, facts.names.ids());
    };
    let task = facts.dag.as_deref();
    let task = task.and_then(|dag| rows::task_of(dag, task_id, no));
    let is_mapped = task.is_some_and(|task| task.mapping.is_some());
    Fault::not_found(match (map, is_mapped) {
        (MapIndex::NONE, true) => format!(
            "`{task_id}` is mapped: name one of its instances, such as `{task_id}[0]` (in the API `map_index=0`)"
        ),
        (MapIndex::NONE, false) => format!("`{task_id}` is not part of this run"),
        (map, _) => format!("`{task_id}` has no instance {map} in this run"),
    })
}

/// Has nothing happened to a task without a row of its own? It has when instances stand in its
/// place; and in a run that is over, unless that ended before it began.
async fn is_untouched(
    web: &Web,
    run: &RunRecord,
    task: &tidemill_model::Task,
    no: TaskNo,
) -> Result<bool, Fault> {
    let is_over = run.row.state.is_terminal();
    if !is_over && task.mapping.is_none() {
        return Ok(true);
    }
    let all = web.doors.pages.tasks(&[run.row.run]).await?;
    Ok(!all.iter().any(|row| is_over || row.task_no == no))
}

/// Do instances stand in the place of this task?
async fn is_expanded(web: &Web, dag_id: &str, run_id: &str, task_id: &str) -> Result<bool, Fault> {
    let (facts, run) = run_facts(web, dag_id, run_id).await?;
    let Some(no) = facts.names.no(task_id) else {
        return Ok(false);
    };
    let all = web.doors.pages.tasks(&[run.row.run]).await?;
    Ok(all.iter().any(|row| row.task_no == no))
}

pub(super) fn map_index(query: &HashMap<String, String>) -> MapIndex {
    query
        .get("map_index")
        .and_then(|text| text.parse().ok())
        .map_or(MapIndex::NONE, MapIndex)
}

pub(super) fn wanted_try(query: &HashMap<String, String>, row: &TaskRow) -> i32 {
    query
        .get("try")
        .and_then(|text| text.parse().ok())
        .unwrap_or(row.try_number)
}

/// The page.
pub(crate) async fn page(
    State(web): State<Web>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    Query(query): Query<HashMap<String, String>>,
) -> PageResult {
    let map = map_index(&query);
    let found = find(&web, &dag_id, &run_id, &task_id, map).await;
    let is_none = found.is_err() && map == MapIndex::NONE;
    if is_none && is_expanded(&web, &dag_id, &run_id, &task_id).await? {
        // Its instances have the pages, and the run shows which there are.
        return Ok(go(&format!("{}#tasks", text::run_url(&dag_id, &run_id))));
    }
    let found = found?;
    let row = &found.row;
    let earlier = web.doors.pages.tries(row.run, row.task_no, map).await?;
    let shown_try = wanted_try(&query, row);
    let of_try = earlier
        .iter()
        .map(|other| &other.task)
        .find(|other| other.try_number == shown_try)
        .unwrap_or(row);
    let is_done = is_complete(row, shown_try);
    let log = log_of(&web, row, shown_try).await;
    let ends =
        tokio::task::spawn_blocking(move || tidemill_log::ends(&*log, HEAD, TAIL, is_done)).await;
    let ends = ends
        .map_err(|err| Fault::internal(&err))?
        .unwrap_or_else(|err| unreadable(&err));
    let outputs = web.doors.pages.run_values(row.run).await?.into_iter();
    let outputs = outputs.filter(|value| value.task_no == row.task_no && value.map_index == map);
    let now = view::now();
    let mut tries: Vec<TryLine> = earlier
        .iter()
        .map(|other| try_line(&other.task, shown_try, now))
        .collect();
    if row.try_number > 0 {
        tries.push(try_line(row, shown_try, now));
    }
    let mut page = view_of(&web, &found, of_try, shown_try, ends);
    page.tries = tries;
    page.outputs = outputs
        .map(|value| (value.key, value_text(&value.value)))
        .collect();
    page.is_done = is_done;
    let notes = web.doors.pages.task_notes(row.run).await?;
    let is_mine = |note: &&TaskNote| note.task_no == row.task_no && note.map_index == map;
    page.noted = notes
        .iter()
        .find(is_mine)
        .map_or(String::new(), |note| text::inert(&note.note));
    page.conditions = waits_for(&web, &found).await;
    show(&page)
}

/// In place of a log that cannot be read: the rest of the page is there all the same.
fn unreadable(err: &std::io::Error) -> Ends {
    tracing::warn!(%err, "a log cannot be read");
    let note = LogLine {
        at: String::new(),
        stream: NOTE,
        text: format!("this log cannot be read now: {err}"),
    };
    Ends {
        head: vec![note],
        ..Ends::default()
    }
}

/// What an instance waits for; nothing when it is over or runs, or when nobody can tell now. One
/// that is given out still waits, until a worker claims it.
async fn waits_for(web: &Web, found: &Instance) -> Vec<ConditionLine> {
    let is_with_a_worker = found.row.is_live() && found.row.state != TaskState::Queued;
    if found.row.state.is_terminal() || is_with_a_worker {
        return Vec::new();
    }
    let of = WhyOf::Task {
        dag_id: found.run.dag_id.clone(),
        run_id: found.run.row.run_id.clone(),
        task_id: found.facts.names.id(found.row.task_no).to_string(),
        map_index: found.row.map_index,
    };
    conditions(web, of).await.map_or(Vec::new(), why::lines)
}

fn value_text(value: &serde_json::Value) -> String {
    let plain = match value {
        serde_json::Value::String(plain) => plain.clone(),
        other => other.to_string(),
    };
    text::cut(&text::inert(&plain), 2000)
}

fn try_line(row: &TaskRow, shown_try: i32, now: Ts) -> TryLine {
    TryLine {
        number: row.try_number,
        badge: row.state.into(),
        duration: span_text(row.started_at, row.ended_at, now),
        chosen: row.try_number == shown_try,
    }
}

fn view_of(web: &Web, found: &Instance, of_try: &TaskRow, shown_try: i32, ends: Ends) -> Task {
    let Instance { facts, run, row } = found;
    let (dag_id, run_id) = (&run.dag_id, &run.row.run_id);
    let id = facts.names.id(row.task_no);
    let line = rows::task_line(facts.dag.as_deref(), &facts.names, row.task_no);
    let line: Option<&TaskLine> = line.as_ref();
    let base = format!(
        "{}/tasks/{}",
        text::run_url(dag_id, run_id),
        text::segment(id)
    );
    let map = if row.map_index.0 < 0 {
        String::new()
    } else {
        format!(" [{}]", row.map_index)
    };
    let mut frame = Frame::new(
        format!("{} {id} {run_id}", row.state.glyph()),
        Some(format!("run:{}", row.run)),
        web.doors.version,
    );
    frame.refresh = !row.state.is_terminal();
    let now = view::now();
    Task {
        frame,
        dag_id: dag_id.clone(),
        dag_url: text::dag_url(dag_id),
        run_id: text::inert(run_id),
        run_url: text::run_url(dag_id, run_id),
        run_badge: run.row.state.into(),
        task_id: id.to_string(),
        title: format!("{}{map}", line.map_or(id, |line| line.title.as_str())),
        log_url: format!("{base}/log?try={shown_try}&map_index={}", row.map_index),
        lines_url: format!("{base}/lines?try={shown_try}&map_index={}", row.map_index),
        size_text: size_text(ends.size),
        url: base,
        map_index: row.map_index.0,
        operator: line.map_or(String::new(), |line| line.operator.to_string()),
        badge: row.state.into(),
        note: rows::note(of_try),
        exit: of_try.exit_code.and_then(exit_text),
        tries: Vec::new(),
        shown_try,
        scheduled: of_try.scheduled_at.map(When::from),
        queued: of_try.queued_at.map(When::from),
        start: of_try.started_at.map(When::from),
        end: of_try.ended_at.map(When::from),
        duration: span_text(of_try.started_at, of_try.ended_at, now),
        waited: of_try
            .started_at
            .and_then(|start| {
                of_try
                    .queued_at
                    .map(|at| tidemill_model::time::human(start.since(at)))
            })
            .unwrap_or_default(),
        head: shown(&ends.head, Some(1)),
        gap: ends.gap,
        gap_from: ends.gap_from,
        tail: shown(&ends.tail, None),
        next: ends.next,
        size: ends.size,
        is_done: true,
        can_mark: !matches!(row.state, TaskState::Removed),
        outputs: Vec::new(),
        conditions: Vec::new(),
        noted: String::new(),
    }
}

/// Says that the instance has ended so.
pub(crate) async fn mark(
    State(web): State<Web>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    Form(form): Form<HashMap<String, String>>,
) -> PageResult {
    let known = [TaskState::Success, TaskState::Failed, TaskState::Skipped];
    let state = known
        .into_iter()
        .find(|state| form.get("state").is_some_and(|name| name == state.name()));
    let Some(state) = state else {
        return Err(Fault::invalid(
            "body",
            "state",
            "a task can be marked `success`, `failed` or `skipped`",
        )
        .into());
    };
    let map = map_index(&form);
    let back = text::task_url(&dag_id, &run_id, &task_id, map.0);
    ask(
        &web,
        Command::MarkTasks {
            dag_id,
            reach: Reach {
                downstream: form.contains_key("downstream"),
                upstream: form.contains_key("upstream"),
                past: form.contains_key("past"),
                future: form.contains_key("future"),
                ..Reach::of_run(run_id, vec![(task_id, map)])
            },
            state,
            dry_run: false,
        },
    )
    .await?;
    Ok(go(&back))
}

/// Keeps a note on the instance; an empty one forgets it.
pub(crate) async fn note(
    State(web): State<Web>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    Form(form): Form<HashMap<String, String>>,
) -> PageResult {
    let map = map_index(&form);
    let back = text::task_url(&dag_id, &run_id, &task_id, map.0);
    let command = Command::SetNote {
        dag_id,
        run_id,
        task: Some((task_id, map)),
        note: form.get("note").cloned().unwrap_or_default(),
    };
    ask(&web, command).await?;
    Ok(go(&back))
}

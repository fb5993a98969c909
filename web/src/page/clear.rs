//! Running things again: first the exact list, then the button.

use super::{Frame, PageResult, ask, go, run_facts, show};
use crate::Web;
use crate::error::Fault;
use crate::view::{Badge, text};
use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use std::collections::{HashMap, HashSet};
use tidemill_model::MapIndex;
use tidemill_store::{Answer, Command, Reach, Touched};

const LIST_MAX: usize = 1_000;

/// What is to be cleared, as the forms say it.
struct Wish {
    task: Option<(String, MapIndex)>,
    only_failed: bool,
    downstream: bool,
    upstream: bool,
    past: bool,
    future: bool,
    latest: bool,
}

impl Wish {
    fn read(form: &HashMap<String, String>) -> Wish {
        let is_on = |key: &str| form.get(key).is_some_and(|value| value == "1");
        let map_index = form
            .get("map_index")
            .and_then(|text| text.parse().ok())
            .map_or(MapIndex::NONE, MapIndex);
        Wish {
            task: form
                .get("task")
                .filter(|task| !task.is_empty())
                .map(|task| (task.clone(), map_index)),
            only_failed: is_on("only_failed"),
            downstream: is_on("downstream"),
            upstream: is_on("upstream"),
            past: is_on("past"),
            future: is_on("future"),
            latest: is_on("latest"),
        }
    }

    fn command(&self, dag_id: &str, run_id: &str, dry_run: bool) -> Command {
        Command::Clear {
            dag_id: dag_id.to_string(),
            reach: Reach {
                downstream: self.downstream,
                upstream: self.upstream,
                past: self.past,
                future: self.future,
                ..Reach::of_run(run_id, self.task.iter().cloned().collect())
            },
            only_failed: self.only_failed,
            only_running: false,
            // An empty box says nothing: then the DAG decides.
            on_latest_version: self.latest.then_some(true),
            note: None,
            dry_run,
        }
    }
}

#[derive(Template)]
#[template(path = "clear.html")]
struct Clear {
    frame: Frame,
    dag_id: String,
    dag_url: String,
    run_id: String,
    run_url: String,
    task: String,
    map_index: i32,
    only_failed: bool,
    downstream: bool,
    upstream: bool,
    past: bool,
    future: bool,
    latest: bool,
    is_over: bool,
    n_runs: usize,
    list: Vec<(String, Badge)>,
    n: usize,
    running: usize,
    changed: bool,
}

/// The list of what would be cleared. Changes nothing.
pub(crate) async fn preview(
    State(web): State<Web>,
    Path((dag_id, run_id)): Path<(String, String)>,
    Query(query): Query<HashMap<String, String>>,
) -> PageResult {
    let (_, run) = run_facts(&web, &dag_id, &run_id).await?;
    let wish = Wish::read(&query);
    let list = wanted(&web, &wish, &run.dag_id, &run.row.run_id).await?;
    page(&web, &dag_id, &run_id, &wish, &list, false).await
}

async fn wanted(
    web: &Web,
    wish: &Wish,
    dag_id: &str,
    run_id: &str,
) -> Result<Vec<(String, Badge)>, Fault> {
    match ask(web, wish.command(dag_id, run_id, true)).await? {
        Answer::Tasks(tasks) => Ok(tasks.iter().map(|one| line(one, run_id)).collect()),
        _ => Ok(Vec::new()),
    }
}

/// An instance; those of other runs with their run before them.
fn line(one: &Touched, run_id: &str) -> (String, Badge) {
    let mut title = one.task_id.clone();
    if one.map_index.0 >= 0 {
        title = format!("{title} [{}]", one.map_index);
    }
    if one.run_id != run_id {
        title = format!("{} / {title}", text::inert(&one.run_id));
    }
    (title, one.state.into())
}

async fn page(
    web: &Web,
    dag_id: &str,
    run_id: &str,
    wish: &Wish,
    list: &[(String, Badge)],
    changed: bool,
) -> PageResult {
    let (_, run) = run_facts(web, dag_id, run_id).await?;
    let is_over = run.row.state.is_terminal();
    let runs = list.iter().filter_map(|(title, _)| title.split_once(" / "));
    let n_runs = 1 + runs.map(|(run, _)| run).collect::<HashSet<_>>().len();
    show(&Clear {
        frame: Frame::new(format!("Clear {dag_id}"), None, web.doors.version),
        dag_id: dag_id.to_string(),
        dag_url: text::dag_url(dag_id),
        run_id: text::inert(run_id),
        run_url: text::run_url(dag_id, run_id),
        task: wish
            .task
            .as_ref()
            .map(|(id, _)| id.clone())
            .unwrap_or_default(),
        map_index: wish.task.as_ref().map_or(-1, |(_, map_index)| map_index.0),
        only_failed: wish.only_failed,
        downstream: wish.downstream,
        upstream: wish.upstream,
        past: wish.past,
        future: wish.future,
        latest: wish.latest,
        is_over,
        n_runs,
        n: list.len(),
        running: list
            .iter()
            .filter(|(_, badge)| matches!(badge.state, "running" | "queued"))
            .count(),
        list: list.iter().take(LIST_MAX).cloned().collect(),
        changed,
    })
}

/// Clears what the list showed; when the list has changed meanwhile it is shown again.
pub(crate) async fn run(
    State(web): State<Web>,
    Path((dag_id, run_id)): Path<(String, String)>,
    Form(form): Form<HashMap<String, String>>,
) -> PageResult {
    let wish = Wish::read(&form);
    let list = wanted(&web, &wish, &dag_id, &run_id).await?;
    let seen = form.get("seen").and_then(|text| text.parse::<usize>().ok());
    if seen != Some(list.len()) {
        let page = page(&web, &dag_id, &run_id, &wish, &list, true).await?;
        return Ok((axum::http::StatusCode::CONFLICT, page).into_response());
    }
    ask(&web, wish.command(&dag_id, &run_id, false)).await?;
    Ok(go(&text::run_url(&dag_id, &run_id)))
}

//! Running things again: first the exact list, then the button.

use super::{Frame, PageResult, ask, go, run_facts, show};
use crate::Web;
use crate::error::Fault;
use crate::view::{Badge, text};
use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use std::collections::HashMap;
use tidemill_model::MapIndex;
use tidemill_store::{Answer, Command};

const LIST_MAX: usize = 1_000;

/// What is to be cleared, as the forms say it.
struct Wish {
    task: Option<(String, MapIndex)>,
    only_failed: bool,
    downstream: bool,
    upstream: bool,
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
        }
    }

    fn command(&self, dag_id: &str, run_id: &str, dry_run: bool) -> Command {
        Command::Clear {
            dag_id: dag_id.to_string(),
            run_id: run_id.to_string(),
            tasks: self.task.iter().cloned().collect(),
            only_failed: self.only_failed,
            downstream: self.downstream,
            upstream: self.upstream,
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
    page(&web, &dag_id, &run_id, &wish, &list, false)
}

async fn wanted(
    web: &Web,
    wish: &Wish,
    dag_id: &str,
    run_id: &str,
) -> Result<Vec<(String, Badge)>, Fault> {
    match ask(web, wish.command(dag_id, run_id, true)).await? {
        Answer::Tasks(tasks) => Ok(tasks
            .into_iter()
            .map(|(id, map_index, state)| match map_index.0 {
                ..0 => (id, state.into()),
                at => (format!("{id} [{at}]"), state.into()),
            })
            .collect()),
        _ => Ok(Vec::new()),
    }
}

fn page(
    web: &Web,
    dag_id: &str,
    run_id: &str,
    wish: &Wish,
    list: &[(String, Badge)],
    changed: bool,
) -> PageResult {
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
        let page = page(&web, &dag_id, &run_id, &wish, &list, true)?;
        return Ok((axum::http::StatusCode::CONFLICT, page).into_response());
    }
    ask(&web, wish.command(&dag_id, &run_id, false)).await?;
    Ok(go(&text::run_url(&dag_id, &run_id)))
}

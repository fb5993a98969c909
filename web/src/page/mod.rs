//! Pages. Each handler reads the store, makes a view and renders one template.

pub(crate) mod assets;
pub(crate) mod backfills;
pub(crate) mod clear;
pub(crate) mod code;
pub(crate) mod dag;
pub(crate) mod dags;
pub(crate) mod exchange;
pub(crate) mod graph;
pub(crate) mod log;
pub(crate) mod outside;
pub(crate) mod pools;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod streams;
pub(crate) mod task;
pub(crate) mod trigger;
pub(crate) mod why;

use crate::error::{Fault, PageError};
use crate::view::names::Names;
use crate::view::{self, text};
use crate::{Web, statics};
use askama::Template;
use axum::http::{StatusCode, Uri};
use axum::response::{Html, IntoResponse, Redirect, Response};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tidemill_model::Dag;
use tidemill_model::dag::DEFAULT_POOL;
use tidemill_store::{Answer, Command, Condition, DagRecord, RunRecord};

/// What every page has around it.
pub(crate) struct Frame {
    pub(crate) title: String,
    /// What the page listens to; `None` for pages that never change.
    pub(crate) topics: Option<String>,
    /// Reload by itself where there is no script?
    pub(crate) refresh: bool,
    pub(crate) version: String,
    pub(crate) now: view::When,
    pub(crate) css: &'static str,
    pub(crate) js: &'static str,
    pub(crate) icon: &'static str,
}

impl Frame {
    pub(crate) fn new(title: impl Into<String>, topics: Option<String>, version: &str) -> Frame {
        let [css, js, icon] = &*statics::LINKS;
        Frame {
            title: title.into(),
            topics,
            refresh: false,
            version: version.to_string(),
            now: view::now().into(),
            css,
            js,
            icon,
        }
    }
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message {
    frame: Frame,
    heading: String,
    detail: String,
    command: Option<&'static str>,
    is_in: bool,
}

pub(crate) type PageResult = Result<Response, PageError>;

/// A template as an answer.
pub(crate) fn show(template: &impl Template) -> PageResult {
    Ok(Html(template.render()?).into_response())
}

/// The page for who has no session.
pub(crate) fn locked(web: &Web, detail: &str) -> Response {
    let message = Message {
        frame: Frame::new("Log in", None, web.doors.version),
        heading: "Log in".to_string(),
        detail: detail.to_string(),
        command: Some("tidemill login-link"),
        is_in: false,
    };
    (
        StatusCode::UNAUTHORIZED,
        Html(message.render().unwrap_or_default()),
    )
        .into_response()
}

/// A fault as a page.
pub(crate) fn fault(fault: &Fault) -> Response {
    let heading = match fault.status {
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::CONFLICT => "That cannot be done now",
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST => "That cannot be done",
        StatusCode::SERVICE_UNAVAILABLE => "Not available just now",
        _ => "Something went wrong",
    };
    let message = Message {
        frame: Frame::new(heading, None, env!("CARGO_PKG_VERSION")),
        heading: heading.to_string(),
        detail: text::inert(&fault.detail),
        command: None,
        is_in: true,
    };
    (fault.status, Html(message.render().unwrap_or_default())).into_response()
}

/// An address that nothing answers.
pub(crate) async fn not_found(uri: Uri) -> PageError {
    PageError(Fault::not_found(format!(
        "there is no page {}",
        text::cut(uri.path(), 200)
    )))
}

/// Goes to a page after a form has done its work.
pub(crate) fn go(url: &str) -> Response {
    Redirect::to(url).into_response()
}

/// A DAG with its current definition.
pub(crate) struct DagFacts {
    pub(crate) record: DagRecord,
    pub(crate) dag: Option<Arc<Dag>>,
    pub(crate) names: Arc<Names>,
}

/// The DAG of that name.
pub(crate) async fn find_dag(web: &Web, dag_id: &str) -> Result<DagRecord, Fault> {
    match web.doors.pages.dag(dag_id).await? {
        Some(record) => Ok(record),
        None => {
            let all = web.doors.pages.dags().await?;
            Err(Fault::no_such(
                "DAG",
                dag_id,
                all.iter().map(|dag| dag.dag_id.as_str()),
            ))
        }
    }
}

/// The DAG of that name with all that its pages need.
pub(crate) async fn dag_facts(web: &Web, dag_id: &str) -> Result<DagFacts, Fault> {
    let record = find_dag(web, dag_id).await?;
    let dag = web
        .definitions
        .get(web.doors.pages.as_ref(), record.version)
        .await?;
    let names = web
        .definitions
        .names(web.doors.pages.as_ref(), &record)
        .await?;
    Ok(DagFacts { record, dag, names })
}

/// The run of that name, with the definition that it is pinned to.
pub(crate) async fn run_facts(
    web: &Web,
    dag_id: &str,
    run_id: &str,
) -> Result<(DagFacts, RunRecord), Fault> {
    let record = find_dag(web, dag_id).await?;
    let Some(run) = web.doors.pages.run(dag_id, run_id).await? else {
        let filter = tidemill_store::RunFilter {
            dag_id: Some(dag_id.to_string()),
            limit: 50,
            ..Default::default()
        };
        let recent = web.doors.pages.runs(&filter).await?;
        return Err(Fault::no_such(
            "run",
            run_id,
            recent.runs.iter().map(|run| run.row.run_id.as_str()),
        ));
    };
    let dag = web
        .definitions
        .get(web.doors.pages.as_ref(), run.row.version)
        .await?;
    let names = web
        .definitions
        .names(web.doors.pages.as_ref(), &record)
        .await?;
    Ok((DagFacts { record, dag, names }, run))
}

/// Asks the engine.
pub(crate) async fn ask(web: &Web, command: Command) -> Result<Answer, Fault> {
    Ok((web.doors.commands)(command).await?)
}

/// The head of a DAG's pages.
pub(crate) struct DagHead {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) url: String,
    pub(crate) description: String,
    pub(crate) schedule: String,
    pub(crate) next: Option<(view::When, String)>,
    pub(crate) version: i64,
    pub(crate) file: String,
    pub(crate) owner: String,
    pub(crate) is_paused: bool,
    pub(crate) is_stale: bool,
    pub(crate) tab: &'static str,
    pub(crate) errors: Vec<code::DiagnosticLine>,
    /// What keeps its tasks from running, though its file is right.
    pub(crate) warnings: Vec<String>,
    /// Why it is paused without anybody's doing, and what it owes.
    pub(crate) of_pause: Vec<String>,
}

/// The head for a DAG, with what is wrong in its file now.
pub(crate) async fn dag_head(
    web: &Web,
    facts: &DagFacts,
    tab: &'static str,
) -> Result<DagHead, Fault> {
    let record = &facts.record;
    let dag = facts.dag.as_deref();
    let now = view::now();
    let title = dag
        .and_then(|dag| dag.display_name.clone())
        .unwrap_or_else(|| record.dag_id.clone());
    let shown_next = record
        .next_run
        .filter(|_| !record.is_paused && !record.is_stale);
    Ok(DagHead {
        id: record.dag_id.clone(),
        title: text::inert(&title),
        url: text::dag_url(&record.dag_id),
        description: text::inert(
            dag.and_then(|dag| dag.description.as_deref())
                .unwrap_or_default(),
        ),
        schedule: schedule_text(dag),
        next: shown_next.map(|at| (at.into(), view::relative(at, now))),
        version: record.version_number,
        file: record.file.clone(),
        owner: dag.map(|dag| dag.owner.clone()).unwrap_or_default(),
        is_paused: record.is_paused,
        is_stale: record.is_stale,
        tab,
        errors: code::diagnostics(web, Some(&record.file)).await?,
        warnings: missing_pools(web, dag).await?,
        of_pause: why_paused(web, [record].into_iter())
            .await
            .remove(&record.dag_id)
            .unwrap_or_default(),
    })
}

/// How long a page waits for what the scheduler says of DAGs that are paused.
const WHY_PAUSED_WAIT: Duration = Duration::from_secs(2);

/// Why those of some DAGs that are paused are so without anybody's doing, and what they owe, by
/// DAG. Nothing where the scheduler does not say so soon: a page can be without it.
pub(crate) async fn why_paused(
    web: &Web,
    dags: impl Iterator<Item = &DagRecord>,
) -> HashMap<String, Vec<String>> {
    let paused = dags.filter(|dag| dag.is_paused && !dag.is_stale);
    let dag_ids: Vec<String> = paused.map(|dag| dag.dag_id.clone()).collect();
    if dag_ids.is_empty() {
        return HashMap::new();
    }
    let asked = ask(web, Command::WhyPaused { dag_ids });
    let Ok(Ok(Answer::WhyPaused(told))) = tokio::time::timeout(WHY_PAUSED_WAIT, asked).await else {
        return HashMap::new();
    };
    let words = |all: Vec<Condition>| all.iter().map(|one| text::inert(&one.detail)).collect();
    told.into_iter()
        .map(|(dag_id, all)| (dag_id, words(all)))
        .collect()
}

/// A warning for each pool that tasks name and nobody has made: those tasks wait.
async fn missing_pools(web: &Web, dag: Option<&Dag>) -> Result<Vec<String>, Fault> {
    let named: BTreeSet<&str> = dag
        .into_iter()
        .flat_map(|dag| &dag.tasks)
        .map(|task| task.pool.as_str())
        .collect();
    if named.iter().all(|name| *name == DEFAULT_POOL) {
        return Ok(Vec::new());
    }
    let known = web.doors.pages.pools().await?;
    let missing = named
        .into_iter()
        .filter(|name| !known.iter().any(|pool| pool.name == *name));
    Ok(missing
        .map(|name| format!("There is no pool {name}: its tasks wait until somebody makes it."))
        .collect())
}

/// The schedule in words.
pub(crate) fn schedule_text(dag: Option<&Dag>) -> String {
    match dag {
        None => "unknown".to_string(),
        Some(dag) if dag.schedule_text.is_empty() => "no schedule".to_string(),
        Some(dag) if dag.timezone == "UTC" => dag.schedule_text.clone(),
        Some(dag) => format!("{} ({})", dag.schedule_text, dag.timezone),
    }
}

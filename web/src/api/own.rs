//! What Tidemill adds to Airflow's API, and how the server is.

use super::ApiResult;
use super::runs::run_body;
use crate::Web;
use crate::error::Fault;
use crate::page::{ask, find_dag, run_facts};
use crate::view;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use serde_json::json;
use std::sync::PoisonError;
use tidemill_model::RunNo;
use tidemill_store::{Command, RunFilter};

/// `GET /monitor/health`.
pub(crate) async fn health(State(web): State<Web>) -> ApiResult {
    let word = |is_well: bool| if is_well { "healthy" } else { "unhealthy" };
    let has_store = web.doors.pages.changes_after(i64::MAX - 1, 1).await.is_ok();
    // Of a database that processes share the scheduler may be any of them.
    let heard = match &web.doors.workers {
        Some(shared) => shared.heartbeat().await.ok().flatten(),
        None => (web.doors.ready)().then(view::now),
    };
    let scheduler = word(heard.is_some());
    Ok(Json(json!({
        "metadatabase": { "status": word(has_store) },
        "scheduler": { "status": scheduler, "latest_scheduler_heartbeat": heard },
        "triggerer": { "status": null, "latest_triggerer_heartbeat": null },
        "dag_processor": { "status": scheduler, "latest_dag_processor_heartbeat": heard },
    }))
    .into_response())
}

/// `GET /version`.
pub(crate) async fn version(State(web): State<Web>) -> ApiResult {
    Ok(Json(json!({ "version": web.doors.version, "git_version": null })).into_response())
}

/// `POST …/cancel`: ends a run and tells how it stands.
pub(crate) async fn cancel(
    State(web): State<Web>,
    Path((dag_id, run_id)): Path<(String, String)>,
) -> ApiResult {
    run_facts(&web, &dag_id, &run_id).await?;
    ask(
        &web,
        Command::Cancel {
            dag_id: dag_id.clone(),
            run_id: run_id.clone(),
        },
    )
    .await?;
    let (_, run) = run_facts(&web, &dag_id, &run_id).await?;
    Ok(Json(run_body(&web, &run).await?).into_response())
}

/// `GET /runs/{reference}`: a run by its short id, by `dag@run`, or by `dag@latest`.
pub(crate) async fn resolve(State(web): State<Web>, Path(reference): Path<String>) -> ApiResult {
    let missing = || {
        Fault::not_found(format!(
            "there is no run `{}`",
            view::text::cut(&reference, 200)
        ))
    };
    let run = match reference.split_once('@') {
        Some((dag_id, "latest")) => {
            find_dag(&web, dag_id).await?;
            let filter = RunFilter {
                dag_id: Some(dag_id.to_string()),
                limit: 1,
                ..RunFilter::default()
            };
            let list = web.doors.pages.runs(&filter).await?;
            let none = || Fault::not_found(format!("`{dag_id}` has had no run yet"));
            list.runs.into_iter().next().ok_or_else(none)?
        }
        Some((dag_id, run_id)) => run_facts(&web, dag_id, run_id).await?.1,
        None => {
            let no = RunNo::from_short_id(&reference).ok_or_else(missing)?;
            web.doors.pages.run_by_no(no).await?.ok_or_else(missing)?
        }
    };
    let mut body = run_body(&web, &run).await?;
    body["short_id"] = json!(run.row.run.short_id());
    body["reason"] = json!(run.row.reason);
    Ok(Json(body).into_response())
}

/// `POST /login-links`: a fresh one-time link. Only the socket has it.
pub(crate) async fn login_link(State(web): State<Web>) -> ApiResult {
    let path = web.doors.logins.new_link_path();
    let home = web
        .doors
        .home_url
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let url = (!home.is_empty()).then(|| format!("{}{path}", home.trim_end_matches('/')));
    Ok(Json(json!({ "path": path, "url": url })).into_response())
}

//! DAGs, their texts, and mistakes in files.

use super::query::{Body, Pairs};
use super::{ApiResult, body};
use crate::Web;
use crate::error::Fault;
use crate::page::{ask, dag_facts};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use std::collections::HashSet;
use tidemill_store::{Command, ImportError};

async fn files_with_errors(web: &Web) -> Result<HashSet<String>, Fault> {
    let all = web.doors.pages.import_errors().await?;
    let is_bad = |errors: &[ImportError]| errors.iter().any(|error| error.severity == "error");
    Ok(all
        .into_iter()
        .filter(|errors| is_bad(&errors.errors))
        .map(|errors| errors.file)
        .collect())
}

/// `GET /dags`.
pub(crate) async fn list(State(web): State<Web>, query: Pairs) -> ApiResult {
    let (limit, offset) = query.paging()?;
    let paused = query.flag("paused")?;
    let pattern = query
        .get("dag_id_pattern")
        .unwrap_or_default()
        .trim_matches(['%', '~'])
        .to_lowercase();
    let mut dags = web.doors.pages.dags().await?;
    let stale_too = query.flag("exclude_stale")? == Some(false);
    dags.retain(|dag| paused.is_none_or(|paused| dag.is_paused == paused));
    dags.retain(|dag| dag.dag_id.to_lowercase().contains(&pattern) && (stale_too || !dag.is_stale));
    let bad = files_with_errors(&web).await?;
    let mut bodies = Vec::new();
    for record in dags.iter().skip(offset as usize).take(limit as usize) {
        let dag = web
            .definitions
            .get(web.doors.pages.as_ref(), record.version)
            .await?;
        bodies.push(body::dag(
            record,
            dag.as_deref(),
            bad.contains(&record.file),
        ));
    }
    Ok(Json(json!({ "dags": bodies, "total_entries": dags.len() })).into_response())
}

async fn body_of(web: &Web, dag_id: &str) -> Result<Value, Fault> {
    let facts = dag_facts(web, dag_id).await?;
    let bad = files_with_errors(web).await?;
    Ok(body::dag(
        &facts.record,
        facts.dag.as_deref(),
        bad.contains(&facts.record.file),
    ))
}

/// `GET /dags/{id}`.
pub(crate) async fn one(State(web): State<Web>, Path(dag_id): Path<String>) -> ApiResult {
    Ok(Json(body_of(&web, &dag_id).await?).into_response())
}

/// `GET /dags/{id}/details`.
pub(crate) async fn details(State(web): State<Web>, Path(dag_id): Path<String>) -> ApiResult {
    let facts = dag_facts(&web, &dag_id).await?;
    let bad = files_with_errors(&web).await?.contains(&facts.record.file);
    Ok(Json(body::dag_details(&facts.record, facts.dag.as_deref(), bad)).into_response())
}

/// `PATCH /dags/{id}`: pauses or resumes.
pub(crate) async fn patch(
    State(web): State<Web>,
    Path(dag_id): Path<String>,
    bytes: Bytes,
) -> ApiResult {
    let wish = Body::read(&bytes, &["is_paused"])?;
    if wish.get("is_paused").is_none() {
        return Err(Fault::invalid("body", "is_paused", "this key is needed").into());
    }
    let paused = wish.flag("is_paused", false)?;
    crate::page::find_dag(&web, &dag_id).await?;
    ask(
        &web,
        Command::SetPaused {
            dag_id: dag_id.clone(),
            paused,
        },
    )
    .await?;
    Ok(Json(body_of(&web, &dag_id).await?).into_response())
}

/// `GET /dagSources/{id}`: as JSON, or as plain text where that is asked for.
pub(crate) async fn source(
    State(web): State<Web>,
    Path(dag_id): Path<String>,
    query: Pairs,
    headers: HeaderMap,
) -> ApiResult {
    let facts = dag_facts(&web, &dag_id).await?;
    let number = match query.get("version_number") {
        None => facts.record.version_number,
        Some(text) => text
            .parse()
            .map_err(|_| Fault::invalid("query", "version_number", "a whole number"))?,
    };
    let versions = web.doors.pages.versions(facts.record.dag).await?;
    let Some(found) = versions.iter().find(|version| version.number == number) else {
        return Err(Fault::not_found(format!("`{dag_id}` has no version {number}")).into());
    };
    let content = web
        .doors
        .pages
        .version(found.version)
        .await?
        .map(|version| version.source)
        .unwrap_or_default();
    let wants_text = headers
        .get(header::ACCEPT)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if wants_text {
        return Ok(content.into_response());
    }
    let title = facts
        .dag
        .as_deref()
        .and_then(|dag| dag.display_name.clone())
        .unwrap_or_else(|| dag_id.clone());
    let body = json!({ "content": content, "dag_id": dag_id, "version_number": number, "dag_display_name": title });
    Ok(Json(body).into_response())
}

/// `GET /importErrors`.
pub(crate) async fn import_errors(State(web): State<Web>, query: Pairs) -> ApiResult {
    let (limit, offset) = query.paging()?;
    let all = web.doors.pages.import_errors().await?;
    let page = all
        .iter()
        .enumerate()
        .skip(offset as usize)
        .take(limit as usize);
    let bodies: Vec<Value> = page
        .map(|(place, errors)| {
            json!({
                "import_error_id": place + 1,
                "timestamp": errors.at,
                "filename": errors.file,
                "bundle_name": "dags",
                "stack_trace": errors.errors.iter().map(text).collect::<Vec<_>>().join("\n"),
                "diagnostics": errors.errors,
            })
        })
        .collect();
    Ok(Json(json!({ "import_errors": bodies, "total_entries": all.len() })).into_response())
}

fn text(error: &ImportError) -> String {
    let place = format!(
        "{}:{}:{}: {}[{}]",
        error.file, error.line, error.column, error.severity, error.code
    );
    match &error.help {
        Some(help) => format!("{place}: {}\n  help: {help}", error.message),
        None => format!("{place}: {}", error.message),
    }
}

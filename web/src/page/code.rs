//! The text of a DAG, its versions, and what is wrong with its file.

use super::{DagHead, Frame, PageResult, dag_facts, dag_head, show};
use crate::Web;
use crate::error::Fault;
use crate::view::{When, text};
use askama::Template;
use axum::extract::{Path, Query, State};
use std::collections::HashMap;

/// One mistake in a file.
pub(crate) struct DiagnosticLine {
    pub(crate) file: String,
    pub(crate) code: String,
    pub(crate) severity: String,
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

const DIAGNOSTICS_MAX: usize = 200;

/// What is wrong with one file, or with all.
pub(crate) async fn diagnostics(
    web: &Web,
    file: Option<&str>,
) -> Result<Vec<DiagnosticLine>, Fault> {
    let all = web.doors.pages.import_errors().await?;
    let wanted = all
        .into_iter()
        .filter(|errors| file.is_none_or(|file| errors.file == file));
    let lines = wanted.flat_map(|errors| {
        errors
            .errors
            .into_iter()
            .map(move |error| (errors.file.clone(), error))
    });
    Ok(lines
        .take(DIAGNOSTICS_MAX)
        .map(|(file, error)| DiagnosticLine {
            file: text::inert(&file),
            code: error.code,
            severity: error.severity,
            line: error.line,
            column: error.column,
            message: text::inert(&error.message),
            help: error.help.map(|help| text::inert(&help)),
        })
        .collect())
}

struct VersionLine {
    number: i64,
    hash: String,
    created: When,
    shown: bool,
}

#[derive(Template)]
#[template(path = "code.html")]
struct Code {
    frame: Frame,
    head: DagHead,
    lines: Vec<(usize, String)>,
    versions: Vec<VersionLine>,
    shown: i64,
    is_current: bool,
}

/// The page.
pub(crate) async fn page(
    State(web): State<Web>,
    Path(dag_id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> PageResult {
    let facts = dag_facts(&web, &dag_id).await?;
    let versions = web.doors.pages.versions(facts.record.dag).await?;
    let wanted = query
        .get("version")
        .and_then(|text| text.parse::<i64>().ok());
    let number = wanted.unwrap_or(facts.record.version_number);
    let Some(chosen) = versions.iter().find(|version| version.number == number) else {
        return Err(Fault::not_found(format!("`{dag_id}` has no version {number}")).into());
    };
    let source = web
        .doors
        .pages
        .version(chosen.version)
        .await?
        .map(|version| version.source)
        .unwrap_or_default();
    show(&Code {
        frame: Frame::new(
            format!("{dag_id} code"),
            Some(format!("dag:{dag_id}")),
            web.doors.version,
        ),
        head: dag_head(&web, &facts, "code").await?,
        lines: source
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, text::inert(line)))
            .collect(),
        shown: number,
        is_current: number == facts.record.version_number,
        versions: versions
            .iter()
            .take(100)
            .map(|version| VersionLine {
                number: version.number,
                hash: text::cut(&version.hash, 12),
                created: version.created_at.into(),
                shown: version.number == number,
            })
            .collect(),
    })
}

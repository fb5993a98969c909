//! Logs of tries.

use super::ApiResult;
use super::query::Pairs;
use crate::Web;
use crate::error::Fault;
use crate::log::{self, LogLine};
use crate::page::task;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tidemill_model::TaskState;

/// `GET …/logs/{try}`: JSON, or NDJSON where that is asked for. The continuation token is the
/// byte to go on at; there is none when the log is over.
pub(crate) async fn one(
    State(web): State<Web>,
    Path((dag_id, run_id, task_id, number)): Path<(String, String, String, i32)>,
    query: Pairs,
    headers: HeaderMap,
) -> ApiResult {
    let found = task::find(&web, &dag_id, &run_id, &task_id, query.map_index()?).await?;
    let row = &found.row;
    if number < 0 || number > row.try_number.max(1) {
        return Err(Fault::not_found(format!("`{task_id}` has had no try {number}")).into());
    }
    let number = if number == 0 { row.try_number } else { number };
    let from = match query.get("token") {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| Fault::invalid("query", "token", "not a token of this server"))?,
    };
    let is_live = matches!(
        row.state,
        TaskState::Queued | TaskState::Running | TaskState::Restarting
    );
    let done = number < row.try_number || !is_live;
    let (run, task, map) = (row.run, row.task_no, row.map_index);
    let path = log::located(&web.doors, run, task, map, number).await;
    let chunk =
        tokio::task::spawn_blocking(move || log::read_from(&path, from, log::CHUNK_MAX, done))
            .await;
    let chunk = chunk
        .map_err(|err| Fault::internal(&err))?
        .map_err(|err| Fault::internal(&err))?;
    let token = (!done || chunk.next < chunk.size).then(|| chunk.next.to_string());
    let lines = chunk.lines.iter().map(line);
    let wants_lines = headers
        .get(header::ACCEPT)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-ndjson"));
    if wants_lines {
        let body: String = lines.map(|line| format!("{line}\n")).collect();
        let name = HeaderName::from_static("airflow-continuation-token");
        let token: Vec<(HeaderName, String)> =
            token.map(|token| (name, token)).into_iter().collect();
        let mut answer = ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response();
        for (name, token) in token {
            if let Ok(token) = token.parse() {
                answer.headers_mut().insert(name, token);
            }
        }
        return Ok(answer);
    }
    let content: Vec<Value> = lines.collect();
    Ok(Json(json!({ "content": content, "continuation_token": token })).into_response())
}

fn line(line: &LogLine) -> Value {
    let (level, stream) = match line.stream {
        'E' => ("error", "stderr"),
        'T' => ("info", "tidemill"),
        _ => ("info", "stdout"),
    };
    let mut body = json!({ "event": line.text, "level": level, "logger": stream });
    if !line.at.is_empty() {
        body["timestamp"] = json!(line.at);
    }
    body
}

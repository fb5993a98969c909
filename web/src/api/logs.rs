//! Logs of tries.

use super::ApiResult;
use super::query::Pairs;
use crate::Web;
use crate::error::Fault;
use crate::page::log::{asked, beside, is_complete, log_of, look_through};
use crate::page::task::{self, Instance};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tidemill_log::{CHUNK_MAX, LogLine, read_from};

/// `GET …/logs/{try}`: JSON, or NDJSON where that is asked for. The continuation token is the
/// byte to go on at; there is none when the log is over.
pub(crate) async fn one(
    State(web): State<Web>,
    Path((dag_id, run_id, task_id, number)): Path<(String, String, String, i32)>,
    query: Pairs,
    headers: HeaderMap,
) -> ApiResult {
    let (found, number) = tried(&web, &dag_id, &run_id, &task_id, &query, number).await?;
    let row = &found.row;
    let from = match query.get("token") {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| Fault::invalid("query", "token", "not a token of this server"))?,
    };
    let done = is_complete(row, number);
    let log = log_of(&web, row, number).await;
    let chunk = beside(move || read_from(&*log, from, CHUNK_MAX, done)).await?;
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

/// The instance and the try that is meant: 0 is the last.
async fn tried(
    web: &Web,
    dag_id: &str,
    run_id: &str,
    task_id: &str,
    query: &Pairs,
    number: i32,
) -> Result<(Instance, i32), Fault> {
    let found = task::find(web, dag_id, run_id, task_id, query.map_index()?).await?;
    let last = found.row.try_number;
    if number < 0 || number > last.max(1) {
        return Err(Fault::not_found(format!(
            "`{task_id}` has had no try {number}"
        )));
    }
    Ok((found, if number == 0 { last } else { number }))
}

/// `GET …/logs/{try}/search`: lines that contain `q`, or match it with `re=true`; `ignore_case`.
/// One answer has at most 200 of them and looks through 256 MiB; `from=NEXT` goes on.
pub(crate) async fn search(
    State(web): State<Web>,
    Path((dag_id, run_id, task_id, number)): Path<(String, String, String, i32)>,
    query: Pairs,
) -> ApiResult {
    let (found, number) = tried(&web, &dag_id, &run_id, &task_id, &query, number).await?;
    let from = match query.get("from") {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| Fault::invalid("query", "from", "not a place in a log"))?,
    };
    let flag = |key| Ok::<_, Fault>(query.flag(key)?.unwrap_or(false));
    let wanted = asked(
        query.get("q").unwrap_or_default(),
        flag("re")?,
        flag("ignore_case")?,
    );
    let wanted = wanted.map_err(|what| Fault::invalid("query", "q", what))?;
    let log = log_of(&web, &found.row, number).await;
    let found = look_through(&web, log, wanted, from).await?;
    let matches = found.lines.iter().map(|(at, text)| {
        let mut body = line(text);
        body["place"] = json!(at);
        body
    });
    Ok(Json(json!({
        "matches": matches.collect::<Vec<Value>>(),
        "next": found.next,
        "size": found.size,
        "done": found.next >= found.size,
    }))
    .into_response())
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

//! The log of a try: its lines as they come, the whole of it, any part of it, and what is found in it.

use super::task::{Instance, find, map_index, wanted_try};
use super::{Frame, PageResult, show};
use crate::Web;
use crate::error::Fault;
use crate::view::text;
use askama::Template;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use std::collections::HashMap;
use std::sync::Arc;
use tidemill_log::{Chunk, Found, LogLine, LogSource, Style};
use tidemill_model::TaskState;
use tidemill_store::TaskRow;

/// Lines of a page and of one answer to its script, in bytes.
const PART: usize = 256 * 1024;
/// Lines before the one that is looked at, in bytes.
const BEFORE: u64 = 8 * 1024;
/// Read at once of a log that is sent whole.
const PIECE: usize = 256 * 1024;
/// One look through a log ends after so many lines that match.
pub(crate) const FOUND_MAX: usize = 200;
/// One look through a log reads no more bytes than this; the next goes on from there.
pub(crate) const SEARCH_MAX: u64 = 256 << 20;
/// A longer line is cut on pages, in characters.
const LINE_MAX: usize = 16 * 1024;

/// A line of a log, ready for a page.
pub(crate) struct ShownLine {
    pub(crate) number: Option<usize>,
    pub(crate) at: String,
    pub(crate) stream: char,
    pub(crate) pieces: Vec<ShownPiece>,
}

/// A part of a line, and the classes of its colours.
pub(crate) struct ShownPiece {
    pub(crate) class: String,
    pub(crate) text: String,
}

/// Lines made harmless; numbered from `first` on where that is known.
pub(crate) fn shown(lines: &[LogLine], first: Option<usize>) -> Vec<ShownLine> {
    let lines = lines.iter().enumerate();
    lines
        .map(|(place, line)| shown_line(line, first.map(|first| first + place)))
        .collect()
}

fn shown_line(line: &LogLine, number: Option<usize>) -> ShownLine {
    ShownLine {
        number,
        at: clock(&line.at),
        stream: line.stream,
        pieces: pieces(&line.text),
    }
}

/// A line's text in its colours, cut where it is too long.
fn pieces(line: &str) -> Vec<ShownPiece> {
    let mut room = LINE_MAX;
    let mut shown = Vec::new();
    for piece in tidemill_log::coloured(line) {
        let text = text::cut(&piece.text, room);
        let is_cut = text.len() < piece.text.len();
        room -= text.chars().count();
        shown.push(ShownPiece {
            class: class(piece.style),
            text,
        });
        if is_cut || room == 0 {
            break;
        }
    }
    shown
}

/// The classes of a style: bold, dim, italic, underlined, and a colour of the text and behind it.
fn class(style: Style) -> String {
    let words = [
        (style.bold, "ab"),
        (style.dim, "ad"),
        (style.italic, "ai"),
        (style.underlined, "au"),
    ];
    let words = words.into_iter().filter(|(is_so, _)| *is_so);
    let mut classes: Vec<String> = words.map(|(_, word)| word.to_string()).collect();
    classes.extend(style.colour.map(|number| format!("fg{number}")));
    classes.extend(style.behind.map(|number| format!("bg{number}")));
    classes.join(" ")
}

/// `06:04:10` of an instant of RFC 3339.
fn clock(at: &str) -> String {
    at.split_once('T')
        .map(|(_, time)| time.chars().take(8).collect())
        .unwrap_or_default()
}

/// `1.4 MiB`.
pub(crate) fn size_text(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes as f64;
    let mut shown = format!("{bytes} bytes");
    for unit in units {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        shown = format!("{size:.1} {unit}");
    }
    shown
}

#[derive(Template)]
#[template(path = "lines.html")]
struct Lines {
    lines: Vec<ShownLine>,
}

/// Can no more come into this try's log?
pub(crate) fn is_complete(row: &TaskRow, try_number: i32) -> bool {
    try_number < row.try_number
        || !matches!(
            row.state,
            TaskState::Queued | TaskState::Running | TaskState::Restarting
        )
}

/// Where the log of a try is.
pub(crate) async fn log_of(web: &Web, row: &TaskRow, try_number: i32) -> Arc<dyn LogSource> {
    let of = (row.run, row.task_no, row.map_index, try_number);
    crate::log::located(&web.doors, of, is_complete(row, try_number)).await
}

/// Does file work on a thread for that.
pub(crate) async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    match done.map_err(|err| Fault::internal(&err))? {
        Ok(done) => Ok(done),
        // What holds the log is away; it may be back the next time.
        Err(err) if err.kind() == std::io::ErrorKind::NotConnected => {
            Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, err.to_string()))
        }
        Err(err) => Err(Fault::internal(&err)),
    }
}

/// Lines of a log from a byte on: NDJSON, or finished HTML for the page's own script. The headers
/// `x-next` and `x-done` say where to go on and whether there will be more.
pub(crate) async fn log(
    State(web): State<Web>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    Query(query): Query<HashMap<String, String>>,
) -> PageResult {
    let found = find(&web, &dag_id, &run_id, &task_id, map_index(&query)).await?;
    let number = wanted_try(&query, &found.row);
    let from = place(&query, "from").unwrap_or(0);
    let done = is_complete(&found.row, number);
    let log = log_of(&web, &found.row, number).await;
    let chunk = beside(move || tidemill_log::read_from(&*log, from, PART, done)).await?;
    let over = done && chunk.next >= chunk.size;
    let headers = [
        ("x-next", chunk.next.to_string()),
        ("x-done", over.to_string()),
    ];
    if query.get("as").is_some_and(|kind| kind == "html") {
        let lines = Lines {
            lines: shown(&chunk.lines, None),
        };
        return Ok((headers, Html(lines.render()?)).into_response());
    }
    let mut body = String::new();
    for line in &chunk.lines {
        let json = serde_json::json!({ "at": line.at, "stream": line.stream.to_string(), "text": line.text });
        body.push_str(&json.to_string());
        body.push('\n');
    }
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((headers, kind, body).into_response())
}

fn place(query: &HashMap<String, String>, key: &str) -> Option<u64> {
    query.get(key).and_then(|text| text.parse().ok())
}

/// The whole log as a file, piece by piece.
pub(crate) async fn raw(
    State(web): State<Web>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    Query(query): Query<HashMap<String, String>>,
) -> PageResult {
    let found = find(&web, &dag_id, &run_id, &task_id, map_index(&query)).await?;
    let number = wanted_try(&query, &found.row);
    let log = log_of(&web, &found.row, number).await;
    let Some(log) = beside(move || log.open()).await? else {
        let message = format!("there is no log of try {number} of `{task_id}`");
        return Err(Fault::not_found(message).into());
    };
    let name: String = task_id
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        .collect();
    let disposition = format!("attachment; filename=\"{name}.{number}.log\"");
    let headers = [
        (
            header::CONTENT_TYPE,
            "text/plain; charset=utf-8".to_string(),
        ),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    let pieces = futures_util::stream::unfold(Some((log, 0u64)), |state| async move {
        let (mut log, from) = state?;
        let read = tokio::task::spawn_blocking(move || {
            let bytes = log.bytes(from, PIECE);
            (log, bytes)
        });
        match read.await {
            Ok((_, Ok(bytes))) if bytes.is_empty() => None,
            Ok((log, Ok(bytes))) => {
                let next = from + bytes.len() as u64;
                Some((Ok(bytes), Some((log, next))))
            }
            Ok((_, Err(err))) => Some((Err(err), None)),
            Err(err) => Some((Err(std::io::Error::other(err)), None)),
        }
    });
    Ok((headers, Body::from_stream(pieces)).into_response() as Response)
}

/// A line that was found, and the page of its surroundings.
struct FoundLine {
    url: String,
    line: ShownLine,
}

#[derive(Template)]
#[template(path = "log.html")]
struct Part {
    frame: Frame,
    task_url: String,
    task_id: String,
    run_id: String,
    url: String,
    shown_try: i32,
    map_index: i32,
    size: u64,
    size_text: String,
    percent: u64,
    before: Vec<ShownLine>,
    after: Vec<ShownLine>,
    earlier: Option<u64>,
    later: Option<u64>,
    query: String,
    is_pattern: bool,
    mistake: String,
    found: Vec<FoundLine>,
    looked_through: String,
    go_on: Option<String>,
}

/// Any part of a log, or what is found in it.
pub(crate) async fn part(
    State(web): State<Web>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    Query(query): Query<HashMap<String, String>>,
) -> PageResult {
    let instance = find(&web, &dag_id, &run_id, &task_id, map_index(&query)).await?;
    let number = wanted_try(&query, &instance.row);
    let done = is_complete(&instance.row, number);
    let log = log_of(&web, &instance.row, number).await;
    let mut page = empty_part(&web, &instance, &task_id, number);
    page.query = query.get("q").cloned().unwrap_or_default();
    page.is_pattern = query.get("re").is_some_and(|on| on == "1");
    if page.query.is_empty() {
        let at = place(&query, "at").unwrap_or(0);
        let (before, after) = beside(move || around(&*log, at, done)).await?;
        page.show_part(&before, &after);
        return show(&page);
    }
    match asked(&page.query, page.is_pattern, true) {
        Ok(wanted) => {
            let from = place(&query, "from").unwrap_or(0);
            let found = look_through(&web, log, wanted, from).await?;
            page.show_found(&found);
        }
        Err(mistake) => page.mistake = mistake,
    }
    show(&page)
}

/// What a person looks for, as a query.
pub(crate) fn asked(
    text: &str,
    is_pattern: bool,
    ignores_case: bool,
) -> Result<tidemill_log::Query, String> {
    let query = match is_pattern {
        true => tidemill_log::Query::pattern(text, ignores_case),
        false => tidemill_log::Query::text(text, ignores_case),
    };
    query.map_err(|err| err.to_string())
}

/// Looks through a part of a log. Few do so at once, for each takes a processor.
pub(crate) async fn look_through(
    web: &Web,
    log: Arc<dyn LogSource>,
    query: tidemill_log::Query,
    from: u64,
) -> Result<Found, Fault> {
    let turn = web.searches.acquire().await;
    let _turn = turn.map_err(|err| Fault::internal(&err))?;
    beside(move || tidemill_log::search(&*log, &query, from, FOUND_MAX, SEARCH_MAX)).await
}

/// Some lines before the one that holds a byte, and many from it on.
fn around(source: &dyn LogSource, at: u64, done: bool) -> std::io::Result<(Chunk, Chunk)> {
    let Some(mut log) = source.open()? else {
        return Ok(Default::default());
    };
    let at = tidemill_log::line_start(&mut log, at)?;
    let begin = tidemill_log::line_start(&mut log, at.saturating_sub(BEFORE))?;
    let mut before = Chunk {
        from: at,
        ..Chunk::default()
    };
    if begin < at {
        let length = usize::try_from(at - begin).unwrap_or(PART);
        before = tidemill_log::read_from(source, begin, length, false)?;
    }
    Ok((before, tidemill_log::read_from(source, at, PART, done)?))
}

fn empty_part(web: &Web, instance: &Instance, task_id: &str, number: i32) -> Part {
    let (dag_id, run_id) = (&instance.run.dag_id, &instance.run.row.run_id);
    let map = instance.row.map_index.0;
    let url = format!(
        "{}/tasks/{}/lines?try={number}&map_index={map}",
        text::run_url(dag_id, run_id),
        text::segment(task_id)
    );
    Part {
        frame: Frame::new(
            format!("log of {task_id} {run_id}"),
            None,
            web.doors.version,
        ),
        task_url: text::task_url(dag_id, run_id, task_id, map),
        task_id: task_id.to_string(),
        run_id: text::inert(run_id),
        url,
        shown_try: number,
        map_index: map,
        size: 0,
        size_text: String::new(),
        percent: 0,
        before: Vec::new(),
        after: Vec::new(),
        earlier: None,
        later: None,
        query: String::new(),
        is_pattern: false,
        mistake: String::new(),
        found: Vec::new(),
        looked_through: String::new(),
        go_on: None,
    }
}

impl Part {
    fn show_part(&mut self, before: &Chunk, after: &Chunk) {
        self.size = after.size;
        self.size_text = size_text(after.size);
        self.percent = after.from.saturating_mul(100) / after.size.max(1);
        self.before = shown(&before.lines, None);
        self.after = shown(&after.lines, None);
        self.earlier = (before.from > 0).then(|| before.from.saturating_sub(PART as u64));
        self.later = (after.next < after.size).then_some(after.next);
    }

    fn show_found(&mut self, found: &Found) {
        self.size = found.size;
        self.size_text = size_text(found.size);
        self.looked_through = size_text(found.next);
        self.found = found
            .lines
            .iter()
            .map(|(at, line)| FoundLine {
                url: format!("{}&at={at}#at", self.url),
                line: shown_line(line, None),
            })
            .collect();
        let again = || {
            let (q, re) = (text::segment(&self.query), u8::from(self.is_pattern));
            format!("{}&q={q}&re={re}&from={}", self.url, found.next)
        };
        self.go_on = (found.next < found.size).then(again);
    }
}

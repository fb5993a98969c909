//! Server-sent events: which things changed. The page fetches itself again and swaps what differs.

use crate::Web;
use crate::error::ApiError;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, StreamExt};
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tidemill_store::Change;
use tokio::sync::broadcast::{self, error::RecvError};

const RESUME_MAX: u32 = 1000;

/// What a page wants to hear of.
enum Topic {
    Dag(String),
    Run(i64),
}

impl Topic {
    fn parse(text: &str) -> Option<Topic> {
        match text.split_once(':')? {
            ("dag", id) => Some(Topic::Dag(id.to_string())),
            ("run", no) => no.parse().ok().map(Topic::Run),
            _ => None,
        }
    }

    fn covers(&self, change: &Change) -> bool {
        match self {
            Topic::Dag(id) => {
                change.body.get("dag_id").and_then(|value| value.as_str()) == Some(id)
            }
            Topic::Run(no) => change.run == *no,
        }
    }
}

struct Feed {
    missed: VecDeque<Arc<Change>>,
    live: broadcast::Receiver<Arc<Change>>,
    last: i64,
    topics: Vec<Topic>,
}

/// One stream of events for a page.
pub(crate) async fn events(
    State(web): State<Web>,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> Result<impl IntoResponse, ApiError> {
    let topics = query.get("topics").map(String::as_str).unwrap_or_default();
    let live = web.doors.changes.subscribe(); // Before the look back, so that nothing falls between.
    let mut feed = Feed {
        missed: VecDeque::new(),
        live,
        last: i64::MIN,
        topics: topics
            .split(',')
            .take(50)
            .filter_map(Topic::parse)
            .collect(),
    };
    let seen = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
    if let Some(seen) = seen {
        feed.last = seen;
        feed.missed = web
            .doors
            .pages
            .changes_after(seen, RESUME_MAX)
            .await?
            .into_iter()
            .map(Arc::new)
            .collect();
    }
    let hello = stream::once(async {
        Event::default()
            .retry(Duration::from_secs(2))
            .comment("tidemill")
    });
    let changes = stream::unfold(feed, next);
    let events = hello.chain(changes).map(Ok::<Event, Infallible>);
    Ok(Sse::new(events).keep_alive(
        KeepAlive::new()
            .interval(Duration::from_secs(20))
            .text("still here"),
    ))
}

/// The next event that the page wants. Ends when the process stops.
async fn next(mut feed: Feed) -> Option<(Event, Feed)> {
    loop {
        let change = match feed.missed.pop_front() {
            Some(change) => change,
            None => match feed.live.recv().await {
                Ok(change) => change,
                // The page reads its own address again anyway, so one event stands for all.
                Err(RecvError::Lagged(_)) => {
                    return Some((Event::default().event("change").data("{}"), feed));
                }
                Err(RecvError::Closed) => return None,
            },
        };
        if change.seq <= feed.last {
            continue;
        }
        feed.last = change.seq;
        if feed.topics.is_empty() || feed.topics.iter().any(|topic| topic.covers(&change)) {
            let data = serde_json::json!({
                "run": change.run,
                "dag_id": change.body.get("dag_id"),
                "run_state": change.body.get("run_state"),
            });
            let event = Event::default()
                .event("change")
                .id(change.seq.to_string())
                .data(data.to_string());
            return Some((event, feed));
        }
    }
}

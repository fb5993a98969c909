//! The assets: when each was last written, by whom, and which DAGs wait for it.

use super::{Frame, PageResult, ask, go, show};
use crate::Web;
use crate::api::{asset_states, last_asset_events};
use crate::view::{When, text};
use askama::Template;
use axum::extract::{Path, State};
use tidemill_store::{AssetEventRow, AssetState, Command, EventFilter};

/// Events that the page lists.
const EVENTS_SHOWN: u32 = 50;

struct AssetLine {
    name: String,
    uri: String,
    description: String,
    emit_url: String,
    last: Option<When>,
    /// Tasks that write it, with their DAG's address.
    producers: Vec<(String, String)>,
    readers: Vec<(String, String)>,
    /// DAGs that wait for it, with their address and how many events wait for each.
    consumers: Vec<(String, String, usize)>,
}

struct EventLine {
    at: When,
    asset: String,
    by: String,
    by_url: Option<String>,
    extra: String,
}

#[derive(Template)]
#[template(path = "assets.html")]
struct Assets {
    frame: Frame,
    lines: Vec<AssetLine>,
    events: Vec<EventLine>,
}

/// The page.
pub(crate) async fn page(State(web): State<Web>) -> PageResult {
    let states = asset_states(&web).await?;
    let last = last_asset_events(&web).await?;
    let filter = EventFilter {
        limit: EVENTS_SHOWN,
        ..EventFilter::default()
    };
    let found = web.doors.pages.asset_events(&filter).await?;
    let name = |event: &AssetEventRow| {
        let state = states.iter().find(|state| state.row.asset == event.asset);
        state.map_or(String::new(), |state| state.row.name.clone())
    };
    let events = found
        .events
        .iter()
        .map(|event| event_line(event, name(event)));
    let lines = states
        .iter()
        .map(|state| line(state, last.get(&state.row.asset)));
    show(&Assets {
        frame: Frame::new("Assets", Some("dags".to_string()), web.doors.version),
        lines: lines.collect(),
        events: events.collect(),
    })
}

fn line(state: &AssetState, last: Option<&AssetEventRow>) -> AssetLine {
    let dag_url = |dag_id: &str| format!("/dags/{}", text::segment(dag_id));
    let task =
        |(dag_id, task_id): &(String, String)| (format!("{dag_id}.{task_id}"), dag_url(dag_id));
    AssetLine {
        name: state.row.name.clone(),
        uri: text::inert(&state.row.uri),
        description: text::inert(state.row.description.as_deref().unwrap_or_default()),
        emit_url: format!("/assets/{}/emit", text::segment(&state.row.name)),
        last: last.map(|event| event.at.into()),
        producers: state.producers.iter().map(task).collect(),
        readers: state.readers.iter().map(task).collect(),
        consumers: state
            .consumers
            .iter()
            .map(|(dag_id, events)| (dag_id.clone(), dag_url(dag_id), events.len()))
            .collect(),
    }
}

fn event_line(event: &AssetEventRow, asset: String) -> EventLine {
    let (by, by_url) = match &event.source {
        Some(source) => {
            let (dag, run) = (text::segment(&source.dag_id), text::segment(&source.run_id));
            let url = format!("/dags/{dag}/runs/{run}");
            (format!("{}.{}", source.dag_id, source.task_id), Some(url))
        }
        None => (event.emitted_by.clone().unwrap_or_default(), None),
    };
    let extra = match event.extra.as_object() {
        Some(extra) if extra.is_empty() => String::new(),
        _ => text::cut(&event.extra.to_string(), 200).to_string(),
    };
    EventLine {
        at: event.at.into(),
        asset,
        by,
        by_url,
        extra: text::inert(&extra),
    }
}

/// Says that an asset has been written.
pub(crate) async fn emit(State(web): State<Web>, Path(name): Path<String>) -> PageResult {
    let command = Command::EmitAsset {
        name,
        extra: serde_json::Map::new(),
        emitted_by: "ui".to_string(),
    };
    ask(&web, command).await?;
    Ok(go("/assets"))
}

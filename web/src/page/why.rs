//! Why something has not happened: a page for a task, a run and a DAG.

use super::{Frame, PageResult, dag_facts, run_facts, show};
use crate::Web;
use crate::api::conditions;
use crate::error::Fault;
use crate::view::text;
use askama::Template;
use axum::extract::{Path, Query, State};
use std::collections::HashMap;
use tidemill_model::{MapIndex, Ts};
use tidemill_store::{Condition, Holder, WhyOf};

/// A condition as a line of a page.
pub(crate) struct ConditionLine {
    pub(crate) is_ok: bool,
    pub(crate) name: String,
    pub(crate) detail: String,
    /// Title and address of each.
    pub(crate) holders: Vec<(String, String)>,
    pub(crate) more: usize,
}

/// Conditions as lines.
pub(crate) fn lines(conditions: Vec<Condition>) -> Vec<ConditionLine> {
    let line = |condition: Condition| ConditionLine {
        is_ok: condition.ok,
        name: condition.condition.replace('_', " "),
        detail: text::inert(&condition.detail),
        holders: condition.holders.iter().map(holder).collect(),
        more: condition.more,
    };
    conditions.into_iter().map(line).collect()
}

/// A holder's title and address.
pub(crate) fn holder(one: &Holder) -> (String, String) {
    let run = format!("{}/{}", one.dag_id, one.run_id);
    match &one.task_id {
        None => (text::inert(&run), text::run_url(&one.dag_id, &one.run_id)),
        Some(task) => {
            let map = match one.map_index.0 {
                ..0 => String::new(),
                at => format!("[{at}]"),
            };
            let url = text::task_url(&one.dag_id, &one.run_id, task, one.map_index.0);
            let slots = match one.slots {
                Some(slots) if slots > 1 => format!(" ({slots} slots)"),
                _ => String::new(),
            };
            (text::inert(&format!("{run}/{task}{map}{slots}")), url)
        }
    }
}

#[derive(Template)]
#[template(path = "why.html")]
struct Why {
    frame: Frame,
    heading: String,
    back: (String, String),
    is_ok: bool,
    conditions: Vec<ConditionLine>,
    /// The instant that was asked for, where one can be.
    at: Option<String>,
}

async fn page(
    web: &Web,
    heading: String,
    back: (String, String),
    topics: String,
    of: WhyOf,
    at: Option<String>,
) -> PageResult {
    let conditions = lines(conditions(web, of).await?);
    show(&Why {
        frame: Frame::new(heading.as_str(), Some(topics), web.doors.version),
        heading,
        back,
        is_ok: conditions.iter().all(|condition| condition.is_ok),
        conditions,
        at,
    })
}

/// Why a task instance does not run.
pub(crate) async fn task(
    State(web): State<Web>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    Query(query): Query<HashMap<String, String>>,
) -> PageResult {
    let (_, run) = run_facts(&web, &dag_id, &run_id).await?;
    let map_index = query.get("map_index").and_then(|text| text.parse().ok());
    let map_index = map_index.map_or(MapIndex::NONE, MapIndex);
    let url = text::task_url(&dag_id, &run_id, &task_id, map_index.0);
    let back = (text::inert(&task_id), url);
    let heading = format!("Why does {} not run?", text::inert(&task_id));
    let topics = format!("run:{}", run.row.run);
    let of = WhyOf::Task {
        dag_id,
        run_id,
        task_id,
        map_index,
    };
    page(&web, heading, back, topics, of, None).await
}

/// Why a run does not begin, or does not end.
pub(crate) async fn run(
    State(web): State<Web>,
    Path((dag_id, run_id)): Path<(String, String)>,
) -> PageResult {
    let (_, run) = run_facts(&web, &dag_id, &run_id).await?;
    let back = (text::inert(&run_id), text::run_url(&dag_id, &run_id));
    let heading = format!("What does {} wait for?", text::inert(&run_id));
    let topics = format!("run:{}", run.row.run);
    page(
        &web,
        heading,
        back,
        topics,
        WhyOf::Run { dag_id, run_id },
        None,
    )
    .await
}

/// Why a DAG has no run, now or for an instant.
pub(crate) async fn dag(
    State(web): State<Web>,
    Path(dag_id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> PageResult {
    let facts = dag_facts(&web, &dag_id).await?;
    let given = query.get("at").filter(|text| !text.trim().is_empty());
    let zone = facts
        .dag
        .as_ref()
        .and_then(|dag| jiff::tz::TimeZone::get(&dag.timezone).ok());
    let zone = zone.unwrap_or(jiff::tz::TimeZone::UTC);
    let at = given.map(|text| Ts::parse(text.trim(), &zone)).transpose();
    let at = at.map_err(|err| Fault::invalid("query", "at", err.to_string()))?;
    let back = (dag_id.clone(), text::dag_url(&dag_id));
    let heading = match at {
        None => format!("Why has {dag_id} no new run?"),
        Some(at) => format!("Why has {dag_id} no run for {at}?"),
    };
    let shown = at.map_or(String::new(), |at| at.to_string());
    let topics = format!("dag:{dag_id}");
    let of = WhyOf::Dag { dag_id, at };
    page(&web, heading, back, topics, of, Some(shown)).await
}

//! The pools: how full each is, who holds its slots, and the forms that set them.

use super::{Frame, PageResult, ask, go, show};
use crate::Web;
use crate::api::pool_states;
use crate::error::Fault;
use crate::page::why::holder;
use crate::view::{Badge, text};
use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use std::collections::HashMap;
use tidemill_model::dag::DEFAULT_POOL;
use tidemill_store::{Command, PoolChange, PoolState};

struct PoolLine {
    name: String,
    url: String,
    exists: bool,
    description: String,
    slots: i64,
    open: i64,
    occupied: u64,
    running: u64,
    deferred: u64,
    waiting: u64,
    include_deferred: bool,
    from_file: bool,
    can_delete: bool,
    /// Thousandths of the bar: taken slots.
    bar: u64,
    holders: Vec<(String, String, Badge)>,
    more: usize,
}

#[derive(Template)]
#[template(path = "pools.html")]
struct Pools {
    frame: Frame,
    lines: Vec<PoolLine>,
}

/// The page.
pub(crate) async fn page(State(web): State<Web>) -> PageResult {
    let lines = pool_states(&web).await?.iter().map(line).collect();
    show(&Pools {
        frame: Frame::new("Pools", Some("dags".to_string()), web.doors.version),
        lines,
    })
}

fn line(state: &PoolState) -> PoolLine {
    let pool = &state.pool;
    let slots = u64::try_from(pool.slots).unwrap_or(0);
    PoolLine {
        url: format!("/admin/pools/{}", text::segment(&pool.name)),
        name: pool.name.clone(),
        exists: state.exists,
        description: text::inert(&pool.description),
        slots: pool.slots,
        open: state.n_open(),
        occupied: state.n_occupied,
        running: state.n_running,
        deferred: state.n_deferred,
        waiting: state.n_waiting,
        include_deferred: pool.include_deferred,
        from_file: pool.from_file,
        can_delete: !pool.from_file && state.exists && pool.name != DEFAULT_POOL,
        bar: (state.n_occupied * 1000 / slots.max(1)).min(1000),
        holders: state
            .holders
            .iter()
            .map(|(one, state)| {
                let (title, url) = holder(one);
                (title, url, Badge::from(*state))
            })
            .collect(),
        more: state.more,
    }
}

fn change(form: &HashMap<String, String>) -> Result<PoolChange, Fault> {
    let slots = form
        .get("slots")
        .map(|text| text.trim().parse::<i64>())
        .transpose();
    let slots = slots
        .map_err(|_| Fault::invalid("body", "slots", "slots are a whole number; -1 is no limit"))?;
    Ok(PoolChange {
        slots,
        description: form.get("description").cloned(),
        // A box that is not ticked is not sent.
        include_deferred: Some(form.contains_key("include_deferred")),
    })
}

/// Makes a pool.
pub(crate) async fn make(
    State(web): State<Web>,
    Form(form): Form<HashMap<String, String>>,
) -> PageResult {
    let name = form
        .get("name")
        .map(|name| name.trim().to_string())
        .unwrap_or_default();
    let command = Command::SetPool {
        name,
        change: change(&form)?,
        is_new: Some(true),
    };
    ask(&web, command).await?;
    Ok(go("/admin/pools"))
}

/// Changes a pool, or deletes it.
pub(crate) async fn set(
    State(web): State<Web>,
    Path(name): Path<String>,
    Form(form): Form<HashMap<String, String>>,
) -> PageResult {
    let command = if form.get("do").is_some_and(|what| what == "delete") {
        Command::DeletePool { name }
    } else {
        Command::SetPool {
            name,
            change: change(&form)?,
            is_new: Some(false),
        }
    };
    ask(&web, command).await?;
    Ok(go("/admin/pools"))
}

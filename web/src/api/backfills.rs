//! Backfills, by Airflow's names.

use super::query::{Body, Pairs};
use super::{ApiResult, body};
use crate::Web;
use crate::error::Fault;
use crate::page::{ask, find_dag};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};
use tidemill_model::{BackfillNo, Reprocess};
use tidemill_store::{Answer, BackfillRecord, BackfillWish, Command};

const CREATE_KEYS: &[&str] = &[
    "dag_id",
    "from_date",
    "to_date",
    "run_backwards",
    "dag_run_conf",
    "reprocess_behavior",
    "max_active_runs",
    "run_on_latest_version",
];
/// As in Airflow.
const MAX_ACTIVE_RUNS: u32 = 10;

async fn record(web: &Web, text: &str) -> Result<BackfillRecord, Fault> {
    let missing = || {
        Fault::not_found(format!(
            "there is no backfill {}",
            text.chars().take(20).collect::<String>()
        ))
    };
    let no: i64 = text.parse().map_err(|_| missing())?;
    let all = web.doors.pages.backfills().await?;
    all.into_iter()
        .find(|record| record.row.backfill == BackfillNo(no))
        .ok_or_else(missing)
}

async fn told(web: &Web, record: &BackfillRecord) -> Result<Value, Fault> {
    let facts = crate::page::dag_facts(web, &record.dag_id).await?;
    Ok(body::backfill(record, facts.dag.as_deref()))
}

/// `GET /backfills`, of one DAG where `dag_id` names it.
pub(crate) async fn list(State(web): State<Web>, query: Pairs) -> ApiResult {
    let (limit, offset) = query.paging()?;
    let dag_id = query.get("dag_id");
    let active = query.flag("active")?;
    let mut all = web.doors.pages.backfills().await?;
    all.retain(|record| dag_id.is_none_or(|dag_id| record.dag_id == dag_id));
    all.retain(|record| active.is_none_or(|active| record.row.completed_at.is_none() == active));
    let mut bodies = Vec::new();
    for record in all.iter().skip(offset as usize).take(limit as usize) {
        bodies.push(told(&web, record).await?);
    }
    Ok(Json(json!({ "backfills": bodies, "total_entries": all.len() })).into_response())
}

/// `GET /backfills/{id}`.
pub(crate) async fn one(State(web): State<Web>, Path(no): Path<String>) -> ApiResult {
    let record = record(&web, &no).await?;
    Ok(Json(told(&web, &record).await?).into_response())
}

/// `GET /api/tidemill/v1/backfills/{id}/dates`: what became of each date.
pub(crate) async fn dates(State(web): State<Web>, Path(no): Path<String>) -> ApiResult {
    let record = record(&web, &no).await?;
    let mut bodies = Vec::new();
    for date in web.doors.pages.backfill_dates(record.row.backfill).await? {
        let run = match date.run {
            Some(run) => web.doors.pages.run_by_no(run).await?,
            None => None,
        };
        bodies.push(json!({
            "logical_date": date.logical_date,
            "run_after": date.tick,
            "dag_run_id": run.as_ref().map(|run| run.row.run_id.as_str()),
            "state": run.as_ref().map(|run| run.row.state),
            "skipped": date.skipped,
        }));
    }
    Ok(Json(json!({ "dates": bodies, "total_entries": bodies.len() })).into_response())
}

async fn wish(web: &Web, bytes: &Bytes) -> Result<BackfillWish, Fault> {
    let wish = Body::read(bytes, CREATE_KEYS)?;
    let needed = |key: &str| Fault::invalid("body", key, "this key is needed");
    let dag_id = wish.text("dag_id")?.ok_or_else(|| needed("dag_id"))?;
    find_dag(web, &dag_id).await?;
    let reprocess = match wish.text("reprocess_behavior")? {
        None => Reprocess::None,
        Some(name) => Reprocess::from_name(&name).ok_or_else(|| {
            Fault::invalid("body", "reprocess_behavior", "none, failed or completed")
        })?,
    };
    let max_active_runs = match wish.get("max_active_runs") {
        None => MAX_ACTIVE_RUNS,
        Some(number) => number
            .as_u64()
            .filter(|number| (1..=10_000).contains(number))
            .and_then(|number| u32::try_from(number).ok())
            .ok_or_else(|| Fault::invalid("body", "max_active_runs", "from 1 to 10000"))?,
    };
    let conf = match wish.get("dag_run_conf") {
        None => Map::new(),
        Some(Value::Object(conf)) => conf.clone(),
        Some(_) => {
            return Err(Fault::invalid(
                "body",
                "dag_run_conf",
                "an object is wanted",
            ));
        }
    };
    Ok(BackfillWish {
        dag_id,
        from_date: wish
            .instant("from_date")?
            .ok_or_else(|| needed("from_date"))?,
        to_date: wish.instant("to_date")?.ok_or_else(|| needed("to_date"))?,
        is_backwards: wish.flag("run_backwards", false)?,
        reprocess,
        max_active_runs,
        on_latest_version: wish.maybe_flag("run_on_latest_version")?,
        conf,
    })
}

/// `POST /backfills`.
pub(crate) async fn create(State(web): State<Web>, bytes: Bytes) -> ApiResult {
    let wish = wish(&web, &bytes).await?;
    match ask(&web, Command::CreateBackfill(wish)).await? {
        Answer::Backfill(row) => {
            let record = record(&web, &row.backfill.to_string()).await?;
            Ok(Json(told(&web, &record).await?).into_response())
        }
        // It was over at once: every date had its run.
        _ => {
            let all = web.doors.pages.backfills().await?;
            let newest = all.first().ok_or_else(|| Fault::not_found("no backfill"))?;
            Ok(Json(told(&web, newest).await?).into_response())
        }
    }
}

/// `POST /backfills/dry_run`.
pub(crate) async fn dry_run(State(web): State<Web>, bytes: Bytes) -> ApiResult {
    let wish = wish(&web, &bytes).await?;
    let dates = match ask(&web, Command::PlanBackfill(wish)).await? {
        Answer::Dates(dates) => dates,
        _ => Vec::new(),
    };
    let bodies: Vec<Value> = dates
        .iter()
        .map(|date| json!({ "logical_date": date, "partition_key": null, "partition_date": null }))
        .collect();
    Ok(Json(json!({ "backfills": bodies, "total_entries": bodies.len() })).into_response())
}

/// `PUT /backfills/{id}/pause`. POST too: a client of Airflow's sends that.
pub(crate) async fn pause(web: State<Web>, no: Path<String>) -> ApiResult {
    change(web, no, |backfill| Command::PauseBackfill {
        backfill,
        paused: true,
    })
    .await
}

/// `PUT /backfills/{id}/unpause`.
pub(crate) async fn unpause(web: State<Web>, no: Path<String>) -> ApiResult {
    change(web, no, |backfill| Command::PauseBackfill {
        backfill,
        paused: false,
    })
    .await
}

/// `PUT /backfills/{id}/cancel`.
pub(crate) async fn cancel(web: State<Web>, no: Path<String>) -> ApiResult {
    change(web, no, |backfill| Command::CancelBackfill { backfill }).await
}

async fn change(
    State(web): State<Web>,
    Path(no): Path<String>,
    command: impl Fn(BackfillNo) -> Command,
) -> ApiResult {
    let found = record(&web, &no).await?;
    ask(&web, command(found.row.backfill)).await?;
    let now = record(&web, &no).await?;
    Ok(Json(told(&web, &now).await?).into_response())
}

//! Values that tasks have kept: Airflow's XCom.

use super::ApiResult;
use super::query::Pairs;
use crate::Web;
use crate::error::Fault;
use crate::page::task::{self, Instance};
use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tidemill_store::ValueRow;

async fn values(web: &Web, found: &Instance) -> Result<Vec<ValueRow>, Fault> {
    let row = &found.row;
    let mut values = web.doors.pages.run_values(row.run).await?;
    values.retain(|value| value.task_no == row.task_no && value.map_index == row.map_index);
    Ok(values)
}

fn body(found: &Instance, value: &ValueRow) -> Value {
    let id = found.facts.names.id(value.task_no);
    let dag = found.facts.dag.as_deref();
    let title = dag
        .and_then(|dag| dag.display_name.as_deref())
        .unwrap_or(&found.run.dag_id);
    json!({
        "key": value.key,
        "timestamp": found.row.ended_at.unwrap_or(found.run.row.run_after),
        "logical_date": found.run.row.logical_date,
        "map_index": value.map_index,
        "task_id": id,
        "dag_id": found.run.dag_id,
        "run_id": found.run.row.run_id,
        "dag_display_name": title,
        "task_display_name": id,
        "run_after": found.run.row.run_after,
    })
}

/// `GET …/xcomEntries`.
pub(crate) async fn list(
    State(web): State<Web>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    query: Pairs,
) -> ApiResult {
    let (limit, offset) = query.paging()?;
    let found = task::find(&web, &dag_id, &run_id, &task_id, query.map_index()?).await?;
    let all = values(&web, &found).await?;
    let page = all.iter().skip(offset as usize).take(limit as usize);
    let bodies: Vec<Value> = page.map(|value| body(&found, value)).collect();
    Ok(Json(json!({ "xcom_entries": bodies, "total_entries": all.len() })).into_response())
}

/// `GET …/xcomEntries/{key}`: with the value; as text where `stringify` asks for it.
pub(crate) async fn one(
    State(web): State<Web>,
    Path((dag_id, run_id, task_id, key)): Path<(String, String, String, String)>,
    query: Pairs,
) -> ApiResult {
    let found = task::find(&web, &dag_id, &run_id, &task_id, query.map_index()?).await?;
    let all = values(&web, &found).await?;
    let Some(value) = all.iter().find(|value| value.key == key) else {
        return Err(
            Fault::no_such("value", &key, all.iter().map(|value| value.key.as_str())).into(),
        );
    };
    let mut body = body(&found, value);
    body["value"] = match query.flag("stringify")? {
        Some(true) => json!(value.value.to_string()),
        _ => value.value.clone(),
    };
    Ok(Json(body).into_response())
}

//! Why something has not happened, as conditions with numbers and holders.

use super::ApiResult;
use super::query::Pairs;
use crate::Web;
use crate::error::Fault;
use crate::page::ask;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use serde_json::json;
use tidemill_model::Ts;
use tidemill_store::{Answer, Command, Condition, WhyOf};

/// The conditions of something.
pub(crate) async fn conditions(web: &Web, of: WhyOf) -> Result<Vec<Condition>, Fault> {
    match ask(web, Command::Why(of)).await? {
        Answer::Why(conditions) => Ok(conditions),
        _ => Ok(Vec::new()),
    }
}

async fn answer(web: &Web, of: WhyOf) -> ApiResult {
    let conditions = conditions(web, of).await?;
    let ok = conditions.iter().all(|condition| condition.ok);
    Ok(Json(json!({ "ok": ok, "conditions": conditions })).into_response())
}

/// `GET …/taskInstances/{task}/why`.
pub(crate) async fn task(
    State(web): State<Web>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    query: Pairs,
) -> ApiResult {
    let of = WhyOf::Task {
        dag_id,
        run_id,
        task_id,
        map_index: query.map_index()?,
    };
    answer(&web, of).await
}

/// `GET …/dagRuns/{run}/why`.
pub(crate) async fn run(
    State(web): State<Web>,
    Path((dag_id, run_id)): Path<(String, String)>,
) -> ApiResult {
    answer(&web, WhyOf::Run { dag_id, run_id }).await
}

/// `GET /dags/{dag}/why`: of the next run, or with `at` of the one for that instant.
pub(crate) async fn dag(
    State(web): State<Web>,
    Path(dag_id): Path<String>,
    query: Pairs,
) -> ApiResult {
    let at = query
        .get("at")
        .map(|text| Ts::parse(text, &jiff::tz::TimeZone::UTC));
    let at = at.transpose();
    let at = at.map_err(|err| Fault::invalid("query", "at", err.to_string()))?;
    answer(&web, WhyOf::Dag { dag_id, at }).await
}

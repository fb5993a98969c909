//! Airflow's REST API v2, as far as it is built, and what Tidemill adds under its own path.

mod assets;
mod backfills;
mod body;
mod clear;
mod connections;
mod dags;
mod logs;
mod own;
mod pools;
pub(crate) mod quarantine;
mod query;
mod runs;
pub(crate) mod streams;
mod tasks;
mod values;
mod variables;
mod why;
mod workers;

pub(crate) use assets::{last_events as last_asset_events, states as asset_states};
pub(crate) use connections::all as connections;
pub(crate) use pools::states as pool_states;
pub(crate) use variables::all as variables;
pub(crate) use why::conditions;

use crate::Web;
use crate::error::{ApiError, Fault};
use axum::Router;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::{get, patch, post};

pub(crate) type ApiResult = Result<Response, ApiError>;

/// Every address of the API, for the test that walks them.
#[cfg(test)]
pub(crate) const ROUTES: &[(&str, &str)] = &[
    ("GET", "/api/v2/dags"),
    ("GET", "/api/v2/dags/hello"),
    ("PATCH", "/api/v2/dags/hello"),
    ("GET", "/api/v2/dags/hello/details"),
    ("GET", "/api/v2/dags/hello/tasks"),
    ("GET", "/api/v2/dags/hello/tasks/greet"),
    ("POST", "/api/v2/dags/hello/clearTaskInstances"),
    ("GET", "/api/v2/dags/hello/dagRuns"),
    ("POST", "/api/v2/dags/hello/dagRuns"),
    ("GET", "/api/v2/dags/hello/dagRuns/one"),
    ("PATCH", "/api/v2/dags/hello/dagRuns/one"),
    ("POST", "/api/v2/dags/hello/dagRuns/one/clear"),
    ("GET", "/api/v2/dags/hello/dagRuns/one/wait"),
    ("GET", "/api/v2/dags/hello/dagRuns/one/taskInstances"),
    ("GET", "/api/v2/dags/hello/dagRuns/one/taskInstances/greet"),
    (
        "PATCH",
        "/api/v2/dags/hello/dagRuns/one/taskInstances/greet",
    ),
    (
        "GET",
        "/api/v2/dags/hello/dagRuns/one/taskInstances/greet/listMapped",
    ),
    (
        "GET",
        "/api/v2/dags/hello/dagRuns/one/taskInstances/greet/-1",
    ),
    (
        "GET",
        "/api/v2/dags/hello/dagRuns/one/taskInstances/greet/tries",
    ),
    (
        "GET",
        "/api/v2/dags/hello/dagRuns/one/taskInstances/greet/logs/1",
    ),
    (
        "GET",
        "/api/v2/dags/hello/dagRuns/one/taskInstances/greet/xcomEntries",
    ),
    (
        "GET",
        "/api/v2/dags/hello/dagRuns/one/taskInstances/greet/xcomEntries/return_value",
    ),
    (
        "PATCH",
        "/api/v2/dags/hello/dagRuns/one/taskInstances/greet/dry_run",
    ),
    (
        "PATCH",
        "/api/v2/dags/hello/dagRuns/one/taskGroupInstances/g",
    ),
    (
        "PATCH",
        "/api/v2/dags/hello/dagRuns/one/taskGroupInstances/g/dry_run",
    ),
    ("GET", "/api/v2/dagSources/hello"),
    ("GET", "/api/v2/backfills"),
    ("POST", "/api/v2/backfills"),
    ("POST", "/api/v2/backfills/dry_run"),
    ("GET", "/api/v2/backfills/1"),
    ("PUT", "/api/v2/backfills/1/pause"),
    ("POST", "/api/v2/backfills/1/unpause"),
    ("PUT", "/api/v2/backfills/1/cancel"),
    ("GET", "/api/tidemill/v1/backfills/1/dates"),
    ("GET", "/api/v2/assets"),
    ("GET", "/api/v2/assets/events"),
    ("POST", "/api/v2/assets/events"),
    ("GET", "/api/v2/assets/1"),
    ("POST", "/api/v2/assets/1/materialize"),
    ("GET", "/api/v2/assets/1/queuedEvents"),
    ("DELETE", "/api/v2/assets/1/queuedEvents"),
    ("GET", "/api/v2/dags/hello/assets/queuedEvents"),
    ("DELETE", "/api/v2/dags/hello/assets/queuedEvents"),
    ("GET", "/api/v2/dags/hello/assets/1/queuedEvents"),
    ("DELETE", "/api/v2/dags/hello/assets/1/queuedEvents"),
    ("GET", "/api/v2/dags/hello/dagRuns/one/upstreamAssetEvents"),
    ("GET", "/api/v2/importErrors"),
    ("GET", "/api/v2/monitor/health"),
    ("GET", "/api/v2/version"),
    ("POST", "/api/tidemill/v1/dags/hello/dagRuns/one/cancel"),
    ("GET", "/api/v2/pools"),
    ("POST", "/api/v2/pools"),
    ("GET", "/api/v2/pools/default_pool"),
    ("PATCH", "/api/v2/pools/default_pool"),
    ("DELETE", "/api/v2/pools/default_pool"),
    ("GET", "/api/v2/connections"),
    ("POST", "/api/v2/connections"),
    ("POST", "/api/v2/connections/test"),
    ("GET", "/api/v2/connections/dw"),
    ("PATCH", "/api/v2/connections/dw"),
    ("DELETE", "/api/v2/connections/dw"),
    ("GET", "/api/v2/variables"),
    ("POST", "/api/v2/variables"),
    ("GET", "/api/v2/variables/region"),
    ("PATCH", "/api/v2/variables/region"),
    ("DELETE", "/api/v2/variables/region"),
    ("GET", "/api/tidemill/v1/dags/hello/why"),
    ("GET", "/api/tidemill/v1/dags/hello/dagRuns/one/why"),
    (
        "GET",
        "/api/tidemill/v1/dags/hello/dagRuns/one/taskInstances/greet/why",
    ),
    (
        "GET",
        "/api/tidemill/v1/dags/hello/dagRuns/one/taskInstances/greet/logs/1/search?q=x",
    ),
    ("GET", "/api/tidemill/v1/runs/hello@latest"),
    ("GET", "/api/tidemill/v1/triggers"),
    ("GET", "/api/tidemill/v1/dags/hello/triggers/in"),
    ("PATCH", "/api/tidemill/v1/dags/hello/triggers/in"),
    ("POST", "/api/tidemill/v1/dags/hello/triggers/in/seek"),
    ("POST", "/api/tidemill/v1/dags/hello/triggers/in/replays"),
    (
        "POST",
        "/api/tidemill/v1/dags/hello/triggers/in/replays/1/cancel",
    ),
    ("POST", "/api/tidemill/v1/dags/hello/triggers/in/unblock"),
    (
        "POST",
        "/api/tidemill/v1/dags/hello/triggers/in/quarantine/1/retry",
    ),
    (
        "POST",
        "/api/tidemill/v1/dags/hello/triggers/in/quarantine/1/drop",
    ),
    ("GET", "/api/tidemill/v1/workers"),
    ("PATCH", "/api/tidemill/v1/workers/1"),
];

/// The API below `/api`. Only the socket hands out login links.
pub(crate) fn router(is_socket: bool) -> Router<Web> {
    let run = "/v2/dags/{dag}/dagRuns/{run}";
    let task = format!("{run}/taskInstances/{{task}}");
    let own = Router::new()
        .route(
            "/tidemill/v1/dags/{dag}/dagRuns/{run}/cancel",
            post(own::cancel),
        )
        .route("/tidemill/v1/dags/{dag}/why", get(why::dag))
        .route("/tidemill/v1/dags/{dag}/dagRuns/{run}/why", get(why::run))
        .route(
            "/tidemill/v1/dags/{dag}/dagRuns/{run}/taskInstances/{task}/why",
            get(why::task),
        )
        .route(
            "/tidemill/v1/dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/{try}/search",
            get(logs::search),
        )
        .route(
            "/tidemill/v1/backfills/{backfill}/dates",
            get(backfills::dates),
        )
        .route("/tidemill/v1/triggers", get(streams::list))
        .route(
            "/tidemill/v1/dags/{dag}/triggers/{trigger}",
            get(streams::one).patch(streams::patch),
        )
        .route(
            "/tidemill/v1/dags/{dag}/triggers/{trigger}/seek",
            post(streams::seek),
        )
        .route(
            "/tidemill/v1/dags/{dag}/triggers/{trigger}/replays",
            post(streams::replay),
        )
        .route(
            "/tidemill/v1/dags/{dag}/triggers/{trigger}/replays/{replay}/cancel",
            post(streams::cancel_replay),
        )
        .route(
            "/tidemill/v1/dags/{dag}/triggers/{trigger}/unblock",
            post(streams::unblock),
        )
        .route(
            "/tidemill/v1/dags/{dag}/triggers/{trigger}/quarantine",
            get(quarantine::list),
        )
        .route(
            "/tidemill/v1/dags/{dag}/triggers/{trigger}/quarantine/{id}",
            get(quarantine::show),
        )
        .route(
            "/tidemill/v1/dags/{dag}/triggers/{trigger}/quarantine/{id}/retry",
            post(quarantine::retry),
        )
        .route(
            "/tidemill/v1/dags/{dag}/triggers/{trigger}/quarantine/{id}/drop",
            post(quarantine::drop),
        )
        .route("/tidemill/v1/runs/{reference}", get(own::resolve))
        .route("/tidemill/v1/workers", get(workers::list))
        .route("/tidemill/v1/workers/{worker}", patch(workers::drain));
    let own = if is_socket {
        own.route("/tidemill/v1/login-links", post(own::login_link))
            .route("/tidemill/v1/secrets/export", get(variables::export))
            .route("/tidemill/v1/secrets/rotate", post(variables::rotate))
    } else {
        own
    };
    Router::new()
        .route("/v2/dags", get(dags::list))
        .route("/v2/dags/{dag}", get(dags::one).patch(dags::patch))
        .route("/v2/dags/{dag}/details", get(dags::details))
        .route("/v2/dags/{dag}/tasks", get(tasks::definitions))
        .route("/v2/dags/{dag}/tasks/{task}", get(tasks::definition))
        .route("/v2/dags/{dag}/clearTaskInstances", post(clear::tasks))
        .route(
            "/v2/dags/{dag}/dagRuns",
            get(runs::list).post(runs::trigger),
        )
        .route(run, get(runs::one).patch(runs::patch).delete(runs::delete))
        .route(&format!("{run}/clear"), post(clear::run))
        .route(&format!("{run}/wait"), get(runs::wait))
        .route(&format!("{run}/taskInstances"), get(tasks::list))
        .route(&task, get(tasks::one).patch(tasks::patch))
        .route(&format!("{task}/listMapped"), get(tasks::mapped))
        .route(&format!("{task}/{{map_index}}"), get(tasks::instance))
        .route(&format!("{task}/dry_run"), patch(tasks::patch_dry))
        .route(
            &format!("{run}/taskGroupInstances/{{group}}"),
            patch(tasks::patch_group),
        )
        .route(
            &format!("{run}/taskGroupInstances/{{group}}/dry_run"),
            patch(tasks::patch_group_dry),
        )
        .route(&format!("{task}/tries"), get(tasks::tries))
        .route(&format!("{task}/logs/{{try}}"), get(logs::one))
        .route(&format!("{task}/xcomEntries"), get(values::list))
        .route(&format!("{task}/xcomEntries/{{key}}"), get(values::one))
        .route("/v2/dagSources/{dag}", get(dags::source))
        .route("/v2/assets", get(assets::list))
        .route("/v2/assets/events", get(assets::events).post(assets::emit))
        .route("/v2/assets/{asset}", get(assets::one))
        .route("/v2/assets/{asset}/materialize", post(assets::materialize))
        .route(
            "/v2/assets/{asset}/queuedEvents",
            get(assets::queued_of_asset).delete(assets::drop_of_asset),
        )
        .route(
            "/v2/dags/{dag}/assets/queuedEvents",
            get(assets::queued_of_dag).delete(assets::drop_of_dag),
        )
        .route(
            "/v2/dags/{dag}/assets/{asset}/queuedEvents",
            get(assets::queued_of_both).delete(assets::drop_of_both),
        )
        .route(&format!("{run}/upstreamAssetEvents"), get(assets::upstream))
        .route("/v2/pools", get(pools::list).post(pools::make))
        .route(
            "/v2/pools/{name}",
            get(pools::one).patch(pools::patch).delete(pools::delete),
        )
        .route(
            "/v2/connections",
            get(connections::list).post(connections::make),
        )
        .route("/v2/connections/test", post(connections::test))
        .route(
            "/v2/connections/{id}",
            get(connections::one)
                .patch(connections::patch)
                .delete(connections::delete),
        )
        .route("/v2/variables", get(variables::list).post(variables::make))
        .route(
            "/v2/variables/{key}",
            get(variables::one)
                .patch(variables::patch)
                .delete(variables::delete),
        )
        .route(
            "/v2/backfills",
            get(backfills::list).post(backfills::create),
        )
        .route("/v2/backfills/dry_run", post(backfills::dry_run))
        .route("/v2/backfills/{backfill}", get(backfills::one))
        .route(
            "/v2/backfills/{backfill}/pause",
            put_or_post(backfills::pause),
        )
        .route(
            "/v2/backfills/{backfill}/unpause",
            put_or_post(backfills::unpause),
        )
        .route(
            "/v2/backfills/{backfill}/cancel",
            put_or_post(backfills::cancel),
        )
        .route("/v2/importErrors", get(dags::import_errors))
        .route("/v2/monitor/health", get(own::health))
        .route("/v2/version", get(own::version))
        .merge(own)
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
}

/// Airflow's route is PUT; its own command line (0.1.5) sends POST.
fn put_or_post<H, T>(handler: H) -> axum::routing::MethodRouter<Web>
where
    H: axum::handler::Handler<T, Web>,
    T: 'static,
{
    axum::routing::put(handler.clone()).post(handler)
}

/// An address that nothing answers.
pub(crate) async fn not_found(uri: Uri) -> ApiError {
    ApiError(Fault::not_found(format!(
        "there is nothing at {}",
        crate::view::text::cut(uri.path(), 200)
    )))
}

async fn wrong_method() -> ApiError {
    ApiError(Fault::new(
        axum::http::StatusCode::METHOD_NOT_ALLOWED,
        "this address does not take that method",
    ))
}

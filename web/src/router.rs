//! Which address leads where, and what stands before the handlers.

use crate::definitions::Definitions;
use crate::error::{ApiError, Fault};
use crate::{App, Doors, Web, api, hook, live, page, session, statics};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::set_header::SetResponseHeaderLayer;

const BODY_MAX: usize = 1 << 20;

/// Every address of the pages, for the test that walks them.
#[cfg(test)]
pub(crate) const PAGES: &[(&str, &str)] = &[
    ("GET", "/"),
    ("GET", "/dags"),
    ("GET", "/dags/hello"),
    ("GET", "/dags/hello/graph"),
    ("GET", "/dags/hello/code"),
    ("GET", "/dags/hello/runs"),
    ("GET", "/dags/hello/trigger"),
    ("POST", "/dags/hello/trigger"),
    ("POST", "/dags/hello/pause"),
    ("GET", "/dags/hello/runs/one"),
    ("POST", "/dags/hello/runs/one/cancel"),
    ("POST", "/dags/hello/runs/one/mark"),
    ("GET", "/dags/hello/runs/one/clear"),
    ("POST", "/dags/hello/runs/one/clear"),
    ("GET", "/dags/hello/runs/one/tasks/greet"),
    ("GET", "/dags/hello/runs/one/tasks/greet/log"),
    ("GET", "/dags/hello/runs/one/tasks/greet/raw"),
    ("GET", "/dags/hello/runs/one/tasks/greet/lines"),
    ("POST", "/dags/hello/runs/one/tasks/greet/mark"),
    ("POST", "/dags/hello/runs/one/tasks/greet/note"),
    ("POST", "/dags/hello/runs/one/mark-tasks"),
    ("POST", "/dags/hello/runs/one/note"),
    ("GET", "/dags/hello/why"),
    ("GET", "/dags/hello/runs/one/why"),
    ("GET", "/dags/hello/runs/one/tasks/greet/why"),
    ("GET", "/admin/pools"),
    ("POST", "/admin/pools"),
    ("POST", "/admin/pools/default_pool"),
    ("GET", "/admin/connections"),
    ("POST", "/admin/connections"),
    ("POST", "/admin/connections/dw"),
    ("GET", "/admin/variables"),
    ("POST", "/admin/variables"),
    ("POST", "/admin/variables/region"),
    ("GET", "/admin/export/connections"),
    ("POST", "/admin/import/connections"),
    ("GET", "/admin/export/variables"),
    ("POST", "/admin/import/variables"),
    ("GET", "/streams"),
    ("POST", "/streams/hello/in"),
    ("GET", "/assets"),
    ("POST", "/assets/orders/emit"),
    ("GET", "/backfills"),
    ("POST", "/backfills"),
    ("POST", "/backfills/1"),
    ("GET", "/runs"),
    ("GET", "/events"),
    ("GET", "/metrics"),
];

fn pages() -> Router<Web> {
    Router::new()
        .route("/", get(page::dags::list))
        .route("/dags", get(page::dags::list))
        .route("/dags/{dag}", get(page::dag::page))
        .route("/dags/{dag}/graph", get(page::graph::page))
        .route("/dags/{dag}/code", get(page::code::page))
        .route("/dags/{dag}/runs", get(page::runs::of_dag))
        .route(
            "/dags/{dag}/trigger",
            get(page::trigger::form).post(page::trigger::run),
        )
        .route("/dags/{dag}/pause", post(page::dags::pause))
        .route("/dags/{dag}/runs/{run}", get(page::run::page))
        .route("/dags/{dag}/runs/{run}/cancel", post(page::run::cancel))
        .route("/dags/{dag}/runs/{run}/mark", post(page::run::mark))
        .route(
            "/dags/{dag}/runs/{run}/clear",
            get(page::clear::preview).post(page::clear::run),
        )
        .route("/dags/{dag}/runs/{run}/tasks/{task}", get(page::task::page))
        .route(
            "/dags/{dag}/runs/{run}/tasks/{task}/log",
            get(page::log::log),
        )
        .route(
            "/dags/{dag}/runs/{run}/tasks/{task}/raw",
            get(page::log::raw),
        )
        .route(
            "/dags/{dag}/runs/{run}/tasks/{task}/lines",
            get(page::log::part),
        )
        .route(
            "/dags/{dag}/runs/{run}/tasks/{task}/mark",
            post(page::task::mark),
        )
        .route(
            "/dags/{dag}/runs/{run}/tasks/{task}/note",
            post(page::task::note),
        )
        .route(
            "/dags/{dag}/runs/{run}/mark-tasks",
            post(page::run::mark_tasks),
        )
        .route("/dags/{dag}/runs/{run}/note", post(page::run::note))
        .route("/dags/{dag}/why", get(page::why::dag))
        .route("/dags/{dag}/runs/{run}/why", get(page::why::run))
        .route(
            "/dags/{dag}/runs/{run}/tasks/{task}/why",
            get(page::why::task),
        )
        .route(
            "/admin/pools",
            get(page::pools::page).post(page::pools::make),
        )
        .route("/admin/pools/{name}", post(page::pools::set))
        .route(
            "/admin/connections",
            get(page::outside::connections_page).post(page::outside::make_connection),
        )
        .route(
            "/admin/connections/{id}",
            post(page::outside::set_connection),
        )
        .route(
            "/admin/variables",
            get(page::outside::variables_page).post(page::outside::make_variable),
        )
        .route("/admin/variables/{key}", post(page::outside::set_variable))
        .route(
            "/admin/export/connections",
            get(page::exchange::export_connections),
        )
        .route(
            "/admin/import/connections",
            post(page::exchange::import_connections),
        )
        .route(
            "/admin/export/variables",
            get(page::exchange::export_variables),
        )
        .route(
            "/admin/import/variables",
            post(page::exchange::import_variables),
        )
        .route("/streams", get(page::streams::page))
        .route("/streams/{dag}/{trigger}", post(page::streams::change))
        .route("/assets", get(page::assets::page))
        .route("/assets/{name}/emit", post(page::assets::emit))
        .route(
            "/backfills",
            get(page::backfills::page).post(page::backfills::make),
        )
        .route("/backfills/{backfill}", post(page::backfills::change))
        .route("/runs", get(page::runs::all))
        .route("/events", get(live::events))
        .route("/metrics", get(metrics))
        .fallback(page::not_found)
}

/// What this process counts. It names DAGs and pools, so it is for sessions and the socket.
async fn metrics(State(web): State<Web>) -> Result<impl IntoResponse, ApiError> {
    let Some(door) = &web.doors.metrics else {
        let what = "nothing is counted here".to_string();
        return Err(ApiError(Fault::not_found(what)));
    };
    let text = door().await?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text))
}

/// Is the process there? Says nothing of anything else.
async fn livez() -> &'static str {
    "ok\n"
}

/// Does it take work?
async fn readyz(State(web): State<Web>) -> (StatusCode, &'static str) {
    if (web.doors.ready)() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

fn open_to_all() -> Router<Web> {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/login", get(session::login))
        .route("/static/{name}", get(statics::serve))
}

/// Pages, API and events for TCP: only for sessions, only by a loopback name, and changes only
/// from the pages themselves.
pub fn tcp_router(doors: Doors) -> Router {
    tcp(Arc::new(App {
        doors,
        definitions: Definitions::default(),
        searches: crate::searches(),
    }))
}

pub(crate) fn tcp(web: Web) -> Router {
    let inner = pages()
        .nest("/api", api::router(false))
        .layer(from_fn_with_state(web.clone(), session::need_session))
        .merge(open_to_all())
        .layer(CompressionLayer::new())
        .layer(from_fn(session::need_same_origin))
        .layer(from_fn(session::need_loopback_host))
        // Called by machines elsewhere, by whatever name they know this one.
        .route("/hooks/{dag}/{path}", post(hook::call));
    guarded(inner, web)
}

/// The API alone, for the Unix socket, whose file's permissions are the authorisation.
pub fn socket_router(doors: Doors) -> Router {
    socket(Arc::new(App {
        doors,
        definitions: Definitions::default(),
        searches: crate::searches(),
    }))
}

pub(crate) fn socket(web: Web) -> Router {
    let inner = Router::new()
        .nest("/api", api::router(true))
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .fallback(api::not_found);
    guarded(inner, web)
}

/// What holds for every answer.
fn guarded(inner: Router<Web>, web: Web) -> Router {
    let set = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
    };
    let policy = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";
    inner
        .with_state(web)
        .layer(RequestBodyLimitLayer::new(BODY_MAX))
        .layer(CatchPanicLayer::new())
        .layer(set(header::CONTENT_SECURITY_POLICY, policy))
        .layer(set(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(set(header::REFERRER_POLICY, "same-origin"))
        .layer(set(
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ))
        .layer(set(
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ))
        .layer(set(header::CACHE_CONTROL, "private, no-cache"))
}

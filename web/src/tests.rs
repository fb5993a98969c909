//! The routers, asked as a browser and as a program would ask them.
#![allow(clippy::unwrap_used)]

mod api;
pub(crate) mod fixture;
mod graph;
mod logs;
mod pages;
mod trigger;

use crate::{Logins, api as routes, router};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::request::Builder;
use fixture::{Fixture, Got, fixture};
use http_body_util::BodyExt;
use tower::ServiceExt;

async fn send(router: &Router, request: Request<Body>) -> Got {
    let answer = router.clone().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let text = |value: &axum::http::HeaderValue| value.to_str().unwrap_or_default().to_string();
    let headers = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    Got {
        status,
        headers,
        text: String::from_utf8_lossy(&bytes).into_owned(),
    }
}

fn request(method: &str, path: &str) -> Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1:8080")
}

fn with_session(builder: Builder, logins: &Logins) -> Builder {
    builder.header(
        "cookie",
        format!("other=1; tidemill_8080={}", logins.new_session()),
    )
}

/// Asks for a page with a session.
async fn get(fixture: &Fixture, path: &str) -> Got {
    let asked = with_session(request("GET", path), &fixture.web.doors.logins);
    send(
        &router::tcp(fixture.web.clone()),
        asked.body(Body::empty()).unwrap(),
    )
    .await
}

/// Sends a form from the pages themselves.
async fn post(fixture: &Fixture, path: &str, form: &str) -> Got {
    let asked = with_session(request("POST", path), &fixture.web.doors.logins)
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded");
    send(
        &router::tcp(fixture.web.clone()),
        asked.body(Body::from(form.to_string())).unwrap(),
    )
    .await
}

#[tokio::test]
async fn nothing_is_shown_without_a_session() {
    let fixture = fixture().await;
    let router = router::tcp(fixture.web.clone());
    for (method, path) in router::PAGES.iter().chain(routes::ROUTES) {
        let asked = request(method, path)
            .header("sec-fetch-site", "same-origin")
            .body(Body::from("{}"))
            .unwrap();
        let got = send(&router, asked).await;
        assert_eq!(got.status, 401, "{method} {path}");
        assert!(!got.text.contains("greet"), "{method} {path}");
    }
    assert!(fixture.asked.lock().unwrap().is_empty());
    for path in [
        "/livez",
        "/readyz",
        "/static/tidemill.css",
        "/static/live.js",
    ] {
        let got = send(&router, request("GET", path).body(Body::empty()).unwrap()).await;
        assert_eq!(got.status, 200, "{path}");
    }
    let got = send(
        &router,
        request("GET", "/no/such").body(Body::empty()).unwrap(),
    )
    .await;
    assert_eq!(got.status, 401);
}

#[tokio::test]
async fn a_page_without_a_session_says_how_to_get_one() {
    let fixture = fixture().await;
    let got = send(
        &router::tcp(fixture.web.clone()),
        request("GET", "/dags").body(Body::empty()).unwrap(),
    )
    .await;
    assert!(got.text.contains("tidemill login-link"));
}

#[tokio::test]
async fn a_login_link_works_once() {
    let fixture = fixture().await;
    let router = router::tcp(fixture.web.clone());
    let path = fixture.web.doors.logins.new_link_path();
    let head = send(&router, request("HEAD", &path).body(Body::empty()).unwrap()).await;
    assert!(!head.headers.contains_key("set-cookie"));
    let got = send(&router, request("GET", &path).body(Body::empty()).unwrap()).await;
    assert_eq!((got.status, got.headers["location"].as_str()), (303, "/"));
    let cookie = &got.headers["set-cookie"];
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"));
    let pair = cookie.split(';').next().unwrap();
    let page = send(
        &router,
        request("GET", "/")
            .header("cookie", pair)
            .body(Body::empty())
            .unwrap(),
    )
    .await;
    assert_eq!(page.status, 200);
    let again = send(&router, request("GET", &path).body(Body::empty()).unwrap()).await;
    assert_eq!(again.status, 401);
    assert!(!again.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn a_change_from_elsewhere_is_refused() {
    let fixture = fixture().await;
    let router = router::tcp(fixture.web.clone());
    let foreign: [&[(&str, &str)]; 5] = [
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "http://evil.example")],
        &[("origin", "null")],
        &[],
    ];
    for (method, path) in router::PAGES
        .iter()
        .chain(routes::ROUTES)
        .filter(|(method, _)| *method != "GET")
    {
        for headers in foreign {
            let mut asked = with_session(request(method, path), &fixture.web.doors.logins);
            for (name, value) in headers {
                asked = asked.header(*name, *value);
            }
            let got = send(&router, asked.body(Body::from("{}")).unwrap()).await;
            assert_eq!(got.status, 403, "{method} {path} {headers:?}");
        }
    }
    assert!(fixture.asked.lock().unwrap().is_empty());
    let asked = with_session(
        request("POST", "/dags/hello/pause"),
        &fixture.web.doors.logins,
    )
    .header("origin", "http://127.0.0.1:8080")
    .header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(
        send(&router, asked.body(Body::from("paused=true")).unwrap())
            .await
            .status,
        303
    );
}

#[tokio::test]
async fn a_foreign_host_name_is_refused() {
    let fixture = fixture().await;
    let router = router::tcp(fixture.web.clone());
    for path in ["/", "/livez", "/login?token=x", "/api/v2/version"] {
        let asked = Request::builder()
            .uri(path)
            .header("host", "evil.example:8080");
        let asked = with_session(asked, &fixture.web.doors.logins);
        assert_eq!(
            send(&router, asked.body(Body::empty()).unwrap())
                .await
                .status,
            421,
            "{path}"
        );
    }
}

#[tokio::test]
async fn every_answer_has_the_headers_that_keep_it_safe() {
    let fixture = fixture().await;
    for path in [
        "/",
        "/nothing",
        "/static/live.js",
        "/api/v2/version",
        "/livez",
    ] {
        let got = get(&fixture, path).await;
        assert!(
            got.headers["content-security-policy"].contains("default-src 'self'"),
            "{path}"
        );
        assert_eq!(got.headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(got.headers["referrer-policy"], "same-origin", "{path}");
        assert_eq!(
            got.headers["cross-origin-opener-policy"], "same-origin",
            "{path}"
        );
    }
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let fixture = fixture().await;
    let router = router::tcp(fixture.web.clone());
    let first = send(
        &router,
        request("GET", "/static/live.js")
            .body(Body::empty())
            .unwrap(),
    )
    .await;
    assert!(first.text.len() <= 8 * 1024);
    let asked = request("GET", "/static/live.js").header("if-none-match", &first.headers["etag"]);
    assert_eq!(
        send(&router, asked.body(Body::empty()).unwrap())
            .await
            .status,
        304
    );
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let fixture = fixture().await;
    let got = post(&fixture, "/dags/hello/trigger", &"a".repeat(2 << 20)).await;
    assert_eq!(got.status, 413);
}

#[tokio::test]
async fn metrics_are_for_sessions_and_the_socket() {
    let fixture = fixture().await;
    let got = get(&fixture, "/metrics").await;
    assert!(got.headers["content-type"].starts_with("application/openmetrics-text"));
    assert!(got.text.ends_with("# EOF\n"), "{}", got.text);
    let asked = request("GET", "/metrics").body(Body::empty()).unwrap();
    let by_socket = send(&router::socket(fixture.web.clone()), asked).await;
    assert_eq!((by_socket.status, by_socket.text), (200, got.text));
}

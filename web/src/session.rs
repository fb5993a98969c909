//! Who may in over TCP: one-time links, sessions, and the checks of host and origin.

use crate::{Web, page};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const LINK_LIFE: Duration = Duration::from_secs(15 * 60);
const SESSION_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
const LINKS_MAX: usize = 100;
const SESSIONS_MAX: usize = 1000;

type Hash = [u8; 32];

/// One-time login links and the sessions that they opened. Only hashes are kept, in memory: a
/// restart ends every session.
#[derive(Default)]
pub struct Logins {
    links: Mutex<HashMap<Hash, Instant>>,
    sessions: Mutex<HashMap<Hash, Instant>>,
}

impl Logins {
    /// No links and no sessions.
    pub fn new() -> Logins {
        Logins::default()
    }

    /// A fresh link as a path, `/login?token=…`. It works once, for 15 minutes.
    ///
    /// # Panics
    /// When the operating system gives no random bytes.
    pub fn new_link_path(&self) -> String {
        format!("/login?token={}", keep(&self.links, LINK_LIFE, LINKS_MAX))
    }

    /// Trades a link's token for a session's token.
    fn redeem(&self, token: &str) -> Option<String> {
        let end = lock(&self.links).remove(&hash(token))?;
        (end > Instant::now()).then(|| keep(&self.sessions, SESSION_LIFE, SESSIONS_MAX))
    }

    fn has_session(&self, token: &str) -> bool {
        lock(&self.sessions)
            .get(&hash(token))
            .is_some_and(|end| *end > Instant::now())
    }

    #[cfg(test)]
    pub(crate) fn new_session(&self) -> String {
        keep(&self.sessions, SESSION_LIFE, SESSIONS_MAX)
    }
}

fn lock(
    tokens: &Mutex<HashMap<Hash, Instant>>,
) -> std::sync::MutexGuard<'_, HashMap<Hash, Instant>> {
    tokens.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a token and keeps its hash; the ones that are over, and the oldest of too many, go.
fn keep(tokens: &Mutex<HashMap<Hash, Instant>>, life: Duration, max: usize) -> String {
    let token = random_text();
    let now = Instant::now();
    let mut tokens = lock(tokens);
    tokens.retain(|_, end| *end > now);
    if tokens.len() >= max {
        let oldest = tokens
            .iter()
            .min_by_key(|(_, end)| **end)
            .map(|(hash, _)| *hash);
        oldest.map(|hash| tokens.remove(&hash));
    }
    tokens.insert(hash(&token), now + life);
    token
}

fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

/// 32 random bytes as hexadecimal text.
fn random_text() -> String {
    random_hex::<32>()
}

/// Eight random hexadecimal digits, to find an error again in the log.
pub(crate) fn short_random() -> String {
    random_hex::<4>()
}

fn random_hex<const N: usize>() -> String {
    let mut bytes = [0u8; N];
    if let Err(err) = getrandom::fill(&mut bytes) {
        panic!("the operating system gives no random bytes: {err}");
    }
    bytes
        .iter()
        .fold(String::with_capacity(2 * N), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The cookie's name holds the port: browsers share cookies between the ports of a host.
fn cookie_name(headers: &HeaderMap) -> String {
    let port = host(headers)
        .and_then(|host| host.rsplit_once(':'))
        .map_or("80", |(_, port)| port);
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    format!("tidemill_{}", if is_port { port } else { "80" })
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok())
}

fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let name = cookie_name(headers);
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// Trades a one-time link for a session and goes to the start page.
pub(crate) async fn login(
    State(web): State<Web>,
    method: Method,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    if method == Method::HEAD {
        return StatusCode::NO_CONTENT.into_response(); // A link checker must not use the link up.
    }
    let token = query.get("token").map(String::as_str).unwrap_or_default();
    let Some(session) = web.doors.logins.redeem(token) else {
        let detail = "This login link was used before, is over 15 minutes old, or is not whole.";
        return page::locked(&web, detail);
    };
    let cookie = format!(
        "{}={session}; Path=/; HttpOnly; SameSite=Lax; Max-Age={}",
        cookie_name(&headers),
        SESSION_LIFE.as_secs()
    );
    match HeaderValue::from_str(&cookie) {
        Ok(cookie) => ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// Lets a request on only with a session.
pub(crate) async fn need_session(State(web): State<Web>, request: Request, next: Next) -> Response {
    let known =
        session_cookie(request.headers()).is_some_and(|token| web.doors.logins.has_session(token));
    if known {
        return next.run(request).await;
    }
    let detail = "These pages need a session. A login link opens one.";
    if request.uri().path().starts_with("/api/") || request.uri().path() == "/events" {
        let text = "no session: run `tidemill login-link`, or use the socket of the home folder";
        return (
            StatusCode::UNAUTHORIZED,
            axum::Json(serde_json::json!({ "detail": text })),
        )
            .into_response();
    }
    page::locked(&web, detail)
}

/// Refuses hosts that are not this machine: a foreign name that resolves to a loopback address
/// is how another site would reach these pages.
pub(crate) async fn need_loopback_host(request: Request, next: Next) -> Response {
    let authority = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    match host(request.headers()).or(authority) {
        Some(host) if is_loopback(host) => next.run(request).await,
        _ => {
            let text = "this server answers only on localhost, 127.0.0.1 and [::1]\n";
            (StatusCode::MISDIRECTED_REQUEST, text).into_response()
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Refuses state-changing requests that do not come from these very pages.
pub(crate) async fn need_same_origin(request: Request, next: Next) -> Response {
    let changes = !matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    if changes && !is_same_origin(request.headers()) {
        let text =
            "a change must come from these pages; programs use the socket of the home folder\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    next.run(request).await
}

fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    match (text("origin"), host(headers)) {
        (Some(origin), Some(host)) => origin
            .strip_prefix("http://")
            .is_some_and(|rest| rest == host),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_link_opens_one_session() {
        let logins = Logins::new();
        let path = logins.new_link_path();
        let token = path.strip_prefix("/login?token=").unwrap();
        let session = logins.redeem(token).unwrap();
        assert!(logins.has_session(&session));
        assert!(!logins.has_session(token));
        assert_eq!(logins.redeem(token), None);
    }

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for host in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:8080",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "example.org",
            "127.0.0.1.example.org",
            "10.0.0.1",
            "[::2]:1",
            "",
            "localhost.evil",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn too_many_links_push_out_the_oldest() {
        let logins = Logins::new();
        for _ in 0..LINKS_MAX + 5 {
            logins.new_link_path();
        }
        assert_eq!(lock(&logins.links).len(), LINKS_MAX);
    }
}

//! Does the server of a connection answer, and take its login?

use super::answer::broken;
use super::client;
use super::guard::Allowed;
use super::request::{base_of, headers_of};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::net::IpAddr;
use tidemill_connection::Connection;

/// Asks for the connection's own address, with its login and headers, and says what came. What
/// tasks may not reach is not reached here either.
///
/// # Errors
/// Why not, for people: also when the login is refused or the server is in trouble.
pub async fn reach_http(connection: &Connection, allowed: &Allowed) -> Result<String, String> {
    let url = base_of(connection).map_err(|failure| failure.message)?;
    let host = url.host_str().unwrap_or_default();
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        allowed.check(address)?;
    }
    let client = client::make(None, allowed).map_err(|failure| failure.message)?;
    let mut request = client.get(url.clone()).headers(kept_headers(connection)?);
    if let Some(login) = &connection.login {
        let password = connection.password.clone().unwrap_or_default();
        request = request.basic_auth(login, Some(password.expose()));
    }
    let answer = request.send().await;
    let status = answer
        .map_err(|err| broken(url.as_str(), &err.without_url()).message)?
        .status();
    let refuses = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::PROXY_AUTHENTICATION_REQUIRED,
    ];
    if refuses.contains(&status) {
        return Err(format!(
            "{url} answers {status}: it does not take the login"
        ));
    }
    match status.is_server_error() {
        true => Err(format!("{url} answers {status}")),
        false => Ok(format!("{url} answers {status}")),
    }
}

/// The headers of a connection, as they are sent.
fn kept_headers(connection: &Connection) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in headers_of(connection) {
        let wrong = || format!("`headers` of its extra: `{name}` cannot be sent");
        let value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        headers.insert(name, value);
    }
    Ok(headers)
}

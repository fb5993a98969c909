//! Alerts by HTTP: webhooks, and what takes Slack's messages.

use super::words::Words;
use serde_json::{Value, json};
use std::sync::OnceLock;
use std::time::Duration;
use tidemill_connection::Connection;

/// A server that does not take the connection is given up.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// One for all alerts, so that connections are used again.
fn client() -> Result<&'static reqwest::Client, String> {
    static CLIENT: OnceLock<Result<reqwest::Client, String>> = OnceLock::new();
    let made = CLIENT.get_or_init(|| {
        // Another part of the program may have chosen the same provider before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_MAX)
            .build()
            .map_err(|err| format!("cannot make an HTTP client: {err}"))
    });
    made.as_ref().map_err(Clone::clone)
}

/// Posts the event, or the body that the file gives.
pub(super) async fn webhook(
    url: &str,
    words: &Words,
    connection: Option<&Connection>,
) -> Result<(), String> {
    let mut url = words.render("webhook", url)?;
    if let Some(connection) = connection
        && !url.contains("://")
    {
        url = format!("{}/{}", base(connection)?, url.trim_start_matches('/'));
    }
    let body = words.json.as_ref().unwrap_or(&words.event);
    let mut request = client()?.post(&url).json(body);
    if let Some(connection) = connection {
        let password = connection
            .password
            .as_ref()
            .map(|password| password.expose());
        request = match (&connection.login, password) {
            (Some(login), password) => request.basic_auth(login, password),
            (None, Some(token)) => request.bearer_auth(token),
            (None, None) => request,
        };
    }
    judge(request.send().await).await
}

/// Slack's incoming webhook: its address is the connection's host, with the password as the last
/// part, as in Airflow.
pub(super) async fn slack(
    channel: &str,
    words: &Words,
    connection: Option<&Connection>,
) -> Result<(), String> {
    let connection = connection.ok_or("it needs a connection")?;
    let mut url = base(connection)?;
    if let Some(password) = &connection.password {
        url = format!("{url}/{}", password.expose().trim_start_matches('/'));
    }
    let body: Value = json!({"channel": channel, "text": words.text});
    judge(client()?.post(&url).json(&body).send().await).await
}

fn base(connection: &Connection) -> Result<String, String> {
    let id = &connection.id;
    let host = connection.host.as_deref().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| format!("connection `{id}` has no host"))?;
    let scheme = connection.schema.as_deref().unwrap_or("https");
    let whole = match host.contains("://") {
        true => host.trim_end_matches('/').to_string(),
        false => format!("{scheme}://{}", host.trim_end_matches('/')),
    };
    Ok(match connection.port {
        Some(port) => {
            let (before, path) = match whole.splitn(4, '/').nth(3) {
                Some(path) => (
                    whole[..whole.len() - path.len() - 1].to_string(),
                    format!("/{path}"),
                ),
                None => (whole.clone(), String::new()),
            };
            format!("{before}:{port}{path}")
        }
        None => whole,
    })
}

/// The address may hold a secret, so no error shows it.
async fn judge(answer: Result<reqwest::Response, reqwest::Error>) -> Result<(), String> {
    let answer = answer.map_err(|err| crate::exit::chain(&err.without_url()))?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("the answer was {status}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_connection_keeps_its_path_behind_its_port() {
        let table = [
            ("slack://hooks.example", "https://hooks.example"),
            (
                "slack://hooks.example:8443/http",
                "http://hooks.example:8443",
            ),
            (
                "slack://https://hooks.example%2Fservices%2F",
                "https://hooks.example/services",
            ),
            (
                "slack://http://127.0.0.1%2Fa%2Fb:99",
                "http://127.0.0.1:99/a/b",
            ),
        ];
        for (uri, want) in table {
            let connection = Connection::parse("c", uri).unwrap();
            assert_eq!(base(&connection).as_deref(), Ok(want), "{uri}");
        }
    }
}

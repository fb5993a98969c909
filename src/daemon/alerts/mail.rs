//! Alerts by mail.

use super::words::Words;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use std::time::Duration;
use tidemill_connection::Connection;

/// A word of the server's takes no longer.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Sends one mail to all of them. The connection is Airflow's `smtp`: `extra` may hold
/// `from_email`, `disable_ssl` and `disable_tls`.
pub(super) async fn send(
    to: &[String],
    words: &Words,
    connection: Option<&Connection>,
) -> Result<(), String> {
    let connection = connection.ok_or("it needs a connection")?;
    let mail = mail(to, words, connection)?;
    let sent = transport(connection)?.send(mail).await;
    sent.map(drop).map_err(|err| crate::exit::chain(&err))
}

fn mail(to: &[String], words: &Words, connection: &Connection) -> Result<Message, String> {
    let from = connection.extra_text("from_email");
    let from = from.map(|from| from.expose().to_string());
    let from = from.or_else(|| connection.login.clone().filter(|login| login.contains('@')));
    let from = from.unwrap_or_else(|| "tidemill@localhost".to_string());
    let mut mail = Message::builder()
        .from(mailbox(&from)?)
        .subject(&words.subject);
    for one in to {
        mail = mail.to(mailbox(one)?);
    }
    mail.body(words.text.clone())
        .map_err(|err| format!("the mail cannot be written: {err}"))
}

fn mailbox(address: &str) -> Result<Mailbox, String> {
    address
        .parse()
        .map_err(|_| format!("`{address}` is not a mail address"))
}

/// Logs in at the mail server, and sends nothing.
///
/// # Errors
/// Why not, for people.
pub async fn reach(connection: &Connection) -> Result<(), String> {
    let reached = transport(connection)?.test_connection().await;
    match reached.map_err(|err| crate::exit::chain(&err))? {
        true => Ok(()),
        false => Err("the mail server has hung up".to_string()),
    }
}

fn transport(connection: &Connection) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let id = &connection.id;
    let host = connection.host.as_deref().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| format!("connection `{id}` has no host"))?;
    let is_set = |key: &str| {
        let value = connection.extra_text(key);
        value.is_some_and(|value| matches!(value.expose(), "true" | "True" | "1"))
    };
    let parameters = || TlsParameters::new(host.to_string()).map_err(|err| err.to_string());
    let (tls, port) = match (is_set("disable_ssl"), is_set("disable_tls")) {
        (false, _) => (Tls::Wrapper(parameters()?), 465),
        (true, false) => (Tls::Required(parameters()?), 587),
        (true, true) => (Tls::None, 25),
    };
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        .port(connection.port.unwrap_or(port))
        .timeout(Some(ANSWER_MAX))
        .tls(tls);
    if let (Some(login), Some(password)) = (&connection.login, &connection.password) {
        let credentials = Credentials::new(login.clone(), password.expose().to_string());
        transport = transport.credentials(credentials);
    }
    Ok(transport.build())
}

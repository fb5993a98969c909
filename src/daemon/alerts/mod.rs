//! Sends alerts. The pass in which something happened has written them down; from there on they
//! have retries and deadlines of their own, and no run waits for them.

mod mail;
mod post;
mod shell;
mod words;

pub use mail::reach as reach_mail;

use crate::daemon::clock;
use crate::daemon::outside::{Keeper, by_name};
use crate::exit::chain;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tidemill_connection::{Connection, Places};
use tidemill_model::Ts;
use tidemill_model::alert::{Alert, Channel};
use tidemill_store::{AlertEnd, AlertRecord, AlertStore};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use words::Words;

/// One try takes no longer.
const TRY_MAX: Duration = Duration::from_secs(30);
/// Tries of one alert, and how old it may be at the last one.
const TRIES_MAX: u32 = 7;
const AGE_MAX_US: i64 = 3600 * 1_000_000;
/// The wait before the second try; each later one is four times the one before.
const FIRST_WAIT_US: i64 = 1_000_000;
/// Alerts that are sent at once.
const AT_ONCE: u32 = 16;
/// So often it is looked without a bell.
const FLOOR: Duration = Duration::from_secs(30);
/// An error says no more.
const ERROR_MAX: usize = 500;

/// Who sends.
pub struct Sender {
    /// Where alerts are.
    pub store: Arc<dyn AlertStore>,
    /// Where connections are looked for first.
    pub places: Places,
    /// Who keeps those of the database.
    pub keeper: Arc<Keeper>,
    /// The folders of versions, in which commands are run.
    pub versions: PathBuf,
    /// The address of the pages, for links.
    pub url: String,
}

impl Sender {
    /// Sends whatever is due, for ever. The bell says that there may be something.
    pub async fn run(self: Arc<Self>, bell: Arc<Notify>) {
        loop {
            match self.store.alerts_due(clock::now(), AT_ONCE).await {
                Ok(due) if !due.is_empty() => {
                    let mut tries = JoinSet::new();
                    for one in due {
                        let sender = Arc::clone(&self);
                        tries.spawn(async move { sender.attend(one).await });
                    }
                    while tries.join_next().await.is_some() {}
                    continue;
                }
                Ok(_) => {}
                Err(err) => tracing::warn!(error = %chain(&err), "Cannot look for alerts"),
            }
            let wait = self.until_next().await;
            let _ = tokio::time::timeout(wait, bell.notified()).await;
        }
    }

    async fn until_next(&self) -> Duration {
        match self.store.next_alert().await {
            Ok(Some(due)) => {
                let us = due.0.saturating_sub(clock::now().0).max(1_000);
                Duration::from_micros(u64::try_from(us).unwrap_or(0)).min(FLOOR)
            }
            _ => FLOOR,
        }
    }

    /// One try, and what came of it.
    async fn attend(&self, one: AlertRecord) {
        let sent = tokio::time::timeout(TRY_MAX, self.send(&one)).await;
        let sent = sent.unwrap_or_else(|_| Err(format!("no answer within {TRY_MAX:?}")));
        let now = clock::now();
        let key = &one.row.key;
        let end = match sent {
            Ok(()) => AlertEnd::Sent,
            Err(why) => self.after_failure(&one, why, now),
        };
        if let Err(err) = self.store.settle_alert(key, &end, now).await {
            tracing::warn!(alert = key, error = %chain(&err), "Cannot write down what came of an alert");
            // It is due still: not at once again, for that would send it over and over.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn after_failure(&self, one: &AlertRecord, why: String, now: Ts) -> AlertEnd {
        let why: String = why.chars().take(ERROR_MAX).collect();
        let n_tries = one.n_tries + 1;
        let wait = FIRST_WAIT_US.saturating_mul(4i64.saturating_pow(one.n_tries));
        let next = Ts(now.0.saturating_add(wait));
        if n_tries >= TRIES_MAX || next.0.saturating_sub(one.row.at.0) > AGE_MAX_US {
            tracing::error!(
                alert = one.row.key,
                n_tries,
                why,
                "An alert could not be sent; it is given up"
            );
            return AlertEnd::GivenUp(why);
        }
        tracing::warn!(
            alert = one.row.key,
            n_tries,
            why,
            "An alert could not be sent; it is tried again"
        );
        AlertEnd::Again(next, why)
    }

    /// The error never holds a secret of the connection.
    async fn send(&self, one: &AlertRecord) -> Result<(), String> {
        let alert: Alert = serde_json::from_value(one.row.body["alert"].clone())
            .map_err(|_| "this program cannot read the alert".to_string())?;
        let words = Words::new(&alert, &one.row.body["event"], &self.url)?;
        let connection = self.connection(&alert).await?;
        let sent = match &alert.channel {
            Channel::Webhook(url) => post::webhook(url, &words, connection.as_ref()).await,
            Channel::Slack(channel) => post::slack(channel, &words, connection.as_ref()).await,
            Channel::Email(to) => mail::send(to, &words, connection.as_ref()).await,
            Channel::Shell(command) => shell::run(command, &words, &self.versions).await,
        };
        let hidden = connection
            .map(|connection| connection.hidden())
            .unwrap_or_default();
        let masker = tidemill_connection::Masker::new(&hidden);
        sent.map_err(|why| masker.text(&why).into_owned())
    }

    /// The connection that it names, or that its channel needs.
    async fn connection(&self, alert: &Alert) -> Result<Option<Connection>, String> {
        let id = match (&alert.connection, &alert.channel) {
            (Some(id), _) => id.as_str(),
            (None, Channel::Slack(_)) => "slack_default",
            (None, Channel::Email(_)) => "smtp_default",
            (None, Channel::Webhook(_) | Channel::Shell(_)) => return Ok(None),
        };
        by_name(id, &self.places, &self.keeper).await.map(Some)
    }
}

//! `on_failure`, `on_success`, `on_retry`, `on_skipped`, `on_execute`: whom to tell.

use super::{Place, Text, Walk};
use crate::diagnostic::Diagnostic;
use crate::keys;
use crate::operator::Template;
use crate::parse::{Table, Value};
use std::time::Duration;
use tidemill_model::alert::{Alert, AlertOn, Channel, Since};
use toml::de::DeValue;

/// What all alerts of one table say, by event: an event that is not there is not spoken of.
pub(crate) type Alerts = Vec<(AlertOn, Vec<AlertKeys>)>;

/// One alert and the texts of it that are templates.
#[derive(Clone, Debug)]
pub(crate) struct AlertKeys {
    pub(crate) alert: Alert,
    pub(crate) texts: Vec<Text>,
}

/// What one entry of `deadlines` says.
pub(crate) struct DeadlineKeys {
    pub(crate) since: Since,
    pub(crate) interval: Duration,
    pub(crate) alerts: Vec<AlertKeys>,
}

/// The keys that say how; an alert has exactly one of them.
const CHANNELS: [&str; 4] = ["webhook", "slack", "email", "shell"];

impl Walk<'_> {
    /// The alerts of a table for these events.
    pub(crate) fn alerts(&mut self, table: &Table, events: &[AlertOn]) -> Alerts {
        let mut found = Alerts::new();
        for on in events {
            let Some(value) = table.get(on.name()) else {
                continue;
            };
            let DeValue::Array(items) = value.get_ref() else {
                self.wrong_type(on.name(), value, "a list of tables");
                continue;
            };
            let alerts = items.iter().filter_map(|item| self.alert(*on, item));
            found.push((*on, alerts.collect()));
        }
        found
    }

    /// `[[dag.deadlines]]`.
    pub(crate) fn deadlines(&mut self, table: &Table) -> Vec<DeadlineKeys> {
        let Some(value) = table.get("deadlines") else {
            return Vec::new();
        };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type("deadlines", value, "a list of tables: [[dag.deadlines]]");
            return Vec::new();
        };
        items
            .iter()
            .filter_map(|item| self.deadline(item))
            .collect()
    }

    fn deadline(&mut self, item: &Value) -> Option<DeadlineKeys> {
        let DeValue::Table(table) = item.get_ref() else {
            self.wrong_type("deadlines", item, "a list of tables: [[dag.deadlines]]");
            return None;
        };
        self.check_keys(
            table,
            &Place::Inner("dag.deadlines".to_string()),
            keys::DEADLINE,
        );
        for (key, what) in [
            ("interval", "how late is late"),
            ("notify", "whom it tells"),
        ] {
            if !table.contains_key(key) {
                let message = format!("the deadline does not say {what}");
                let one = Diagnostic::error("TM0102", item.span(), message);
                self.report(one.help(format!("add `{key}`")));
            }
        }
        let since = self.choice(table, "reference", keys::REFERENCES);
        let interval = self.duration(table, "interval");
        let DeValue::Array(told) = table.get("notify")?.get_ref() else {
            self.wrong_type("notify", table.get("notify")?, "a list of tables");
            return None;
        };
        let told = told.iter();
        Some(DeadlineKeys {
            since: since
                .and_then(|word| Since::from_name(&word))
                .unwrap_or(Since::QueuedAt),
            alerts: told
                .filter_map(|one| self.alert(AlertOn::Deadline, one))
                .collect(),
            interval: interval?,
        })
    }

    fn alert(&mut self, on: AlertOn, item: &Value) -> Option<AlertKeys> {
        let DeValue::Table(table) = item.get_ref() else {
            self.wrong_type(on.name(), item, "a table such as { slack = \"#ops\" }");
            return None;
        };
        self.check_keys(table, &Place::Inner(on.name().to_string()), keys::ALERT);
        let written: Vec<&str> = CHANNELS
            .into_iter()
            .filter(|name| table.contains_key(*name))
            .collect();
        let [channel] = written.as_slice() else {
            if !table.contains_key("kafka") {
                let message = match written.len() {
                    0 => "the alert does not say how it is told",
                    _ => "the alert says two ways in which it is told",
                };
                let one = Diagnostic::error("TM0115", item.span(), message);
                self.report(one.help(format!("write exactly one of {}", CHANNELS.join(", "))));
            }
            return None;
        };
        let channel = self.channel(table, channel)?;
        self.fitting(table, &channel);
        let mut texts: Vec<Text> = Vec::new();
        for name in ["webhook", "text", "subject"] {
            texts.extend(self.text(table, name));
        }
        let mut inner: Vec<Template> = Vec::new();
        let json = table.get("json");
        let json = json.and_then(|value| self.tree_of("json", value, &mut inner));
        texts.extend(inner.into_iter().map(|one| one.text));
        Some(AlertKeys {
            alert: Alert {
                on,
                channel,
                connection: self.string(table, "connection"),
                text: self.string(table, "text"),
                subject: self.string(table, "subject"),
                json,
            },
            texts,
        })
    }

    fn channel(&mut self, table: &Table, name: &str) -> Option<Channel> {
        Some(match name {
            "webhook" => Channel::Webhook(self.string(table, name)?),
            "slack" => Channel::Slack(self.string(table, name)?),
            "shell" => Channel::Shell(self.string(table, name)?),
            _ => {
                let all = self.one_or_many(table, name)?;
                if let Some(wrong) = all.iter().find(|text| !is_address(&text.value)) {
                    let message = format!("`{}` is not a mail address", wrong.value);
                    self.report(Diagnostic::error("TM0103", wrong.span.clone(), message));
                }
                Channel::Email(all.into_iter().map(|text| text.value).collect())
            }
        })
    }

    /// Keys that mean something for one channel only.
    fn fitting(&mut self, table: &Table, channel: &Channel) {
        let is_for = |key: &str| match key {
            "json" => matches!(channel, Channel::Webhook(_)),
            "subject" => matches!(channel, Channel::Email(_)),
            _ => !matches!(channel, Channel::Shell(_)),
        };
        for key in ["json", "subject", "connection"] {
            if let Some(value) = table.get(key).filter(|_| !is_for(key)) {
                let message = format!("`{key}` means nothing for `{}`", channel.name());
                self.report(Diagnostic::error("TM0115", value.span(), message));
            }
        }
    }
}

fn is_address(text: &str) -> bool {
    let is_clean = !text
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || c == ',');
    let parts = text.split_once('@');
    is_clean && parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
}

/// Alerts over others: an event that is spoken of is spoken of alone.
pub(crate) fn over(mut own: Alerts, base: &Alerts) -> Alerts {
    for (on, alerts) in base {
        if !own.iter().any(|(known, _)| known == on) {
            own.push((*on, alerts.clone()));
        }
    }
    own
}

//! `[triggers]` that are no streams: webhooks and files.

use super::dag::DagKeys;
use super::value::is_id;
use super::{Place, Text, Walk};
use crate::diagnostic::Diagnostic;
use crate::keys;
use crate::parse::{Table, Value};
use std::ops::Range;
use std::time::Duration;
use tidemill_model::RunType;
use tidemill_model::event::{EventSource, EventTrigger, FileDrop, Signature, Webhook};

/// What `[triggers.NAME]` says, with the templates that are still to be checked.
pub(crate) struct EventKeys {
    pub(crate) trigger: EventTrigger,
    /// Templates over what has happened.
    pub(crate) texts: Vec<Text>,
    /// The names of the parameters that it sets.
    pub(crate) params: Vec<Text>,
}

const BODY_BYTES: u64 = 256 << 10;
/// The server takes no larger body of anybody.
const BODY_BYTES_MAX: u64 = 1 << 20;
const REPLAY_WINDOW: Duration = Duration::from_secs(300);
/// Whoever holds an old call may use it for so long.
const REPLAY_WINDOW_MAX: Duration = Duration::from_secs(24 * 3600);
const SETTLE: Duration = Duration::from_secs(5);
const POKE_INTERVAL: Duration = Duration::from_secs(5);
/// Looking more often than this would be a busy loop.
const POKE_INTERVAL_MIN: Duration = Duration::from_millis(10);

impl Walk<'_> {
    /// A trigger that is a webhook or a file.
    pub(crate) fn event(
        &mut self,
        table: &Table,
        name: String,
        span: &Range<usize>,
        dag: &DagKeys,
    ) -> Option<EventKeys> {
        if !dag.allowed_run_types.contains(&RunType::AssetTriggered) {
            let message = "`allowed_run_types` of this DAG leaves out asset_triggered, which runs of triggers are";
            self.report(Diagnostic::error("TM0161", span.clone(), message));
        }
        let (params, mut texts) = self.templates_by_name(table, "params");
        let run_id = self.text(table, "run_id");
        texts.extend(run_id.clone());
        let is_enabled = self.boolean(table, "enabled").unwrap_or(true);
        let (source, run_if) = match table.contains_key("webhook") {
            true => {
                let inner = self.table(table, "webhook")?;
                self.check_keys(inner, &Place::Inner("webhook".to_string()), keys::WEBHOOK);
                let webhook = self.webhook(inner, &name, span).map(EventSource::Webhook);
                (webhook, self.text(inner, "run_if"))
            }
            false => {
                let inner = self.table(table, "file")?;
                self.check_keys(inner, &Place::Inner("file".to_string()), keys::FILE);
                let file = self.file_drop(inner, span).map(EventSource::File);
                (file, self.text(inner, "run_if"))
            }
        };
        texts.extend(run_if.clone());
        Some(EventKeys {
            trigger: EventTrigger {
                name,
                is_enabled,
                params,
                run_id: run_id.map(|text| text.value),
                run_if: run_if.map(|text| text.value),
                source: source?,
            },
            texts,
            params: self.names_in(table, "params"),
        })
    }

    fn webhook(&mut self, table: &Table, name: &str, span: &Range<usize>) -> Option<Webhook> {
        let path = self.text(table, "path");
        if let Some(odd) = path.as_ref().filter(|path| !is_id(&path.value)) {
            let message = format!("`{}` cannot be the end of an address", odd.value);
            let one = Diagnostic::error("TM0107", odd.span.clone(), message);
            self.report(one.label("A-Z a-z 0-9 _ and - only"));
        }
        let Some(mut secret) = self.text(table, "secret") else {
            let message = "a webhook needs a `secret`: whoever has it may make runs";
            let one = Diagnostic::error("TM0102", span.clone(), message);
            self.report(one.help("add secret = \"NAME\", and set it: tidemill variables set NAME"));
            return None;
        };
        if is_id(&secret.value) {
            secret.value = format!("var.{}", secret.value);
        }
        let window = self.duration(table, "replay_window");
        let window = window.unwrap_or(REPLAY_WINDOW);
        if window.is_zero() || window > REPLAY_WINDOW_MAX {
            let at = table.get("replay_window").map_or(span.clone(), Value::span);
            let message = "`replay_window` must be more than zero and at most 24h";
            self.report(Diagnostic::error("TM0103", at, message));
        }
        let signature = self.choice(table, "signature", keys::SIGNATURES);
        Some(Webhook {
            path: path.map_or(name.to_string(), |path| path.value),
            secret: self.checked_source(secret)?,
            signature: signature
                .and_then(|word| Signature::from_name(&word))
                .unwrap_or(Signature::Standard),
            replay_window: window,
            max_bytes: self
                .size(table, "max_bytes", BODY_BYTES_MAX)
                .unwrap_or(BODY_BYTES),
        })
    }

    fn file_drop(&mut self, table: &Table, span: &Range<usize>) -> Option<FileDrop> {
        let Some(path) = self.text(table, "path") else {
            let message = "the trigger does not say which files it waits for";
            let one = Diagnostic::error("TM0102", span.clone(), message);
            self.report(one.help("add path = \"/data/in/*.csv\""));
            return None;
        };
        let folder = path.value.rsplit_once('/').map(|(folder, _)| folder);
        let is_good = path.value.starts_with('/')
            && !path.value.ends_with('/')
            && folder.is_some_and(|folder| !folder.contains(['*', '?']));
        if !is_good {
            let message = "`path` must be absolute, with `*` and `?` in its last part only";
            self.report(Diagnostic::error("TM0103", path.span.clone(), message));
        }
        let interval = self.duration(table, "poke_interval");
        Some(FileDrop {
            path: path.value,
            settle: self.duration(table, "settle").unwrap_or(SETTLE),
            poke_interval: interval.unwrap_or(POKE_INTERVAL).max(POKE_INTERVAL_MIN),
        })
    }
}

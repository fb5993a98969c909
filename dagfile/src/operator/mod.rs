//! Operators that run inside the worker: what their tables may say, as data.
//!
//! A new one is a table in a file here, a line in `keys::TASK`, and one in `keys::DEFAULT_ARGS` if
//! it shall have defaults.

pub(crate) mod file_sensor;
pub(crate) mod http;
pub(crate) mod http_sensor;
pub(crate) mod kafka;
pub(crate) mod python;
pub(crate) mod sql;
pub(crate) mod sql_sensor;
pub(crate) mod wasm;

/// The keys of a sensor: its own, and how it waits.
#[rustfmt::skip]
macro_rules! sensor_keys {
    ($($own:expr),* $(,)?) => {
        &[
            $($own,)*
            key("poke_interval", Kind::Duration, "\"1m\"", "The pause between two looks."),
            key("timeout", Kind::Duration, "\"7d\"", "How long it waits, over all looks."),
            key("soft_fail", Kind::Bool, "false", "Skipped, and not failed, when the time is up?"),
            key("exponential_backoff", Kind::Bool, "false", "Is each pause twice the one before, up to an hour?"),
        ]
    };
}
pub(crate) use sensor_keys;

use crate::diagnostic::Diagnostic;
use crate::keys::Key;
use crate::walk::{Text, Walk};
use serde_json::{Map, Value as Json};
use std::ops::Range;

/// What the table of an operator may say.
#[derive(Debug)]
pub(crate) struct OperatorKeys {
    /// Its key in a task.
    pub(crate) name: &'static str,
    /// The key that is meant where the operator is a text and no table.
    pub(crate) short: Option<&'static str>,
    pub(crate) keys: &'static [Key],
    /// What its work leaves, by the names that templates have for it; besides `result`.
    pub(crate) results: &'static [&'static str],
    /// Does it only look at things?
    pub(crate) only_looks: bool,
    /// What must hold between its keys, once the defaults stand in.
    pub(crate) check: fn(&Settings) -> Vec<Fault>,
}

/// What is wrong between keys.
pub(crate) struct Fault {
    /// The key that is shown; the task itself when absent.
    pub(crate) key: Option<&'static str>,
    pub(crate) message: String,
    pub(crate) help: &'static str,
}

/// What one table of an operator says: of a task, or of defaults.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    keys: Vec<Setting>,
    /// Were there mistakes? What is missing may then be their consequence.
    is_damaged: bool,
}

/// One key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) span: Range<usize>,
    pub(crate) value: Json,
    /// The texts of it that may hold templates.
    pub(crate) texts: Vec<Template>,
}

/// A text that may hold a template.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) text: Text,
    /// Does it see what the work leaves?
    pub(crate) sees_results: bool,
}

impl Settings {
    pub(crate) fn new(keys: Vec<Setting>, is_damaged: bool) -> Settings {
        Settings { keys, is_damaged }
    }

    /// Is a key written?
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The value of a key.
    pub(crate) fn get(&self, name: &str) -> Option<&Json> {
        let found = self.keys.iter().find(|setting| setting.name == name);
        found.map(|setting| &setting.value)
    }

    pub(crate) fn texts(&self) -> impl Iterator<Item = &Template> {
        self.keys.iter().flat_map(|setting| &setting.texts)
    }

    /// These over `base`; tables merge key by key.
    pub(crate) fn over(mut self, base: &Settings) -> Settings {
        self.is_damaged |= base.is_damaged;
        for other in &base.keys {
            let own = self.keys.iter_mut().find(|own| own.name == other.name);
            match own {
                None => self.keys.push(other.clone()),
                Some(own) => {
                    if let (Json::Object(mine), Json::Object(theirs)) =
                        (&mut own.value, &other.value)
                    {
                        for (key, value) in theirs {
                            mine.entry(key.clone()).or_insert_with(|| value.clone());
                        }
                        own.texts.extend(other.texts.iter().cloned());
                    }
                }
            }
        }
        self
    }

    /// The settings for whoever runs the operator.
    pub(crate) fn into_json(self) -> Map<String, Json> {
        let pairs = self.keys.into_iter();
        pairs
            .map(|setting| (setting.name.to_string(), setting.value))
            .collect()
    }

    /// Reports what does not fit together; `task` is where the task stands.
    pub(crate) fn check(&self, walk: &mut Walk, operator: &OperatorKeys, task: &Range<usize>) {
        if self.is_damaged {
            return;
        }
        for fault in (operator.check)(self) {
            let key = |name| self.keys.iter().find(|setting| setting.name == name);
            let span = fault
                .key
                .and_then(key)
                .map_or(task, |setting| &setting.span);
            let one = Diagnostic::error("TM0114", span.clone(), fault.message);
            walk.report(one.help(fault.help));
        }
    }
}

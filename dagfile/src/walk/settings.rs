//! The table of an operator that runs inside the worker, read by the kinds of its keys.

use super::{Place, Text, Walk};
use crate::diagnostic::Diagnostic;
use crate::keys::{self, Key, Kind};
use crate::normal;
use crate::operator::{OperatorKeys, Setting, Settings, Template};
use crate::parse::{Table, Value};
use serde_json::{Map, Value as Json};
use toml::de::DeValue;

impl Walk<'_> {
    /// The value of an operator's key in a task.
    pub(crate) fn operator_settings(
        &mut self,
        value: &Value,
        operator: &'static OperatorKeys,
        place: &Place,
    ) -> Settings {
        match (value.get_ref(), operator.short) {
            (DeValue::Table(table), _) => self.settings(table, operator, place),
            (DeValue::String(_), Some(short)) => {
                let key = keys::find(operator.keys, short);
                let setting = key.and_then(|key| self.setting(key, value));
                let is_damaged = setting.is_none();
                Settings::new(setting.into_iter().collect(), is_damaged)
            }
            (_, short) => {
                let expected = short.map_or("a table".to_string(), |short| {
                    format!("a text, which is its `{short}`, or a table")
                });
                self.wrong_type(operator.name, value, &expected);
                Settings::new(Vec::new(), true)
            }
        }
    }

    /// A table of an operator's keys.
    pub(crate) fn settings(
        &mut self,
        table: &Table,
        operator: &'static OperatorKeys,
        place: &Place,
    ) -> Settings {
        let place = Place::Operator(Box::new(place.clone()), operator.name);
        let n_before = self.diagnostics.len();
        self.check_keys(table, &place, operator.keys);
        let keys = self.all_settings(table, operator.keys);
        Settings::new(keys, self.diagnostics.len() > n_before || self.is_full())
    }

    fn all_settings(&mut self, table: &Table, known: &'static [Key]) -> Vec<Setting> {
        let mut found = Vec::new();
        for (name, value) in table {
            let key = keys::find(known, name.get_ref()).filter(|key| key.is_built);
            found.extend(key.and_then(|key| self.setting(key, value)));
        }
        found
    }

    fn setting(&mut self, key: &'static Key, value: &Value) -> Option<Setting> {
        let mut texts = Vec::new();
        let json = self.json_of(key.name, &key.kind, value, &mut texts)?;
        Some(Setting {
            name: key.name,
            span: value.span(),
            value: json,
            texts,
        })
    }

    fn json_of(
        &mut self,
        name: &str,
        kind: &'static Kind,
        value: &Value,
        texts: &mut Vec<Template>,
    ) -> Option<Json> {
        match kind {
            Kind::Text => self
                .text_of(name, value)
                .map(|text| Json::String(text.value)),
            Kind::Template => self.template_of(name, value, false, texts),
            Kind::ResultTemplate => self.template_of(name, value, true, texts),
            Kind::TemplateTree => self.tree_of(name, value, texts),
            Kind::Size => self.size_of(name, value).map(Json::from),
            Kind::Duration => {
                let duration = self.duration_of(name, value)?;
                Some(Json::from(
                    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
                ))
            }
            Kind::Int(low, high) => self.int_of(name, value, *low, *high).map(Json::from),
            Kind::Choice(words) => self.choice_of(name, value, words).map(Json::String),
            Kind::File => {
                let text = self.text_of(name, value)?;
                self.pinned_file(name, text)
            }
            Kind::FileOrPath => {
                let text = self.text_of(name, value)?;
                match text.value.starts_with('/') {
                    true => Some(Json::String(text.value)),
                    false => self.pinned_file(name, text),
                }
            }
            Kind::TemplateTable => self.template_table(name, value, texts),
            Kind::Templates | Kind::Texts => {
                let DeValue::Array(items) = value.get_ref() else {
                    self.wrong_type(name, value, "a list of texts");
                    return None;
                };
                let is_template = matches!(kind, Kind::Templates);
                let mut list = Vec::new();
                for item in items {
                    let text = self.text_of(name, item)?;
                    list.push(Json::String(text.value.clone()));
                    texts.extend(is_template.then_some(Template {
                        text,
                        sees_results: false,
                    }));
                }
                Some(Json::Array(list))
            }
            Kind::Table(keys) => self.inner_table(name, value, keys, texts),
            Kind::Tables(keys) => {
                let DeValue::Array(items) = value.get_ref() else {
                    self.wrong_type(name, value, "a list of tables");
                    return None;
                };
                let items = items.iter();
                items
                    .map(|item| self.inner_table(name, item, keys, texts))
                    .collect()
            }
            Kind::Bool => match value.get_ref() {
                DeValue::Boolean(one) => Some(Json::from(*one)),
                _ => {
                    self.wrong_type(name, value, "true or false");
                    None
                }
            },
            // The other kinds are for tables that have a walk of their own.
            _ => Some(normal::json(value)),
        }
    }

    /// A file of the DAG's folder, which is pinned with the version.
    fn pinned_file(&mut self, name: &str, text: Text) -> Option<Json> {
        let path = self.inside_folder(name, text)?;
        self.need_file(&path);
        Some(Json::String(path))
    }

    fn template_of(
        &mut self,
        name: &str,
        value: &Value,
        sees_results: bool,
        texts: &mut Vec<Template>,
    ) -> Option<Json> {
        let text = self.text_of(name, value)?;
        let json = Json::String(text.value.clone());
        texts.push(Template { text, sees_results });
        Some(json)
    }

    /// Any value; every text in it may be a template.
    pub(crate) fn tree_of(
        &mut self,
        name: &str,
        value: &Value,
        texts: &mut Vec<Template>,
    ) -> Option<Json> {
        match value.get_ref() {
            DeValue::String(_) => self.template_of(name, value, false, texts),
            DeValue::Array(items) => {
                let items = items.iter();
                items.map(|item| self.tree_of(name, item, texts)).collect()
            }
            DeValue::Table(table) => {
                let mut fields = Map::new();
                for (key, value) in table {
                    let field = self.tree_of(&format!("{name}.{}", key.get_ref()), value, texts)?;
                    fields.insert(key.get_ref().to_string(), field);
                }
                Some(Json::Object(fields))
            }
            _ => Some(normal::json(value)),
        }
    }

    fn template_table(
        &mut self,
        name: &str,
        value: &Value,
        texts: &mut Vec<Template>,
    ) -> Option<Json> {
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_type(name, value, "a table");
            return None;
        };
        let mut fields = Map::new();
        for (key, value) in table {
            let name = format!("{name}.{}", key.get_ref());
            let field = self.template_of(&name, value, false, texts)?;
            fields.insert(key.get_ref().to_string(), field);
        }
        Some(Json::Object(fields))
    }

    fn inner_table(
        &mut self,
        name: &str,
        value: &Value,
        keys: &'static [Key],
        texts: &mut Vec<Template>,
    ) -> Option<Json> {
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_type(name, value, "a table");
            return None;
        };
        self.check_keys(table, &Place::Inner(name.to_string()), keys);
        let mut fields = Map::new();
        for setting in self.all_settings(table, keys) {
            fields.insert(setting.name.to_string(), setting.value);
            texts.extend(setting.texts);
        }
        Some(Json::Object(fields))
    }

    /// A number of bytes: `512`, `"64KiB"`, `"8MiB"`, `"2GB"`.
    pub(crate) fn size_of(&mut self, name: &str, value: &Value) -> Option<u64> {
        let written = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(_) => return self.int_of(name, value, 0, i64::MAX)?.try_into().ok(),
            _ => {
                self.wrong_type(name, value, "a size such as \"8MiB\"");
                return None;
            }
        };
        let size = tidemill_model::size::parse(&written);
        if size.is_none() {
            let message = format!("`{written}` is not a size");
            let one = Diagnostic::error("TM0103", value.span(), message);
            self.report(one.help("write it like \"64KiB\", \"8MiB\" or \"2GiB\""));
        }
        size
    }
}

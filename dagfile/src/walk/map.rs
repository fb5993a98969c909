//! How a task is mapped: `expand`, `expand_kwargs`, `map_index_template`, `on_empty`.

use super::{Text, Walk};
use crate::diagnostic::Diagnostic;
use crate::keys;
use crate::parse::{Table, Value};
use serde_json::Value as Json;
use tidemill_model::dag::{INSTANCES_MAX, Mapping, OnEmpty, Over, Values};
use toml::de::DeValue;

/// What a task says about being mapped.
#[derive(Clone, Debug)]
pub(crate) struct MapKeys {
    /// The place of `expand` or `expand_kwargs`.
    pub(crate) span: std::ops::Range<usize>,
    pub(crate) mapping: Mapping,
    /// Every text of it that may hold a template.
    pub(crate) templates: Vec<Text>,
}

impl Walk<'_> {
    /// Reads the keys about mapping.
    pub(crate) fn mapping(&mut self, table: &Table, id: &str) -> Option<MapKeys> {
        let on_empty = self.choice(table, "on_empty", keys::ON_EMPTY);
        let label = self.text(table, "map_index_template");
        let mut templates: Vec<Text> = label.iter().cloned().collect();
        let (span, over) = match (table.get("expand"), table.get("expand_kwargs")) {
            (Some(_), Some(second)) => {
                let message = format!("task `{id}` has `expand` and `expand_kwargs`");
                self.report(
                    Diagnostic::error("TM0148", second.span(), message).label("one too many"),
                );
                return None;
            }
            (Some(value), None) => {
                let lists = self.expand(table, &mut templates)?;
                if matches!(value.get_ref(), DeValue::Table(lists) if lists.is_empty()) {
                    let message = "`expand` names nothing to map over";
                    self.report(Diagnostic::error("TM0148", value.span(), message));
                }
                (value.span(), Over::Product(lists))
            }
            (None, Some(value)) => {
                let list = self.values("expand_kwargs", value, &mut templates)?;
                (value.span(), Over::Objects(list))
            }
            (None, None) => {
                for name in ["on_empty", "map_index_template"] {
                    if let Some(value) = table.get(name) {
                        let message = format!("`{name}` is for mapped tasks");
                        self.report(
                            Diagnostic::error("TM0148", value.span(), message).help("add `expand`"),
                        );
                    }
                }
                return None;
            }
        };
        let mapping = Mapping {
            over,
            label: label.map(|text| text.value),
            on_empty: on_empty
                .and_then(|word| OnEmpty::from_name(&word))
                .unwrap_or(OnEmpty::Skip),
        };
        Some(MapKeys {
            span,
            mapping,
            templates,
        })
    }

    fn expand(
        &mut self,
        table: &Table,
        templates: &mut Vec<Text>,
    ) -> Option<Vec<(String, Values)>> {
        let inner = self.table(table, "expand")?;
        let mut lists = Vec::new();
        for (key, value) in inner {
            let name = self.name_of("a mapped value", key);
            if let Some(list) = self.values(&format!("expand.{name}"), value, templates) {
                lists.push((name, list));
            }
        }
        Some(lists)
    }

    /// A list, or a template that gives one.
    fn values(&mut self, name: &str, value: &Value, templates: &mut Vec<Text>) -> Option<Values> {
        match value.get_ref() {
            DeValue::String(_) => {
                let text = self.text_of(name, value)?;
                templates.push(text.clone());
                Some(Values::Template(text.value))
            }
            DeValue::Array(items) => {
                if items.len() > INSTANCES_MAX {
                    let message = format!(
                        "`{name}` has {} values; the limit is {INSTANCES_MAX}",
                        items.len()
                    );
                    self.report(Diagnostic::error("TM0103", value.span(), message));
                    return None;
                }
                for item in items {
                    if matches!(item.get_ref(), DeValue::String(_)) {
                        templates.extend(self.text_of(name, item));
                    }
                }
                let list = items.iter().map(crate::normal::json).collect::<Vec<Json>>();
                Some(Values::List(list))
            }
            DeValue::Table(each) if each.contains_key("each") => {
                self.not_built(value.span(), "`each` in `expand`");
                None
            }
            _ => {
                self.wrong_type(name, value, "a list, or a template that gives one");
                None
            }
        }
    }
}

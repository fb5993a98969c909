//! How a task is mapped: `expand`, `expand_kwargs`, `map_index_template`, `on_empty`.

use super::task::Upstream;
use super::{Text, Walk};
use crate::diagnostic::Diagnostic;
use crate::keys;
use crate::parse::{Table, Value};
use serde_json::Value as Json;
use std::ops::Range;
use tidemill_model::dag::{INSTANCES_MAX, Mapping, OnEmpty, Over, Values};
use toml::de::DeValue;

/// What may stand in `expand_kwargs`,
const LIST: &str = "a list, or a template that gives one";
/// and for a name in `expand`.
const OF_EXPAND: &str = "a list, a template that gives one, or { each = \"TASK\" }";

/// What a task says about being mapped.
#[derive(Clone, Debug)]
pub(crate) struct MapKeys {
    /// The place of `expand` or `expand_kwargs`.
    pub(crate) span: Range<usize>,
    pub(crate) mapping: Mapping,
    /// The task that it goes in step with.
    pub(crate) each: Option<Upstream>,
    /// Every text of it that may hold a template.
    pub(crate) templates: Vec<Text>,
}

impl Walk<'_> {
    /// Reads the keys about mapping.
    pub(crate) fn mapping(&mut self, table: &Table, id: &str) -> Option<MapKeys> {
        let on_empty = self.choice(table, "on_empty", keys::ON_EMPTY);
        let label = self.text(table, "map_index_template");
        let mut templates: Vec<Text> = label.iter().cloned().collect();
        let mut each = None;
        let (span, over) = self.over(table, id, &mut templates, &mut each)?;
        if let (Some(_), Some(label)) = (&each, &label) {
            let message = "`map_index_template` does not go with `each`";
            self.report(
                Diagnostic::error("TM0148", label.span.clone(), message)
                    .label("written before there is a value"),
            );
        }
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
            each,
            templates,
        })
    }

    /// What it has an instance for; `None` where it is not mapped, or not as it can be.
    fn over(
        &mut self,
        table: &Table,
        id: &str,
        templates: &mut Vec<Text>,
        each: &mut Option<Upstream>,
    ) -> Option<(Range<usize>, Over)> {
        match (table.get("expand"), table.get("expand_kwargs")) {
            (Some(_), Some(second)) => {
                let message = format!("task `{id}` has `expand` and `expand_kwargs`");
                self.report(
                    Diagnostic::error("TM0148", second.span(), message).label("one too many"),
                );
                None
            }
            (Some(value), None) => {
                let over = self.expand(table, templates, each)?;
                if matches!(value.get_ref(), DeValue::Table(lists) if lists.is_empty()) {
                    let message = "`expand` names nothing to map over";
                    self.report(Diagnostic::error("TM0148", value.span(), message));
                }
                Some((value.span(), over))
            }
            (None, Some(value)) => {
                let list = self.values("expand_kwargs", value, LIST, templates)?;
                Some((value.span(), Over::Objects(list)))
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
                None
            }
        }
    }

    fn expand(
        &mut self,
        table: &Table,
        templates: &mut Vec<Text>,
        each: &mut Option<Upstream>,
    ) -> Option<Over> {
        let inner = self.table(table, "expand")?;
        let mut lists = Vec::new();
        for (key, value) in inner {
            let name = self.name_of("a mapped value", key);
            match value.get_ref() {
                DeValue::Table(own) if own.contains_key("each") => {
                    let source = self.each(own)?;
                    if inner.len() > 1 {
                        let message = "`each` stands alone in `expand`";
                        self.report(
                            Diagnostic::error("TM0148", value.span(), message)
                                .label("one instance for each of one task, and no combinations"),
                        );
                        return None;
                    }
                    let task = source.name.clone();
                    *each = Some(source);
                    return Some(Over::Each { name, task });
                }
                _ => {
                    let list = self.values(&format!("expand.{name}"), value, OF_EXPAND, templates);
                    lists.extend(list.map(|list| (name, list)));
                }
            }
        }
        Some(Over::Product(lists))
    }

    /// `{ each = "TASK" }`.
    fn each(&mut self, own: &Table) -> Option<Upstream> {
        for (key, _) in own {
            if key.get_ref().as_ref() != "each" {
                let message = format!("unknown key `{}` beside `each`", key.get_ref());
                self.report(
                    Diagnostic::error("TM0104", key.span(), message)
                        .help("`each` names a mapped task, and that is all"),
                );
            }
        }
        let name = self.text(own, "each")?;
        Some(Upstream {
            name: name.value,
            span: name.span,
            label: None,
        })
    }

    /// A list, or a template that gives one; `wanted` says what may stand there.
    fn values(
        &mut self,
        name: &str,
        value: &Value,
        wanted: &str,
        templates: &mut Vec<Text>,
    ) -> Option<Values> {
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
            _ => {
                self.wrong_type(name, value, wanted);
                None
            }
        }
    }
}

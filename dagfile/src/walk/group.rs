//! `[groups]`.

use super::common::Common;
use super::task::Upstream;
use super::value::is_id;
use super::{Place, Text, Walk};
use crate::diagnostic::Diagnostic;
use crate::keys;
use crate::parse::Table;
use std::ops::Range;
use toml::de::DeValue;

/// What `[groups.NAME]` says.
pub(crate) struct GroupKeys {
    pub(crate) id: String,
    pub(crate) span: Range<usize>,
    pub(crate) display_name: Option<String>,
    pub(crate) doc_md: Option<String>,
    pub(crate) parent: Option<Text>,
    pub(crate) depends_on: Vec<Upstream>,
    pub(crate) default_args: Common,
}

impl Walk<'_> {
    /// Reads `[groups]`.
    pub(crate) fn groups(&mut self, table: &Table) -> Vec<GroupKeys> {
        let mut groups = Vec::new();
        for (key, value) in table {
            let id = key.get_ref().to_string();
            let DeValue::Table(inner) = value.get_ref() else {
                self.wrong_type(&id, value, "a table");
                continue;
            };
            if !is_id(&id) {
                let message = format!("`{id}` cannot be the name of a group");
                self.report(
                    Diagnostic::error("TM0107", key.span(), message)
                        .label("A-Z a-z 0-9 _ and - only"),
                );
            }
            let place = Place::Group(id.clone());
            self.check_keys(inner, &place, keys::GROUP);
            let defaults = self.table(inner, "default_args");
            groups.push(GroupKeys {
                id,
                span: key.span(),
                display_name: self.string(inner, "display_name"),
                doc_md: self.string(inner, "doc_md"),
                parent: self.text(inner, "group"),
                depends_on: self.depends_on(inner),
                default_args: defaults
                    .map(|table| self.default_args(table, &place))
                    .unwrap_or_default(),
            });
        }
        groups
    }
}

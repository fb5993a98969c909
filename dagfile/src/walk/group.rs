//! `[groups]`.

use super::common::Common;
use super::task::Upstream;
use super::{Place, Text, Walk};
use crate::keys;
use crate::parse::Table;
use std::ops::Range;

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
            let Some((id, inner)) = self.named_table("a group", key, value) else {
                continue;
            };
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

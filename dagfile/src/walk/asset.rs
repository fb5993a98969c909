//! `[assets]`, and where tasks and schedules name them.

use super::value::is_id;
use super::{Place, Text, Walk};
use crate::diagnostic::Diagnostic;
use crate::keys;
use crate::parse::{Table, Value};
use crate::suggest::nearest;
use serde_json::{Map, Value as Json};
use tidemill_model::dag::{Asset, AssetCondition};
use toml::de::DeValue;

/// Airflow's group of an asset that names none.
const GROUP: &str = "asset";

/// An asset that a task writes, and what it says about each event.
#[derive(Clone, Debug)]
pub(crate) struct OutletKeys {
    pub(crate) name: Text,
    pub(crate) extra: Vec<(String, Text)>,
}

impl Walk<'_> {
    /// Reads `[assets]`.
    pub(crate) fn assets(&mut self, table: &Table) -> Vec<Asset> {
        let mut assets = Vec::new();
        for (key, value) in table {
            let Some((name, inner)) = self.named_table("an asset", key, value) else {
                continue;
            };
            self.check_keys(inner, &Place::Asset(name.clone()), keys::ASSET);
            let extra = inner.get("extra").map(crate::normal::json);
            assets.push(Asset {
                uri: self.uri(inner).unwrap_or_else(|| name.clone()),
                group: self
                    .string(inner, "group")
                    .unwrap_or_else(|| GROUP.to_string()),
                description: self.string(inner, "description"),
                extra: extra
                    .filter(Json::is_object)
                    .unwrap_or(Json::Object(Map::new())),
                is_declared: true,
                name,
            });
        }
        assets
    }

    /// An address without a password: it is shown to everybody.
    fn uri(&mut self, table: &Table) -> Option<String> {
        let uri = self.text(table, "uri")?;
        let rest = uri.value.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or_default();
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        if user.is_some_and(|user| user.contains(':')) {
            let one =
                Diagnostic::error("TM0152", uri.span, "the `uri` of an asset holds a password");
            self.report(one.help("take it out: addresses of assets are shown on pages"));
            return None;
        }
        Some(uri.value)
    }

    /// `inlets`: one name or several.
    pub(crate) fn inlets(&mut self, table: &Table) -> Option<Vec<Text>> {
        self.one_or_many(table, "inlets")
    }

    /// `outlets`: names, or tables with `asset` and `extra`.
    pub(crate) fn outlets(&mut self, table: &Table) -> Option<Vec<OutletKeys>> {
        let value = table.get("outlets")?;
        let items: Vec<&Value> = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![value],
        };
        Some(
            items
                .into_iter()
                .filter_map(|item| self.outlet(item))
                .collect(),
        )
    }

    fn outlet(&mut self, item: &Value) -> Option<OutletKeys> {
        let DeValue::Table(long) = item.get_ref() else {
            let name = self.text_of("outlets", item)?;
            return Some(OutletKeys {
                name,
                extra: Vec::new(),
            });
        };
        for (key, _) in long {
            if !matches!(key.get_ref().as_ref(), "asset" | "extra") {
                let message = format!("unknown key `{}` in `outlets`", key.get_ref());
                self.report(
                    Diagnostic::error("TM0104", key.span(), message).help("there are asset, extra"),
                );
            }
        }
        if !long.contains_key("asset") {
            let message = "an entry of `outlets` does not name its `asset`";
            self.report(Diagnostic::error("TM0102", item.span(), message));
        }
        let extra = self.named_texts(long, "extra").into_iter();
        let extra = extra.map(|(name, _, text)| (name, text)).collect();
        Some(OutletKeys {
            name: self.text(long, "asset")?,
            extra,
        })
    }

    /// `assets` of `[dag.schedule]`: a name, a list that means all, or a table with `all` or `any`.
    pub(crate) fn asset_condition(&mut self, value: &Value) -> Option<AssetCondition> {
        match value.get_ref() {
            DeValue::String(_) => {
                let name = self.text_of("assets", value)?;
                self.named_assets.push(name.clone());
                Some(AssetCondition::Asset(name.value))
            }
            DeValue::Array(items) => self
                .asset_parts(value, items.iter())
                .map(AssetCondition::All),
            DeValue::Table(table) => {
                let one = table.iter().next().filter(|_| table.len() == 1);
                let parts = one.and_then(|(key, list)| match list.get_ref() {
                    DeValue::Array(items) => Some((key.get_ref().to_string(), list, items)),
                    _ => None,
                });
                match parts {
                    Some((word, list, items)) if word == "all" => self
                        .asset_parts(list, items.iter())
                        .map(AssetCondition::All),
                    Some((word, list, items)) if word == "any" => self
                        .asset_parts(list, items.iter())
                        .map(AssetCondition::Any),
                    _ => {
                        self.wrong_type("assets", value, "`all` or `any` with a list");
                        None
                    }
                }
            }
            _ => {
                self.wrong_type(
                    "assets",
                    value,
                    "names of assets, or `all` or `any` with a list",
                );
                None
            }
        }
    }

    /// The parser's own limit of depth bounds the recursion.
    fn asset_parts<'v, 's: 'v>(
        &mut self,
        list: &Value,
        items: impl Iterator<Item = &'v Value<'s>>,
    ) -> Option<Vec<AssetCondition>> {
        let parts: Vec<AssetCondition> = items
            .filter_map(|item| self.asset_condition(item))
            .collect();
        if parts.is_empty() {
            let one = Diagnostic::error("TM0131", list.span(), "the list of assets is empty");
            self.report(one.help("name at least one asset"));
            return None;
        }
        Some(parts)
    }

    /// Assets that are named and not declared: they are known by their name alone.
    pub(crate) fn undeclared(&mut self, declared: &mut Vec<Asset>, named: &[Text]) {
        for name in named {
            if declared.iter().any(|asset| asset.name == name.value) {
                continue;
            }
            if !is_id(&name.value) {
                let message = format!("`{}` cannot be the name of an asset", name.value);
                self.report(Diagnostic::error("TM0107", name.span.clone(), message));
                continue;
            }
            let known = declared.iter().filter(|asset| asset.is_declared);
            let near = nearest(&name.value, known.map(|asset| asset.name.as_str()));
            let message = format!("this file does not declare the asset `{}`", name.value);
            let one = Diagnostic::warning("TM0313", name.span.clone(), message);
            self.report(match near {
                Some(near) => one.help(format!("did you mean `{near}`?")),
                None => one.help(format!("add [assets.{}] with its `uri`", name.value)),
            });
            declared.push(Asset {
                name: name.value.clone(),
                uri: name.value.clone(),
                group: GROUP.to_string(),
                description: None,
                extra: Json::Object(Map::new()),
                is_declared: false,
            });
        }
    }
}

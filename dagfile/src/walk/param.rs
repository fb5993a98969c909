//! `[params]`.

use super::value::is_id;
use super::{Place, Walk};
use crate::diagnostic::Diagnostic;
use crate::keys;
use crate::normal::json;
use crate::parse::{Table, Value};
use serde_json::{Map, Value as Json};
use tidemill_model::dag::Param;
use toml::de::DeValue;

impl Walk<'_> {
    /// Reads `[params]`. `is_scheduled` is whether runs come that nobody can be asked about.
    pub(crate) fn params(&mut self, table: &Table, is_scheduled: bool) -> Vec<Param> {
        let mut params = Vec::new();
        for (key, value) in table {
            let name = key.get_ref().to_string();
            if !is_id(&name) {
                let message = format!("`{name}` cannot be the name of a parameter");
                self.report(
                    Diagnostic::error("TM0107", key.span(), message)
                        .label("A-Z a-z 0-9 _ and - only"),
                );
                continue;
            }
            let param = match value.get_ref() {
                DeValue::Table(long) => self.long_param(&name, long),
                _ => {
                    let default = json(value);
                    let schema = Json::Object(Map::from_iter(type_name(&default).map(typed)));
                    Param {
                        name,
                        default,
                        schema,
                    }
                }
            };
            let default_span = match value.get_ref() {
                DeValue::Table(long) => long.get("default").map(Value::span),
                _ => Some(value.span()),
            };
            self.check_default(&param, default_span, key.span(), is_scheduled);
            params.push(param);
        }
        params
    }

    fn long_param(&mut self, name: &str, table: &Table) -> Param {
        self.check_keys(table, &Place::Param(name.to_string()), keys::PARAM);
        self.choices(table, "type", keys::PARAM_TYPES);
        for text in ["title", "description", "section", "format", "pattern"] {
            self.text(table, text);
        }
        for count in ["minLength", "maxLength", "minItems", "maxItems"] {
            self.int(table, count, 0, 1 << 20);
        }
        for number in [
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "multipleOf",
        ] {
            if let Some(value) = table.get(number)
                && !matches!(value.get_ref(), DeValue::Integer(_) | DeValue::Float(_))
            {
                self.wrong_type(number, value, "a number");
            }
        }
        if let Some(value) = table.get("enum")
            && !matches!(value.get_ref(), DeValue::Array(_))
        {
            self.wrong_type("enum", value, "a list");
        }
        let default = table.get("default").map_or(Json::Null, json);
        let words = table.iter().filter(|(key, _)| key.get_ref() != "default");
        let mut schema: Map<String, Json> = words
            .map(|(key, value)| (key.get_ref().to_string(), json(value)))
            .collect();
        if !schema.contains_key("type") {
            schema.extend(type_name(&default).map(typed));
        }
        Param {
            name: name.to_string(),
            default,
            schema: Json::Object(schema),
        }
    }

    fn check_default(
        &mut self,
        param: &Param,
        default_span: Option<std::ops::Range<usize>>,
        name_span: std::ops::Range<usize>,
        is_scheduled: bool,
    ) {
        match (param.accepts(&param.default), default_span) {
            (Ok(()), _) => {}
            (Err(why), Some(span)) => {
                let message = format!("the default of parameter `{}` {why}", param.name);
                self.report(Diagnostic::error("TM0150", span, message).label("does not fit"));
            }
            (Err(_), None) if is_scheduled => {
                let message = format!(
                    "parameter `{}` has no default, but the DAG has a schedule",
                    param.name
                );
                self.report(
                    Diagnostic::error("TM0151", name_span, message)
                        .label("a scheduled run has nobody to ask")
                        .help("give it a `default`, or add \"null\" to its `type`"),
                );
            }
            (Err(_), None) => {}
        }
    }
}

fn typed(name: &'static str) -> (String, Json) {
    ("type".to_string(), Json::from(name))
}

fn type_name(value: &Json) -> Option<&'static str> {
    Some(match value {
        Json::Null => return None,
        Json::Bool(_) => "boolean",
        Json::Number(number) if number.is_f64() => "number",
        Json::Number(_) => "integer",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    })
}

//! `[params]`.

use super::value::is_id;
use super::{Place, Walk};
use crate::diagnostic::Diagnostic;
use crate::keys;
use crate::normal::json;
use crate::parse::{Table, Value};
use serde_json::{Map, Value as Json};
use tidemill_model::dag::Param;
use tidemill_model::param::FORMATS;
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
        self.schema_words(name, table);
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

    /// Looks at the words of a schema, and at those of the schemas inside it.
    fn schema_words(&mut self, path: &str, table: &Table) {
        self.check_keys(table, &Place::Param(path.to_string()), keys::PARAM);
        self.choices(table, "type", keys::PARAM_TYPES);
        self.choice(table, "format", FORMATS);
        for text in ["title", "description", "description_md", "section"] {
            self.text(table, text);
        }
        for count in ["minLength", "maxLength", "minItems", "maxItems"] {
            self.int(table, count, 0, 1 << 20);
        }
        self.boolean(table, "uniqueItems");
        self.strings(table, "required");
        self.param_pattern(table);
        self.bounds(table);
        if let Some(value) = table.get("enum")
            && !matches!(value.get_ref(), DeValue::Array(_))
        {
            self.wrong_type("enum", value, "a list");
        }
        if let Some(items) = self.table(table, "items") {
            self.schema_words(&format!("{path}.items"), items);
        }
        let Some(properties) = self.table(table, "properties") else {
            return;
        };
        for (key, value) in properties {
            match value.get_ref() {
                DeValue::Table(inner) => {
                    self.schema_words(&format!("{path}.properties.{}", key.get_ref()), inner);
                }
                _ => self.wrong_type(key.get_ref(), value, "a table of JSON Schema keywords"),
            }
        }
    }

    fn param_pattern(&mut self, table: &Table) {
        let Some(text) = self.text(table, "pattern") else {
            return;
        };
        if let Err(err) = regex::Regex::new(&text.value) {
            let why = err.to_string();
            let why = why.lines().last().unwrap_or_default().trim();
            let message = format!("`pattern` is not a regular expression: {why}");
            self.report(Diagnostic::error("TM0103", text.span, message).label("cannot be read"));
        }
    }

    fn bounds(&mut self, table: &Table) {
        let bounds = [
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "multipleOf",
        ];
        for name in bounds {
            let Some(value) = table.get(name) else {
                continue;
            };
            let is_number = matches!(value.get_ref(), DeValue::Integer(_) | DeValue::Float(_));
            if !is_number {
                self.wrong_type(name, value, "a number");
            } else if name == "multipleOf" && json(value).as_f64().is_none_or(|step| step <= 0.0) {
                let message = "`multipleOf` must be above 0";
                self.report(Diagnostic::error("TM0103", value.span(), message).label("too small"));
            }
        }
    }

    fn check_default(
        &mut self,
        param: &Param,
        default_span: Option<std::ops::Range<usize>>,
        name_span: std::ops::Range<usize>,
        is_scheduled: bool,
    ) {
        match (param.accepts_silence(), default_span) {
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

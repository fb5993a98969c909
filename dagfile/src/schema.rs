//! The format as a JSON Schema for editors, from the same tables that the walk uses.

use crate::keys::{self, Entry, Key, Kind};
use serde_json::{Map, Value as Json, json};

/// A JSON Schema (draft 7) of a DAG file.
pub fn schema() -> Json {
    let mut schema = table(keys::ROOT);
    if let Some(top) = schema.as_object_mut() {
        top.insert(
            "$schema".to_string(),
            json!("http://json-schema.org/draft-07/schema#"),
        );
        top.insert("title".to_string(), json!("Tidemill DAG file, version 1"));
        top.insert("required".to_string(), json!(["tasks"]));
    }
    schema
}

fn table(keys: &[Key]) -> Json {
    let built = keys.iter().filter(|key| key.is_built);
    let properties: Map<String, Json> = built
        .map(|key| (key.name.to_string(), described(key)))
        .collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn described(key: &Key) -> Json {
    let mut schema = of_kind(&key.kind);
    if let Some(object) = schema.as_object_mut() {
        object.insert("description".to_string(), json!(key.doc));
        if let Some(default) = default_of(key) {
            object.insert("default".to_string(), default);
        }
    }
    schema
}

/// The default as JSON; it stands in the table as TOML.
fn default_of(key: &Key) -> Option<Json> {
    if key.default.is_empty() {
        return None;
    }
    toml::de::DeValue::parse(key.default)
        .ok()
        .map(|value| crate::normal::json(&value))
}

const DURATION: &str = "^([0-9]+(ms|s|m|h|d))+$";
const ID: &str = "^[A-Za-z0-9_-]+$";
const ENV_NAME: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

fn of_kind(kind: &Kind) -> Json {
    match kind {
        Kind::Text | Kind::Template | Kind::ResultTemplate | Kind::File | Kind::FileOrPath => {
            json!({ "type": "string" })
        }
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Int(low, high) => json!({ "type": "integer", "minimum": low, "maximum": high }),
        Kind::Number => json!({ "type": "number", "minimum": 0 }),
        Kind::NumberOrBool => json!({ "oneOf": [
            { "type": "number", "minimum": 0 },
            { "type": "boolean" },
        ] }),
        Kind::AnyNumber => json!({ "type": "number" }),
        Kind::Duration => json!({ "type": "string", "pattern": DURATION }),
        // Editors show a TOML date to a schema as a string.
        Kind::Date => json!({ "type": "string" }),
        Kind::Texts | Kind::Templates => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Statuses => one_or_many(json!({ "type": "integer", "minimum": 0, "maximum": 255 })),
        Kind::HttpStatuses => {
            one_or_many(json!({ "type": "integer", "minimum": 100, "maximum": 599 }))
        }
        Kind::Choice(words) => json!({ "type": "string", "enum": words }),
        Kind::Choices(words) => one_or_many(json!({ "type": "string", "enum": words })),
        Kind::TemplateTable => {
            json!({ "type": "object", "additionalProperties": { "type": "string" } })
        }
        Kind::Secrets => secrets(),
        Kind::DependsOn => depends_on(),
        Kind::Schedule => schedule(),
        Kind::Dates => json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 }),
        Kind::Interval => json!({ "oneOf": [
            { "type": "string", "enum": keys::INTERVALS },
            { "type": "string", "pattern": DURATION },
        ] }),
        Kind::Switch => json!({ "oneOf": [
            { "type": "boolean" },
            { "type": "string", "pattern": DURATION },
        ] }),
        Kind::Crons => one_or_many(json!({ "type": "string" })),
        Kind::Shell => {
            json!({ "oneOf": [{ "type": "string", "minLength": 1 }, table(keys::SHELL)] })
        }
        Kind::TemplateTree => json!({}),
        Kind::Size => json!({ "type": ["string", "integer"] }),
        Kind::Operator(operator) => match operator.short {
            Some(_) => {
                json!({ "oneOf": [{ "type": "string", "minLength": 1 }, table(operator.keys)] })
            }
            None => table(operator.keys),
        },
        Kind::OperatorDefaults(operator) => table(operator.keys),
        Kind::Branch => json!({ "oneOf": [{ "type": "string" }, table(keys::BRANCH)] }),
        Kind::ShortCircuit => {
            json!({ "oneOf": [{ "type": "string" }, table(keys::SHORT_CIRCUIT)] })
        }
        Kind::TextOr(keys) => json!({ "oneOf": [{ "type": "string" }, table(keys)] }),
        Kind::TimeOrDate => json!({ "type": "string" }),
        Kind::AssetCondition => json!({ "type": ["string", "array", "object"] }),
        Kind::Outlets => one_or_many(json!({ "oneOf": [{ "type": "string" }, {
            "type": "object",
            "properties": { "asset": { "type": "string" }, "extra": { "type": "object" } },
            "required": ["asset"],
            "additionalProperties": false,
        }] })),
        Kind::Object => json!({ "type": ["string", "object"] }),
        Kind::List => json!({ "type": ["string", "array"] }),
        Kind::Expand => json!({
            "type": "object",
            "minProperties": 1,
            "patternProperties": { ID: { "oneOf": [{ "type": ["string", "array"] }, {
                "type": "object",
                "properties": { "each": { "type": "string" } },
                "required": ["each"],
                "additionalProperties": false,
            }] } },
            "additionalProperties": false,
        }),
        Kind::StreamStart => json!({ "oneOf": [
            { "type": "string", "enum": keys::STREAM_STARTS },
            table(keys::STREAM_START),
        ] }),
        Kind::Names => one_or_many(json!({ "type": "string" })),
        Kind::Tables(keys) => json!({ "type": "array", "items": table(keys) }),
        Kind::Table(keys) => table(keys),
        Kind::Named(entry) => named(*entry),
        Kind::Any => json!({}),
    }
}

fn one_or_many(one: Json) -> Json {
    json!({ "oneOf": [one.clone(), { "type": "array", "items": one }] })
}

fn named(entry: Entry) -> Json {
    let each = match entry {
        Entry::Task => json!({ "oneOf": [{ "type": "string", "minLength": 1 }, task()] }),
        Entry::Group => table(keys::GROUP),
        Entry::Trigger => table(keys::TRIGGER),
        Entry::Asset => table(keys::ASSET),
        Entry::Param => json!({ "oneOf": [
            { "type": ["string", "number", "boolean", "array"] },
            table(keys::PARAM),
        ] }),
    };
    json!({ "type": "object", "patternProperties": { ID: each }, "additionalProperties": false })
}

fn task() -> Json {
    let mut task = table(keys::TASK);
    if let Some(object) = task.as_object_mut() {
        let mut ways: Vec<Json> = keys::operators()
            .map(|name| json!({ "required": [name] }))
            .collect();
        let plain = json!({ "operator": { "enum": keys::PLAIN_OPERATORS } });
        ways.push(json!({ "required": ["operator"], "properties": plain }));
        object.insert("oneOf".to_string(), Json::Array(ways));
    }
    task
}

fn secrets() -> Json {
    let long = json!({
        "type": "object",
        "properties": { "from": { "type": "string" }, "as": { "enum": ["env", "file"] } },
        "required": ["from"],
        "additionalProperties": false,
    });
    json!({
        "type": "object",
        "patternProperties": { ENV_NAME: { "oneOf": [{ "type": "string" }, long] } },
        "additionalProperties": false,
    })
}

fn depends_on() -> Json {
    let long = json!({
        "type": "object",
        "properties": { "task": { "type": "string" }, "label": { "type": "string" } },
        "required": ["task"],
        "additionalProperties": false,
    });
    let one = json!({ "oneOf": [{ "type": "string" }, long] });
    json!({ "oneOf": [{ "type": "string" }, long, { "type": "array", "items": one }] })
}

fn schedule() -> Json {
    json!({ "oneOf": [
        { "type": "string" },
        { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        table(keys::SCHEDULE),
    ] })
}

//! The form that makes a run, from the DAG's declared parameters.

use super::{DagFacts, DagHead, Frame, PageResult, ask, dag_facts, dag_head, go, show};
use crate::Web;
use crate::error::Fault;
use crate::view::{self, text};
use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Map, Value};
use std::collections::HashMap;
use tidemill_model::dag::Param;
use tidemill_model::{Dag, Ts};
use tidemill_store::{Answer, Command, Refusal};

/// What a field lets one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Number,
    Boolean,
    Choice,
    Json,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Integer => "integer",
            Kind::Number => "number",
            Kind::Boolean => "boolean",
            Kind::Choice => "choice",
            Kind::Json => "json",
        }
    }
}

struct Field {
    name: String,
    title: String,
    description: String,
    kind: &'static str,
    value: String,
    /// Value, label, chosen.
    choices: Vec<(String, String, bool)>,
    required: bool,
    error: Option<String>,
}

#[derive(Template)]
#[template(path = "trigger.html")]
struct Trigger {
    frame: Frame,
    head: DagHead,
    fields: Vec<Field>,
    logical_date: String,
    logical_date_error: Option<String>,
    run_after: String,
    run_after_error: Option<String>,
    run_id: String,
    note: String,
    timezone: String,
    error: Option<String>,
    can_run: bool,
}

type Texts = HashMap<String, String>;

// Under which names mistakes in the dates are kept: no parameter's name has a space.
const DATE: &str = " date";
const LATER: &str = " later";

fn kind(param: &Param) -> Kind {
    if param.schema.get("enum").is_some_and(Value::is_array) {
        return Kind::Choice;
    }
    let named = match param.schema.get("type") {
        Some(Value::String(name)) => Some(name.as_str()),
        Some(Value::Array(names)) => names
            .iter()
            .filter_map(Value::as_str)
            .find(|name| *name != "null"),
        _ => None,
    };
    match (named, &param.default) {
        (Some("string"), _) | (None, Value::String(_)) => Kind::Text,
        (Some("integer"), _) => Kind::Integer,
        (Some("number"), _) | (None, Value::Number(_)) => Kind::Number,
        (Some("boolean"), _) | (None, Value::Bool(_)) => Kind::Boolean,
        _ => Kind::Json,
    }
}

/// A value as the form writes it.
fn written(kind: Kind, value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(plain) if kind != Kind::Choice => plain.clone(),
        other => other.to_string(),
    }
}

/// What was written, as a value; `None` for the default.
fn read(param: &Param, written: Option<&String>) -> Result<Option<Value>, String> {
    let kind = kind(param);
    let Some(written) = written else {
        return Ok(None);
    };
    let plain = written.trim();
    if plain.is_empty() && !matches!(kind, Kind::Text) {
        return match (param.default.is_null(), param.may_be_null()) {
            (true, false) => Err("a value is needed".to_string()),
            (_, true) => Ok(Some(Value::Null)),
            _ => Ok(None),
        };
    }
    let value = match kind {
        Kind::Text if written.is_empty() && param.default.is_null() && param.may_be_null() => {
            Value::Null
        }
        Kind::Text => Value::String(written.replace("\r\n", "\n")),
        Kind::Integer => plain
            .parse::<i64>()
            .map(Value::from)
            .map_err(|_| "not a whole number".to_string())?,
        Kind::Number => {
            let parsed: Option<Value> = serde_json::from_str(plain).ok().filter(Value::is_number);
            parsed.ok_or("not a number, such as 0.5")?
        }
        Kind::Boolean => Value::Bool(plain == "true"),
        Kind::Choice | Kind::Json => {
            serde_json::from_str(plain).map_err(|err| format!("not JSON: {err}"))?
        }
    };
    param.accepts(&value)?;
    Ok(Some(value))
}

fn field(param: &Param, texts: &Texts, error: Option<String>) -> Field {
    let kind = kind(param);
    let given = texts.get(&format!("p.{}", param.name)).cloned();
    let value = given.unwrap_or_else(|| written(kind, &param.default));
    let choices = param
        .schema
        .get("enum")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let words = |key: &str| {
        text::inert(
            param
                .schema
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default(),
        )
    };
    let title = words("title");
    Field {
        title: if title.is_empty() {
            param.name.clone()
        } else {
            title
        },
        description: ["description", "description_md"]
            .into_iter()
            .map(words)
            .find(|text| !text.is_empty())
            .unwrap_or_default(),
        kind: kind.name(),
        choices: choices
            .iter()
            .map(|choice| {
                let text = choice.to_string();
                let label = choice.as_str().map_or(text.clone(), str::to_string);
                let chosen = text == value;
                (text, label, chosen)
            })
            .collect(),
        required: param.default.is_null() && !param.may_be_null(),
        name: param.name.clone(),
        value,
        error,
    }
}

/// The form.
pub(crate) async fn form(State(web): State<Web>, Path(dag_id): Path<String>) -> PageResult {
    let facts = dag_facts(&web, &dag_id).await?;
    page(&web, &facts, &Texts::new(), HashMap::new(), None).await
}

async fn page(
    web: &Web,
    facts: &DagFacts,
    texts: &Texts,
    mut errors: HashMap<String, String>,
    error: Option<String>,
) -> PageResult {
    let params = facts
        .dag
        .as_deref()
        .map_or(&[][..], |dag| dag.params.as_slice());
    let text = |key: &str| texts.get(key).cloned().unwrap_or_default();
    show(&Trigger {
        frame: Frame::new(
            format!("Trigger {}", facts.record.dag_id),
            None,
            web.doors.version,
        ),
        head: dag_head(web, facts, "trigger").await?,
        fields: params
            .iter()
            .map(|param| field(param, texts, errors.remove(&param.name)))
            .collect(),
        logical_date: text("logical_date"),
        logical_date_error: errors.remove(DATE),
        run_after: text("run_after"),
        run_after_error: errors.remove(LATER),
        run_id: text("run_id"),
        note: text("note"),
        timezone: facts
            .dag
            .as_deref()
            .map_or("UTC".to_string(), |dag| dag.timezone.clone()),
        error,
        can_run: facts.dag.is_some() && !facts.record.is_stale,
    })
}

/// Makes the run, or shows the form again with what is wrong in it.
pub(crate) async fn run(
    State(web): State<Web>,
    Path(dag_id): Path<String>,
    Form(texts): Form<Texts>,
) -> PageResult {
    let facts = dag_facts(&web, &dag_id).await?;
    let Some(dag) = facts.dag.clone() else {
        return Err(Fault::from(Refusal::Invalid {
            what: format!("the definition of `{dag_id}` cannot be read"),
        })
        .into());
    };
    let (command, errors) = wish(&dag, &texts);
    if !errors.is_empty() {
        let again = page(&web, &facts, &texts, errors, None).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, again).into_response());
    }
    match ask(&web, command).await {
        Ok(Answer::Run(row)) => Ok(go(&text::run_url(&dag_id, &row.run_id))),
        Ok(_) => Ok(go(&text::dag_url(&dag_id))),
        Err(fault) if fault.status.is_client_error() => {
            let status = fault.status;
            let again = page(&web, &facts, &texts, HashMap::new(), Some(fault.detail)).await?;
            Ok((status, again).into_response())
        }
        Err(fault) => Err(fault.into()),
    }
}

/// The command that a filled form means, and what is wrong in it by field.
fn wish(dag: &Dag, texts: &Texts) -> (Command, HashMap<String, String>) {
    let mut errors = HashMap::new();
    let mut conf = Map::new();
    for param in &dag.params {
        match read(param, texts.get(&format!("p.{}", param.name))) {
            Ok(Some(value)) if value != param.default => {
                conf.insert(param.name.clone(), value);
            }
            Ok(_) => {}
            Err(error) => {
                errors.insert(param.name.clone(), error);
            }
        }
    }
    let filled = |key: &str| {
        texts
            .get(key)
            .map(|text| text.trim().to_string())
            .filter(|text| !text.is_empty())
    };
    let mut instant = |text: &str, field: &str| match Ts::parse_in(text, &dag.timezone) {
        Ok(at) => Some(at),
        Err(err) => {
            errors.insert(field.to_string(), err.to_string());
            None
        }
    };
    let logical_date = match filled("logical_date").as_deref() {
        None => Some(view::now()),
        Some("none") => None,
        Some(text) => instant(text, DATE),
    };
    let run_after = filled("run_after").and_then(|text| instant(&text, LATER));
    let command = Command::Trigger {
        dag_id: dag.id.clone(),
        run_id: filled("run_id"),
        logical_date,
        data_interval: None,
        run_after,
        conf,
        note: filled("note"),
        idempotency_key: None,
        triggered_by: "ui".to_string(),
    };
    (command, errors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn param(default: Value, schema: Value) -> Param {
        Param {
            name: "p".to_string(),
            default,
            schema,
        }
    }

    #[test]
    fn fields_are_read_by_their_type() {
        let read = |param: &Param, text: &str| read(param, Some(&text.to_string()));
        let count = param(json!(3), json!({ "type": "integer", "minimum": 1 }));
        assert_eq!(read(&count, " 7 "), Ok(Some(json!(7))));
        assert_eq!(read(&count, ""), Ok(None));
        assert!(read(&count, "0").is_err());
        assert!(read(&count, "x").is_err());
        let flag = param(json!(false), json!({ "type": "boolean" }));
        assert_eq!(read(&flag, "true"), Ok(Some(json!(true))));
        let choice = param(json!("a"), json!({ "enum": ["a", "b"] }));
        assert_eq!(read(&choice, "\"b\""), Ok(Some(json!("b"))));
        assert!(read(&choice, "\"c\"").is_err());
        let list = param(json!([1]), json!({ "type": "array" }));
        assert_eq!(read(&list, "[1, 2]"), Ok(Some(json!([1, 2]))));
        let needed = param(Value::Null, json!({ "type": "integer" }));
        assert!(read(&needed, "").is_err());
    }
}

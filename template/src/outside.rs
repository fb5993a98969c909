//! Connections and variables in templates: `conn.NAME.FIELD`, `var.value.KEY`, `var.json.KEY`.

use crate::analysis::Named;
use crate::environment::refuse;
use minijinja::value::{Kwargs, Object, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidemill_connection::{Connection, Found};

/// What of a connection a template may write out. What is secret reaches a task by `secrets`.
pub const CONNECTION_FIELDS: &[&str] = &[
    "conn_id",
    "conn_type",
    "description",
    "host",
    "port",
    "login",
    "schema",
    "extra_dejson",
];

/// A use of something that stands outside of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutsideUse {
    /// A field of a connection.
    Connection {
        /// The connection.
        id: Named,
        /// The field; nothing when the connection is named as a whole.
        field: Option<Named>,
    },
    /// A variable.
    Variable {
        /// The variable.
        key: Named,
        /// Does the template say what holds when there is none?
        is_optional: bool,
    },
}

/// What `conn.a.b…` or `var.a.b…` means; the sentence says what to write instead.
pub(crate) fn of_path(root: &str, steps: &[Named]) -> Result<OutsideUse, &'static str> {
    match (root, steps) {
        ("conn", [id, rest @ ..]) => Ok(OutsideUse::Connection {
            id: id.clone(),
            field: rest.first().cloned(),
        }),
        ("var", [form, key, ..]) if is_form(&form.name) => Ok(OutsideUse::Variable {
            key: key.clone(),
            is_optional: false,
        }),
        ("conn", []) => Err("name the connection: `conn.NAME.host`"),
        _ => Err("name the variable: `var.value.KEY` or `var.json.KEY`"),
    }
}

/// What `var.value.get("key", "default")` means.
pub(crate) fn of_get(form: &str, key: Named, has_default: bool) -> Option<OutsideUse> {
    let is_optional = has_default;
    is_form(form).then_some(OutsideUse::Variable { key, is_optional })
}

fn is_form(name: &str) -> bool {
    matches!(name, "value" | "json")
}

/// `conn`: connections by name.
#[derive(Debug)]
pub(crate) struct Connections(pub(crate) Arc<Found>);

impl Object for Connections {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.connections.get(key.as_str()?).map(fields)
    }
}

/// A field without a value is none, as in Airflow.
fn fields(connection: &Connection) -> Value {
    let text = |value: &Option<String>| Value::from(value.clone());
    let extra = connection.extra_object().unwrap_or_default();
    BTreeMap::from([
        ("conn_id", Value::from(&*connection.id)),
        ("conn_type", Value::from(&*connection.conn_type)),
        ("description", text(&connection.description)),
        ("host", text(&connection.host)),
        ("port", Value::from(connection.port)),
        ("login", text(&connection.login)),
        ("schema", text(&connection.schema)),
        ("extra_dejson", crate::scope::json(&extra)),
    ])
    .into()
}

/// `var`: `value` and `json`.
pub(crate) fn variables(found: &Arc<Found>) -> Value {
    let form = |is_json: bool| {
        let found = Arc::clone(found);
        Value::from_object(Variables { found, is_json })
    };
    BTreeMap::from([("value", form(false)), ("json", form(true))]).into()
}

/// Variables by name: texts, or what their JSON means.
#[derive(Debug)]
struct Variables {
    found: Arc<Found>,
    is_json: bool,
}

impl Variables {
    fn get(&self, key: &str) -> Option<Result<Value, Error>> {
        let text = self.found.variables.get(key)?.value.expose();
        if !self.is_json {
            return Some(Ok(Value::from(text)));
        }
        // The reader's own words may hold a part of the value.
        let read: Result<serde_json::Value, _> = serde_json::from_str(text);
        let wrong = |_| refuse(format!("variable `{key}` is not JSON"));
        Some(read.map(|json| crate::scope::json(&json)).map_err(wrong))
    }
}

impl Object for Variables {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match self.get(key.as_str()?)? {
            Ok(value) => Some(value),
            Err(err) => Some(Value::from(err)),
        }
    }

    fn call_method(
        self: &Arc<Self>,
        _state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        if method != "get" {
            return Err(Error::from(ErrorKind::UnknownMethod));
        }
        let (key, _, options): (String, Option<Value>, Kwargs) = from_args(args)?;
        // Airflow 3 says `default`; `default_var` was its name before. None is a default as well.
        let mut fallback = args.get(1).filter(|value| !value.is_kwargs()).cloned();
        for name in ["default", "default_var"] {
            if options.has(name) {
                fallback = Some(options.get(name)?);
            }
        }
        options.assert_all_used()?;
        match (self.get(&key), fallback) {
            (Some(value), _) => value,
            (None, Some(fallback)) => Ok(fallback),
            (None, None) => Err(refuse(format!("variable `{key}` is missing"))),
        }
    }
}

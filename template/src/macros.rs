//! `macros`: what is the same for every try. Chance and the clock are left to tasks.

use crate::environment::{from_json, to_json};
use crate::moment::{self, Moment};
use minijinja::value::{Kwargs, Object, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use std::sync::Arc;

/// What `macros` has.
pub(crate) const MACROS: &[&str] = &["ds_add", "ds_format", "datetime", "json"];

/// Airflow's `macros`.
#[derive(Debug)]
pub(crate) struct Macros;

impl Object for Macros {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "datetime" => Some(Value::from_object(Dates)),
            "json" => Some(Value::from_object(Json)),
            _ => None,
        }
    }

    fn call_method(
        self: &Arc<Self>,
        _state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "ds_add" => {
                let (day, n_days): (String, i64) = from_args(args)?;
                moment::ds_add(&day, n_days).map(Value::from)
            }
            "ds_format" => {
                let (day, from, to): (String, String, String) = from_args(args)?;
                moment::ds_format(&day, &from, &to).map(Value::from)
            }
            "datetime" => moment::date_of_parts(args),
            _ => Err(unknown("macros", method, MACROS)),
        }
    }
}

/// Python's class `datetime`.
#[derive(Debug)]
struct Dates;

impl Object for Dates {
    fn call_method(
        self: &Arc<Self>,
        _state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "strptime" => {
                let (text, format): (String, String) = from_args(args)?;
                moment::date_by_format(&text, &format)
            }
            "fromisoformat" => {
                let (text,): (Value,) = from_args(args)?;
                Moment::from_value(&text).map(Value::from_object)
            }
            _ => Err(unknown(
                "macros.datetime",
                method,
                &["strptime", "fromisoformat"],
            )),
        }
    }
}

/// Python's module `json`.
#[derive(Debug)]
struct Json;

impl Object for Json {
    fn call_method(
        self: &Arc<Self>,
        _state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "loads" => {
                let (text,): (Value,) = from_args(args)?;
                from_json(text)
            }
            "dumps" => {
                let (value, options): (Value, Kwargs) = from_args(args)?;
                to_json(value, options).map(Value::from)
            }
            _ => Err(unknown("macros.json", method, &["loads", "dumps"])),
        }
    }
}

fn unknown(of: &str, method: &str, known: &[&str]) -> Error {
    Error::new(
        ErrorKind::UnknownMethod,
        format!("{of} has no {method}; it has {}", known.join(", ")),
    )
}

//! The engine's environment: filters, `macros`, and the methods of Python's strings and
//! dictionaries that templates in the wild use. Built once.

use crate::macros::Macros;
use crate::moment::Moment;
use minijinja::value::{Kwargs, Rest, from_args};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value};
use std::sync::OnceLock;

/// The most instructions that one template may take.
pub(crate) const FUEL: u64 = 50_000;
const RECURSION_MAX: usize = 64;

/// Filters by name: those of this crate and the engine's own.
#[rustfmt::skip]
pub(crate) const FILTERS: &[&str] = &[
    "ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz", "tojson", "fromjson", "quote", "b64encode",
    "abs", "attr", "batch", "bool", "capitalize", "chain", "count", "d", "default", "dictsort", "first",
    "float", "format", "groupby", "indent", "int", "items", "join", "last", "length", "lines", "list",
    "lower", "map", "max", "min", "pprint", "reject", "rejectattr", "replace", "reverse", "round", "select",
    "selectattr", "slice", "sort", "split", "string", "sum", "title", "trim", "unique", "upper", "zip",
];

/// Functions that need no facts.
pub(crate) const FUNCTIONS: &[&str] = &["range", "dict", "namespace"];

/// The one environment. The same serves the check of files and the rendering of tasks.
pub(crate) fn shared() -> &'static Environment<'static> {
    static SHARED: OnceLock<Environment<'static>> = OnceLock::new();
    SHARED.get_or_init(build)
}

fn build() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_fuel(Some(FUEL));
    env.set_recursion_limit(RECURSION_MAX);
    env.set_debug(true);
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    env.remove_global("debug");
    for (name, by) in DATE_FILTERS {
        env.add_filter(*name, |value: Value| written(&value, *by));
    }
    // A number that a command printed has its newline behind it; Python's int() lets that pass.
    env.add_filter("int", int);
    env.add_filter("float", float);
    env.add_filter("tojson", to_json);
    env.add_filter("fromjson", from_json);
    env.add_filter("quote", quote);
    env.add_filter("b64encode", |value: Value| {
        base64(text_of(&value).as_bytes())
    });
    env.add_global("macros", Value::from_object(Macros));
    env.set_unknown_method_callback(python_method);
    env
}

type DateFilter = fn(&Moment) -> Result<String, Error>;

/// Airflow's date filters.
const DATE_FILTERS: &[(&str, DateFilter)] = &[
    ("ds", |at| at.strftime("%Y-%m-%d")),
    ("ds_nodash", |at| at.strftime("%Y%m%d")),
    ("ts", |at| Ok(at.isoformat())),
    ("ts_nodash", |at| at.strftime("%Y%m%dT%H%M%S")),
    ("ts_nodash_with_tz", |at| at.without_marks()),
];

/// What a date filter makes of a value: of none it makes none, as in Airflow.
fn written(value: &Value, by: DateFilter) -> Result<Value, Error> {
    if value.is_none() {
        return Ok(Value::from(()));
    }
    by(&Moment::from_value(value)?).map(Value::from)
}

fn int(
    state: &State,
    value: Value,
    default: Option<Value>,
    base: Option<u32>,
    options: Kwargs,
) -> Result<Value, Error> {
    minijinja::filters::int(state, &trimmed(value), default, base, options)
}

fn float(
    state: &State,
    value: Value,
    default: Option<Value>,
    options: Kwargs,
) -> Result<Value, Error> {
    minijinja::filters::float(state, &trimmed(value), default, options)
}

/// Plain JSON. The engine's own filter writes HTML-safe JSON, which nobody wants in a file.
pub(crate) fn to_json(value: Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    options.assert_all_used()?;
    let written = match indent {
        Some(_) => serde_json::to_string_pretty(&value),
        None => serde_json::to_string(&value),
    };
    written.map_err(|err| refuse(format!("cannot be written as JSON: {err}")))
}

pub(crate) fn from_json(value: Value) -> Result<Value, Error> {
    let text = text_of(&value);
    let json: serde_json::Value =
        serde_json::from_str(text.trim()).map_err(|err| refuse(format!("is not JSON: {err}")))?;
    Ok(crate::scope::json(&json))
}

/// One word for a POSIX shell, whatever the value holds.
fn quote(value: Value) -> Result<String, Error> {
    let text = text_of(&value);
    if text.contains('\0') {
        return Err(refuse("a shell word cannot hold a NUL byte"));
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@%+=:,./-_".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return Ok(text);
    }
    Ok(format!("'{}'", text.replace('\'', r#"'"'"'"#)))
}

fn text_of(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_string)
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |place: usize| u32::from(group.get(place).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place)) as usize & 63] as char;
            text.push(if place <= group.len() { digit } else { '=' });
        }
    }
    text
}

pub(crate) fn refuse(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// Methods of Python's `str` and `dict`.
fn python_method(
    _state: &mut State,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        return string_method(text, method, args);
    }
    if value.kind() == minijinja::value::ValueKind::Map {
        return dict_method(value, method, args);
    }
    Err(Error::from(ErrorKind::UnknownMethod))
}

fn string_method(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let trim_chars = |args: &[Value]| -> Result<Vec<char>, Error> {
        let (chars,): (Option<String>,) = from_args(args)?;
        Ok(chars.map_or_else(
            || vec![' ', '\t', '\n', '\r'],
            |chars| chars.chars().collect(),
        ))
    };
    Ok(match method {
        "upper" => Value::from(text.to_uppercase()),
        "lower" => Value::from(text.to_lowercase()),
        "strip" => Value::from(text.trim_matches(trim_chars(args)?.as_slice())),
        "lstrip" => Value::from(text.trim_start_matches(trim_chars(args)?.as_slice())),
        "rstrip" => Value::from(text.trim_end_matches(trim_chars(args)?.as_slice())),
        "startswith" => Value::from(text.starts_with(&from_args::<(String,)>(args)?.0)),
        "endswith" => Value::from(text.ends_with(&from_args::<(String,)>(args)?.0)),
        "replace" => {
            let (from, to): (String, String) = from_args(args)?;
            Value::from(text.replace(&from, &to))
        }
        "split" => match from_args::<(Option<String>,)>(args)?.0 {
            Some(mark) if mark.is_empty() => return Err(refuse("split needs a separator")),
            Some(mark) => text.split(&mark).map(Value::from).collect(),
            None => text.split_whitespace().map(Value::from).collect(),
        },
        "join" => {
            let (Rest(items),): (Rest<Value>,) = from_args(args)?;
            let items = items.first().map(Value::try_iter).transpose()?;
            let texts: Vec<String> = items
                .into_iter()
                .flatten()
                .map(|item| text_of(&item))
                .collect();
            Value::from(texts.join(text))
        }
        _ => return Err(Error::from(ErrorKind::UnknownMethod)),
    })
}

fn dict_method(dict: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    Ok(match method {
        "get" => {
            let (key, fallback): (Value, Option<Value>) = from_args(args)?;
            let found = dict.get_item(&key)?;
            if found.is_undefined() {
                fallback.unwrap_or(Value::from(()))
            } else {
                found
            }
        }
        "keys" => dict.try_iter()?.collect(),
        "values" => dict
            .try_iter()?
            .map(|key| dict.get_item(&key))
            .collect::<Result<Vec<_>, _>>()?
            .into(),
        "items" => {
            let pair = |key: Value| Ok(Value::from(vec![key.clone(), dict.get_item(&key)?]));
            dict.try_iter()?
                .map(pair)
                .collect::<Result<Vec<_>, Error>>()?
                .into()
        }
        _ => return Err(Error::from(ErrorKind::UnknownMethod)),
    })
}

fn trimmed(value: Value) -> Value {
    match value.as_str() {
        Some(text) => Value::from(text.trim()),
        None => value,
    }
}

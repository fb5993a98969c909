//! Values that people type: parameters, dates, durations.

use crate::daemon::clock;
use crate::exit::{Exit, Failure};
use serde_json::{Map, Value};
use std::time::Duration;
use tidemill_model::Ts;
use tidemill_model::time::parse_span;

/// `NAME=VALUE` pairs over a JSON object. A value that is JSON is taken as JSON unless `is_text`
/// says that its parameter is a text.
///
/// # Errors
/// What is not `NAME=VALUE` or not an object.
pub fn conf(
    conf: Option<&str>,
    params: &[String],
    is_text: impl Fn(&str) -> bool,
) -> Result<Map<String, Value>, Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, message);
    let mut values = match conf.map(serde_json::from_str::<Map<String, Value>>) {
        Some(Ok(values)) => values,
        Some(Err(err)) => return Err(usage(format!("--conf is not a JSON object: {err}"))),
        None => Map::new(),
    };
    for param in params {
        let Some((name, text)) = param.split_once('=') else {
            return Err(usage(format!("`{param}` is not NAME=VALUE")));
        };
        let value = match serde_json::from_str(text) {
            Ok(value) if !is_text(name) => value,
            _ => Value::from(text),
        };
        values.insert(name.to_string(), value);
    }
    Ok(values)
}

/// A logical date: now when absent, nothing for `none`, else an instant as `zone` has it.
///
/// # Errors
/// When it is no date.
pub fn logical_date(text: Option<&str>, zone: &jiff::tz::TimeZone) -> Result<Option<Ts>, Failure> {
    match text {
        None => Ok(Some(clock::now())),
        Some("none") => Ok(None),
        Some(text) => instant(text, zone).map(Some),
    }
}

/// An instant; a date or a time without offset is read in `zone`.
///
/// # Errors
/// When it is none.
pub fn instant(text: &str, zone: &jiff::tz::TimeZone) -> Result<Ts, Failure> {
    Ts::parse(text, zone).map_err(|err| Failure::new(Exit::Usage, err.to_string()))
}

/// A duration such as `90s` or `1h30m`.
///
/// # Errors
/// When it is none.
pub fn duration(text: &str) -> Result<Duration, Failure> {
    parse_span(text).map_err(|err| Failure::new(Exit::Usage, format!("`{text}`: {err}")))
}

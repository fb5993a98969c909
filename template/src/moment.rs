//! The date object of templates: what Airflow's users know as a pendulum `DateTime`.

use crate::environment::refuse;
use jiff::civil::Date;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Span, Zoned};
use minijinja::value::{DynObject, Kwargs, Object, ObjectRepr, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;
use tidemill_model::Ts;

/// An instant in a time zone.
#[derive(Debug)]
pub(crate) struct Moment(Zoned);

const METHODS: &str = "strftime, isoformat, date, add, subtract, in_timezone, timestamp";

impl Moment {
    /// The instant in UTC, as Airflow gives it.
    pub(crate) fn value(at: Ts) -> Value {
        Value::from_object(Moment(at.to_jiff().to_zoned(TimeZone::UTC)))
    }

    /// A date object, or a text that reads as a date or an instant.
    pub(crate) fn from_value(value: &Value) -> Result<Moment, Error> {
        if let Some(moment) = value.downcast_object_ref::<Moment>() {
            return Ok(Moment(moment.0.clone()));
        }
        let text = value.as_str().ok_or_else(|| refuse("is not a date"))?;
        let at = Ts::parse(text, &TimeZone::UTC).map_err(|err| refuse(err.to_string()))?;
        Ok(Moment(at.to_jiff().to_zoned(TimeZone::UTC)))
    }

    pub(crate) fn strftime(&self, format: &str) -> Result<String, Error> {
        strtime::format(format, &self.0)
            .map_err(|err| refuse(format!("`{format}` is not a date format: {err}")))
    }

    fn isoformat(&self) -> String {
        let format = if self.0.subsec_nanosecond() == 0 {
            "%Y-%m-%dT%H:%M:%S%:z"
        } else {
            "%Y-%m-%dT%H:%M:%S.%6f%:z"
        };
        strtime::format(format, &self.0).unwrap_or_else(|_| self.0.timestamp().to_string())
    }

    fn shifted(&self, args: &[Value], sign: i64) -> Result<Value, Error> {
        let (spans,): (Kwargs,) = from_args(args)?;
        let of = |name: &str| -> Result<i64, Error> {
            let amount: i64 = spans.get::<Option<i64>>(name)?.unwrap_or(0);
            amount
                .checked_mul(sign)
                .ok_or_else(|| refuse("the span is too long"))
        };
        let too_long = |_| refuse("the span is too long");
        let span = Span::new()
            .try_years(of("years")?)
            .and_then(|span| span.try_months(of("months").unwrap_or(i64::MAX)))
            .and_then(|span| span.try_weeks(of("weeks").unwrap_or(i64::MAX)))
            .and_then(|span| span.try_days(of("days").unwrap_or(i64::MAX)))
            .and_then(|span| span.try_hours(of("hours").unwrap_or(i64::MAX)))
            .and_then(|span| span.try_minutes(of("minutes").unwrap_or(i64::MAX)))
            .and_then(|span| span.try_seconds(of("seconds").unwrap_or(i64::MAX)))
            .map_err(too_long)?;
        spans.assert_all_used()?;
        let moved = self.0.checked_add(span).map_err(too_long)?;
        Ok(Value::from_object(Moment(moved)))
    }

    fn in_timezone(&self, args: &[Value]) -> Result<Value, Error> {
        let (name,): (String,) = from_args(args)?;
        let zone =
            TimeZone::get(&name).map_err(|_| refuse(format!("`{name}` is not a time zone")))?;
        Ok(Value::from_object(Moment(self.0.with_time_zone(zone))))
    }
}

impl Object for Moment {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let now = &self.0;
        Some(match key {
            "year" => Value::from(now.year()),
            "month" => Value::from(now.month()),
            "day" => Value::from(now.day()),
            "hour" => Value::from(now.hour()),
            "minute" => Value::from(now.minute()),
            "second" => Value::from(now.second()),
            "microsecond" => Value::from(now.subsec_nanosecond() / 1_000),
            "day_of_week" => Value::from(now.weekday().to_monday_zero_offset()),
            "day_of_year" => Value::from(now.day_of_year()),
            _ => return None,
        })
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn call_method(
        self: &Arc<Self>,
        _state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "strftime" | "format" => self
                .strftime(&from_args::<(String,)>(args)?.0)
                .map(Value::from),
            "isoformat" => Ok(Value::from(self.isoformat())),
            "date" | "to_date_string" => self.strftime("%Y-%m-%d").map(Value::from),
            "timestamp" => Ok(Value::from(
                self.0.timestamp().as_microsecond() as f64 / 1e6,
            )),
            "int_timestamp" => Ok(Value::from(self.0.timestamp().as_second())),
            "weekday" => Ok(Value::from(self.0.weekday().to_monday_zero_offset())),
            "add" => self.shifted(args, 1),
            "subtract" => self.shifted(args, -1),
            "in_timezone" | "in_tz" => self.in_timezone(args),
            _ => Err(Error::new(
                ErrorKind::UnknownMethod,
                format!("a date has no {method}; it has {METHODS}"),
            )),
        }
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        Some(
            self.0
                .timestamp()
                .cmp(&other.downcast_ref::<Moment>()?.0.timestamp()),
        )
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.isoformat())
    }
}

/// Airflow's `macros.ds_add`: a day some days later, as `YYYY-MM-DD`.
pub(crate) fn ds_add(day: &str, n_days: i64) -> Result<String, Error> {
    let date: Date = day
        .parse()
        .map_err(|_| refuse(format!("`{day}` is not a date such as 2026-11-20")))?;
    let span = Span::new()
        .try_days(n_days)
        .map_err(|_| refuse("the span is too long"))?;
    Ok(date
        .checked_add(span)
        .map_err(|_| refuse("the span is too long"))?
        .to_string())
}

/// Airflow's `macros.ds_format`: a date read by one format and written by another.
pub(crate) fn ds_format(day: &str, from: &str, to: &str) -> Result<String, Error> {
    let wrong = |err: jiff::Error| refuse(format!("`{day}` does not read as `{from}`: {err}"));
    let read = strtime::parse(from, day).map_err(wrong)?;
    let civil = match read.to_datetime() {
        Ok(civil) => civil,
        Err(_) => read.to_date().map_err(wrong)?.at(0, 0, 0, 0),
    };
    strtime::format(to, civil).map_err(|err| refuse(format!("`{to}` is not a date format: {err}")))
}

//! The date object of templates: what Airflow's users know as a pendulum `DateTime`.

use crate::environment::refuse;
use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Span, Zoned};
use minijinja::value::{DynObject, Kwargs, Object, ObjectRepr, Rest, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;
use tidemill_model::Ts;

/// An instant in a time zone.
#[derive(Debug)]
pub(crate) struct Moment(Zoned);

/// What a date has: its parts.
pub(crate) const FIELDS: &[&str] = &[
    "year",
    "month",
    "day",
    "hour",
    "minute",
    "second",
    "microsecond",
    "day_of_week",
    "day_of_year",
    "int_timestamp",
];

/// And what it can do.
pub(crate) const METHODS: &[&str] = &[
    "strftime",
    "format",
    "isoformat",
    "date",
    "to_date_string",
    "to_datetime_string",
    "timestamp",
    "weekday",
    "add",
    "subtract",
    "replace",
    "start_of",
    "end_of",
    "in_timezone",
    "in_tz",
];

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

    /// The ISO form without `-` and `:`, but for the sign of its offset, which Airflow loses.
    pub(crate) fn without_marks(&self) -> Result<String, Error> {
        let fraction = match self.0.subsec_nanosecond() {
            0 => "",
            _ => ".%6f",
        };
        self.strftime(&format!("%Y%m%dT%H%M%S{fraction}%z"))
    }

    /// A civil time of a zone, or the instant after it where the clock passes over it.
    fn at(civil: DateTime, zone: TimeZone) -> Result<Value, Error> {
        let at = civil.to_zoned(zone).map_err(out_of_range)?;
        Ok(Value::from_object(Moment(at)))
    }

    /// Python's `strftime`, where `%f` has six digits.
    pub(crate) fn strftime(&self, format: &str) -> Result<String, Error> {
        let parts: Vec<String> = format
            .split("%%")
            .map(|part| part.replace("%f", "%6f"))
            .collect();
        strtime::format(parts.join("%%"), &self.0)
            .map_err(|err| refuse(format!("`{format}` is not a date format: {err}")))
    }

    /// Pendulum's `format`, by tokens such as `YYYY-MM-DD`; what stands in brackets is text.
    fn by_tokens(&self, format: &str) -> Result<String, Error> {
        let mut rest = format;
        let mut pattern = String::new();
        while let Some(first) = rest.chars().next() {
            let quoted = rest
                .strip_prefix('[')
                .and_then(|inner| inner.split_once(']'));
            let known = TOKENS.iter().find(|(token, _)| rest.starts_with(token));
            if let Some((text, after)) = quoted {
                pattern.push_str(&text.replace('%', "%%"));
                rest = after;
            } else if let Some((token, meaning)) = known {
                pattern.push_str(meaning);
                rest = &rest[token.len()..];
            } else if OTHER_TOKENS.contains(first) {
                let message = format!("`{first}` in `{format}` is not known here; use strftime");
                return Err(refuse(message));
            } else {
                let (plain, after) = rest.split_at(first.len_utf8());
                pattern.push_str(if plain == "%" { "%%" } else { plain });
                rest = after;
            }
        }
        self.strftime(&pattern)
    }

    pub(crate) fn isoformat(&self) -> String {
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

    /// The beginning of the second, hour, day and so on that it is in; weeks begin on Monday.
    fn beginning(&self, unit: &str) -> Result<DateTime, Error> {
        let (day, time) = (self.0.date(), self.0.time());
        let since_monday = Span::new().days(self.0.weekday().to_monday_zero_offset());
        Ok(match unit {
            "second" => day.at(time.hour(), time.minute(), time.second(), 0),
            "minute" => day.at(time.hour(), time.minute(), 0, 0),
            "hour" => day.at(time.hour(), 0, 0, 0),
            "day" => day.at(0, 0, 0, 0),
            "week" => {
                let monday = day.checked_sub(since_monday).map_err(out_of_range)?;
                monday.at(0, 0, 0, 0)
            }
            "month" => day.first_of_month().at(0, 0, 0, 0),
            "year" => day.first_of_year().at(0, 0, 0, 0),
            other => return Err(refuse(format!("`{other}` is none of {UNITS}"))),
        })
    }

    fn start_of(&self, args: &[Value]) -> Result<Value, Error> {
        let (unit,): (String,) = from_args(args)?;
        Moment::at(self.beginning(&unit)?, self.0.time_zone().clone())
    }

    /// The last microsecond of the unit.
    fn end_of(&self, args: &[Value]) -> Result<Value, Error> {
        let (unit,): (String,) = from_args(args)?;
        let one = match unit.as_str() {
            "second" => Span::new().seconds(1),
            "minute" => Span::new().minutes(1),
            "hour" => Span::new().hours(1),
            "day" => Span::new().days(1),
            "week" => Span::new().weeks(1),
            "month" => Span::new().months(1),
            _ => Span::new().years(1),
        };
        let next = self.beginning(&unit)?.checked_add(one);
        let last = next.and_then(|next| next.checked_sub(Span::new().microseconds(1)));
        Moment::at(last.map_err(out_of_range)?, self.0.time_zone().clone())
    }

    fn replaced(&self, args: &[Value]) -> Result<Value, Error> {
        let (parts,): (Kwargs,) = from_args(args)?;
        let mut civil = self.0.datetime().with();
        if let Some(year) = parts.get::<Option<i16>>("year")? {
            civil = civil.year(year);
        }
        if let Some(month) = parts.get::<Option<i8>>("month")? {
            civil = civil.month(month);
        }
        if let Some(day) = parts.get::<Option<i8>>("day")? {
            civil = civil.day(day);
        }
        if let Some(hour) = parts.get::<Option<i8>>("hour")? {
            civil = civil.hour(hour);
        }
        if let Some(minute) = parts.get::<Option<i8>>("minute")? {
            civil = civil.minute(minute);
        }
        if let Some(second) = parts.get::<Option<i8>>("second")? {
            civil = civil.second(second);
        }
        if let Some(microsecond) = parts.get::<Option<i32>>("microsecond")? {
            civil = civil.subsec_nanosecond(microsecond.saturating_mul(1_000));
        }
        parts.assert_all_used()?;
        let civil = civil.build().map_err(out_of_range)?;
        Moment::at(civil, self.0.time_zone().clone())
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
            "int_timestamp" => Value::from(now.timestamp().as_second()),
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
            "strftime" => self
                .strftime(&from_args::<(String,)>(args)?.0)
                .map(Value::from),
            "format" => self
                .by_tokens(&from_args::<(String,)>(args)?.0)
                .map(Value::from),
            "isoformat" => Ok(Value::from(self.isoformat())),
            "date" | "to_date_string" => self.strftime("%Y-%m-%d").map(Value::from),
            "to_datetime_string" => self.strftime("%Y-%m-%d %H:%M:%S").map(Value::from),
            "timestamp" => Ok(Value::from(
                self.0.timestamp().as_microsecond() as f64 / 1e6,
            )),
            "weekday" => Ok(Value::from(self.0.weekday().to_monday_zero_offset())),
            "add" => self.shifted(args, 1),
            "subtract" => self.shifted(args, -1),
            "replace" => self.replaced(args),
            "start_of" => self.start_of(args),
            "end_of" => self.end_of(args),
            "in_timezone" | "in_tz" => self.in_timezone(args),
            _ => Err(Error::new(
                ErrorKind::UnknownMethod,
                format!("a date has no {method}; it has {}", METHODS.join(", ")),
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

/// An instant as Airflow writes it, in UTC: `2026-11-20T06:00:00+00:00`.
pub fn iso(at: Ts) -> String {
    Moment(at.to_jiff().to_zoned(TimeZone::UTC)).isoformat()
}

/// The units of `start_of` and `end_of`.
const UNITS: &str = "second, minute, hour, day, week, month and year";

/// Pendulum's tokens as strftime has them, longer ones before those that they begin with.
#[rustfmt::skip]
const TOKENS: &[(&str, &str)] = &[
    ("YYYY", "%Y"), ("YY", "%y"), ("MMMM", "%B"), ("MMM", "%b"), ("MM", "%m"), ("M", "%-m"),
    ("DDDD", "%j"), ("DDD", "%-j"), ("DD", "%d"), ("D", "%-d"), ("dddd", "%A"), ("ddd", "%a"),
    ("HH", "%H"), ("H", "%-H"), ("hh", "%I"), ("h", "%-I"), ("mm", "%M"), ("m", "%-M"),
    ("ss", "%S"), ("s", "%-S"), ("SSSSSS", "%6f"), ("SSS", "%3f"), ("A", "%p"), ("X", "%s"),
    ("ZZ", "%z"), ("Z", "%:z"),
];

/// Letters that begin Pendulum's other tokens, or end one (`Do`).
const OTHER_TOKENS: &str = "YdeoEwWQgGakSxzL\\[";

fn out_of_range(err: jiff::Error) -> Error {
    refuse(format!("there is no such date: {err}"))
}

/// `macros.datetime(year, month, day, …)`: a date in UTC.
pub(crate) fn date_of_parts(args: &[Value]) -> Result<Value, Error> {
    let (year, month, day, Rest(clock)): (i16, i8, i8, Rest<i8>) = from_args(args)?;
    let (hour, minute, second) = match *clock.as_slice() {
        [] => (0, 0, 0),
        [hour] => (hour, 0, 0),
        [hour, minute] => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return Err(refuse("a date has no parts below the second here")),
    };
    let civil = DateTime::new(year, month, day, hour, minute, second, 0);
    Moment::at(civil.map_err(out_of_range)?, TimeZone::UTC)
}

/// `macros.datetime.strptime`: a text read by a format, in UTC.
pub(crate) fn date_by_format(text: &str, format: &str) -> Result<Value, Error> {
    Moment::at(civil_by_format(text, format)?, TimeZone::UTC)
}

fn civil_by_format(text: &str, format: &str) -> Result<DateTime, Error> {
    let wrong = |err: jiff::Error| refuse(format!("`{text}` does not read as `{format}`: {err}"));
    let read = strtime::parse(format, text).map_err(wrong)?;
    match read.to_datetime() {
        Ok(civil) => Ok(civil),
        Err(_) => Ok(read.to_date().map_err(wrong)?.at(0, 0, 0, 0)),
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
    let civil = civil_by_format(day, from)?;
    strtime::format(to, civil).map_err(|err| refuse(format!("`{to}` is not a date format: {err}")))
}

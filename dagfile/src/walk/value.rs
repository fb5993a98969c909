//! Values of the types that the format knows.

use super::{Text, Walk};
use crate::diagnostic::Diagnostic;
use crate::parse::{Key, Table, Value};
use crate::suggest::nearest;
use jiff::tz::TimeZone;
use std::ops::Range;
use std::time::Duration;
use tidemill_model::Ts;
use tidemill_model::time::{SpanError, parse_span};
use toml::de::DeValue;

/// A whole number that fits.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    match value.get_ref() {
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    }
}

/// What people call the type of a value.
pub(crate) fn type_of(value: &Value) -> &'static str {
    match value.get_ref() {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Is a name made of the characters that ids may have?
pub(crate) fn is_id(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 250
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// Is a name one that a shell can use as a variable?
pub(crate) fn is_env_name(name: &str) -> bool {
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    starts_well
        && name.len() <= 250
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl Walk<'_> {
    /// A table whose key names `what`.
    pub(crate) fn named_table<'t>(
        &mut self,
        what: &str,
        key: &Key,
        value: &'t Value<'t>,
    ) -> Option<(String, &'t Table<'t>)> {
        let DeValue::Table(inner) = value.get_ref() else {
            self.wrong_type(key.get_ref(), value, "a table");
            return None;
        };
        Some((self.name_of(what, key), inner))
    }

    /// The name that a key gives to `what`; an odd one is reported.
    pub(crate) fn name_of(&mut self, what: &str, key: &Key) -> String {
        let name = key.get_ref().to_string();
        if !is_id(&name) {
            let message = format!("`{name}` cannot be the name of {what}");
            self.report(
                Diagnostic::error("TM0107", key.span(), message).label("A-Z a-z 0-9 _ and - only"),
            );
        }
        name
    }

    pub(crate) fn wrong_type(&mut self, name: &str, value: &Value, expected: &str) {
        let span = value.span();
        let mut one = Diagnostic::error(
            "TM0101",
            span.clone(),
            format!("`{name}` must be {expected}, not {}", type_of(value)),
        )
        .label(format!("expected {expected}"));
        let written = self.source.get(span.clone()).unwrap_or("").to_string();
        match value.get_ref() {
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_)
                if expected == "a text" =>
            {
                one = one
                    .help("put it in quotes")
                    .patch(span, format!("\"{written}\""));
            }
            DeValue::String(text) if expected == "a list of texts" => {
                one = one
                    .help("put it in brackets")
                    .patch(span, format!("[{written}]"));
                let _ = text;
            }
            DeValue::String(text)
                if (expected == "true or false" && matches!(text.as_ref(), "true" | "false"))
                    || (expected == "a whole number" && text.parse::<i64>().is_ok())
                    || (expected == "a number" && text.parse::<f64>().is_ok())
                    || (expected == "a date" && Ts::parse(text, &TimeZone::UTC).is_ok()) =>
            {
                one = one
                    .help("take the quotes away")
                    .patch(span, text.to_string());
            }
            _ => {}
        }
        self.report(one);
    }

    pub(crate) fn text_of(&mut self, name: &str, value: &Value) -> Option<Text> {
        match value.get_ref() {
            DeValue::String(text) => Some(Text {
                value: text.to_string(),
                span: value.span(),
            }),
            _ => {
                self.wrong_type(name, value, "a text");
                None
            }
        }
    }

    pub(crate) fn text(&mut self, table: &Table, name: &str) -> Option<Text> {
        let value = table.get(name)?;
        self.text_of(name, value)
    }

    pub(crate) fn string(&mut self, table: &Table, name: &str) -> Option<String> {
        self.text(table, name).map(|text| text.value)
    }

    pub(crate) fn boolean(&mut self, table: &Table, name: &str) -> Option<bool> {
        let value = table.get(name)?;
        match value.get_ref() {
            DeValue::Boolean(one) => Some(*one),
            _ => {
                self.wrong_type(name, value, "true or false");
                None
            }
        }
    }

    /// A whole number from `low` to `high`.
    pub(crate) fn int(&mut self, table: &Table, name: &str, low: i64, high: i64) -> Option<i64> {
        let value = table.get(name)?;
        self.int_of(name, value, low, high)
    }

    pub(crate) fn int_of(&mut self, name: &str, value: &Value, low: i64, high: i64) -> Option<i64> {
        if !matches!(value.get_ref(), DeValue::Integer(_)) {
            self.wrong_type(name, value, "a whole number");
            return None;
        }
        let number = integer(value).filter(|number| (low..=high).contains(number));
        if number.is_none() {
            let message = format!("`{name}` must be from {low} to {high}");
            self.report(Diagnostic::error("TM0103", value.span(), message).label("out of range"));
        }
        number
    }

    /// A number from 0 on.
    pub(crate) fn number(&mut self, table: &Table, name: &str, high: f64) -> Option<f64> {
        let value = table.get(name)?;
        let number = match value.get_ref() {
            DeValue::Integer(_) => integer(value).map(|number| number as f64),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => {
                self.wrong_type(name, value, "a number");
                return None;
            }
        };
        let number = number.filter(|number| (0.0..=high).contains(number));
        if number.is_none() {
            let message = format!("`{name}` must be from 0 to {high}");
            self.report(Diagnostic::error("TM0103", value.span(), message).label("out of range"));
        }
        number
    }

    pub(crate) fn texts(&mut self, table: &Table, name: &str) -> Option<Vec<Text>> {
        let value = table.get(name)?;
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(name, value, "a list of texts");
            return None;
        };
        Some(
            items
                .iter()
                .filter_map(|item| self.text_of(name, item))
                .collect(),
        )
    }

    pub(crate) fn strings(&mut self, table: &Table, name: &str) -> Option<Vec<String>> {
        Some(
            self.texts(table, name)?
                .into_iter()
                .map(|text| text.value)
                .collect(),
        )
    }

    /// Exit statuses, 0 to 255.
    pub(crate) fn statuses(&mut self, table: &Table, name: &str) -> Option<Vec<i32>> {
        let numbers = self.ints(table, name, 0, 255)?.into_iter();
        Some(
            numbers
                .filter_map(|number| i32::try_from(number).ok())
                .collect(),
        )
    }

    /// One whole number, or a list of them.
    pub(crate) fn ints(
        &mut self,
        table: &Table,
        name: &str,
        low: i64,
        high: i64,
    ) -> Option<Vec<i64>> {
        let value = table.get(name)?;
        let items: Vec<&Value> = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            DeValue::Integer(_) => vec![value],
            _ => {
                self.wrong_type(name, value, "a list of whole numbers");
                return None;
            }
        };
        let numbers = items
            .into_iter()
            .filter_map(|item| self.int_of(name, item, low, high));
        Some(numbers.collect())
    }

    /// One of some words.
    pub(crate) fn choice_of(
        &mut self,
        name: &str,
        value: &Value,
        words: &[&str],
    ) -> Option<String> {
        let text = self.text_of(name, value)?;
        if words.contains(&text.value.as_str()) {
            return Some(text.value);
        }
        let message = format!("`{}` is not a value of `{name}`", text.value);
        let one = Diagnostic::error("TM0103", text.span.clone(), message);
        let all = format!("one of {}", words.join(", "));
        let near = nearest(&text.value, words.iter().copied());
        self.report(match near {
            Some(near) => one
                .label(all)
                .help(format!("did you mean `{near}`?"))
                .patch(text.span, format!("\"{near}\"")),
            None => one.label(all),
        });
        None
    }

    pub(crate) fn choice(&mut self, table: &Table, name: &str, words: &[&str]) -> Option<String> {
        let value = table.get(name)?;
        self.choice_of(name, value, words)
    }

    /// A list of some words, or one of them.
    pub(crate) fn choices(
        &mut self,
        table: &Table,
        name: &str,
        words: &[&str],
    ) -> Option<Vec<String>> {
        let value = table.get(name)?;
        match value.get_ref() {
            DeValue::Array(items) => Some(
                items
                    .iter()
                    .filter_map(|item| self.choice_of(name, item, words))
                    .collect(),
            ),
            _ => self.choice_of(name, value, words).map(|word| vec![word]),
        }
    }

    pub(crate) fn duration(&mut self, table: &Table, name: &str) -> Option<Duration> {
        let value = table.get(name)?;
        self.duration_of(name, value)
    }

    pub(crate) fn duration_of(&mut self, name: &str, value: &Value) -> Option<Duration> {
        let span = value.span();
        let written = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(_) | DeValue::Float(_) => {
                let written = self.source.get(span.clone()).unwrap_or("").to_string();
                self.needs_unit(span, &written, type_of(value));
                return None;
            }
            _ => {
                self.wrong_type(name, value, "a duration such as \"90s\"");
                return None;
            }
        };
        match parse_span(&written) {
            Ok(duration) => Some(duration),
            Err(SpanError::NoUnit) => {
                self.needs_unit(span, &written, "no unit");
                None
            }
            Err(SpanError::TooLong) => {
                let message = format!("`{written}` is longer than ten years");
                self.report(Diagnostic::error("TM0121", span, message).label("too long"));
                None
            }
            Err(SpanError::Unreadable) => {
                let message = format!("`{written}` is not a duration");
                let one = Diagnostic::error("TM0121", span, message)
                    .label("whole numbers with ms, s, m, h or d");
                self.report(one.help("write it like \"250ms\", \"90s\", \"1h30m\" or \"2d\""));
                None
            }
        }
    }

    /// A size in bytes, from 1 to `high`.
    pub(crate) fn size(&mut self, table: &Table, name: &str, high: u64) -> Option<u64> {
        let value = table.get(name)?;
        let size = self.size_of(name, value)?;
        if !(1..=high).contains(&size) {
            let message = format!("`{name}` must be from 1B to {}MiB", high >> 20);
            self.report(Diagnostic::error("TM0103", value.span(), message).label("out of range"));
            return None;
        }
        Some(size)
    }

    fn needs_unit(&mut self, span: Range<usize>, written: &str, label: &str) {
        let one = Diagnostic::error("TM0120", span.clone(), "a duration needs a unit").label(label);
        let whole: Option<u64> = written.replace('_', "").parse().ok();
        self.report(match whole {
            Some(seconds) => one
                .help("write it with a unit")
                .patch(span, format!("\"{seconds}s\"")),
            None => one.help("write it like \"250ms\", \"90s\", \"1h30m\" or \"2d\""),
        });
    }

    /// A date, read in `zone` where it has no offset of its own.
    pub(crate) fn date(&mut self, table: &Table, name: &str, zone: &TimeZone) -> Option<Ts> {
        self.date_of(name, table.get(name)?, zone)
    }

    pub(crate) fn date_of(&mut self, name: &str, value: &Value, zone: &TimeZone) -> Option<Ts> {
        let DeValue::Datetime(date) = value.get_ref() else {
            self.wrong_type(name, value, "a date");
            return None;
        };
        // TOML allows a blank between date and time.
        let read = Ts::parse(&date.to_string().replacen(' ', "T", 1), zone);
        if read.is_err() {
            let message = format!("`{date}` is not a date or an instant");
            self.report(
                Diagnostic::error("TM0122", value.span(), message)
                    .help("write it like 2026-11-20 or 2026-11-20T06:00:00Z"),
            );
        }
        read.ok()
    }

    /// The table under a key.
    pub(crate) fn table<'t, 's>(
        &mut self,
        table: &'t Table<'s>,
        name: &str,
    ) -> Option<&'t Table<'s>> {
        let value = table.get(name)?;
        match value.get_ref() {
            DeValue::Table(inner) => Some(inner),
            _ => {
                self.wrong_type(name, value, "a table");
                None
            }
        }
    }
}

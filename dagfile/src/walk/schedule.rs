//! When a DAG runs by itself.

use super::{Place, Text, Walk};
use crate::diagnostic::Diagnostic;
use crate::keys;
use crate::parse::{Table, Value};
use crate::place::offset_in_source;
use crate::suggest::nearest;
use jiff::tz::TimeZone;
use std::ops::Range;
use std::time::Duration;
use tidemill_model::Ts;
use tidemill_model::cron::Cron;
use tidemill_model::dag::AssetCondition;
use tidemill_model::schedule::{First, Interval, Schedule, Ticks};
use toml::de::DeValue;

/// The shortest distance of an `every` schedule.
const PERIOD_MIN: Duration = Duration::from_secs(1);

/// A schedule and what the file says about it, for people.
pub(crate) type Planned = (Schedule, String);

impl Walk<'_> {
    /// `schedule` of `[dag]`. `zone` and `start` are the DAG's.
    pub(crate) fn schedule(&mut self, dag: &Table, zone: &TimeZone, start: Option<Ts>) -> Planned {
        let none = (Schedule::MANUAL, String::new());
        let Some(value) = dag.get("schedule") else {
            return none;
        };
        let (ticks, words) = match value.get_ref() {
            DeValue::String(_) => match self.text_of("schedule", value) {
                Some(text) => self.short_schedule(text, start),
                None => return none,
            },
            DeValue::Array(_) => self.crons_of("schedule", value),
            DeValue::Table(table) => return self.long_schedule(table, value.span(), zone, start),
            _ => {
                self.wrong_type("schedule", value, "a text, a list of texts or a table");
                return none;
            }
        };
        (Schedule::of(ticks, zone.clone()), words)
    }

    fn short_schedule(&mut self, text: Text, start: Option<Ts>) -> (Ticks, String) {
        let trimmed = text.value.trim().to_string();
        if let Some(distance) = trimmed.strip_prefix("@every") {
            let period = self.every_text(distance.trim(), &text);
            let ticks = period.map_or(Ticks::Manual, |period| every(period, start));
            return (ticks, trimmed);
        }
        let ticks = match trimmed.as_str() {
            "@once" => Ticks::Once(start),
            "@continuous" => Ticks::Continuous,
            "None" | "none" | "null" => {
                self.report(
                    Diagnostic::error(
                        "TM0131",
                        text.span,
                        "a DAG without a schedule leaves `schedule` out",
                    )
                    .help("take the key away"),
                );
                Ticks::Manual
            }
            _ => match self.cron(&text) {
                Some(cron) => Ticks::Cron(vec![cron]),
                None => Ticks::Manual,
            },
        };
        (ticks, trimmed)
    }

    /// `15m` of `@every 15m`, through the same reader as other durations.
    fn every_text(&mut self, distance: &str, text: &Text) -> Option<Duration> {
        let value = toml::Spanned::new(
            text.span.clone(),
            DeValue::String(distance.to_string().into()),
        );
        let n_before = self.diagnostics.len();
        let period = self.duration_of("schedule", &value);
        if let Some(one) = self.diagnostics.get_mut(n_before) {
            one.patch = None;
            one.help = Some("write it like \"@every 15m\"".to_string());
        }
        period.and_then(|period| self.checked_period(period, text.span.clone()))
    }

    fn checked_period(&mut self, period: Duration, span: Range<usize>) -> Option<Duration> {
        if period < PERIOD_MIN {
            let message = "a schedule fires at most once a second";
            self.report(Diagnostic::error("TM0131", span, message).label("too short"));
            return None;
        }
        Some(period)
    }

    fn crons_of(&mut self, name: &str, value: &Value) -> (Ticks, String) {
        let texts: Vec<Text> = match value.get_ref() {
            DeValue::Array(items) => items
                .iter()
                .filter_map(|item| self.text_of(name, item))
                .collect(),
            _ => self.text_of(name, value).into_iter().collect(),
        };
        if let DeValue::Array(items) = value.get_ref()
            && items.is_empty()
        {
            let message = format!("`{name}` is an empty list");
            self.report(
                Diagnostic::error("TM0131", value.span(), message).help("take the key away"),
            );
        }
        let crons: Vec<Cron> = texts.iter().filter_map(|text| self.cron(text)).collect();
        let words = texts
            .iter()
            .map(|text| text.value.trim())
            .collect::<Vec<_>>()
            .join("; ");
        if crons.is_empty() {
            return (Ticks::Manual, words);
        }
        (Ticks::Cron(crons), words)
    }

    fn long_schedule(
        &mut self,
        table: &Table,
        span: Range<usize>,
        zone: &TimeZone,
        start: Option<Ts>,
    ) -> Planned {
        self.check_keys(table, &Place::Schedule, keys::SCHEDULE);
        let zone = self
            .zone(table)
            .map_or_else(|| zone.clone(), |(_, own)| own);
        let (ticks, words) = self.long_ticks(table, span, &zone, start);
        let schedule = Schedule {
            ticks,
            zone,
            interval: self.interval(table).unwrap_or(Interval::Tick),
            jitter: self.duration(table, "jitter").unwrap_or_default(),
            first: self.first(table).unwrap_or(First::Recent),
        };
        (schedule, words)
    }

    /// Exactly one of `cron`, `every` and `at` says when.
    fn long_ticks(
        &mut self,
        table: &Table,
        span: Range<usize>,
        zone: &TimeZone,
        start: Option<Ts>,
    ) -> (Ticks, String) {
        let none = (Ticks::Manual, String::new());
        let given: Vec<(&str, &Value)> = ["cron", "every", "at"]
            .iter()
            .filter_map(|name| Some((*name, table.get(*name)?)))
            .collect();
        match given.as_slice() {
            [("cron", value)] => self.crons_of("cron", value),
            [("every", value)] => {
                let period = self.duration_of("every", value);
                match period.and_then(|period| self.checked_period(period, value.span())) {
                    Some(period) => (
                        every(period, start),
                        format!("@every {}", self.written(value)),
                    ),
                    None => none,
                }
            }
            [(_, value)] => self.instants(value, zone),
            [] => {
                let has_other = table.contains_key("assets")
                    || keys::SCHEDULE
                        .iter()
                        .any(|key| !key.is_built && table.contains_key(key.name));
                if !has_other {
                    let message = "the schedule does not say when";
                    self.report(
                        Diagnostic::error("TM0102", span, message)
                            .help("give it `cron`, `every`, `at` or `assets`"),
                    );
                }
                none
            }
            [(first, _), .., (_, value)] => {
                let message = "a schedule has one of `cron`, `every` and `at`";
                let one = Diagnostic::error("TM0131", value.span(), message);
                self.report(one.label(format!("`{first}` says when already")));
                none
            }
        }
    }

    /// `assets` of a schedule that is a table.
    pub(crate) fn asset_schedule(&mut self, dag: &Table) -> Option<AssetCondition> {
        let DeValue::Table(schedule) = dag.get("schedule")?.get_ref() else {
            return None;
        };
        self.asset_condition(schedule.get("assets")?)
    }

    /// `at`: instants in any order.
    fn instants(&mut self, value: &Value, zone: &TimeZone) -> (Ticks, String) {
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type("at", value, "a list of dates");
            return (Ticks::Manual, String::new());
        };
        if items.is_empty() {
            let one = Diagnostic::error("TM0131", value.span(), "`at` is an empty list");
            self.report(one.help("take the key away"));
            return (Ticks::Manual, String::new());
        }
        let mut instants: Vec<Ts> = items
            .iter()
            .filter_map(|item| self.date_of("at", item, zone))
            .collect();
        instants.sort_unstable();
        instants.dedup();
        let words = match instants.as_slice() {
            [one] => format!("once at {one}"),
            many => format!("at {} instants", many.len()),
        };
        (Ticks::At(instants), words)
    }

    /// `interval`: a word or a duration.
    fn interval(&mut self, table: &Table) -> Option<Interval> {
        let value = table.get("interval")?;
        let DeValue::String(text) = value.get_ref() else {
            self.wrong_type("interval", value, "a text");
            return None;
        };
        match text.as_ref() {
            "tick" => Some(Interval::Tick),
            "previous" => Some(Interval::Previous),
            "period" => Some(Interval::Period),
            other if other.starts_with(|first: char| first.is_ascii_digit()) => {
                self.duration_of("interval", value).map(Interval::Fixed)
            }
            _ => {
                self.choice_of("interval", value, keys::INTERVALS);
                None
            }
        }
    }

    /// `run_immediately`: true, false or a duration.
    fn first(&mut self, table: &Table) -> Option<First> {
        let value = table.get("run_immediately")?;
        match value.get_ref() {
            DeValue::Boolean(true) => Some(First::Previous),
            DeValue::Boolean(false) => Some(First::Next),
            DeValue::String(_) => self
                .duration_of("run_immediately", value)
                .map(First::Within),
            _ => {
                let expected = "true, false or a duration";
                self.wrong_type("run_immediately", value, expected);
                None
            }
        }
    }

    fn written(&self, value: &Value) -> String {
        match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            _ => String::new(),
        }
    }

    /// `timezone` of a table, with its name.
    pub(crate) fn zone(&mut self, table: &Table) -> Option<(String, TimeZone)> {
        let name = self.text(table, "timezone")?;
        if let Ok(zone) = TimeZone::get(&name.value) {
            let canonical = zone.iana_name().unwrap_or(&name.value).to_string();
            return Some((canonical, zone));
        }
        let known: Vec<String> = jiff::tz::db()
            .available()
            .map(|zone| zone.to_string())
            .collect();
        let near = nearest(&name.value, known.iter().map(String::as_str));
        let message = format!("`{}` is not a time zone", name.value);
        let one = Diagnostic::error("TM0132", name.span.clone(), message).label("not an IANA name");
        self.report(match near {
            Some(near) => one
                .help(format!("did you mean `{near}`?"))
                .patch(name.span, format!("\"{near}\"")),
            None => one.help("write an IANA name such as \"Europe/Paris\""),
        });
        None
    }

    fn cron(&mut self, text: &Text) -> Option<Cron> {
        match Cron::parse(&text.value) {
            Ok(cron) => {
                self.explain_day_or(text);
                Some(cron)
            }
            Err(err) => {
                let inner = err.field.and_then(|field| field_range(&text.value, field));
                let span = inner.map_or(text.span.clone(), |range| {
                    offset_in_source(self.source, &text.span, range.start)
                        ..offset_in_source(self.source, &text.span, range.end)
                });
                let code = if err.field.is_some() {
                    "TM0130"
                } else {
                    "TM0131"
                };
                self.report(Diagnostic::error(code, span, err.message).label("here"));
                None
            }
        }
    }

    /// crontab(5) joins the two day fields with "or", which surprises many.
    fn explain_day_or(&mut self, text: &Text) {
        let fields: Vec<&str> = text.value.split_whitespace().collect();
        let is_open = |field: &str| matches!(field, "*" | "?");
        if let [_, _, day, _, weekday] = fields.as_slice()
            && !is_open(day)
            && !is_open(weekday)
            && !weekday.starts_with('+')
        {
            let message =
                format!("this runs on every day that matches `{day}` or `{weekday}`, not both");
            self.report(
                Diagnostic::warning("TM0312", text.span.clone(), message).help(format!(
                    "for days that match both, put `+` before the day of week: `+{weekday}`"
                )),
            );
        }
    }
}

fn every(period: Duration, start: Option<Ts>) -> Ticks {
    Ticks::Every {
        period,
        anchor: start.unwrap_or(Ts(0)),
    }
}

/// Where a field of an expression stands in it, in bytes.
fn field_range(text: &str, field: usize) -> Option<Range<usize>> {
    let word = text.split_whitespace().nth(field)?;
    // The word is a part of the text, so the distance of their addresses is its place.
    let start = word.as_ptr() as usize - text.as_ptr() as usize;
    Some(start..start + word.len())
}

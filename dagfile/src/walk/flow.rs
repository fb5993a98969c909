//! Operators that choose what follows: `branch` and `short_circuit`.

use super::{Place, Text, Walk};
use crate::diagnostic::Diagnostic;
use crate::keys;
use crate::parse::{Table, Value};
use tidemill_model::dag::BranchClock;
use toml::de::DeValue;

/// What `branch` says.
#[derive(Clone, Debug)]
pub(crate) enum BranchKeys {
    Names(Text),
    Cases {
        cases: Vec<CaseKeys>,
        look_at: BranchClock,
    },
}

/// What one case says.
#[derive(Clone, Debug)]
pub(crate) struct CaseKeys {
    pub(crate) when: WhenKeys,
    pub(crate) then: Vec<Text>,
}

/// When a case is taken.
#[derive(Clone, Debug)]
pub(crate) enum WhenKeys {
    If(Text),
    Days(Vec<u8>),
    Between(u32, u32),
    Else,
}

/// What `short_circuit` says.
#[derive(Clone, Debug)]
pub(crate) struct GateKeys {
    pub(crate) condition: Text,
    pub(crate) ignores_rules: bool,
}

impl BranchKeys {
    /// Every text that may hold a template.
    pub(crate) fn templates(&self) -> Vec<&Text> {
        match self {
            BranchKeys::Names(text) => vec![text],
            BranchKeys::Cases { cases, .. } => cases
                .iter()
                .filter_map(|case| match &case.when {
                    WhenKeys::If(text) => Some(text),
                    WhenKeys::Days(_) | WhenKeys::Between(..) | WhenKeys::Else => None,
                })
                .collect(),
        }
    }
}

impl Walk<'_> {
    /// `branch`: a template that names what follows, or a table with cases.
    pub(crate) fn branch(&mut self, value: &Value, place: &Place) -> Option<BranchKeys> {
        let table = match value.get_ref() {
            DeValue::String(_) => return self.text_of("branch", value).map(BranchKeys::Names),
            DeValue::Table(table) => table,
            _ => {
                self.wrong_type("branch", value, "a template or a table with `cases`");
                return None;
            }
        };
        let place = Place::Operator(Box::new(place.clone()), "branch");
        self.check_keys(table, &place, keys::BRANCH);
        let look_at = self
            .choice(table, "look_at", keys::BRANCH_CLOCKS)
            .and_then(|word| BranchClock::from_name(&word))
            .unwrap_or(BranchClock::Now);
        let Some(list) = table.get("cases") else {
            let message = "the branch has no `cases`";
            self.report(Diagnostic::error("TM0102", value.span(), message));
            return None;
        };
        let DeValue::Array(items) = list.get_ref() else {
            self.wrong_type("cases", list, "a list of tables");
            return None;
        };
        let cases: Vec<CaseKeys> = items.iter().filter_map(|item| self.case(item)).collect();
        if let Some(at) = cases
            .iter()
            .position(|case| matches!(case.when, WhenKeys::Else))
            && at + 1 < cases.len()
        {
            let message = "cases after `else` are never taken";
            self.report(
                Diagnostic::error("TM0147", list.span(), message).help("make `else` the last case"),
            );
        }
        Some(BranchKeys::Cases { cases, look_at })
    }

    fn case(&mut self, item: &Value) -> Option<CaseKeys> {
        let DeValue::Table(table) = item.get_ref() else {
            self.wrong_type("cases", item, "a list of tables");
            return None;
        };
        self.check_keys(table, &Place::Case, keys::BRANCH_CASE);
        let conditions = ["if", "else", "days", "between"];
        let written = conditions
            .iter()
            .filter(|name| table.contains_key(**name))
            .count();
        if written != 1 {
            let message = "a case has exactly one of `if`, `days`, `between` and `else`";
            self.report(Diagnostic::error("TM0147", item.span(), message));
            return None;
        }
        Some(CaseKeys {
            when: self.when(table)?,
            then: self.one_or_many(table, "then").unwrap_or_default(),
        })
    }

    fn when(&mut self, table: &Table) -> Option<WhenKeys> {
        if let Some(text) = self.text(table, "if") {
            return Some(WhenKeys::If(text));
        }
        if let Some(words) = self.choices(table, "days", keys::DAYS) {
            let number = |word: &String| keys::DAYS.iter().position(|day| day == word);
            let days = words.iter().filter_map(number).map(|day| day as u8);
            return Some(WhenKeys::Days(days.collect()));
        }
        if table.contains_key("between") {
            let times = self.texts(table, "between")?;
            let [from, to] = times.as_slice() else {
                let span = table.get("between").map_or(0..0, Value::span);
                let message = "`between` has two times of day";
                self.report(
                    Diagnostic::error("TM0103", span, message)
                        .help("write it as between = [\"22:00\", \"06:00\"]"),
                );
                return None;
            };
            let (from, to) = (self.time_of_day(from), self.time_of_day(to));
            return from.zip(to).map(|(from, to)| WhenKeys::Between(from, to));
        }
        match self.boolean(table, "else") {
            Some(true) => Some(WhenKeys::Else),
            Some(false) => {
                let span = table.get("else").map_or(0..0, Value::span);
                let one = Diagnostic::error("TM0103", span, "`else = false` is never taken");
                self.report(one.help("write `else = true`"));
                None
            }
            None => None,
        }
    }

    /// A time such as `06:30` or `06:30:15`, in seconds since midnight.
    pub(crate) fn time_of_day(&mut self, text: &Text) -> Option<u32> {
        let parts: Vec<Option<u32>> = text
            .value
            .split(':')
            .map(|part| {
                let is_two = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
                part.parse().ok().filter(|_| is_two)
            })
            .collect();
        let seconds = match parts.as_slice() {
            [Some(hour), Some(minute)] => Some((*hour, *minute, 0)),
            [Some(hour), Some(minute), Some(second)] => Some((*hour, *minute, *second)),
            _ => None,
        };
        let seconds = seconds
            .filter(|(hour, minute, second)| *hour < 24 && *minute < 60 && *second < 60)
            .map(|(hour, minute, second)| hour * 3600 + minute * 60 + second);
        if seconds.is_none() {
            let message = format!("`{}` is not a time of day", text.value);
            self.report(
                Diagnostic::error("TM0103", text.span.clone(), message).label("HH:MM or HH:MM:SS"),
            );
        }
        seconds
    }

    /// `short_circuit`: a template, or a table with `condition`.
    pub(crate) fn gate(&mut self, value: &Value, place: &Place) -> Option<GateKeys> {
        let table = match value.get_ref() {
            DeValue::String(_) => {
                return Some(GateKeys {
                    condition: self.text_of("short_circuit", value)?,
                    ignores_rules: true,
                });
            }
            DeValue::Table(table) => table,
            _ => {
                self.wrong_type("short_circuit", value, "a template or a table");
                return None;
            }
        };
        let place = Place::Operator(Box::new(place.clone()), "short_circuit");
        self.check_keys(table, &place, keys::SHORT_CIRCUIT);
        if !table.contains_key("condition") {
            let message = "the gate has no `condition`";
            self.report(Diagnostic::error("TM0102", value.span(), message));
        }
        Some(GateKeys {
            condition: self.text(table, "condition")?,
            ignores_rules: self
                .boolean(table, "ignore_downstream_trigger_rules")
                .unwrap_or(true),
        })
    }

    /// One text, or a list of texts.
    pub(crate) fn one_or_many(&mut self, table: &Table, name: &str) -> Option<Vec<Text>> {
        let value = table.get(name)?;
        match value.get_ref() {
            DeValue::Array(_) => self.texts(table, name),
            DeValue::String(_) => self.text_of(name, value).map(|text| vec![text]),
            _ => {
                self.wrong_type(name, value, "a text or a list of texts");
                None
            }
        }
    }
}

//! Cron expressions: crontab(5) semantics by croner, and the rules of daylight saving on top.
//!
//! croner only matches civil times here. Which instants a civil time is, the functions below
//! decide, because croner's own rule for "fixed" jobs looks at single values and not, as cron(8)
//! does, at the absence of a `*`.

use crate::time::Ts;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};

/// A five-field cron expression.
#[derive(Clone, Debug)]
pub struct Cron {
    text: String,
    pattern: croner::Cron,
    is_fixed: bool,
}

/// A cron expression is wrong, in a field where that can be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CronError {
    /// The place of the wrong field in the expression, from 0; `None` for the whole.
    pub field: Option<usize>,
    /// What is wrong.
    pub message: String,
}

/// The longest expression that is looked at, in bytes.
const TEXT_BYTES_MAX: usize = 512;

/// Names for expressions, as in Airflow and cron(8).
const PRESETS: [(&str, &str); 8] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@quarterly", "0 0 1 */3 *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// What a field is called and what it may hold.
const FIELDS: [(&str, &str); 5] = [
    ("minute", "0-59"),
    ("hour", "0-23"),
    ("day of month", "1-31, L or 15W"),
    ("month", "1-12 or jan-dec"),
    (
        "day of week",
        "0-7 or sun-sat (0 and 7 are Sunday), 5L or 5#2",
    ),
];

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Cron {
    /// The names that stand for an expression, e.g. `@daily`.
    pub fn presets() -> impl Iterator<Item = &'static str> {
        PRESETS.iter().map(|(name, _)| *name)
    }

    /// Reads an expression or a preset (`@daily`).
    ///
    /// # Errors
    /// Which field is wrong and why.
    pub fn parse(text: &str) -> Result<Cron, CronError> {
        let whole = |message: String| CronError {
            field: None,
            message,
        };
        let trimmed = text.trim();
        if trimmed.len() > TEXT_BYTES_MAX {
            return Err(whole(format!(
                "a cron expression has at most {TEXT_BYTES_MAX} bytes"
            )));
        }
        let expression = if trimmed.starts_with('@') {
            let preset = PRESETS
                .iter()
                .find(|(name, _)| trimmed.eq_ignore_ascii_case(name));
            preset.map(|(_, expression)| *expression).ok_or_else(|| {
                let names: Vec<&str> = Cron::presets().collect();
                whole(format!(
                    "`{trimmed}` is not a preset; there are {}, and as a whole schedule `@every 15m`, @once and @continuous",
                    names.join(" ")
                ))
            })?
        } else {
            trimmed
        };
        let fields: Vec<&str> = expression.split_whitespace().collect();
        if fields.len() != FIELDS.len() {
            return Err(whole(format!(
                "a cron expression has five fields (minute, hour, day of month, month, day of week); this one has {}",
                fields.len()
            )));
        }
        for (at, field) in fields.iter().enumerate() {
            check_field(at, field)?;
        }
        let pattern = parser()
            .parse(&fields.join(" "))
            .map_err(|err| whole(err.to_string()))?;
        let start = DateTime::constant(2000, 1, 1, 0, 0, 0, 0);
        if pattern.find_next_occurrence(&start, true).is_err() {
            return Err(CronError {
                field: Some(2),
                message: format!("`{expression}` names a date that never comes"),
            });
        }
        let is_fixed = !fields[0].contains('*') && !fields[1].contains('*');
        Ok(Cron {
            text: text.to_string(),
            pattern,
            is_fixed,
        })
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Does it name its times, so that it runs once on each day, whatever the clock does?
    pub const fn is_fixed(&self) -> bool {
        self.is_fixed
    }

    /// The first time of a fixed job that a clock leaves out when it goes from `from` to `to`.
    pub(crate) fn first_left_out(&self, from: DateTime, to: DateTime) -> Option<DateTime> {
        if !self.is_fixed || to <= from {
            return None;
        }
        let first = self.pattern.find_next_occurrence(&from, true).ok()?;
        (first < to).then_some(first)
    }

    /// The first fire time after `after`; `None` when there is none before the year 5000.
    ///
    /// A job without `*` in its minute and hour runs once on a day when the clock is put back
    /// (the first pass), and at the first instant after the gap when the clock is put forward over
    /// its time. Any other job follows the clock: both passes, and nothing in the gap.
    pub fn next_after(&self, after: Ts, zone: &TimeZone) -> Option<Ts> {
        let after = after.to_jiff();
        let found = if self.is_fixed {
            self.next_fixed(after, zone)
        } else {
            self.next_interval(after, zone)
        };
        found.map(Ts::from_jiff)
    }

    /// The last fire time before `before`; the mirror of [`Cron::next_after`].
    pub fn previous_before(&self, before: Ts, zone: &TimeZone) -> Option<Ts> {
        let before = before.to_jiff();
        let found = if self.is_fixed {
            self.previous_fixed(before, zone)
        } else {
            self.previous_interval(before, zone)
        };
        found.map(Ts::from_jiff)
    }

    /// The instant of a civil time never falls as the civil time grows, so the first civil match
    /// whose instant is late enough is the answer. Matches that the second pass of a put-back
    /// clock repeats, and those in a gap, are passed over.
    fn next_fixed(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut civil = zone.to_datetime(after);
        for _ in 0..SEARCH_STEPS_MAX {
            civil = self.pattern.find_next_occurrence(&civil, false).ok()?;
            let instant = fixed_instant(civil, zone)?;
            if instant > after {
                return Some(instant);
            }
        }
        None
    }

    fn previous_fixed(&self, before: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut civil = ceil_to_second(latest_civil(before, zone)?)?;
        for _ in 0..SEARCH_STEPS_MAX {
            civil = self.pattern.find_previous_occurrence(&civil, false).ok()?;
            let instant = fixed_instant(civil, zone)?;
            if instant < before {
                return Some(instant);
            }
        }
        None
    }

    /// Walks the stretches between the zone's transitions; inside one the clock is plain.
    fn next_interval(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut from = after;
        let mut is_inclusive = false;
        for _ in 0..SEARCH_STEPS_MAX {
            let offset = zone.to_offset(from);
            let civil = self
                .pattern
                .find_next_occurrence(&offset.to_datetime(from), is_inclusive)
                .ok()?;
            let instant = offset.to_timestamp(civil).ok()?;
            match zone
                .following(from)
                .next()
                .map(|transition| transition.timestamp())
            {
                Some(end) if instant >= end => from = end,
                _ => return Some(instant),
            }
            is_inclusive = true;
        }
        None
    }

    fn previous_interval(&self, before: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut until = before;
        for _ in 0..SEARCH_STEPS_MAX {
            let start = zone
                .preceding(until)
                .next()
                .map(|transition| transition.timestamp());
            let offset = zone.to_offset(until.checked_sub(1.nanosecond()).ok()?);
            let civil = ceil_to_second(offset.to_datetime(until))?;
            let civil = self.pattern.find_previous_occurrence(&civil, false).ok()?;
            let instant = offset.to_timestamp(civil).ok()?;
            match start {
                Some(start) if instant < start => until = start,
                _ => return Some(instant),
            }
        }
        None
    }
}

/// Bounds every search: a day-long gap of a job that fires each minute has 1,440 steps, and two
/// thousand transitions are a thousand years.
const SEARCH_STEPS_MAX: usize = 2_000;

fn parser() -> CronParser {
    CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build()
}

/// croner's errors carry no place, so each field is tried alone. It also replaces names anywhere
/// in the text and lets empty list items pass; both are refused here.
fn check_field(at: usize, field: &str) -> Result<(), CronError> {
    let (name, allowed) = FIELDS[at];
    let refuse = || CronError {
        field: Some(at),
        message: format!(
            "`{field}` cannot be the {name}: {allowed}{}",
            step_words(at, field)
        ),
    };
    if field.split(',').any(str::is_empty) {
        return Err(CronError {
            field: Some(at),
            message: format!("an item of the list `{field}` is empty"),
        });
    }
    let words = field
        .split(|c: char| !c.is_alphabetic())
        .filter(|word| !word.is_empty());
    if !words
        .map(str::to_uppercase)
        .all(|word| is_word_of(at, &word))
    {
        return Err(refuse());
    }
    let mut alone = ["*"; 5];
    alone[at] = field;
    parser()
        .parse(&alone.join(" "))
        .map(drop)
        .map_err(|_| refuse())
}

/// Quartz, and Airflow too, take `5/15` for `5-59/15`; crontab(5) has no step behind a number.
fn step_words(at: usize, field: &str) -> String {
    const LAST: [&str; 5] = ["59", "23", "31", "12", "6"];
    let from_number = |item: &str| {
        let (first, step) = item.split_once('/')?;
        let is_number = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| format!("{first}-{}/{step}", LAST[at]))
    };
    let range = field.split(',').find_map(from_number);
    range.map_or(String::new(), |range| {
        format!("; a step stands behind a range, as in `{range}`")
    })
}

fn is_word_of(field: usize, word: &str) -> bool {
    match field {
        2 => matches!(word, "L" | "W" | "LW"),
        3 => MONTHS.contains(&word),
        4 => word == "L" || WEEKDAYS.contains(&word.strip_suffix('L').unwrap_or(word)),
        _ => false,
    }
}

/// When a fixed job that is due at a civil time runs.
fn fixed_instant(civil: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil).ok(),
        AmbiguousOffset::Gap { before, .. } => {
            let inside = before.to_timestamp(civil).ok()?;
            let transition = zone
                .preceding(inside.checked_add(1.second()).ok()?)
                .next()?;
            Some(transition.timestamp())
        }
    }
}

/// The latest civil time that the clock has shown up to `instant`, near a put-back clock.
fn latest_civil(instant: Timestamp, zone: &TimeZone) -> Option<DateTime> {
    let civil = zone.to_datetime(instant);
    let AmbiguousOffset::Fold { before, after } = zone.to_ambiguous_timestamp(civil).offset()
    else {
        return Some(civil);
    };
    if after.to_timestamp(civil).ok()? != instant {
        return Some(civil);
    }
    let put_back = zone
        .preceding(instant.checked_add(1.nanosecond()).ok()?)
        .next()?;
    Some(before.to_datetime(put_back.timestamp()))
}

fn ceil_to_second(civil: DateTime) -> Option<DateTime> {
    match civil.subsec_nanosecond() {
        0 => Some(civil),
        nanos => civil
            .checked_add((1_000_000_000 - i64::from(nanos)).nanoseconds())
            .ok(),
    }
}

#[cfg(test)]
#[path = "cron_tests.rs"]
mod tests;

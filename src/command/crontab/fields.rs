//! The five fields by the letter of crontab(5), and when cron(8) starts such a line.
//!
//! Written apart from the program's own cron expressions, so that the two can be compared.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};

/// What a field is called, the numbers that it may hold, and the names for them.
pub(super) const FIELDS: [(&str, u32, u32, &str); 5] = [
    ("minute", 0, 59, ""),
    ("hour", 0, 23, ""),
    ("day of month", 1, 31, ""),
    ("month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"),
    ("day of week", 0, 7, "sunmontuewedthufrisat"),
];

/// After so many days without a fire the line is taken for one that never comes: leap days are
/// eight years apart at most.
const DAYS_MAX: i32 = 366 * 9;

/// Five fields, read.
#[derive(Debug)]
pub struct Fields {
    /// As they stand, with single blanks.
    pub text: String,
    /// The numbers of each field, a bit for each.
    bits: [u64; 5],
    /// Does the field begin with `*`?
    stars: [bool; 5],
}

impl Fields {
    /// Reads five fields.
    ///
    /// # Errors
    /// Which is wrong, and how.
    pub fn read(fields: &[&str]) -> Result<Fields, String> {
        let mut bits = [0; 5];
        let mut stars = [false; 5];
        for at in 0..5 {
            let (name, low, high, names) = FIELDS[at];
            let field = fields.get(at).copied().unwrap_or("");
            if field.is_empty() {
                return Err("a line has five fields and a command".to_string());
            }
            stars[at] = field.starts_with('*');
            for item in field.split(',') {
                bits[at] |= item_bits(item, low, high, names).ok_or_else(|| refuse(name, field))?;
            }
        }
        // 0 and 7 are Sunday.
        if bits[4] & (1 << 7) != 0 {
            bits[4] |= 1;
        }
        Ok(Fields {
            text: fields.join(" "),
            bits,
            stars,
        })
    }

    fn has(&self, field: usize, number: i8) -> bool {
        u32::try_from(number).is_ok_and(|number| self.bits[field] & (1 << number) != 0)
    }

    /// Do both day fields have to match? They do when one begins with `*`, and `*/2` does.
    fn wants_both_days(&self) -> bool {
        self.stars[2] || self.stars[4]
    }

    /// The same schedule as an expression of Tidemill, where a day matches either field unless
    /// one of them is exactly `*` or the last has a `+`.
    pub fn expression(&self) -> String {
        let fields: Vec<&str> = self.text.split(' ').collect();
        let is_open = fields[2] == "*" || fields[4] == "*";
        let sign = if self.wants_both_days() && !is_open {
            "+"
        } else {
            ""
        };
        format!(
            "{} {} {} {} {sign}{}",
            fields[0], fields[1], fields[2], fields[3], fields[4]
        )
    }

    /// The next instants at which cron(8) starts the line: a line with a fixed time starts right
    /// after a gap that the clock leaves out, and once when its time comes twice; a line whose
    /// minute or hour begins with `*` follows the clock.
    pub fn fires_after(&self, after: Timestamp, zone: &TimeZone, n: usize) -> Vec<Timestamp> {
        let mut fires: Vec<Timestamp> = Vec::new();
        let today = zone.to_datetime(after).date();
        let mut day = today.yesterday().unwrap_or(today);
        let mut is_enough = false;
        for _ in 0..DAYS_MAX {
            fires.extend(
                self.times_on(day)
                    .flat_map(|time| self.instants(time, zone))
                    .filter(|fire| *fire > after),
            );
            // One day more than is needed: a clock that is put back at midnight mixes two.
            if is_enough {
                break;
            }
            is_enough = fires.len() > n;
            match day.tomorrow() {
                Ok(tomorrow) => day = tomorrow,
                Err(_) => break,
            }
        }
        fires.sort_unstable();
        fires.dedup();
        fires.truncate(n);
        fires
    }

    fn times_on(&self, day: Date) -> impl Iterator<Item = DateTime> {
        let hours = (0..24).filter(move |hour| self.has_day(day) && self.has(1, *hour));
        hours.flat_map(move |hour| {
            let minutes = (0..60).filter(|minute| self.has(0, *minute));
            minutes.map(move |minute| day.at(hour, minute, 0, 0))
        })
    }

    fn has_day(&self, day: Date) -> bool {
        let is_day = self.has(2, day.day());
        let is_weekday = self.has(4, day.weekday().to_sunday_zero_offset());
        let is_either = match self.wants_both_days() {
            true => is_day && is_weekday,
            false => is_day || is_weekday,
        };
        self.has(3, day.month()) && is_either
    }

    fn instants(&self, civil: DateTime, zone: &TimeZone) -> Vec<Timestamp> {
        let follows_clock = self.stars[0] || self.stars[1];
        let at = |offset: jiff::tz::Offset| offset.to_timestamp(civil).ok();
        let found = match zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => [at(offset), None],
            AmbiguousOffset::Fold { before, after } => {
                [at(before), at(after).filter(|_| follows_clock)]
            }
            AmbiguousOffset::Gap { before, .. } => {
                let inside = at(before).filter(|_| !follows_clock);
                let end = inside.and_then(|inside| {
                    let change = zone.preceding(inside + 1.second()).next()?;
                    Some(change.timestamp())
                });
                [end, None]
            }
        };
        found.into_iter().flatten().collect()
    }
}

/// What is said of a field that is none.
pub(super) fn refuse(name: &str, field: &str) -> String {
    format!("`{field}` is not a {name} of crontab(5)")
}

/// A number of a field, or the name for one.
pub(super) fn number(text: &str, low: u32, high: u32, names: &str) -> Option<u32> {
    let named = names
        .as_bytes()
        .chunks(3)
        .position(|name| name.eq_ignore_ascii_case(text.as_bytes()));
    let number = match named {
        Some(at) => u32::try_from(at).ok()? + low,
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok()?,
        None => return None,
    };
    (low..=high).contains(&number).then_some(number)
}

/// `a`, `a-b`, `*`, the last two with `/step`.
fn item_bits(item: &str, low: u32, high: u32, names: &str) -> Option<u64> {
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (
            range,
            Some(step.parse::<u32>().ok().filter(|step| *step > 0)?),
        ),
        None => (item, None),
    };
    let number = |text: &str| number(text, low, high, names);
    let (from, to) = match range.split_once('-') {
        _ if range == "*" => (low, high),
        Some((from, to)) => (number(from)?, number(to)?),
        None if step.is_none() => (number(range)?, number(range)?),
        None => return None, // `5/15` is not of crontab(5)
    };
    if from > to {
        return None;
    }
    let numbers = (from..=to).step_by(step.unwrap_or(1) as usize);
    Some(numbers.fold(0, |bits, number| bits | 1 << number))
}

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;

//! Cron by the book, the slow way: one look at each minute.

use chrono::{Offset, TimeZone, Utc};
use std::collections::BTreeSet;

/// A small generator of chance with a seed (SplitMix64).
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }
}

const DAY: i64 = 24 * 60;

/// What the clock on the wall shows: minutes since the epoch in UTC, and the offset for each
/// quarter of an hour (no zone of the last fifty years changes at another minute, but one).
pub struct Clock {
    start: i64,
    offsets: Vec<i64>,
}

impl Clock {
    pub fn of(name: &str, year: i64, n_years: i64) -> Clock {
        let zone: chrono_tz::Tz = name.parse().unwrap();
        // A few days before, so that the scan knows what has been shown already.
        let start = (days_from_civil(year, 1, 1) - 3) * DAY;
        let end = days_from_civil(year + n_years, 1, 1) * DAY;
        let offset = |minute: i64| {
            let utc = Utc.timestamp_opt(minute * 60, 0).unwrap().naive_utc();
            let seconds = zone.offset_from_utc_datetime(&utc).fix().local_minus_utc();
            i64::from(seconds / 60)
        };
        Clock {
            start,
            offsets: (start..end).map(offset_by_quarter(offset)).collect(),
        }
    }

    fn minutes(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        let minutes = self.offsets.iter().enumerate();
        minutes.map(|(at, offset)| (self.start + at as i64, self.start + at as i64 + offset))
    }

    /// The first minute after each change.
    pub fn changes(&self) -> impl Iterator<Item = i64> + '_ {
        let pairs = self.offsets.windows(2).enumerate();
        pairs
            .filter(|(_, pair)| pair[0] != pair[1])
            .map(|(at, _)| self.start + at as i64 + 1)
    }
}

/// Asks once for a quarter of an hour in which nothing changes, and for each minute of the others.
fn offset_by_quarter(offset: impl Fn(i64) -> i64) -> impl FnMut(i64) -> i64 {
    let mut quarter: (i64, Option<i64>) = (i64::MIN, None);
    move |minute| {
        let start = minute.div_euclid(15) * 15;
        if quarter.0 != start {
            let first = offset(start);
            quarter = (start, (offset(start + 14) == first).then_some(first));
        }
        quarter.1.unwrap_or_else(|| offset(minute))
    }
}

/// An expression taken apart.
pub struct Book {
    minutes: BTreeSet<i64>,
    hours: BTreeSet<i64>,
    days: String,
    months: BTreeSet<i64>,
    weekdays: String,
    is_fixed: bool,
}

impl Book {
    pub fn read(expression: &str) -> Book {
        let expression = expression.to_lowercase();
        let fields: Vec<&str> = expression.split_whitespace().collect();
        Book {
            minutes: numbers(fields[0], 0, 59),
            hours: numbers(fields[1], 0, 23),
            days: fields[2].to_string(),
            months: numbers(
                &named(fields[3], "janfebmaraprmayjunjulaugsepoctnovdec", 1),
                1,
                12,
            ),
            weekdays: named(fields[4], "sunmontuewedthufrisat", 0),
            is_fixed: !fields[0].contains('*') && !fields[1].contains('*'),
        }
    }

    /// Every fire on a clock, in minutes of UTC since the epoch.
    ///
    /// A job with a fixed time fires for each minute that the wall shows for the first time, and
    /// for each that it leaves out, at the minute after. Any other fires whenever the wall shows
    /// its time.
    pub fn fires(&self, clock: &Clock) -> Vec<i64> {
        let first_day = clock.start.div_euclid(DAY) - 2;
        let n_days = clock.offsets.len() as i64 / DAY + 5;
        let days: Vec<bool> = (0..n_days).map(|at| self.has_day(first_day + at)).collect();
        let times: Vec<bool> = (0..DAY)
            .map(|time| self.hours.contains(&(time / 60)) && self.minutes.contains(&(time % 60)))
            .collect();
        let matches = |wall: i64| {
            days[(wall.div_euclid(DAY) - first_day) as usize]
                && times[wall.rem_euclid(DAY) as usize]
        };
        let mut fires = Vec::new();
        let mut shown = i64::MIN;
        for (minute, wall) in clock.minutes() {
            let is_due = if !self.is_fixed || wall == shown + 1 {
                matches(wall)
            } else if shown == i64::MIN {
                false
            } else {
                (shown + 1..=wall).any(matches)
            };
            shown = shown.max(wall);
            if is_due {
                fires.push(minute);
            }
        }
        // The warm-up is no part of the answer.
        fires.retain(|minute| *minute >= clock.start + 3 * DAY);
        fires
    }

    fn has_day(&self, day: i64) -> bool {
        let (_, month, number) = civil_from_days(day);
        let is_last = |ahead: i64| civil_from_days(day + ahead).1 != month;
        let weekday = (day + 4).rem_euclid(7);
        let is_day = self.days.split(',').any(|item| match item {
            "l" => is_last(1),
            item => numbers(item, 1, 31).contains(&number),
        });
        let is_weekday = self.weekdays.split(',').any(|item| {
            let of = |text: &str| numbers(text, 0, 7).iter().any(|one| one % 7 == weekday);
            if let Some((one, nth)) = item.split_once('#') {
                of(one) && (number + 6) / 7 == nth.parse::<i64>().unwrap()
            } else if let Some(one) = item.strip_suffix('l') {
                of(one) && is_last(7)
            } else {
                of(item)
            }
        });
        let is_open = |field: &str| field == "*";
        self.months.contains(&month)
            && match (is_open(&self.days), is_open(&self.weekdays)) {
                (false, false) => is_day || is_weekday,
                (_, true) => is_day,
                (true, false) => is_weekday,
            }
    }
}

fn named(field: &str, names: &str, first: usize) -> String {
    let mut text = field.to_string();
    for at in 0..names.len() / 3 {
        text = text.replace(&names[at * 3..at * 3 + 3], &(first + at).to_string());
    }
    text
}

/// `a`, `a-b`, `*`, each with `/step`, in a list.
fn numbers(field: &str, low: i64, high: i64) -> BTreeSet<i64> {
    let mut found = BTreeSet::new();
    for item in field.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, step.parse().unwrap()),
            None => (item, 1),
        };
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (from.parse().unwrap(), to.parse().unwrap()),
            None if range == "*" => (low, high),
            None => (range.parse().unwrap(), range.parse().unwrap()),
        };
        found.extend((from..=to).step_by(step));
    }
    found
}

/// The day number since 1970-01-01 of a civil date (Howard Hinnant's algorithm).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

/// A pattern that is never refused for its form.
pub fn random_pattern(chance: &mut Chance) -> String {
    let minute = match chance.below(4) {
        0 => format!("*/{}", 7 + chance.below(40)),
        1 => format!("{},{}", chance.below(30), 30 + chance.below(30)),
        2 => format!(
            "{}-{}/{}",
            chance.below(20),
            20 + chance.below(40),
            3 + chance.below(9)
        ),
        _ => chance.below(60).to_string(),
    };
    let hour = match chance.below(5) {
        0 => "*".to_string(),
        1 => format!("*/{}", 2 + chance.below(10)),
        2 => format!("{}-{}", chance.below(3), 3 + chance.below(20)),
        _ => chance.below(5).to_string(),
    };
    let day = match chance.below(6) {
        0 => "L".to_string(),
        1 => (1 + chance.below(31)).to_string(),
        2 => format!("{}-{}", 1 + chance.below(10), 11 + chance.below(20)),
        3 => format!("*/{}", 2 + chance.below(9)),
        _ => "*".to_string(),
    };
    let month = match chance.below(6) {
        0 => chance
            .pick(&["jan", "MAR,NOV", "4-10", "*/2", "oct"])
            .to_string(),
        _ => "*".to_string(),
    };
    let weekday = match chance.below(6) {
        0 => chance
            .pick(&["sun", "7", "0", "5-7", "1-5", "mon,FRI"])
            .to_string(),
        1 => format!("{}#{}", chance.below(8), 1 + chance.below(5)),
        2 => format!("{}L", chance.below(8)),
        _ => "*".to_string(),
    };
    format!("{minute} {hour} {day} {month} {weekday}")
}

//! Instants. Microseconds since the Unix epoch, in memory and in both stores.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// An instant, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ts(pub i64);

/// A day of the week and a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// 0 is Sunday.
    pub day_of_week: u8,
    /// Seconds since midnight, by the clock on the wall.
    pub seconds: u32,
}

/// A text is not an instant of RFC 3339.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a date or an instant such as 2026-11-20 or 2026-11-20T06:00:00Z")]
pub struct ParseTsError {
    text: String,
}

impl Ts {
    /// The instant of `jiff`, cut to microseconds.
    pub fn from_jiff(instant: jiff::Timestamp) -> Ts {
        Ts(instant.as_microsecond())
    }

    /// This instant for `jiff`; instants outside its range are clamped.
    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }

    /// Reads an instant; a date or a time without offset is read in `zone`.
    ///
    /// # Errors
    /// When the text is neither, or the local time cannot exist.
    pub fn parse(text: &str, zone: &jiff::tz::TimeZone) -> Result<Ts, ParseTsError> {
        let refuse = || ParseTsError {
            text: text.to_string(),
        };
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return Ok(Ts::from_jiff(instant));
        }
        let civil: jiff::civil::DateTime = text.parse().map_err(|_| refuse())?;
        let zoned = civil.to_zoned(zone.clone()).map_err(|_| refuse())?;
        Ok(Ts::from_jiff(zoned.timestamp()))
    }

    /// Reads an instant; a date or a time without offset is read in the zone of that IANA name,
    /// or in UTC where there is none.
    ///
    /// # Errors
    /// When the text is neither, or the local time cannot exist.
    pub fn parse_in(text: &str, zone: &str) -> Result<Ts, ParseTsError> {
        let zone = jiff::tz::TimeZone::get(zone).unwrap_or(jiff::tz::TimeZone::UTC);
        Ts::parse(text, &zone)
    }

    /// What a clock on the wall in a time zone (an IANA name) shows; `None` when there is no such
    /// zone.
    pub fn local(self, zone: &str) -> Option<Local> {
        let zoned = self.to_jiff().in_tz(zone).ok()?;
        let midnight = zoned.time().since(jiff::civil::Time::midnight()).ok()?;
        Some(Local {
            day_of_week: zoned.weekday().to_sunday_zero_offset() as u8,
            seconds: midnight.total(jiff::Unit::Second).ok()? as u32,
        })
    }

    /// The instant at which a clock on the wall in a time zone (an IANA name) shows a time, in
    /// seconds since midnight, on the day that this instant has there. A time that a change of the
    /// clock leaves out is later by that change; of two, it is the first. `None` when there is no
    /// such zone or time.
    pub fn on_its_day(self, zone: &str, seconds: u32) -> Option<Ts> {
        let day = self.to_jiff().in_tz(zone).ok()?;
        let part = |n: u32| i8::try_from(n).ok();
        let (hour, minute) = (part(seconds / 3600)?, part(seconds / 60 % 60)?);
        let time = jiff::civil::Time::new(hour, minute, part(seconds % 60)?, 0).ok()?;
        let at = day
            .date()
            .to_datetime(time)
            .to_zoned(day.time_zone().clone());
        Some(Ts::from_jiff(at.ok()?.timestamp()))
    }

    /// This instant later by `span`; the far end of time when that overflows.
    pub fn after(self, span: Duration) -> Ts {
        Ts(self
            .0
            .saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This instant earlier by `span`; the near end of time when that overflows.
    pub fn before(self, span: Duration) -> Ts {
        Ts(self
            .0
            .saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub fn since(self, earlier: Ts) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl std::fmt::Display for Ts {
    /// RFC 3339 in UTC; the fraction only where there is one.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.to_jiff().fmt(f)
    }
}

impl Serialize for Ts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ts {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Ts, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ts::parse(&text, &jiff::tz::TimeZone::UTC).map_err(serde::de::Error::custom)
    }
}

/// A span for people: `850ms`, `12s`, `4m 12s`, `2h 3m`, `5d 1h`.
pub fn human(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 if span.is_zero() => "0s".to_string(),
        0 => format!("{}ms", span.as_millis()),
        1..=9 => format!("{:.1}s", span.as_secs_f64()),
        10..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..=86_399 => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// The longest span of time that is understood: ten years.
pub const SPAN_MAX: Duration = Duration::from_secs(3_650 * 86_400);

/// Why a text is not a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// It is a number alone.
    #[error("a duration needs a unit: ms, s, m, h or d")]
    NoUnit,
    /// It is something else.
    #[error("not a duration such as 90s, 1h30m or 2d")]
    Unreadable,
    /// It is over [`SPAN_MAX`].
    #[error("longer than ten years")]
    TooLong,
}

/// A span of time: whole numbers with units, one after the other, such as `1h30m`.
///
/// # Errors
/// When it is none, or too long.
pub fn parse_span(text: &str) -> Result<Duration, SpanError> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(SpanError::Unreadable);
    }
    while !rest.is_empty() {
        let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = match rest[..n_digits].parse() {
            Ok(number) => number,
            Err(_) if n_digits == 0 => return Err(SpanError::Unreadable),
            Err(_) => return Err(SpanError::TooLong),
        };
        rest = &rest[n_digits..];
        let n_letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let millis: u64 = match &rest[..n_letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" if rest.is_empty() => return Err(SpanError::NoUnit),
            _ => return Err(SpanError::Unreadable),
        };
        rest = &rest[n_letters..];
        let part = number.checked_mul(millis).ok_or(SpanError::TooLong)?;
        total = total
            .checked_add(Duration::from_millis(part))
            .ok_or(SpanError::TooLong)?;
    }
    if total > SPAN_MAX {
        Err(SpanError::TooLong)
    } else {
        Ok(total)
    }
}

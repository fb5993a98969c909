//! What is worth saying about a tick when clocks change, for people.

use crate::schedule::{Interval, Schedule, Tick, Ticks};
use crate::time::{Ts, human};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZoneTransition};
use jiff::{Timestamp, ToSpan};

impl Schedule {
    /// What daylight saving does to a tick; `None` on ordinary days.
    pub fn remark(&self, tick: &Tick) -> Option<String> {
        let remarks: Vec<String> = [self.gap(tick.at), self.overlap(tick.at), self.length(tick)]
            .into_iter()
            .flatten()
            .collect();
        (!remarks.is_empty()).then(|| remarks.join("; "))
    }

    /// The tick stands for a time that the clock leaves out.
    fn gap(&self, at: Ts) -> Option<String> {
        let Ticks::Cron(crons) = &self.ticks else {
            return None;
        };
        let (_, before, after) = self.change_at(at)?;
        let (from, to) = (
            before.to_datetime(at.to_jiff()),
            after.to_datetime(at.to_jiff()),
        );
        let left_out = crons
            .iter()
            .filter_map(|cron| cron.first_left_out(from, to));
        let left_out = left_out.min()?;
        Some(format!(
            "the clock goes from {} to {}, so the run of {} is now",
            clock(from),
            clock(to),
            clock(left_out)
        ))
    }

    /// The local time of the tick comes twice.
    fn overlap(&self, at: Ts) -> Option<String> {
        let civil = self.zone.to_datetime(at.to_jiff());
        let AmbiguousOffset::Fold { before, .. } = self.zone.to_ambiguous_timestamp(civil).offset()
        else {
            return None;
        };
        let is_first = self.zone.to_offset(at.to_jiff()) == before;
        let is_fixed =
            matches!(&self.ticks, Ticks::Cron(crons) if crons.iter().all(|cron| cron.is_fixed()));
        Some(format!(
            "{} comes twice: {}",
            clock(civil),
            match (is_first, is_fixed) {
                (true, true) => "it runs the first time only",
                (true, false) => "this is the first time",
                (false, _) => "this is the second time",
            }
        ))
    }

    /// The clock changes within the period.
    fn length(&self, tick: &Tick) -> Option<String> {
        if !matches!(self.interval, Interval::Previous | Interval::Period) {
            return None;
        }
        let (start, end) = tick.data_interval;
        let offset = |at: Ts| self.zone.to_offset(at.to_jiff());
        (offset(start) != offset(end)).then(|| {
            format!(
                "the data interval has {}: the clock changes in it",
                human(end.since(start))
            )
        })
    }

    /// The change of the clock at exactly this instant, with the offsets around it.
    fn change_at(&self, at: Ts) -> Option<(Timestamp, Offset, Offset)> {
        let at = at.to_jiff();
        let just_before = at.checked_sub(1.nanosecond()).ok()?;
        let change = self.zone.following(just_before).next();
        let change = change.map(|change: TimeZoneTransition<'_>| change.timestamp())?;
        (change == at).then(|| {
            (
                at,
                self.zone.to_offset(just_before),
                self.zone.to_offset(at),
            )
        })
    }
}

fn clock(civil: DateTime) -> String {
    civil.strftime("%H:%M").to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;
    use crate::cron::Cron;
    use jiff::tz::TimeZone;

    fn remark(expression: &str, interval: Interval, after: &str) -> Option<String> {
        let cron = Cron::parse(expression).unwrap();
        let zone = TimeZone::get("America/New_York").unwrap();
        let schedule = Schedule {
            interval,
            ..Schedule::of(Ticks::Cron(vec![cron]), zone)
        };
        let after = Ts::parse(after, &TimeZone::UTC).unwrap();
        schedule.remark(&schedule.about(schedule.next_after(after)?))
    }

    #[test]
    fn changes_of_the_clock_are_remarked_and_nothing_else_is() {
        let (spring, autumn) = ("2027-03-14T06:45:00Z", "2027-11-07T05:15:00Z");
        let cases = [
            ("30 2 * * *", "2027-03-15T00:00:00Z", None),
            ("0 3 * * *", spring, None),
            (
                "30 2 * * *",
                spring,
                Some("the clock goes from 02:00 to 03:00, so the run of 02:30 is now"),
            ),
            ("*/15 * * * *", spring, None),
            (
                "30 1 * * *",
                autumn,
                Some("01:30 comes twice: it runs the first time only"),
            ),
            (
                "*/30 * * * *",
                autumn,
                Some("01:30 comes twice: this is the first time"),
            ),
            (
                "*/30 * * * *",
                "2027-11-07T06:15:00Z",
                Some("01:30 comes twice: this is the second time"),
            ),
        ];
        for (expression, after, expected) in cases {
            let found = remark(expression, Interval::Tick, after);
            assert_eq!(found.as_deref(), expected, "{expression} after {after}");
        }
        let day = remark("0 0 * * *", Interval::Previous, spring);
        let expected = "the data interval has 23h 0m: the clock changes in it";
        assert_eq!(day.as_deref(), Some(expected));
    }
}

//! Records become what templates show. Pure.

pub(crate) mod grid;
pub(crate) mod names;
pub(crate) mod rows;
pub(crate) mod text;
pub(crate) mod wide;

use std::time::Duration;
use tidemill_model::{RunState, TaskState, Ts, time};

/// A state, for its colour, glyph and word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Badge {
    pub(crate) state: &'static str,
    pub(crate) glyph: &'static str,
    pub(crate) word: &'static str,
}

impl From<RunState> for Badge {
    fn from(state: RunState) -> Badge {
        Badge {
            state: state.name(),
            glyph: state.glyph(),
            word: state.name(),
        }
    }
}

impl From<TaskState> for Badge {
    fn from(state: TaskState) -> Badge {
        let word = match state {
            TaskState::None => "not yet",
            TaskState::UpstreamFailed => "upstream failed",
            TaskState::UpForRetry => "up for retry",
            TaskState::UpForReschedule => "up for reschedule",
            other => other.name(),
        };
        Badge {
            state: state.name(),
            glyph: state.glyph(),
            word,
        }
    }
}

/// An instant: for machines, and for people in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct When {
    pub(crate) iso: String,
    pub(crate) short: String,
}

impl From<Ts> for When {
    fn from(ts: Ts) -> When {
        let utc = ts.to_jiff().to_zoned(jiff::tz::TimeZone::UTC);
        When {
            iso: ts.to_string(),
            short: utc.strftime("%-d %b %Y %H:%M:%S").to_string(),
        }
    }
}

/// The present moment.
pub(crate) fn now() -> Ts {
    Ts::from_jiff(jiff::Timestamp::now())
}

/// How long something took, or takes until now.
pub(crate) fn span(start: Option<Ts>, end: Option<Ts>, now: Ts) -> Option<Duration> {
    start.map(|start| end.unwrap_or(now).since(start))
}

/// That, for people; empty before the start.
pub(crate) fn span_text(start: Option<Ts>, end: Option<Ts>, now: Ts) -> String {
    span(start, end, now).map(time::human).unwrap_or_default()
}

/// `in 3h 2m` or `12s ago`.
pub(crate) fn relative(at: Ts, now: Ts) -> String {
    let far = |span: Duration| match span.as_secs() {
        seconds @ 0..=9 => format!("{seconds}s"),
        _ => time::human(span),
    };
    if at > now {
        format!("in {}", far(at.since(now)))
    } else {
        format!("{} ago", far(now.since(at)))
    }
}

/// The classes of a bar's height: 1 to 8, by the share of the longest.
pub(crate) fn height(span: Option<Duration>, longest: Duration) -> usize {
    let share = span.unwrap_or_default().as_secs_f64() / longest.as_secs_f64().max(0.001);
    1 + (share * 7.0).round().clamp(0.0, 7.0) as usize
}

/// The order of urgency, worst first (Airflow's).
pub(crate) const fn urgency(state: TaskState) -> usize {
    match state {
        TaskState::Failed => 0,
        TaskState::UpstreamFailed => 1,
        TaskState::UpForRetry => 2,
        TaskState::UpForReschedule => 3,
        TaskState::Running => 4,
        TaskState::Restarting => 5,
        TaskState::Deferred => 6,
        TaskState::Queued => 7,
        TaskState::Scheduled => 8,
        TaskState::None => 9,
        TaskState::Success => 10,
        TaskState::Skipped => 11,
        TaskState::Removed => 12,
    }
}

/// What an exit status usually means, where it is known to.
pub(crate) fn exit_text(code: i32) -> Option<&'static str> {
    Some(match code {
        99 => "exit 99: the task asked to be skipped",
        124 => "exit 124: `timeout` ended the command",
        126 => "exit 126: the file was found but cannot be executed; check its mode and first line",
        127 => "exit 127: command not found; check the spelling and PATH",
        130 => "exit 130: interrupted (SIGINT)",
        134 => "exit 134: it aborted itself (SIGABRT)",
        137 => "exit 137: killed (SIGKILL); often the machine ran out of memory",
        139 => "exit 139: it crashed (SIGSEGV)",
        143 => "exit 143: it was asked to end (SIGTERM)",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_read_well() {
        let at = Ts(1_763_700_000_000_000);
        assert_eq!(When::from(at).short, "21 Nov 2025 04:40:00");
        assert_eq!(
            relative(at, at.after(Duration::from_secs(75))),
            "1m 15s ago"
        );
        assert_eq!(relative(at.after(Duration::from_secs(5)), at), "in 5s");
    }

    #[test]
    fn heights_stay_in_their_range() {
        let longest = Duration::from_secs(10);
        assert_eq!(height(None, longest), 1);
        assert_eq!(height(Some(longest), longest), 8);
        assert_eq!(height(Some(longest * 9), longest), 8);
        assert_eq!(height(Some(Duration::ZERO), Duration::ZERO), 1);
    }
}

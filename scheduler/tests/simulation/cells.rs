//! What stories have taken: the cells of the law, each kind of event in each state of the run, and
//! each fault. No list here can be forgotten when something new comes: states and events of the
//! law are in `ALL` by their declaration, and an [`Event`] or a [`Fault`] has its name in the one
//! place that also puts it on the list.

use std::collections::BTreeMap;
use std::fmt::Write;
use tidemill_model::{RunState, TaskEvent, TaskState};
use tidemill_scheduler::{Event, Taken};

/// A cell that is taken less often has not been looked at.
const TAKEN_MIN: u64 = 100;

macro_rules! kinds {
    ($($pattern:pat => $name:literal,)+) => {
        /// Every kind of event.
        const KINDS: &[&str] = &[$($name),+];

        /// The kind of an event. A new one does not compile until it has its name above.
        const fn kind(event: &Event) -> &'static str {
            match event { $($pattern => $name),+ }
        }
    };
}

kinds! {
    Event::Begin => "begin",
    Event::Resume => "resume",
    Event::Claimed { .. } => "claimed",
    Event::AttemptEnded { .. } => "attempt_ended",
    Event::AttemptLost { .. } => "attempt_lost",
    Event::Past(_) => "past",
    Event::TimerDue(_) => "timer_due",
    Event::Heard(..) => "heard",
    Event::RunTimedOut => "run_timed_out",
    Event::Cancel => "cancel",
    Event::Replace => "replace",
    Event::Clear(_) => "clear",
    Event::Mark(..) => "mark",
    Event::MarkRun(_) => "mark_run",
}

macro_rules! faults {
    ($($fault:ident => $name:literal,)+) => {
        /// What goes wrong in a story.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault { $($fault),+ }

        impl Fault {
            const ALL: &'static [Fault] = &[$(Fault::$fault),+];

            const fn name(self) -> &'static str {
                match self { $(Fault::$fault => $name),+ }
            }
        }
    };
}

faults! {
    CrashBeforeCommit => "crash_before_a_commit",
    CrashAfterCommit => "crash_after_a_commit",
    ReportTwice => "report_sent_twice",
    ReportLate => "report_too_late",
    LeaseLapsed => "lease_lapsed",
    HintLost => "hint_lost",
    ClockBack => "clock_set_back",
    ClockAhead => "clock_set_ahead",
    TimerEarly => "timer_too_early",
    FileEdited => "file_edited_in_a_run",
    VersionMoved => "run_moved_to_a_version",
    PoolChanged => "pool_changed",
    Nonsense => "report_of_nobody",
}

/// How often everything was taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub law: Taken,
    events: BTreeMap<(RunState, &'static str), u64>,
    faults: BTreeMap<Fault, u64>,
}

impl Counts {
    pub fn event(&mut self, run: RunState, event: &Event) {
        *self.events.entry((run, kind(event))).or_default() += 1;
    }

    pub fn fault(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }

    pub fn add(&mut self, other: Counts) {
        sum(&mut self.law, other.law);
        sum(&mut self.events, other.events);
        sum(&mut self.faults, other.faults);
    }

    /// Every cell there is: what is left, by what, and how often.
    fn cells(&self) -> Vec<(String, &'static str, u64)> {
        let mut cells = Vec::new();
        for &state in TaskState::ALL {
            for &event in TaskEvent::ALL {
                if state.next(event).is_ok() {
                    let n = self.law.get(&(state, event));
                    cells.push((state.to_string(), event.name(), n));
                }
            }
        }
        for &state in RunState::ALL {
            for &kind in KINDS {
                let n = self.events.get(&(state, kind));
                cells.push((format!("run.{state}"), kind, n));
            }
        }
        for &fault in Fault::ALL {
            cells.push(("fault".to_string(), fault.name(), self.faults.get(&fault)));
        }
        let counted = cells.into_iter();
        counted
            .map(|(state, event, n)| (state, event, n.copied().unwrap_or(0)))
            .collect()
    }

    /// States down, events across.
    pub fn table(&self) -> String {
        let (mut text, mut last) = (String::new(), String::new());
        for (state, event, n) in self.cells() {
            if state != last {
                write!(text, "\n{state}:").unwrap();
                last = state;
            }
            write!(text, " {event} {n}").unwrap();
        }
        text + "\n"
    }

    /// What is wrong with these numbers, by the list of what cannot be reached.
    pub fn missing(&self, listed: &str) -> Vec<String> {
        let cells = self.cells();
        let listed = listed.lines().filter(|line| !line.starts_with('#'));
        let listed = listed.filter(|line| !line.trim().is_empty());
        let mut unreachable: BTreeMap<(&str, &str), bool> = BTreeMap::new();
        let mut wrong = Vec::new();
        for line in listed {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [state, event, _, ..] => drop(unreachable.insert((state, event), false)),
                _ => wrong.push(format!("`{line}` of the list has no reason")),
            }
        }
        for (state, event, n) in &cells {
            let is_seen = unreachable.get_mut(&(state.as_str(), *event));
            match (is_seen, n) {
                (Some(is_seen), 0) => *is_seen = true,
                (Some(is_seen), _) => {
                    *is_seen = true;
                    wrong.push(format!("the list has {state} {event}, taken {n} times"));
                }
                (None, n) if *n >= TAKEN_MIN => {}
                (None, n) => wrong.push(format!("{state} {event} was taken {n} times")),
            }
        }
        let unknown = unreachable.iter().filter(|(_, is_seen)| !**is_seen);
        wrong.extend(unknown.map(|(cell, _)| format!("the list has {cell:?}, which is no cell")));
        wrong
    }
}

fn sum<K: Ord>(all: &mut BTreeMap<K, u64>, more: BTreeMap<K, u64>) {
    for (key, n) in more {
        *all.entry(key).or_default() += n;
    }
}

#[test]
fn a_cell_that_is_rare_or_wrongly_listed_is_told() {
    let law = TaskState::ALL.iter().flat_map(|state| {
        let events = TaskEvent::ALL.iter();
        events.map(|event| ((*state, *event), TAKEN_MIN))
    });
    let events = RunState::ALL
        .iter()
        .flat_map(|state| KINDS.iter().map(|kind| ((*state, *kind), TAKEN_MIN)));
    let mut counts = Counts {
        law: law.collect(),
        events: events.collect(),
        faults: Fault::ALL.iter().map(|one| (*one, TAKEN_MIN)).collect(),
    };
    assert_eq!(counts.missing(""), Vec::<String>::new());
    assert_eq!(counts.missing("queued start never").len(), 1);
    assert_eq!(counts.missing("queued schedule is forbidden").len(), 1);
    counts.law.remove(&(TaskState::Queued, TaskEvent::Start));
    counts.faults.insert(Fault::HintLost, TAKEN_MIN - 1);
    assert_eq!(counts.missing("# none").len(), 2);
    assert_eq!(counts.missing("queued start never").len(), 1);
    assert_eq!(counts.missing("queued start").len(), 3);
}

//! The law of a task instance's life as one reviewed text: states down, events across.
#![allow(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

use std::fmt::Write;
use tidemill_model::{TaskEvent, TaskState};

fn table() -> String {
    let mut text = String::new();
    for &state in TaskState::ALL {
        writeln!(text, "{state}").unwrap();
        for &event in TaskEvent::ALL {
            if let Ok(next) = state.next(event) {
                writeln!(text, "  {event:<18} -> {next}").unwrap();
            }
        }
    }
    text
}

#[test]
fn the_transition_table_is_the_reviewed_one() {
    let reviewed = include_str!("transitions.txt");
    assert_eq!(
        table(),
        reviewed,
        "if the law was changed on purpose, write the new table to model/tests/transitions.txt"
    );
}

#[test]
fn a_state_that_is_over_is_left_only_by_people_or_by_the_file() {
    for &state in TaskState::ALL.iter().filter(|state| state.is_terminal()) {
        for &event in TaskEvent::ALL {
            let by_people = matches!(
                event,
                TaskEvent::Clear
                    | TaskEvent::MarkSuccess
                    | TaskEvent::MarkFailed
                    | TaskEvent::MarkSkipped
                    | TaskEvent::Remove
            );
            assert!(
                by_people || state.next(event).is_err(),
                "{state} must not {event}"
            );
        }
    }
}

#[test]
fn names_of_states_lead_back_to_them() {
    for &state in TaskState::ALL {
        assert_eq!(TaskState::from_name(state.name()), Some(state));
    }
}

//! The law of a task instance's life as one reviewed text: states down, events across.
#![allow(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

use std::fmt::Write;
use tidemill_model::{RunState, RunType, TaskEvent, TaskState};

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

/// Source: Airflow's `utils/state.py: TaskInstanceState, DagRunState, State.failed_states` and
/// `utils/types.py: DagRunType`. Not here: `awaiting_input`, and the run types
/// `operator_triggered` and `asset_materialization`, whose runs are `manual`.
#[test]
fn states_and_run_types_have_airflows_names_and_meanings() {
    let table = [
        ("none", "open"),
        ("scheduled", "open"),
        ("queued", "open"),
        ("running", "open"),
        ("success", "over"),
        ("failed", "failed"),
        ("upstream_failed", "failed"),
        ("skipped", "over"),
        ("up_for_retry", "open"),
        ("up_for_reschedule", "open"),
        ("deferred", "open"),
        ("restarting", "open"),
        ("removed", "over"),
    ];
    let found = TaskState::ALL.iter().map(|state| {
        let meaning = match (state.is_terminal(), state.is_failure()) {
            (false, false) => "open",
            (true, false) => "over",
            (true, true) => "failed",
            (false, true) => "never",
        };
        (state.name(), meaning)
    });
    assert_eq!(found.collect::<Vec<_>>(), table);
    let runs = RunState::ALL
        .iter()
        .map(|state| (state.name(), state.is_terminal()));
    let expected = [
        ("queued", false),
        ("running", false),
        ("success", true),
        ("failed", true),
    ];
    assert_eq!(runs.collect::<Vec<_>>(), expected);
    let types = RunType::ALL.iter().map(|run_type| run_type.name());
    let expected = ["manual", "scheduled", "backfill", "asset_triggered"];
    assert_eq!(types.collect::<Vec<_>>(), expected);
}

#[test]
fn names_of_states_lead_back_to_them() {
    for &state in TaskState::ALL {
        assert_eq!(TaskState::from_name(state.name()), Some(state));
    }
}

//! The trigger rules as one reviewed table, and what must hold over all of it.
//!
//! `table.txt` lists each rule over each multiset of up to three upstream states, `-` for one that
//! is still open. Source: Airflow's `ti_deps/deps/trigger_rule_dep.py`, function by function as
//! `scheduler/src/rule.rs` names them; `*` marks the rows where Tidemill answers otherwise on
//! purpose, since a failure wins over a skip and marks wait for what could change them.
#![allow(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

mod airflow;
mod leaves;
mod limits;
mod retries;
#[path = "../support/mod.rs"]
mod support;

use std::fmt::Write;
use tidemill_model::{TaskState, TriggerRule};
use tidemill_scheduler::{Counts, Decision, UpstreamCounts, decide};

/// One letter for each state that an upstream task can be in, as a rule sees it.
const STATES: [(char, TaskState); 5] = [
    ('S', TaskState::Success),
    ('F', TaskState::Failed),
    ('U', TaskState::UpstreamFailed),
    ('K', TaskState::Skipped),
    ('-', TaskState::Running),
];

/// Each multiset of up to three states, as indexes into [`STATES`] that do not fall.
fn multisets() -> Vec<Vec<usize>> {
    let mut found = vec![vec![]];
    let mut longest: Vec<Vec<usize>> = vec![vec![]];
    for _ in 0..3 {
        let longer = longest.iter().flat_map(|shorter| {
            let from = shorter.last().copied().unwrap_or(0);
            (from..STATES.len()).map(|next| [shorter.as_slice(), &[next]].concat())
        });
        longest = longer.collect();
        found.extend(longest.iter().cloned());
    }
    found
}

fn counted(states: impl Iterator<Item = TaskState>) -> Counts {
    let mut counts = Counts::default();
    for state in states {
        counts.total += 1;
        counts.count(state, 1);
    }
    counts
}

fn near(states: &[usize]) -> UpstreamCounts {
    UpstreamCounts {
        near: counted(states.iter().map(|at| STATES[*at].1)),
        ..UpstreamCounts::default()
    }
}

fn letters(states: &[usize]) -> String {
    states.iter().map(|at| STATES[*at].0).collect()
}

fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Wait => "wait",
        Decision::Run => "run",
        Decision::Skip => "skip",
        Decision::Block => "block",
        Decision::NotFollowed => "not followed",
    }
}

fn table() -> String {
    let mut text = String::new();
    for &rule in TriggerRule::ALL {
        let source = rule.name().to_uppercase();
        writeln!(text, "{rule}   (trigger_rule_dep.py: TR.{source})").unwrap();
        for states in multisets() {
            let ours = decide(rule, &near(&states));
            let theirs = airflow::answers(rule, &near(&states).near);
            let mark = if theirs.contains(&ours) && theirs.len() == 1 {
                ""
            } else {
                " *"
            };
            writeln!(text, "  {:<4}{}{mark}", letters(&states), word(ours)).unwrap();
        }
    }
    text
}

#[test]
fn the_table_of_rules_is_the_reviewed_one() {
    assert_eq!(
        table(),
        include_str!("table.txt"),
        "if a rule was changed on purpose, write the new table to scheduler/tests/rules/table.txt"
    );
}

/// The only difference to Airflow is the permitted one: where a failure and a skip stand side by
/// side under `all_success`, and where a mark waits.
#[test]
fn tidemill_and_airflow_differ_only_where_a_failure_meets_a_skip_or_a_mark_waits() {
    for &rule in TriggerRule::ALL {
        for states in multisets() {
            let up = near(&states);
            let ours = decide(rule, &up);
            let theirs = airflow::answers(rule, &up.near);
            if theirs == [ours] {
                continue;
            }
            let meets = up.near.bad() > 0 && up.near.skipped > 0;
            let is_permitted = rule == TriggerRule::AllSuccess && meets && ours == Decision::Block;
            let waits = ours == Decision::Wait && up.near.open() > 0;
            assert!(
                is_permitted || waits,
                "{rule} over {}: {ours:?}, Airflow {theirs:?}",
                letters(&states)
            );
        }
    }
}

#[test]
fn a_decision_once_made_is_the_decision_at_the_end() {
    let early = [
        TriggerRule::OneSuccess,
        TriggerRule::OneFailed,
        TriggerRule::OneDone,
        TriggerRule::Always,
    ];
    for &rule in TriggerRule::ALL {
        for states in multisets() {
            let before = decide(rule, &near(&states));
            if before == Decision::Wait {
                continue;
            }
            for at in 0..states.len() {
                for end in 0..4 {
                    let mut later = states.clone();
                    if STATES[later[at]].0 != '-' {
                        continue;
                    }
                    later[at] = end;
                    let after = decide(rule, &near(&later));
                    let is_early_start = before == Decision::Run && early.contains(&rule);
                    assert!(
                        after == before || is_early_start,
                        "{rule}: {} says {before:?}, then {} says {after:?}",
                        letters(&states),
                        letters(&later)
                    );
                }
            }
        }
    }
}

#[test]
fn when_all_are_over_no_rule_waits() {
    for &rule in TriggerRule::ALL {
        for states in multisets() {
            let up = near(&states);
            let is_waiting = decide(rule, &up) == Decision::Wait;
            assert!(!is_waiting || up.near.open() > 0, "{rule}");
        }
    }
}

/// Source: Airflow's `ti_deps/deps/not_previously_skipped_dep.py`; that marks wait is ours.
#[test]
fn what_a_branch_says_wins_over_every_rule_and_marks_wait_for_it() {
    for &rule in TriggerRule::ALL {
        for states in multisets() {
            let mut up = near(&states);
            up.open_deciders = 1;
            let before = decide(rule, &up);
            assert!(
                matches!(before, Decision::Wait | Decision::Run),
                "{rule} over {}: {before:?}",
                letters(&states)
            );
            up.not_followed_by = 1;
            assert_eq!(decide(rule, &up), Decision::NotFollowed);
        }
    }
}

/// Source: `trigger_rule_dep.py: _evaluate_setup_constraint`, and `_get_dep_statuses` for `always`.
#[test]
fn far_setup_tasks_come_before_the_rule() {
    let cases = [
        (TaskState::Success, Decision::Run),
        (TaskState::Failed, Decision::Block),
        (TaskState::UpstreamFailed, Decision::Block),
        (TaskState::Skipped, Decision::Skip),
        (TaskState::Running, Decision::Wait),
    ];
    for (state, expect) in cases {
        let up = UpstreamCounts {
            near: counted([TaskState::Success].into_iter()),
            far_setups: counted([state, TaskState::Success].into_iter()),
            ..UpstreamCounts::default()
        };
        assert_eq!(decide(TriggerRule::AllDone, &up), expect, "{state}");
        assert_eq!(decide(TriggerRule::Always, &up), Decision::Run, "{state}");
    }
    let up = UpstreamCounts {
        near: counted([TaskState::Success].into_iter()),
        far_setups: counted([TaskState::Skipped, TaskState::Failed].into_iter()),
        ..UpstreamCounts::default()
    };
    assert_eq!(decide(TriggerRule::AllDone, &up), Decision::Block);
}

/// Source: `trigger_rule_dep.py: TR.ALL_DONE_SETUP_SUCCESS` and `_evaluate_teardown_scope`.
#[test]
fn a_teardown_runs_when_one_setup_task_succeeded_and_its_scope_is_over() {
    let cases: [(&[TaskState], Decision); 5] = [
        (&[TaskState::Success], Decision::Run),
        (&[TaskState::Success, TaskState::Failed], Decision::Run),
        (&[TaskState::Failed, TaskState::Skipped], Decision::Block),
        (&[TaskState::Skipped, TaskState::Skipped], Decision::Skip),
        (&[TaskState::Success, TaskState::Running], Decision::Wait),
    ];
    for (setups, expect) in cases {
        let work = [TaskState::Failed];
        let mut up = UpstreamCounts {
            near: counted(setups.iter().chain(&work).copied()),
            near_setups: counted(setups.iter().copied()),
            ..UpstreamCounts::default()
        };
        let rule = TriggerRule::AllDoneSetupSuccess;
        assert_eq!(decide(rule, &up), expect, "{setups:?}");
        up.open_in_scope = 1;
        let held = if expect == Decision::Run {
            Decision::Wait
        } else {
            expect
        };
        assert_eq!(decide(rule, &up), held, "{setups:?} with an open scope");
    }
}

/// Source: `trigger_rule_dep.py`, which takes `removed` off the number of upstream tasks.
#[test]
fn a_removed_upstream_task_counts_for_nothing() {
    for &rule in TriggerRule::ALL {
        for states in multisets() {
            let mut with = near(&states);
            with.near.total += 1;
            with.near.count(TaskState::Removed, 1);
            let without = near(&states);
            assert_eq!(
                decide(rule, &with),
                decide(rule, &without),
                "{rule} over {}",
                letters(&states)
            );
        }
    }
}

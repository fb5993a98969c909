//! The judge itself is judged: made-up journals with a fault must be found out.

use super::journal::{Journal, Kill, Line};
use super::load::Load;
use super::store::States;
use super::support::chance::Chance;
use std::path::Path;

fn journal(lines: &[(&str, i64, bool)]) -> Journal {
    let line = |(task, epoch, is_start): &(&str, i64, bool)| Line {
        run: "chain0/r".to_string(),
        task: task.to_string(),
        epoch: *epoch,
        is_start: *is_start,
    };
    Journal {
        lines: lines.iter().map(line).collect(),
    }
}

fn kill(lines: usize, over: &[&str]) -> Kill {
    Kill {
        lines,
        states: States::of(
            over.iter()
                .map(|task| ("chain0/r".to_string(), task.to_string())),
        ),
    }
}

#[test]
fn a_second_start_after_a_kill_that_found_the_task_open_is_allowed() {
    journal(&[("t0", 1, true), ("t0", 2, true), ("t0", 2, false)])
        .check_second_starts(&[kill(1, &[])]);
}

#[test]
#[should_panic(expected = "no kill explains it")]
fn a_second_start_without_a_kill_is_found_out() {
    journal(&[("t0", 1, true), ("t0", 2, true)]).check_second_starts(&[kill(2, &[])]);
}

#[test]
#[should_panic(expected = "no kill explains it")]
fn a_second_start_of_a_task_that_was_over_is_found_out() {
    journal(&[("t0", 1, true), ("t0", 1, false), ("t0", 2, true)])
        .check_second_starts(&[kill(2, &["t0"])]);
}

#[test]
#[should_panic(expected = "epoch 1 after epoch 1")]
fn two_starts_of_one_attempt_are_found_out() {
    journal(&[("t0", 1, true), ("t0", 1, true)]).check_second_starts(&[kill(1, &[])]);
}

#[test]
#[should_panic(expected = "started before t0 had ended")]
fn a_start_before_its_upstream_has_ended_is_found_out() {
    let load = Load::random(
        &mut Chance::from_environment("order"),
        Path::new("unused"),
        0,
    );
    journal(&[("t0", 1, true), ("t1", 1, true), ("t0", 1, false)]).check_order(&load);
}

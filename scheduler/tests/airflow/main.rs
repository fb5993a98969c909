//! Generated DAGs end here as they end in Apache Airflow.
//!
//! `tests/airflow/answers.jsonl` holds the DAGs and what Airflow's own scheduler made of them, with
//! its version, the seed and its log lines; `tests/airflow/record.py` asks it again. Here each DAG
//! is played in several orders by our `step`, with the same outcomes of the same tries.
//!
//! One difference in tasks is permitted: under `all_success` over a failed and a skipped task
//! Airflow answers with whichever it saw first, and we say `upstream_failed`. What the two may
//! answer by chance (tasks started early below a branch, several failures under `fail_fast`, a
//! setup task beside another mark) is kept out of the DAGs by `tests/airflow/cases.py`.
#![allow(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod play;
mod table;

use answers::{Answer, Case};
use std::collections::BTreeMap;
use support::tell;

/// Orders in which each DAG is played.
const ORDERS: u64 = 5;

/// One task, or the run, that ends otherwise than in Airflow.
#[derive(Debug)]
#[allow(dead_code, reason = "what is found is told")]
struct Difference {
    number: usize,
    task: Option<String>,
    ours: Vec<String>,
    theirs: Vec<String>,
}

#[test]
fn every_generated_dag_ends_as_in_airflow_but_where_a_failure_meets_a_skip() {
    let recording = answers::read();
    let (mut n_permitted, mut others) = (0, Vec::new());
    for (number, case) in recording.cases.iter().enumerate() {
        let seeds = (0..ORDERS).map(|order| recording.seed << 20 | (number as u64) << 4 | order);
        let ends: Vec<Answer> = seeds.map(|seed| play::play(case, seed)).collect();
        for end in &ends {
            assert_eq!(end, &ends[0], "case {number} ends by chance: {case:?}");
        }
        let (permitted, wrong) = compare(number, case, &ends[0]);
        n_permitted += permitted.len();
        others.extend(wrong);
    }
    tell(&format!(
        "\n{} DAGs by Airflow {} and seed {}: {n_permitted} permitted differences\n",
        recording.cases.len(),
        recording.airflow,
        recording.seed
    ));
    assert!(others.is_empty(), "{others:#?}");
    assert!(n_permitted > 0, "the permitted difference does not occur");
}

/// Differences that are permitted, and those that are not.
fn compare(number: usize, case: &Case, ours: &Answer) -> (Vec<Difference>, Vec<Difference>) {
    let theirs = &case.answer;
    let (mut permitted, mut wrong) = (Vec::new(), Vec::new());
    for (task, states) in &theirs.states {
        if ours.states[task] == *states {
            continue;
        }
        let difference = Difference {
            number,
            task: Some(task.clone()),
            ours: ours.states[task].clone(),
            theirs: states.clone(),
        };
        match is_permitted(case, task, ours) {
            true => permitted.push(difference),
            false => wrong.push(difference),
        }
    }
    let follows_from = |difference: &Difference| {
        let is_leaf = |name: &String| case.tasks.iter().all(|task| !task.after.contains(name));
        difference.task.as_ref().is_some_and(is_leaf) && ours.run == "failed"
    };
    if ours.run != theirs.run && !permitted.iter().any(follows_from) {
        wrong.push(Difference {
            number,
            task: None,
            ours: vec![ours.run.clone()],
            theirs: vec![theirs.run.clone()],
        });
    }
    (permitted, wrong)
}

/// `all_success` over a failure and a skip: skipped there, blocked here.
fn is_permitted(case: &Case, name: &str, ours: &Answer) -> bool {
    let task = case.tasks.iter().find(|task| task.id == name).unwrap();
    let above: Vec<&String> = task.after.iter().flat_map(|up| &ours.states[up]).collect();
    let has = |states: &[&str]| above.iter().any(|state| states.contains(&state.as_str()));
    let is_mixed = has(&["failed", "upstream_failed"]) && has(&["skipped"]);
    task.rule == "all_success"
        && is_mixed
        && ours.states[name] == ["upstream_failed"]
        && case.answer.states[name] == ["skipped"]
}

#[test]
fn the_recording_is_airflows_and_large_enough() {
    let recording = answers::read();
    let version: Vec<&str> = recording.airflow.split('.').collect();
    assert!(version.len() == 3 && version[0] == "3", "{version:?}");
    assert!(recording.cases.len() >= 300);
    for case in &recording.cases {
        let mut asked: Vec<&String> = case.tasks.iter().map(|task| &task.id).collect();
        asked.sort_unstable();
        let answered: Vec<&String> = case.answer.states.keys().collect();
        assert_eq!(asked, answered, "a task has no answer");
        for task in case.answer.states.keys() {
            let names_it =
                |line: &String| line.split(|c: char| !is_part(c)).any(|word| word == task);
            assert!(
                case.log.iter().any(names_it),
                "no line about {task}: {:?}",
                case.log
            );
        }
    }
    let n_of = |is: fn(&Case) -> bool| recording.cases.iter().filter(|case| is(case)).count();
    // By what is in them, whatever they were made for.
    let found = BTreeMap::from([
        ("setup and teardown", n_of(cleans_up)),
        (
            "short circuit",
            n_of(|case| has(case, &["gate", "hard_gate"])),
        ),
        ("branch", n_of(|case| has(case, &["branch"]))),
        ("mapping", n_of(|case| has(case, &["mapped"]))),
        ("fail_fast", n_of(is_stopped)),
        ("another try", n_of(is_tried_again)),
    ]);
    tell(&format!("\nDAGs with {found:?}\n"));
    for (what, n) in found {
        assert!(n >= 60, "{what}: {n}");
    }
    let n_items = |n: usize| {
        let mapped = recording.cases.iter().flat_map(|case| &case.tasks);
        mapped
            .filter(|task| task.kind == "mapped" && task.fates.len() == n)
            .count()
    };
    assert!([0, 1, 3].iter().all(|n| n_items(*n) >= 10));
}

fn has(case: &Case, kinds: &[&str]) -> bool {
    let mut tasks = case.tasks.iter();
    tasks.any(|task| kinds.contains(&task.kind.as_str()))
}

fn cleans_up(case: &Case) -> bool {
    has(case, &["setup"]) && has(case, &["teardown", "loud_teardown"])
}

/// Has `fail_fast` anything to do: does a task fail, and is another one not even begun?
fn is_stopped(case: &Case) -> bool {
    let ended = |state: &str| {
        let mut states = case.answer.states.values().flatten();
        states.any(|one| one == state)
    };
    case.fast && ended("failed") && ended("skipped")
}

/// Does a task succeed after it has failed?
fn is_tried_again(case: &Case) -> bool {
    let is_it = |fate: &String| fate.starts_with('S') && fate != "S0";
    let mut tasks = case.tasks.iter();
    tasks.any(|task| {
        let states = &case.answer.states[&task.id];
        let mut fates = task.fates.iter().chain([&task.fate]).zip(states);
        fates.any(|(fate, state)| is_it(fate) && state == "success")
    })
}

fn is_part(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

#[test]
fn each_rule_was_asked_over_each_multiset_of_up_to_three_upstream_states() {
    let recording = answers::read();
    let (text, uncovered) = table::table(&recording.cases);
    tell(&format!("\n{text}"));
    assert!(uncovered.is_empty(), "no case has {uncovered:?}");
}

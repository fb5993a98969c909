//! How often each rule was asked over each multiset of up to three upstream states.

use crate::answers::Case;
use std::collections::BTreeMap;
use std::fmt::Write;
use tidemill_model::TriggerRule;

/// Each multiset of up to three of the letters, in order.
fn multisets() -> Vec<String> {
    let mut found = vec![String::new()];
    let mut longest = found.clone();
    for _ in 0..3 {
        let longer = longest.iter().flat_map(|shorter| {
            let last = shorter.chars().last().unwrap_or('F');
            let next = "FKSU".chars().filter(move |letter| *letter >= last);
            next.map(move |letter| format!("{shorter}{letter}"))
        });
        longest = longer.collect();
        found.extend(longest.iter().cloned());
    }
    found
}

fn letter(state: &str) -> char {
    match state {
        "success" => 'S',
        "failed" => 'F',
        "upstream_failed" => 'U',
        "skipped" => 'K',
        other => panic!("an upstream task is {other} at the end"),
    }
}

/// The table, and its empty cells.
pub fn table(cases: &[Case]) -> (String, Vec<String>) {
    let mut n_of = BTreeMap::<(String, String), usize>::new();
    for case in cases {
        for task in &case.tasks {
            let above = task.after.iter().flat_map(|up| &case.answer.states[up]);
            let mut letters: Vec<char> = above.map(|state| letter(state)).collect();
            letters.sort_unstable();
            let cell = (task.rule.clone(), letters.into_iter().collect());
            *n_of.entry(cell).or_default() += 1;
        }
    }
    let (mut text, mut empty) = (String::new(), Vec::new());
    for rule in TriggerRule::ALL {
        writeln!(text, "{rule}").unwrap();
        for multiset in multisets() {
            let n = n_of.get(&(rule.to_string(), multiset.clone())).copied();
            write!(
                text,
                "  {}:{}",
                if multiset.is_empty() { "-" } else { &multiset },
                n.unwrap_or(0)
            )
            .unwrap();
            if n.is_none() {
                empty.push(format!("{rule} over {multiset:?}"));
            }
        }
        writeln!(text).unwrap();
    }
    (text, empty)
}

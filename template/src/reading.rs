//! What the steps of a path mean, once its first name is known.

use crate::analysis::{Named, TaskValue};

/// Facts of a trigger that are numbers or names of ours: no shell syntax is in them.
pub(crate) fn is_number(fact: &str) -> bool {
    [
        "partition",
        "first_offset",
        "end_offset",
        "count",
        "bytes",
        "records_file",
        "name",
        "topic",
    ]
    .contains(&fact)
}

pub(crate) fn task_value(rest: &[Named]) -> TaskValue {
    match rest {
        [] => TaskValue::State,
        [first, rest @ ..] => match (first.name.as_str(), rest) {
            ("output", _) => TaskValue::Output,
            ("state" | "states", _) => TaskValue::State,
            ("outputs", [key, ..]) => TaskValue::Key(key.clone()),
            ("outputs", []) => TaskValue::State,
            _ => TaskValue::Unknown(first.clone()),
        },
    }
}

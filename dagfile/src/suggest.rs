//! Did you mean: the nearest of the names that are valid at a place.

use crate::diagnostic::Diagnostic;
use std::ops::Range;
use tidemill_model::dag::Param;

/// Names looked at for one suggestion; in a file with more, later ones are not suggested.
const CANDIDATES_MAX: usize = 20_000;
/// Longer names are not compared.
const NAME_BYTES_MAX: usize = 80;

/// The candidate with the smallest edit distance, when it is near enough to be a slip.
pub(crate) fn nearest<'c>(
    name: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return None;
    }
    let allowed = (name.len() / 3).clamp(1, 3);
    let name = name.to_lowercase();
    candidates
        .into_iter()
        .take(CANDIDATES_MAX)
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= allowed)
        .map(|candidate| {
            (
                distance(name.as_bytes(), candidate.to_lowercase().as_bytes()),
                candidate,
            )
        })
        .filter(|(steps, _)| *steps <= allowed)
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours, each one step.
fn distance(left: &[u8], right: &[u8]) -> usize {
    let width = right.len() + 1;
    let mut rows = [
        vec![0; width],
        (0..width).collect::<Vec<usize>>(),
        vec![0; width],
    ];
    for (at, byte) in left.iter().enumerate() {
        let [before, above, row] = &mut rows;
        row[0] = at + 1;
        for (place, other) in right.iter().enumerate() {
            let replaced = above[place] + usize::from(byte != other);
            row[place + 1] = replaced.min(above[place + 1] + 1).min(row[place] + 1);
            if at > 0 && place > 0 && *byte == right[place - 1] && left[at - 1] == *other {
                row[place + 1] = row[place + 1].min(before[place - 1] + 1);
            }
        }
        rows.rotate_left(1);
    }
    rows[1][right.len()]
}

/// A parameter that the DAG does not have; `before` is what stands before its name there.
pub(crate) fn unknown_param(
    name: &str,
    before: &str,
    span: Range<usize>,
    params: &[Param],
) -> Diagnostic {
    let message = format!("`{name}` is not a parameter of this DAG");
    let known = params.iter().map(|param| param.name.as_str());
    let one = Diagnostic::error("TM0204", span.clone(), message);
    match nearest(name, known) {
        Some(near) => one
            .label(format!("did you mean `{before}{near}`?"))
            .patch(span, format!("{before}{near}")),
        None => one
            .label("not declared")
            .help(format!("declare it: {name} = … under [params]")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_a_different_word_is_not() {
        let keys = ["retries", "retry_delay", "depends_on", "pool"];
        assert_eq!(nearest("retry_dealy", keys), Some("retry_delay"));
        assert_eq!(nearest("Retries", keys), Some("retries"));
        assert_eq!(nearest("depend_on", keys), Some("depends_on"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest("", keys), None);
    }
}

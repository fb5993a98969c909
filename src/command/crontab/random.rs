//! Times that cron chooses by chance when it reads a crontab: `~`, `0~30`, `~/10`.
//!
//! A DAG file holds one time. It is chosen by the command: the same at each import, and another
//! one for another command, so that what was spread over an hour stays spread.

use super::fields::{FIELDS, number, refuse};
use tidemill_model::schedule::spread;

/// Every month has such a day: cron chooses anew each time that it starts, a file once.
const DAY_OF_EVERY_MONTH: u32 = 28;

/// The fields with a number for each random one, and what has become of those.
///
/// # Errors
/// Which is wrong.
pub fn settle(fields: &[&str], command: &str) -> Result<(Vec<String>, Vec<String>), String> {
    let mut notes = Vec::new();
    let mut settled = Vec::new();
    for (at, field) in fields.iter().enumerate() {
        let items = field.split(',').map(|item| match item.contains('~') {
            true => chosen(at, item, command).ok_or_else(|| refuse(FIELDS[at].0, field)),
            false => Ok(item.to_string()),
        });
        let now = items.collect::<Result<Vec<String>, String>>()?.join(",");
        if now != *field {
            notes.push(format!(
                "the random {} `{field}` has become {now}, chosen by the command; cron chooses anew when it starts",
                FIELDS[at].0
            ));
        }
        settled.push(now);
    }
    Ok((settled, notes))
}

/// `a~b` as a number of this range, where `a` and `b` may be left out; `a~b/step` as a range with
/// this step that begins at one of its first numbers.
fn chosen(at: usize, item: &str, command: &str) -> Option<String> {
    let (name, low, high, names) = FIELDS[at];
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, Some(step.parse().ok().filter(|step| *step > 0)?)),
        None => (item, None),
    };
    let (from, to) = range.split_once('~')?;
    let end = |text: &str, limit: u32| match text {
        "" => Some(limit),
        text => number(text, low, high, names),
    };
    let (from, to) = (end(from, low)?, end(to, high)?);
    let n_numbers = (to + 1).checked_sub(from).filter(|n| *n > 0)?;
    let is_day = name == "day of month" && from <= DAY_OF_EVERY_MONTH;
    let n_choices = match step {
        Some(step) => n_numbers.min(step),
        None if is_day => n_numbers.min(DAY_OF_EVERY_MONTH + 1 - from),
        None => n_numbers,
    };
    let chance = spread(&format!("{name} {item} {command}")) % u64::from(n_choices);
    let first = from + u32::try_from(chance).ok()?;
    Some(match step {
        Some(step) => format!("{first}-{to}/{step}"),
        None => first.to_string(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;
    use crate::command::crontab::fields::Fields;
    use std::collections::BTreeSet;

    fn settled(fields: &str, command: &str) -> Result<Vec<String>, String> {
        let fields: Vec<&str> = fields.split(' ').collect();
        settle(&fields, command).map(|(settled, _)| settled)
    }

    #[test]
    fn a_random_time_is_one_of_its_range_and_the_command_says_which() {
        let minutes = (0..500).map(|n| settled("~ 3~5 * * mon~wed", &format!("job {n}")).unwrap());
        let all: Vec<Vec<String>> = minutes.collect();
        let of = |at: usize| -> BTreeSet<u32> {
            all.iter()
                .map(|fields| fields[at].parse().unwrap())
                .collect()
        };
        assert_eq!(of(0), (0..=59).collect());
        assert_eq!(of(1), (3..=5).collect());
        assert_eq!(of(4), (1..=3).collect());
        assert_eq!(all[7], settled("~ 3~5 * * mon~wed", "job 7").unwrap());
        // Two random fields of a line do not go together.
        let pairs: BTreeSet<_> = all.iter().map(|fields| (&fields[1], &fields[4])).collect();
        assert_eq!(pairs.len(), 9);
    }

    #[test]
    fn a_random_time_with_a_step_begins_anywhere_and_keeps_its_distance() {
        let mut firsts = BTreeSet::new();
        for n in 0..200 {
            let fields = settled("~/20 * * * *", &format!("job {n}")).unwrap();
            let (first, rest) = fields[0].split_once('-').unwrap();
            assert_eq!(rest, "59/20");
            firsts.insert(first.parse::<u32>().unwrap());
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            Fields::read(&fields).unwrap();
        }
        assert_eq!(firsts, (0..20).collect());
        assert_eq!(settled("4~5/9 1 1 1 1", "x").unwrap().len(), 5);
    }

    #[test]
    fn a_random_day_comes_in_every_month_where_the_range_has_one() {
        let days = |field: &str| -> BTreeSet<String> {
            let settled = |n| settled(&format!("0 0 {field} * *"), &format!("job {n}"));
            (0..500).map(|n| settled(n).unwrap().remove(2)).collect()
        };
        assert_eq!(days("~").len(), 28);
        assert!(!days("20~31").contains("29"));
        assert_eq!(days("30~31").len(), 2);
    }

    #[test]
    fn what_is_no_random_time_is_refused_and_nothing_else_is_touched() {
        for wrong in [
            "9~5 * * * *",
            "0~60 * * * *",
            "a~b * * * *",
            "1~2~3 * * * *",
            "~/0 * * * *",
        ] {
            let why = settled(wrong, "x").unwrap_err();
            assert!(why.contains("is not a minute"), "{wrong}: {why}");
        }
        let same = "*/5 1-3,7 * jan mon";
        let fields: Vec<&str> = same.split(' ').collect();
        let (settled, notes) = settle(&fields, "x").unwrap();
        assert_eq!((settled.join(" ").as_str(), notes.len()), (same, 0));
        let (_, notes) = settle(&["1,~", "~", "*", "*", "*"], "x").unwrap();
        assert_eq!(notes.len(), 2, "{notes:?}");
    }
}

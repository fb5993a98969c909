//! The database roles of the processes that are not the scheduler, as SQL for the owner of the
//! tables. It is printed and not run: who may make roles is for the people of the database to say.

const TEXT: &str = include_str!("../sql/roles.sql");

/// The SQL that makes a role for workers and one for processes that only serve pages and pass on what
/// they are asked, and grants each what it needs and nothing else. It may be run again at any time.
pub fn roles(worker: &str, api: &str) -> String {
    // The longer words first: `worker` is the beginning of `worker_text`.
    let words = [
        ("worker_text", text(worker)),
        ("api_text", text(api)),
        ("worker", name(worker)),
        ("api", name(api)),
    ];
    let mut parts = TEXT.split(':');
    let mut filled = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let found = words
            .iter()
            .find_map(|(word, value)| Some((value, part.strip_prefix(word)?)));
        match found {
            Some((value, rest)) => filled.extend([value, rest]),
            None => filled.extend([":", part]),
        }
    }
    filled
}

/// A name as SQL quotes it.
fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL quotes it, whatever `standard_conforming_strings` says.
fn text(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "''");
    format!("E'{escaped}'")
}

#[cfg(test)]
mod tests {
    use super::roles;

    #[test]
    fn a_name_stays_a_name_whatever_stands_in_it() {
        let text = roles(r#"w"; drop table :api; --"#, r"a'\b");
        assert!(
            text.contains(r#"to "w""; drop table :api; --", "a'\b";"#),
            "{text}"
        );
        assert!(
            text.contains(r#"array[E'w"; drop table :api; --', E'a''\\b']"#),
            "{text}"
        );
    }
}

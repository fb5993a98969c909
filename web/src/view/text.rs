//! Text from outside, made harmless for pages and addresses.

pub(crate) use tidemill_log::inert;

/// A text as one segment of an address.
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b':' => {
                out.push(byte as char)
            }
            _ => {
                out.push('%');
                out.push(char::from(b"0123456789ABCDEF"[usize::from(byte >> 4)]));
                out.push(char::from(b"0123456789ABCDEF"[usize::from(byte & 15)]));
            }
        }
    }
    out
}

/// The page of a DAG.
pub(crate) fn dag_url(dag_id: &str) -> String {
    format!("/dags/{}", segment(dag_id))
}

/// The page of a run.
pub(crate) fn run_url(dag_id: &str, run_id: &str) -> String {
    format!("/dags/{}/runs/{}", segment(dag_id), segment(run_id))
}

/// The page of a task instance.
pub(crate) fn task_url(dag_id: &str, run_id: &str, task_id: &str, map_index: i32) -> String {
    let map = if map_index < 0 {
        String::new()
    } else {
        format!("?map_index={map_index}")
    };
    format!(
        "{}/tasks/{}{map}",
        run_url(dag_id, run_id),
        segment(task_id)
    )
}

/// A text of at most so many characters, with a sign that something is missing.
pub(crate) fn cut(text: &str, n_chars: usize) -> String {
    if text.chars().count() <= n_chars {
        return text.to_string();
    }
    text.chars()
        .take(n_chars.saturating_sub(1))
        .chain(['…'])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_hold_nothing_that_an_address_reads() {
        assert_eq!(
            segment("manual__2026-11-21T06:00:00+00:00"),
            "manual__2026-11-21T06:00:00%2B00:00"
        );
        assert_eq!(segment("a/b?c#d é"), "a%2Fb%3Fc%23d%20%C3%A9");
    }
}

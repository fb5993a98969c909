//! Text from outside, made harmless for pages and addresses.

/// A text without terminal escapes; other control characters and those that turn the direction
/// of writing become visible signs.
pub(crate) fn inert(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\t' => out.push('\t'),
            '\r' => {}
            '\u{0}'..='\u{1f}' => out.push(char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}')),
            '\u{7f}' => out.push('\u{2421}'),
            '\u{80}'..='\u{9f}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                out.push('\u{fffd}');
            }
            _ => out.push(c),
        }
    }
    out
}

/// Passes over one escape sequence: CSI up to its final letter, OSC up to BEL or ST, else one sign.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => {
            while chars
                .next_if(|c| ('\u{20}'..='\u{3f}').contains(c))
                .is_some()
            {}
            chars.next_if(|c| ('\u{40}'..='\u{7e}').contains(c));
        }
        Some(']') => {
            while let Some(c) = chars.next() {
                if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
        }
        _ => {}
    }
}

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
    fn terminal_escapes_are_gone_and_control_signs_are_seen() {
        assert_eq!(inert("\u{1b}[31mred\u{1b}[0m"), "red");
        assert_eq!(inert("a\u{1b}]8;;http://x\u{7}b"), "ab");
        assert_eq!(inert("a\u{0}b\u{8}"), "a␀b␈");
        assert_eq!(inert("a\u{202e}b\u{9b}"), "a\u{fffd}b\u{fffd}");
        assert_eq!(inert("end\u{1b}"), "end");
        assert_eq!(inert("50%\r"), "50%");
    }

    #[test]
    fn segments_hold_nothing_that_an_address_reads() {
        assert_eq!(
            segment("manual__2026-11-21T06:00:00+00:00"),
            "manual__2026-11-21T06:00:00%2B00:00"
        );
        assert_eq!(segment("a/b?c#d é"), "a%2Fb%3Fc%23d%20%C3%A9");
    }
}

//! Places inside TOML strings: from a byte of the value to a byte of the file.

use std::ops::Range;

/// Where byte `at` of a string's value stands in the file; `span` is the string with its quotes.
pub(crate) fn offset_in_source(source: &str, span: &Range<usize>, at: usize) -> usize {
    let Some(raw) = source.get(span.clone()) else {
        return span.start;
    };
    let is_multi = raw.starts_with("\"\"\"") || raw.starts_with("'''");
    let is_basic = raw.starts_with('"');
    let mut place = if is_multi { 3 } else { 1 };
    if !is_basic && !raw.starts_with('\'') {
        return (span.start + at).min(span.end);
    }
    let bytes = raw.as_bytes();
    if is_multi {
        // The first newline is not part of the value.
        place += match &bytes[place.min(bytes.len())..] {
            [b'\r', b'\n', ..] => 2,
            [b'\n', ..] => 1,
            _ => 0,
        };
    }
    let mut n_passed = 0;
    while n_passed < at && place < raw.len() {
        let rest = &raw[place..];
        let (n_raw, n_value) = if is_basic {
            step_basic(rest)
        } else {
            step_plain(rest)
        };
        place += n_raw;
        n_passed += n_value;
    }
    // An escaped line end right before the byte is passed over with it.
    (span.start + place).min(span.end)
}

fn step_plain(rest: &str) -> (usize, usize) {
    let n_bytes = rest.chars().next().map_or(1, char::len_utf8);
    (n_bytes, n_bytes)
}

/// One character of a basic string: how many bytes it has in the file and in the value.
fn step_basic(rest: &str) -> (usize, usize) {
    let Some(escaped) = rest.strip_prefix('\\') else {
        return step_plain(rest);
    };
    let hex = |n_digits: usize| {
        let code = escaped
            .get(1..1 + n_digits)
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        (
            2 + n_digits,
            code.and_then(char::from_u32).map_or(1, char::len_utf8),
        )
    };
    match escaped.as_bytes().first() {
        Some(b'u') => hex(4),
        Some(b'U') => hex(8),
        Some(b'x') => hex(2),
        Some(b' ' | b'\t' | b'\r' | b'\n') => {
            let n_blank = escaped.len() - escaped.trim_start_matches([' ', '\t', '\r', '\n']).len();
            (1 + n_blank, 0)
        }
        _ => (2, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_value_leads_to_its_place_in_the_file() {
        let cases = [
            (r#""ab\ncX""#, 4),
            (r#""\u00e9X""#, 2),
            (r#""\"X""#, 1),
            ("'a\\X'", 2),
            ("'''\nabX'''", 2),
            ("\"\"\"\na \\\n   X\"\"\"", 2),
            ("'é€X'", 5),
        ];
        for (raw, at) in cases {
            let source = format!("k = {raw}");
            let found = offset_in_source(&source, &(4..source.len()), at);
            let expected = source.find('X');
            // A trimmed line end may be taken with the byte before it.
            let found = found
                + (source.len()
                    - found
                    - source[found..].trim_start_matches(['\\', '\n', ' ']).len());
            assert_eq!(Some(found), expected, "{raw}");
        }
    }
}

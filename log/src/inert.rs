//! Text from outside, made harmless for people who look at it.

/// A text without terminal escapes; other control characters and those that turn the direction
/// of writing become visible signs.
pub fn inert(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    walk(text, |seen| {
        if let Seen::Sign(sign) = seen {
            out.push(sign);
        }
    });
    out
}

/// What there is in a text, for the eye.
pub(crate) enum Seen<'t> {
    /// A sign that may be shown anywhere.
    Sign(char),
    /// The numbers of an escape that changes colours ("select graphic rendition"): `1;31`.
    Style(&'t str),
}

/// Goes through a text. Every other escape and control character is left out or made a sign.
pub(crate) fn walk<'t>(text: &'t str, mut see: impl FnMut(Seen<'t>)) {
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => {
                let (style, after) = after_escape(rest.as_str());
                rest = after.chars();
                style.into_iter().for_each(|style| see(Seen::Style(style)));
            }
            '\t' => see(Seen::Sign('\t')),
            '\r' => {}
            '\u{0}'..='\u{1f}' => {
                let sign = char::from_u32(0x2400 + c as u32);
                see(Seen::Sign(sign.unwrap_or('\u{fffd}')));
            }
            '\u{7f}' => see(Seen::Sign('\u{2421}')),
            '\u{80}'..='\u{9f}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => see(Seen::Sign('\u{fffd}')),
            _ => see(Seen::Sign(c)),
        }
    }
}

/// Passes over one escape sequence, whose first sign is gone: CSI up to its final letter, OSC up to
/// BEL or ST, else one sign. Gives what it says about colours, and what follows it.
fn after_escape(text: &str) -> (Option<&str>, &str) {
    let mut signs = text.chars();
    match signs.next() {
        Some('[') => {
            let body = signs.as_str();
            let end = body.find(|c: char| !('\u{20}'..='\u{3f}').contains(&c));
            let (numbers, rest) = body.split_at(end.unwrap_or(body.len()));
            match rest.chars().next() {
                Some('m') => (Some(numbers), &rest[1..]),
                Some('\u{40}'..='\u{7e}') => (None, &rest[1..]),
                _ => (None, rest),
            }
        }
        Some(']') => {
            let body = signs.as_str();
            let bell = body.find('\u{7}').map(|at| at + 1);
            let string_end = body.find("\u{1b}\\").map(|at| at + 2);
            let end = bell.into_iter().chain(string_end).min();
            (None, &body[end.unwrap_or(body.len())..])
        }
        _ => (None, signs.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_escapes_are_gone_and_control_signs_are_seen() {
        assert_eq!(inert("\u{1b}[31mred\u{1b}[0m"), "red");
        assert_eq!(inert("a\u{1b}]8;;http://x\u{7}b"), "ab");
        assert_eq!(
            inert("a\u{1b}]0;title\u{1b}\\b\u{1b}[2Jc\u{1b}[1;5Hd\u{1b}[é"),
            "abcdé"
        );
        assert_eq!(inert("a\u{1b}]8;;no end"), "a");
        assert_eq!(inert("a\u{0}b\u{8}"), "a␀b␈");
        assert_eq!(inert("a\u{202e}b\u{9b}"), "a\u{fffd}b\u{fffd}");
        assert_eq!(inert("end\u{1b}"), "end");
        assert_eq!(inert("50%\r"), "50%");
    }
}

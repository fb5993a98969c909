//! Text from outside, made harmless for people who look at it.

/// A text without terminal escapes; other control characters and those that turn the direction
/// of writing become visible signs.
pub fn inert(text: &str) -> String {
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
}

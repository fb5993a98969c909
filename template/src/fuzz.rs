//! Any text at all is a template that is refused, fails or renders: it never panics, and what it
//! gives is bounded.

#[path = "../../tests/support/chance.rs"]
#[allow(dead_code, reason = "shared with tests that draw more")]
mod chance;

use super::tests::facts;
use super::*;
use chance::Chance;

/// What templates are made of, and what they are not.
#[rustfmt::skip]
const PIECES: &[&str] = &[
    "{{", "}}", "{%", "%}", "{#", "#}", "{{-", "-}}", " ", "\n", "ds", "params", ".region", "['n']", "[0]", "[-1]",
    "|", "upper", "tojson", "fromjson", "int", "default('x')", "join(',')", "length", "unique", "sort", "quote",
    "b64encode", "macros", ".ds_add(ds, 7)", ".json.loads('{')", "tasks.count.output", "ti.xcom_pull('count')",
    "if", "else", "endif", "for x in range(99999)", "endfor", "x", "set y = 1", "block b", "endblock", "raw",
    "endraw", "1", "-1", "9999999999999999999999", "1.5e308", "'", "\"", "(", ")", "+", "*", "/", "//", "%", "**",
    "~", "==", "<", "and", "not", "in", "is defined", "logical_date", ".strftime('%Q%')", ".add(days=9999999)",
    ".in_timezone('No/Where')", "ü", "\u{0}", "\u{202e}", "🦀", "true", "none", "[", "]", "{", "}", ":", ",",
];

fn text(chance: &mut Chance) -> String {
    let n = chance.between(1, 24);
    let mut text = String::new();
    for _ in 0..n {
        match chance.between(0, 30) {
            0 => {
                let code = chance.between(0, 0x11_0000) as u32;
                text.extend(char::from_u32(code));
            }
            _ => {
                let at = chance.between(0, PIECES.len() as u64 - 1) as usize;
                text.push_str(PIECES[at]);
            }
        }
    }
    match chance.one_in(2) {
        true => format!("{{{{ {text} }}}}"),
        false => text,
    }
}

#[test]
fn any_text_is_refused_fails_or_renders_within_bounds() {
    let mut chance = Chance::from_environment("templates");
    let facts = facts();
    for _ in 0..3_000 {
        let text = text(&mut chance);
        if let Err(err) = check(&text)
            && let Some(range) = &err.range
        {
            assert!(range.end <= text.len(), "{text:?}: {err:?}");
        }
        match render(&text, &facts) {
            Ok(result) => assert!(result.len() <= OUTPUT_BYTES_MAX, "{text:?}"),
            Err(err) => {
                let is_inside = err.range.is_none_or(|range| text.get(range).is_some());
                assert!(is_inside, "{text:?}");
            }
        }
        let _ = render_value(&text, &facts);
    }
}

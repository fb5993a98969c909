//! Hides secrets in a stream of bytes, over the borders of its chunks.

use crate::Secret;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::borrow::Cow;

/// What stands in a secret's place.
pub const HIDDEN: &str = "***";
/// Shorter values are not hidden: they would hide half the log and protect nothing.
const SECRET_MIN: usize = 3;
/// Shorter lines of a secret of many lines are not hidden by themselves.
const PART_MIN: usize = 8;

/// Some secrets, in every form in which they tend to be printed.
#[derive(Clone, Default)]
pub struct Masker {
    /// By first byte, then longest first.
    forms: Vec<Vec<u8>>,
    /// For each first byte, where its forms begin and end.
    groups: Vec<(u32, u32)>,
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Masker({} forms)", self.forms.len())
    }
}

impl Masker {
    /// Hides these values.
    pub fn new(secrets: &[Secret]) -> Masker {
        let mut forms: Vec<Vec<u8>> = Vec::new();
        let texts = secrets.iter().map(Secret::expose);
        for secret in texts.filter(|secret| secret.len() >= SECRET_MIN) {
            forms.extend(text_forms(secret));
            forms.extend(base64_forms(secret.as_bytes()));
            let lines = secret.lines().map(str::trim);
            for line in lines.filter(|line| line.len() >= PART_MIN && *line != secret) {
                forms.extend(text_forms(line));
            }
        }
        forms.sort_by(|a, b| (a[0], b.len(), a).cmp(&(b[0], a.len(), b)));
        forms.dedup();
        let mut groups = Vec::new();
        if !forms.is_empty() {
            groups = vec![(0, 0); 256];
            for (at, form) in (0u32..).zip(&forms) {
                let group = &mut groups[usize::from(form[0])];
                *group = (if group.1 == 0 { at } else { group.0 }, at + 1);
            }
        }
        Masker { forms, groups }
    }

    /// Is there nothing to hide?
    pub fn is_idle(&self) -> bool {
        self.forms.is_empty()
    }

    /// Takes the next bytes; what is certain goes to `out`, what may be the beginning of a
    /// secret stays in `held` until more has come.
    pub fn feed(&self, held: &mut Vec<u8>, bytes: &[u8], out: &mut Vec<u8>) {
        if self.forms.is_empty() {
            out.extend_from_slice(bytes);
            return;
        }
        held.extend_from_slice(bytes);
        let taken = self.pass(held, out, false);
        held.drain(..taken);
    }

    /// The stream is over: the rest goes to `out`.
    pub fn finish(&self, held: &mut Vec<u8>, out: &mut Vec<u8>) {
        self.pass(held, out, true);
        held.clear();
    }

    /// Hides secrets in a whole text.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.forms.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = Vec::with_capacity(text.len());
        self.pass(text.as_bytes(), &mut out, true);
        Cow::Owned(String::from_utf8_lossy(&out).into_owned())
    }

    /// Is there a secret in a text?
    pub fn hides(&self, text: &str) -> bool {
        !self.forms.is_empty() && self.text(text) != text
    }

    /// Hides secrets in the texts of a value, its keys included. A number that is a secret
    /// becomes a text.
    pub fn value(&self, value: &mut Value) {
        if self.forms.is_empty() {
            return;
        }
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                let text = number.to_string();
                let masked = self.text(&text);
                if masked != text {
                    *value = Value::String(masked.into_owned());
                }
            }
            Value::String(text) => *text = self.text(text).into_owned(),
            Value::Array(values) => values.iter_mut().for_each(|value| self.value(value)),
            Value::Object(object) => {
                let pairs = std::mem::take(object).into_iter();
                *object = pairs
                    .map(|(key, mut value)| {
                        self.value(&mut value);
                        (self.text(&key).into_owned(), value)
                    })
                    .collect();
            }
        }
    }

    fn pass(&self, bytes: &[u8], out: &mut Vec<u8>, is_last: bool) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let Some(skip) = rest.iter().position(|&b| !self.group(b).is_empty()) else {
                out.extend_from_slice(rest);
                return bytes.len();
            };
            out.extend_from_slice(&rest[..skip]);
            at += skip;
            match self.look(&bytes[at..], is_last) {
                Look::Secret(length) => {
                    out.extend_from_slice(HIDDEN.as_bytes());
                    at += length;
                }
                Look::Perhaps => return at,
                Look::Plain => {
                    out.push(bytes[at]);
                    at += 1;
                }
            }
        }
        at
    }

    /// The forms that begin with this byte.
    fn group(&self, byte: u8) -> &[Vec<u8>] {
        match self.groups.get(usize::from(byte)) {
            Some(&(from, to)) => &self.forms[from as usize..to as usize],
            None => &[],
        }
    }

    /// The longest form wins, so a longer one that may still come holds back a shorter one.
    fn look(&self, rest: &[u8], is_last: bool) -> Look {
        for form in self.group(rest[0]) {
            if rest.starts_with(form) {
                return Look::Secret(form.len());
            }
            if !is_last && form.starts_with(rest) {
                return Look::Perhaps;
            }
        }
        Look::Plain
    }
}

enum Look {
    Secret(usize),
    Perhaps,
    Plain,
}

/// A text as it is, and as URLs, JSON, shells, HTML and hex dumps write it.
fn text_forms(text: &str) -> Vec<Vec<u8>> {
    let mut forms: Vec<String> = vec![text.to_string()];
    let json = serde_json::to_string(text).unwrap_or_default();
    if json.len() > 2 {
        forms.push(json[1..json.len() - 1].to_string());
        forms.push(ascii_json(text));
    }
    for set in [URL, URL_WITH_SLASH] {
        let url = utf8_percent_encode(text, set).to_string();
        forms.push(lower_hex(&url));
        forms.push(url.replace("%20", "+"));
        forms.push(url);
    }
    forms.push(text.replace('\'', r"'\''"));
    forms.push(text.replace('\'', r#"'"'"'"#));
    forms.push(text.replace('\'', r"\'"));
    let html = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    forms.push(html.replace('"', "&quot;").replace('\'', "&#x27;"));
    forms.push(html.replace('"', "&#34;").replace('\'', "&#39;"));
    forms.push(html);
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    if text.len() * 2 >= PART_MIN {
        forms.push(hex.to_ascii_uppercase());
        forms.push(hex);
    }
    forms.into_iter().map(String::into_bytes).collect()
}

/// What a query or a user's part of a URL cannot hold.
const URL: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// The same for paths, as Python's `quote` does it.
const URL_WITH_SLASH: &AsciiSet = &URL.remove(b'/');

fn lower_hex(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    let mut n_hex = 0;
    for sign in url.chars() {
        match sign {
            '%' => n_hex = 2,
            _ if n_hex > 0 => {
                n_hex -= 1;
                out.push(sign.to_ascii_lowercase());
                continue;
            }
            _ => {}
        }
        out.push(sign);
    }
    out
}

/// JSON as Python writes it: with `\u` for everything outside of ASCII.
fn ascii_json(text: &str) -> String {
    let json = serde_json::to_string(text).unwrap_or_default();
    let mut out = String::with_capacity(json.len());
    for sign in json.chars() {
        if sign.is_ascii() {
            out.push(sign);
        } else {
            let mut units = [0; 2];
            for unit in sign.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out[1..out.len() - 1].to_string()
}

/// The value as part of any longer base64 text: its place there can have three alignments.
fn base64_forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![base64(secret, false), base64(secret, true)];
    for before in 0..3usize {
        let mut shifted = vec![0; before];
        shifted.extend_from_slice(secret);
        let whole = shifted.len() * 8 / 6;
        let first = [0, 2, 3][before];
        for for_url in [false, true] {
            let text = base64(&shifted, for_url);
            if whole >= first + PART_MIN {
                forms.push(text[first..whole].to_vec());
            }
        }
    }
    forms
}

fn base64(bytes: &[u8], for_url: bool) -> Vec<u8> {
    const SIGNS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let sign = |bits: u32| match bits & 63 {
        62 => [b'+', b'-'][usize::from(for_url)],
        63 => [b'/', b'_'][usize::from(for_url)],
        bits => SIGNS[bits as usize],
    };
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |place: usize| u32::from(group.get(place).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            out.push(if place <= group.len() {
                sign(bits >> (18 - 6 * place))
            } else {
                b'='
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn masker(secrets: &[&str]) -> Masker {
        let secrets: Vec<Secret> = secrets.iter().map(|text| Secret::from(*text)).collect();
        Masker::new(&secrets)
    }

    fn masked(secrets: &[&str], text: &str, chunk: usize) -> String {
        let masker = masker(secrets);
        let (mut held, mut out) = (Vec::new(), Vec::new());
        for part in text.as_bytes().chunks(chunk) {
            masker.feed(&mut held, part, &mut out);
        }
        masker.finish(&mut held, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn a_secret_is_hidden_wherever_the_chunks_are_cut() {
        let text = "a hunter2-long b hunter2 c hunt hunter2";
        for chunk in 1..text.len() {
            let got = masked(&["hunter2", "hunter2-long"], text, chunk);
            assert_eq!(got, "a *** b *** c hunt ***", "chunks of {chunk}");
        }
    }

    #[test]
    fn encoded_forms_are_hidden() {
        let secret = "p'a ss\"wörd/1&";
        for form in [
            r#"p'a ss\"wörd/1&"#,
            r#"p'a ss\"w\u00f6rd/1&"#,
            "p%27a%20ss%22w%C3%B6rd%2F1%26",
            "p%27a%20ss%22w%c3%b6rd%2f1%26",
            "p%27a+ss%22w%C3%B6rd%2F1%26",
            "p%27a%20ss%22w%C3%B6rd/1%26",
            r#"p'\''a ss"wörd/1&"#,
            r#"p'"'"'a ss"wörd/1&"#,
            "p&#x27;a ss&quot;wörd/1&amp;",
            "p&#39;a ss&#34;wörd/1&amp;",
            "7027612073732277c3b672642f3126",
        ] {
            let text = format!("<{form}>");
            assert_eq!(masked(&[secret], &text, 3), "<***>", "{form}");
        }
        for before in ["", "m", "me", "me:"] {
            let text = [before, secret, " and more"].concat();
            let text = String::from_utf8(base64(text.as_bytes(), false)).unwrap_or_default();
            let got = masked(&[secret], &text, 5);
            assert!(got.contains(HIDDEN), "{before:?}: {text} became {got}");
        }
    }

    #[test]
    fn each_long_line_of_a_secret_is_hidden_by_itself() {
        let key = "first-line\nsecond-line\n";
        assert_eq!(masked(&[key], "x second-line y", 4), "x *** y");
    }

    #[test]
    fn values_are_hidden_in_every_corner() {
        let mut value =
            json!({"a": ["hunter2", 1], "hunter2": {"b": "x hunter2 y"}, "n": 12345678});
        masker(&["hunter2", "12345678"]).value(&mut value);
        let want = json!({"a": ["***", 1], "***": {"b": "x *** y"}, "n": "***"});
        assert_eq!(value, want);
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes(), false), encoded.as_bytes());
        }
    }

    proptest! {
        /// Whatever stands around it and however it is cut, no form of a secret gets through, and
        /// what is no secret does.
        #[test]
        fn no_form_gets_through(
            secret in "[ -~]{8,20}",
            before in "[a-z ]{0,9}",
            after in "[a-z ]{0,9}",
            chunk in 1usize..30,
        ) {
            for form in text_forms(&secret) {
                let form = String::from_utf8_lossy(&form).into_owned();
                let text = format!("{before}{form}{after}");
                let got = masked(&[&secret], &text, chunk);
                prop_assert!(got.contains(HIDDEN), "{text:?} became {got:?}");
                prop_assert!(form.contains('*') || !got.contains(&form), "{got:?}");
            }
            let plain = format!("{before}{after}");
            if !plain.contains(secret.trim()) {
                prop_assert_eq!(masked(&[&secret], &plain, chunk), plain);
            }
        }
    }
}

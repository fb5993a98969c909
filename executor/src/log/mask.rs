//! Hides secrets in a stream of bytes, over the borders of its chunks.

/// What stands in a secret's place.
const HIDDEN: &[u8] = b"***";
/// Shorter values are not hidden: they would hide half the log and protect nothing.
const SECRET_MIN: usize = 3;
/// Shorter lines of a secret of many lines are not hidden by themselves.
const PART_MIN: usize = 8;

/// The secrets of one task, in every form in which they tend to be printed.
#[derive(Default)]
pub(crate) struct Masker {
    /// Longest first.
    forms: Vec<Vec<u8>>,
    starts: Vec<bool>,
}

impl Masker {
    /// Hides these values.
    pub(crate) fn new(secrets: &[String]) -> Masker {
        let mut forms: Vec<Vec<u8>> = Vec::new();
        for secret in secrets.iter().filter(|secret| secret.len() >= SECRET_MIN) {
            forms.push(secret.clone().into_bytes());
            forms.extend(base64_forms(secret.as_bytes()));
            forms.extend(url_forms(secret));
            if let Ok(json) = serde_json::to_string(secret) {
                forms.push(json.as_bytes()[1..json.len() - 1].to_vec());
            }
            let lines = secret
                .lines()
                .map(str::trim)
                .filter(|line| line.len() >= PART_MIN);
            forms.extend(lines.map(|line| line.as_bytes().to_vec()));
        }
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        let mut starts = vec![false; 256];
        for form in &forms {
            starts[usize::from(form[0])] = true;
        }
        Masker { forms, starts }
    }

    /// Takes the next bytes; what is certain goes to `out`, what may be the beginning of a
    /// secret stays in `held` until more has come.
    pub(crate) fn feed(&self, held: &mut Vec<u8>, bytes: &[u8], out: &mut Vec<u8>) {
        if self.forms.is_empty() {
            out.extend_from_slice(bytes);
            return;
        }
        held.extend_from_slice(bytes);
        let taken = self.pass(held, out, false);
        held.drain(..taken);
    }

    /// The stream is over: the rest goes to `out`.
    pub(crate) fn finish(&self, held: &mut Vec<u8>, out: &mut Vec<u8>) {
        self.pass(held, out, true);
        held.clear();
    }

    /// Hides secrets in a whole text.
    pub(crate) fn text(&self, text: &str) -> String {
        if self.forms.is_empty() {
            return text.to_string();
        }
        let mut out = Vec::with_capacity(text.len());
        self.pass(text.as_bytes(), &mut out, true);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn pass(&self, bytes: &[u8], out: &mut Vec<u8>, is_last: bool) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let Some(skip) = rest.iter().position(|&b| self.may_start(b)) else {
                out.extend_from_slice(rest);
                return bytes.len();
            };
            out.extend_from_slice(&rest[..skip]);
            at += skip;
            match self.look(&bytes[at..], is_last) {
                Look::Secret(length) => {
                    out.extend_from_slice(HIDDEN);
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

    fn may_start(&self, byte: u8) -> bool {
        self.starts.get(usize::from(byte)).copied().unwrap_or(false)
    }

    /// The longest form wins, so a longer one that may still come holds back a shorter one.
    fn look(&self, rest: &[u8], is_last: bool) -> Look {
        for form in &self.forms {
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

/// Percent-encoded: upper and lower hex digits, and with `+` for a space.
fn url_forms(secret: &str) -> Vec<Vec<u8>> {
    let encode = |lower: bool| {
        let mut out = String::new();
        for byte in secret.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    out.push(byte as char);
                }
                _ if lower => out.push_str(&format!("%{byte:02x}")),
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
        out
    };
    let upper = encode(false);
    let plus = upper.replace("%20", "+");
    [upper, encode(true), plus].map(String::into_bytes).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(secrets: &[&str], text: &str, chunk: usize) -> String {
        let secrets: Vec<String> = secrets.iter().map(|s| s.to_string()).collect();
        let masker = Masker::new(&secrets);
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
        let secret = "pa ss\"wörd/1";
        let json = serde_json::to_string(secret).unwrap_or_default();
        let encoded = String::from_utf8(base64(secret.as_bytes(), false)).unwrap_or_default();
        let basic =
            String::from_utf8(base64(format!("me:{secret}").as_bytes(), false)).unwrap_or_default();
        let text = format!("{json} {encoded} pa%20ss%22w%C3%B6rd%2F1 pa+ss%22w%C3%B6rd%2F1");
        assert_eq!(masked(&[secret], &text, 7), "\"***\" *** *** ***");
        assert!(masked(&[secret], &basic, 5).contains("***"), "{basic}");
    }

    #[test]
    fn each_long_line_of_a_secret_is_hidden_by_itself() {
        assert_eq!(
            masked(&["first-line\nsecond-line\n"], "x second-line y", 4),
            "x *** y"
        );
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
}

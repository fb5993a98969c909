//! Whatever a task writes to `$TIDEMILL_OUTPUT` becomes values or one sentence about its mistake.

#[path = "../../../../tests/support/chance.rs"]
#[allow(dead_code, reason = "shared with tests that draw more")]
mod chance;

use super::end::{parse_output, read_file};
use crate::values::check_sizes;
use chance::Chance;

/// What the file is made of, and what it is not.
#[rustfmt::skip]
const PIECES: &[&[u8]] = &[
    b"key", b"=", b"value", b"\n", b"\r\n", b"{", b"}", b"\"a\"", b":", b",", b"[", b"]", b"1e999", b"-0", b"null",
    b" ", b"\t", b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"==", b"a.b-c_d", "ü".as_bytes(), b"\"\\ud800\"",
    b"{\"a\": {\"b\": [1, 2]}}\n", b"k=v\n", b"return_value=x\n", b"99999999999999999999",
];

fn bytes(chance: &mut Chance) -> Vec<u8> {
    let n = chance.between(0, 40);
    let mut bytes = Vec::new();
    for _ in 0..n {
        match chance.between(0, 20) {
            0 => bytes.push(chance.draw() as u8),
            1 => {
                let depth = chance.between(1, 4_000) as usize;
                bytes.extend(b"{\"a\":".repeat(depth));
            }
            _ => bytes.extend(PIECES[chance.between(0, PIECES.len() as u64 - 1) as usize]),
        }
    }
    bytes
}

#[test]
fn any_bytes_are_values_or_one_mistake() {
    let mut chance = Chance::from_environment("output files");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("output");
    for _ in 0..2_000 {
        let bytes = bytes(&mut chance);
        std::fs::write(&path, &bytes).unwrap();
        let text = match read_file(&path, "it") {
            Ok(text) => text.unwrap(),
            Err(why) => {
                assert!(std::str::from_utf8(&bytes).is_err(), "{why}");
                continue;
            }
        };
        let mut values = Vec::new();
        match parse_output(&text, &mut values) {
            Ok(()) => check_sizes(&values).unwrap(),
            Err(why) => assert!(why.contains("line"), "{why}"),
        }
        // The last word on a key is the only one.
        let mut keys: Vec<&String> = values.iter().map(|(key, _)| key).collect();
        let n = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), n, "{text:?}");
    }
}

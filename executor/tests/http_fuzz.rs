//! Whatever a server answers, an http task ends with an outcome, in bounded memory.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

#[path = "../../tests/support/chance.rs"]
#[allow(dead_code, reason = "shared with tests that draw more")]
mod chance;
mod common;

use chance::Chance;
use common::asking::place;
use common::http_server::ill_server;
use common::{in_process, texts};
use serde_json::json;
use std::io::Write;
use std::sync::Mutex;
use tidemill_log::NOTE;

/// What answers are made of, and what they are not.
#[rustfmt::skip]
const PIECES: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 500 No\r\n", b"HTTP/1.0 204 \r\n", b"HTTP/9.9 999 x\r\n", b"HTTP/1.1 100 \r\n\r\n",
    b"content-length: 5\r\n", b"content-length: 99999999999999999999\r\n", b"content-length: -1\r\n",
    b"transfer-encoding: chunked\r\n", b"content-encoding: gzip\r\n", b"retry-after: soon\r\n", b"retry-after: 99999999999\r\n",
    b"location: http://[::1\r\n", b"content-type: application/json; charset=\xff\r\n", b"x: \x01\r\n", b"\r\n", b"\n",
    b"5\r\nhello\r\n", b"0\r\n\r\n", b"fffffffffffffffff\r\n", b"{\"items\": [1, 2], \"next\": \"?p=2\"}", b"{\"items\":",
    b"\x1f\x8b\x08\x00", b"\xff\xfe", b"hello", b"null", b"[[[[[[",
];

fn answer(chance: &mut Chance) -> Vec<u8> {
    let mut answer = match chance.one_in(6) {
        true => Vec::new(),
        false => b"HTTP/1.1 200 OK\r\n".to_vec(),
    };
    for _ in 0..chance.between(0, 10) {
        match chance.between(0, 15) {
            0 => answer.extend((0..chance.between(1, 300)).map(|_| chance.draw() as u8)),
            _ => answer.extend(PIECES[chance.between(0, PIECES.len() as u64 - 1) as usize]),
        }
    }
    answer
}

#[test]
fn any_answer_is_an_outcome() {
    let chance = Mutex::new(Chance::from_environment("answers"));
    let server = ill_server(move |stream| {
        let answer = answer(&mut chance.lock().unwrap());
        let _ = stream.write_all(&answer); // it may have hung up already
    });
    let mut place = place();
    let kinds = [
        json!({}),
        json!({ "response_filter": "{{ response.json['items'] }}", "pagination": { "next": "{{ response.json.next }}", "max_pages": 3 } }),
        json!({ "save_to": "out", "max_size": 1000 }),
        json!({ "follow_redirects": true, "response_check": "{{ response.json is defined }}" }),
    ];
    for n in 0..160 {
        let mut settings = kinds[n % kinds.len()].clone();
        settings["url"] = json!(format!("http://{server}/"));
        settings["timeout"] = json!(5_000);
        let (outcome, log) = place.run(in_process("http", settings));
        let said = outcome.message.clone().unwrap_or_default();
        assert!(!said.contains("panicked"), "{outcome:?} {log:?}");
        assert!(!texts(&log, NOTE).is_empty(), "{outcome:?}");
    }
}

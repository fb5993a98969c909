//! Calls of webhooks, as machines elsewhere make them.

use super::waiting::wait_for;
use super::{PATIENCE, Server, http};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

/// Signs as standardwebhooks.com has it.
pub fn signed(key: &str, id: &str, seconds_ago: i64, body: &str) -> Vec<(String, String)> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seconds = now.as_secs() as i64 - seconds_ago;
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    let signature = BASE64.encode(mac.finalize().into_bytes());
    [
        ("webhook-id", id.to_string()),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-signature", format!("v1,{signature}")),
    ]
    .map(|(name, value)| (name.to_string(), value))
    .to_vec()
}

/// The first call of a webhook: the engine tells of a DAG's triggers a moment after it knows the
/// DAG.
pub fn first_call(
    server: &Server,
    path: &str,
    headers: &[(String, String)],
    body: &str,
) -> (u16, Value) {
    wait_for("the webhook", PATIENCE, || {
        let answer = call(server, path, headers, body);
        (answer.0 != 404).then_some(answer)
    })
}

/// One call over TCP, with a host that is not this machine's name.
pub fn call(server: &Server, path: &str, headers: &[(String, String)], body: &str) -> (u16, Value) {
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: hooks.example.com\r\nx-source: shop\r\nauthorization: Bearer hunter2\r\n\
         connection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    http::read(&answer).unwrap()
}

//! Just enough HTTP over a Unix socket to ask the server a question.

use serde_json::Value;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// One request on a connection of its own; an empty body is JSON null, and text that is no JSON
/// is a string.
pub fn ask(socket: &Path, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
    let text = body.map(Value::to_string).unwrap_or_default();
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let kind = if body.is_some() {
        "content-type: application/json\r\n"
    } else {
        ""
    };
    let length = text.len();
    // In one piece: a server that needs no body may answer and close before it has seen all of it.
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\nconnection: close\r\n{kind}content-length: {length}\r\n\r\n{text}"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    read(&answer)
}

/// Takes an answer apart.
pub fn read(answer: &[u8]) -> Result<(u16, Value)> {
    let split = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .ok_or_else(|| odd("no end of the headers"))?;
    let head = String::from_utf8_lossy(&answer[..split]).to_lowercase();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| odd("no status"))?;
    let rest = &answer[split + 4..];
    let body = if head.contains("transfer-encoding: chunked") {
        unchunk(rest)?
    } else {
        rest.to_vec()
    };
    if body.is_empty() {
        return Ok((status, Value::Null));
    }
    let text = String::from_utf8_lossy(&body);
    Ok((
        status,
        serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.into_owned())),
    ))
}

fn unchunk(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest
            .windows(2)
            .position(|two| two == b"\r\n")
            .ok_or_else(|| odd("a chunk without a length"))?;
        let text = String::from_utf8_lossy(&rest[..line]);
        let length = usize::from_str_radix(text.split(';').next().unwrap_or("").trim(), 16)
            .map_err(|_| odd("a length"))?;
        if length == 0 {
            return Ok(body);
        }
        let from = line + 2;
        body.extend_from_slice(
            rest.get(from..from + length)
                .ok_or_else(|| odd("a chunk that is cut off"))?,
        );
        rest = rest.get(from + length + 2..).unwrap_or_default();
    }
}

fn odd(what: &str) -> Error {
    Error::new(
        ErrorKind::InvalidData,
        format!("the answer is not HTTP: {what}"),
    )
}

/// A word as a part of a path.
pub fn escape(word: &str) -> String {
    let mut escaped = String::new();
    for byte in word.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(byte as char);
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

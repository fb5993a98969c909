//! A session at the pages, as a browser without a script has it.

use super::{PATIENCE, Place, Server, stdout};
use std::io::{Read, Write};
use std::net::TcpStream;

/// Somebody who has logged in.
pub struct Session {
    url: String,
    cookie: String,
}

impl Session {
    /// Logs in by a one-time link of the server of a place.
    pub fn of(place: &Place, server: &Server) -> Session {
        let link = stdout(&place.call(&["login-link"]));
        let path = link
            .split_whitespace()
            .find_map(|word| word.strip_prefix(&server.url))
            .unwrap_or_else(|| panic!("no link in {link}"));
        let mut session = Session {
            url: server.url.clone(),
            cookie: String::new(),
        };
        let welcome = session.get(path);
        let cookie = welcome.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let is_it = name.eq_ignore_ascii_case("set-cookie");
            is_it.then(|| value.split(';').next().unwrap_or_default().to_string())
        });
        session.cookie = cookie.unwrap_or_else(|| panic!("no cookie in {welcome}"));
        session
    }

    /// The whole answer for a page.
    pub fn get(&self, path: &str) -> String {
        self.send("GET", path, "")
    }

    /// The whole answer to a form.
    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let pair = |(name, value): &(&str, &str)| format!("{name}={}", super::http::escape(value));
        let fields: Vec<String> = fields.iter().map(pair).collect();
        self.send("POST", path, &fields.join("&"))
    }

    fn send(&self, method: &str, path: &str, body: &str) -> String {
        let host = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (url, cookie, length) = (&self.url, &self.cookie, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncookie: {cookie}\r\norigin: {url}\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

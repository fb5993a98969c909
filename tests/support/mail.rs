//! A mail server that keeps nothing: it hands on what it was told, line by line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

/// How what is said is covered.
pub enum Cover {
    /// Not at all.
    None,
    /// By TLS from the first byte.
    Wrapped(Arc<ServerConfig>),
    /// By TLS once `STARTTLS` was said.
    StartTls(Arc<ServerConfig>),
}

/// Marks, in what is handed on, where TLS began.
pub const SECURED: &str = "(by TLS)\n";

/// A server that lets everybody in, or only who has this name and password; its port, and what it
/// is told in one connection after the other.
pub fn mails(cover: Cover, login: Option<(&'static str, &'static str)>) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut said = String::new();
            // Whoever does not trust the certificate hangs up.
            let _ = take(stream, &cover, login, &mut said);
            if sender.send(said).is_err() {
                return;
            }
        }
    });
    (port, received)
}

fn take(
    stream: TcpStream,
    cover: &Cover,
    login: Option<(&str, &str)>,
    said: &mut String,
) -> Result<()> {
    let wrapped = |stream, config: &Arc<ServerConfig>| {
        let connection = ServerConnection::new(Arc::clone(config)).unwrap();
        StreamOwned::new(connection, stream)
    };
    let talk = |offers| Talk {
        login,
        offers_tls: offers,
        is_in: login.is_none(),
    };
    match cover {
        Cover::None => talk(false).hold(stream, true, said).map(drop),
        Cover::Wrapped(config) => {
            said.push_str(SECURED);
            let mut talk = talk(false);
            talk.hold(wrapped(stream, config), true, said).map(drop)
        }
        Cover::StartTls(config) => {
            let stream = talk(true).hold(stream, true, said)?;
            let Some(stream) = stream else { return Ok(()) };
            said.push_str(SECURED);
            let mut talk = talk(false);
            talk.hold(wrapped(stream, config), false, said).map(drop)
        }
    }
}

struct Talk<'l> {
    login: Option<(&'l str, &'l str)>,
    offers_tls: bool,
    is_in: bool,
}

impl Talk<'_> {
    /// Talks until the end; gives the stream back where TLS was asked for.
    fn hold<S: Read + Write>(
        &mut self,
        mut stream: S,
        greets: bool,
        said: &mut String,
    ) -> Result<Option<S>> {
        if greets {
            stream.write_all(b"220 sink\r\n")?;
        }
        let mut in_data = false;
        loop {
            let line = read_line(&mut stream)?;
            if line.is_empty() {
                return Ok(None);
            }
            said.push_str(&line);
            let word = line.trim_end();
            let answer = match (in_data, word) {
                (true, ".") => {
                    in_data = false;
                    "250 kept\r\n"
                }
                (true, _) => continue,
                (false, "STARTTLS") if self.offers_tls => {
                    stream.write_all(b"220 go on\r\n")?;
                    return Ok(Some(stream));
                }
                (false, "DATA") if self.is_in => {
                    in_data = true;
                    "354 go on\r\n"
                }
                (false, "QUIT") => {
                    let _ = stream.write_all(b"221 bye\r\n"); // it may be gone already
                    return Ok(None);
                }
                (false, word) => self.answer(word),
            };
            stream.write_all(answer.as_bytes())?;
        }
    }

    fn answer(&mut self, word: &str) -> &'static str {
        let login = word.strip_prefix("AUTH PLAIN ");
        match (login, self.login) {
            (Some(given), Some((name, password))) => {
                let wanted = BASE64.encode(format!("\0{name}\0{password}"));
                self.is_in = given == wanted;
                match self.is_in {
                    true => "235 in\r\n",
                    false => "535 5.7.8 not with these\r\n",
                }
            }
            _ if word.starts_with("EHLO") && self.offers_tls => "250-sink\r\n250 STARTTLS\r\n",
            _ if word.starts_with("EHLO") && self.login.is_some() => {
                "250-sink\r\n250 AUTH PLAIN\r\n"
            }
            _ if word.starts_with("MAIL") && !self.is_in => "530 who is it?\r\n",
            _ => "250 ok\r\n",
        }
    }
}

fn read_line(stream: &mut impl Read) -> Result<String> {
    let mut line = Vec::new();
    let mut byte = [0u8; 1];
    while !line.ends_with(b"\n") && stream.read(&mut byte)? == 1 {
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

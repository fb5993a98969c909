//! A way to a PostgreSQL server that is cut at the worst moment: when the server has done what it
//! was asked, and before it could say so.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where the next cut comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nowhere.
    None,
    /// The server has answered, and the answer gets lost.
    Answer,
    /// As `Answer`, once an answer has rows in it.
    AnswerWithRows,
    /// The question does not reach the server.
    Question,
    /// As `Answer`, and after that nobody reaches the server.
    AnswerThenAway,
    /// Nobody reaches the server.
    Away,
}

#[derive(Default)]
struct Plan {
    cut: Option<Cut>,
    word: String,
}

/// The proxy. It listens on loopback until its process ends.
pub struct Proxy {
    port: u16,
    plan: Arc<Mutex<Plan>>,
}

impl Proxy {
    /// A way to the server whose socket lies in a folder.
    ///
    /// # Panics
    /// When there is no port.
    pub fn to(folder: &Path) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let plan: Arc<Mutex<Plan>> = Arc::default();
        let (socket, shared) = (folder.join(".s.PGSQL.5432"), Arc::clone(&plan));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (socket, plan) = (socket.clone(), Arc::clone(&shared));
                std::thread::spawn(move || pass_on(&client, &socket, &plan));
            }
        });
        Proxy { port, plan }
    }

    /// The address of a database by this way.
    pub fn url(&self, user: &str, database: &str) -> String {
        format!(
            "postgres://{user}@127.0.0.1:{}/{database}?sslmode=disable",
            self.port
        )
    }

    /// The next statement whose text has this word in it is cut so.
    pub fn set(&self, cut: Cut, word: &str) {
        *lock(&self.plan) = Plan {
            cut: Some(cut).filter(|cut| *cut != Cut::None),
            word: word.to_string(),
        };
    }

    /// Has the cut come that was planned last?
    pub fn has_cut(&self) -> bool {
        matches!(lock(&self.plan).cut, None | Some(Cut::Away))
    }
}

fn lock(plan: &Mutex<Plan>) -> MutexGuard<'_, Plan> {
    plan.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the two directions of one connection know together: is the answer to come to be cut?
type Watched = Arc<Mutex<bool>>;

fn pass_on(client: &TcpStream, socket: &PathBuf, plan: &Arc<Mutex<Plan>>) {
    if lock(plan).cut == Some(Cut::Away) {
        return;
    }
    let Ok(server) = UnixStream::connect(socket) else {
        return;
    };
    let watched = Watched::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            questions(client, &server, plan, &watched);
            end(client, &server);
        });
        answers(client, &server, plan, &watched);
        end(client, &server);
    });
}

fn end(client: &TcpStream, server: &UnixStream) {
    let _ = client.shutdown(Shutdown::Both); // the other side may have ended it already
    let _ = server.shutdown(Shutdown::Both);
}

fn questions(
    mut client: &TcpStream,
    mut server: &UnixStream,
    plan: &Mutex<Plan>,
    watched: &Watched,
) {
    let mut statements = HashMap::new();
    let mut rest = Vec::new();
    let mut is_open = false;
    let mut bytes = vec![0u8; 1 << 16];
    loop {
        let Ok(n @ 1..) = client.read(&mut bytes) else {
            return;
        };
        rest.extend_from_slice(&bytes[..n]);
        // The first message has no letter before its length.
        while let Some(message) = next_message(&mut rest, is_open) {
            let mut plan = lock(plan);
            match plan.cut {
                Some(Cut::Away) => return,
                Some(cut) if is_open && runs(&message, &mut statements, &plan.word) => {
                    if cut == Cut::Question {
                        plan.cut = None;
                        return;
                    }
                    *watched.lock().unwrap_or_else(PoisonError::into_inner) = true;
                }
                _ if is_open => {
                    runs(&message, &mut statements, "");
                }
                _ => is_open = true,
            }
            drop(plan);
            if server.write_all(&message).is_err() {
                return;
            }
        }
    }
}

/// Does this message have a statement done whose text has the word?
fn runs(message: &[u8], statements: &mut HashMap<String, String>, word: &str) -> bool {
    let mut texts = message[5..].split(|byte| *byte == 0);
    let mut text = || String::from_utf8_lossy(texts.next().unwrap_or_default()).into_owned();
    match message[0] {
        b'Q' => text().contains(word),
        b'P' => {
            let name = text();
            statements.insert(name, text());
            false
        }
        b'B' => {
            let _portal = text();
            statements
                .get(&text())
                .is_some_and(|text| text.contains(word))
        }
        _ => false,
    }
}

fn answers(mut client: &TcpStream, mut server: &UnixStream, plan: &Mutex<Plan>, watched: &Watched) {
    let mut rest = Vec::new();
    let mut kept = Vec::new();
    let mut has_rows = false;
    let mut bytes = vec![0u8; 1 << 16];
    loop {
        let Ok(n @ 1..) = server.read(&mut bytes) else {
            return;
        };
        rest.extend_from_slice(&bytes[..n]);
        while let Some(message) = next_message(&mut rest, true) {
            let is_end = message[0] == b'Z';
            has_rows |= message[0] == b'D';
            kept.extend_from_slice(&message);
            let mut plan = lock(plan);
            let mut is_watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
            if *is_watched && is_end {
                *is_watched = false;
                match plan.cut {
                    Some(Cut::AnswerWithRows) if !has_rows => {}
                    Some(Cut::AnswerThenAway) => {
                        plan.cut = Some(Cut::Away);
                        return;
                    }
                    _ => {
                        plan.cut = None;
                        return;
                    }
                }
            }
            if !*is_watched {
                if client.write_all(&kept).is_err() {
                    return;
                }
                kept.clear();
            }
            has_rows &= !is_end;
        }
    }
}

/// Takes the next whole message off the bytes that have come.
fn next_message(bytes: &mut Vec<u8>, has_letter: bool) -> Option<Vec<u8>> {
    let at = usize::from(has_letter);
    let length: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    let end = at + u32::from_be_bytes(length) as usize;
    (bytes.len() >= end).then(|| bytes.drain(..end).collect())
}

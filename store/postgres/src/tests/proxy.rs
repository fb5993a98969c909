//! A way to the server that can be cut at the worst moment.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// Where the next cut comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Nowhere.
    None = 0,
    /// The server has answered, and the answer gets lost.
    Answer = 1,
    /// The question does not reach the server.
    Question = 2,
    /// As `Answer`, and after that nobody reaches the server.
    AnswerThenAway = 3,
    /// Nobody reaches the server.
    Away = 4,
}

/// The proxy. Questions that hold the pass's text or name are the ones that are cut.
pub(super) struct Proxy {
    pub port: u16,
    cut: Arc<AtomicU8>,
}

impl Proxy {
    pub(super) async fn to(socket: PathBuf) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = Arc::new(AtomicU8::new(0));
        let shared = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let cut = Arc::clone(&shared);
                if cut.load(Ordering::SeqCst) != Cut::Away as u8 {
                    let server = UnixStream::connect(&socket).await.unwrap();
                    tokio::spawn(pass_on(client, server, cut));
                }
            }
        });
        Proxy { port, cut }
    }

    /// The next question that writes is cut so.
    pub(super) fn set(&self, cut: Cut) {
        self.cut.store(cut as u8, Ordering::SeqCst);
    }

    pub(super) fn has_cut(&self) -> bool {
        let cut = self.cut.load(Ordering::SeqCst);
        cut == Cut::None as u8 || cut == Cut::Away as u8
    }
}

/// Does this question end a transaction? A pass binds and executes in one message of its own
/// size; everything else commits by name.
fn is_commit(question: &[u8]) -> bool {
    let has = |word: &[u8]| question.windows(word.len()).any(|part| part == word);
    has(b"COMMIT") || has(b"{\"seq\":")
}

async fn pass_on(mut client: TcpStream, mut server: UnixStream, cut: Arc<AtomicU8>) {
    let (mut asked, mut told) = (vec![0u8; 1 << 20], vec![0u8; 1 << 20]);
    let mut drops_answer = false;
    loop {
        tokio::select! {
            n = client.read(&mut asked) => {
                let Ok(n @ 1..) = n else { return };
                let wanted = cut.load(Ordering::SeqCst);
                if wanted == Cut::Away as u8 {
                    return;
                }
                if is_commit(&asked[..n]) {
                    if wanted == Cut::Question as u8 {
                        cut.store(Cut::None as u8, Ordering::SeqCst);
                        return;
                    }
                    drops_answer = wanted != Cut::None as u8;
                }
                if server.write_all(&asked[..n]).await.is_err() { return }
            }
            n = server.read(&mut told) => {
                let Ok(n @ 1..) = n else { return };
                if drops_answer {
                    let away = cut.load(Ordering::SeqCst) == Cut::AnswerThenAway as u8;
                    let next = if away { Cut::Away } else { Cut::None };
                    cut.store(next as u8, Ordering::SeqCst);
                    return;
                }
                if client.write_all(&told[..n]).await.is_err() { return }
            }
        }
    }
}

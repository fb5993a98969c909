//! What tells a server to stop, or to read its configuration again.

use std::io::IsTerminal;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that a server listens to.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    had_terminal: bool,
}

/// What a person or a service manager wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To stop.
    Stop,
    /// That the configuration is read again.
    Reread,
}

impl Signals {
    /// Listens from here on.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            had_terminal: std::io::stderr().is_terminal(),
        })
    }

    /// The next wish. A hangup is one to stop where it comes from a terminal that was closed.
    pub async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.hangup.recv() => match self.had_terminal && !std::io::stderr().is_terminal() {
                true => Wish::Stop,
                false => Wish::Reread,
            },
        }
    }

    /// Waits until the server is to stop. There is nothing to read again for a server that does
    /// not lead.
    pub async fn stop(&mut self) {
        while self.next().await != Wish::Stop {}
    }
}

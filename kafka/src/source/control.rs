//! What a source is told while it works, and what wakes it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Default)]
struct Wish {
    stop: bool,
    is_paused: bool,
    reopen: bool,
    is_rung: bool,
}

/// Shared by the thread, its owner and librdkafka's own threads.
pub(crate) struct Control {
    wish: Mutex<Wish>,
    bell: Condvar,
}

impl Control {
    pub(crate) fn new(is_paused: bool) -> Control {
        let wish = Wish {
            is_paused,
            ..Wish::default()
        };
        Control {
            wish: Mutex::new(wish),
            bell: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Wish> {
        self.wish.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Wish)) {
        let mut wish = self.lock();
        change(&mut wish);
        wish.is_rung = true;
        self.bell.notify_all();
    }

    pub(crate) fn stop(&self) {
        self.change(|wish| wish.stop = true);
    }

    pub(crate) fn pause(&self, is_paused: bool) {
        self.change(|wish| wish.is_paused = is_paused);
    }

    pub(crate) fn reopen(&self) {
        self.change(|wish| wish.reopen = true);
    }

    /// There may be something to read.
    pub(crate) fn ring(&self) {
        self.change(|_| {});
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().stop
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.lock().is_paused
    }

    /// Is reading to end here? A wish to begin anew is taken with that.
    pub(crate) fn ends_session(&self) -> bool {
        let mut wish = self.lock();
        let reopen = std::mem::take(&mut wish.reopen);
        wish.stop || wish.is_paused || reopen
    }

    /// Waits for a bell, at most so long. One that rang since the last wait counts.
    pub(crate) fn wait(&self, limit: Duration) {
        let wish = self.lock();
        let waited = self
            .bell
            .wait_timeout_while(wish, limit, |wish| !wish.is_rung);
        let (mut wish, _) = waited.unwrap_or_else(PoisonError::into_inner);
        wish.is_rung = false;
    }
}

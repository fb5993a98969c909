//! Attempts that run inside this process: a few threads of their own, a limit in time, an end at
//! any moment, and no panic that goes further than its attempt.

use crate::log::thread::Ringer;
use crate::operator::shell::after_timeout;
use crate::operator::{Closing, Deferral, Job, Run};
use futures_util::FutureExt;
use serde_json::Value;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use tidemill_model::attempt::Verdict;
use tidemill_model::{Outcome, Reason};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// Threads for work that waits.
const THREADS: usize = 2;
/// Threads for work that computes or blocks: files, SQLite, modules.
const BLOCKING_THREADS_MAX: usize = 64;

/// All attempts of this kind of a worker.
pub(crate) struct Here {
    /// Started with the first attempt.
    runtime: Option<Runtime>,
    ringer: Ringer,
    teller: Sender<(u64, News)>,
    news: Receiver<(u64, News)>,
}

/// What an attempt has to tell.
pub(crate) enum News {
    /// It waits, and gives its slot back; what to keep of it meanwhile.
    Deferred(Vec<(String, Value)>),
    /// It has ended.
    Over(Over),
}

/// The end of one attempt.
pub(crate) struct Over {
    /// How it ended.
    pub outcome: Outcome,
    /// The last line of its log, where it did not end by itself.
    pub note: Option<String>,
}

/// A running attempt. Dropping it ends it without a word.
pub(crate) struct Handle {
    kill: Option<oneshot::Sender<Reason>>,
}

impl Handle {
    /// Ends it; its end is reported with the reason.
    pub(crate) fn kill(&mut self, reason: Reason) {
        if let Some(kill) = self.kill.take() {
            let _ = kill.send(reason); // nobody listens when it has just ended
        }
    }
}

impl Here {
    /// Rings whenever an attempt has ended.
    pub(crate) fn new(ringer: Ringer) -> Here {
        let (teller, news) = channel();
        Here {
            runtime: None,
            ringer,
            teller,
            news,
        }
    }

    /// How an attempt tells that it waits.
    pub(crate) fn deferral(&self, id: u64) -> Deferral {
        let (teller, ringer) = (self.teller.clone(), self.ringer.clone());
        Box::new(move |values| {
            let _ = teller.send((id, News::Deferred(values))); // the worker is gone
            ringer.ring();
        })
    }

    /// Starts an attempt.
    ///
    /// # Errors
    /// When the threads cannot be started.
    pub(crate) fn start(
        &mut self,
        id: u64,
        run: Run,
        job: Job,
        timeout: Option<Duration>,
    ) -> io::Result<Handle> {
        let runtime = match &mut self.runtime {
            Some(runtime) => runtime,
            none => none.insert(start_runtime()?),
        };
        let (kill, killed) = oneshot::channel();
        let (teller, ringer) = (self.teller.clone(), self.ringer.clone());
        runtime.spawn(async move {
            if let Some(over) = attend(run, job, timeout, killed).await {
                let _ = teller.send((id, News::Over(over))); // the worker is gone
                ringer.ring();
            }
        });
        Ok(Handle { kill: Some(kill) })
    }

    /// What attempts have told since the last call, in its order.
    pub(crate) fn news(&self) -> Vec<(u64, News)> {
        self.news.try_iter().collect()
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn start_runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("operators")
        .enable_all()
        .build()
}

/// Waits for the first of: the end of the work, its kill, its time. `None` when nobody is left to
/// be told.
async fn attend(
    run: Run,
    job: Job,
    timeout: Option<Duration>,
    killed: oneshot::Receiver<Reason>,
) -> Option<Over> {
    let closing = job.closing();
    // The call itself may panic too, so it is made inside of what is caught.
    let work = AssertUnwindSafe(async move { run(job).await }).catch_unwind();
    let too_late = async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        reason = killed => reason.ok().map(after_kill),
        end = work => Some(match end {
            Ok(end) => after_work(closing, end),
            Err(_) => panicked(),
        }),
        () = too_late => Some(stopped(Reason::TimedOut, after_timeout(timeout))),
    }
}

fn after_work(closing: Closing, end: Result<crate::operator::Done, crate::operator::End>) -> Over {
    // Rendering outputs may panic no less than the work itself.
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| closing.outcome(end)));
    let Ok(outcome) = outcome else {
        return panicked();
    };
    let note = (outcome.verdict == Verdict::Failed)
        .then(|| outcome.message.clone())
        .flatten();
    Over { outcome, note }
}

fn after_kill(reason: Reason) -> Over {
    stopped(reason, format!("killed: {reason}"))
}

fn stopped(reason: Reason, message: String) -> Over {
    let verdict = match reason {
        Reason::Lost => Verdict::Lost,
        _ => Verdict::Failed,
    };
    Over {
        outcome: Outcome::without_process(verdict, reason, message.clone()),
        note: Some(message),
    }
}

/// A bug of the operator's. What it said stays out of the message: it may quote a secret.
fn panicked() -> Over {
    let message = "the operator panicked, which is a bug of Tidemill's: its own log says where";
    Over {
        outcome: Outcome::without_process(Verdict::Failed, Reason::Refused, message),
        note: Some(message.to_string()),
    }
}

//! The side that asks: a process that stands by, or only serves the API.

use super::{ANSWER_WITHIN, Asked, Said};
use crate::exit::chain;
use serde_json::Value;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tidemill_store::{
    Answer, Command, PutWish, Refusal, StoreError, StreamWish, WISH_TAKEN_WITHIN, WishStore,
};
use tidemill_web::{HookCall, NotTaken};
use tokio::sync::Semaphore;

/// A change waits so long for a scheduler: longer than it takes to have a new one.
const CHANGE_TAKEN_WITHIN: Duration = Duration::from_secs(15);
/// A question waits so long: pages have something to show without its answer.
const QUESTION_TAKEN_WITHIN: Duration = Duration::from_secs(3);
/// Nobody has taken a wish: for so long questions are not asked, so that pages stay quick.
const QUIET: Duration = Duration::from_secs(5);
/// All of it is over by then, whatever becomes of the database.
const OVER_WITHIN: Duration = Duration::from_secs(25);
/// The answer is looked for after this, then half as often each time,
const LOOK_FIRST: Duration = Duration::from_millis(10);
/// and in the end as often as this.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// No wish is larger: a body is at most a mebibyte, and some grow as JSON.
const WISH_BYTES_MAX: usize = 4 << 20;
/// So many wishes of people wait here at once,
const WISHES_MAX: usize = 32;
/// and so many calls of webhooks: those who have no session cannot keep out those who have.
const CALLS_MAX: usize = 16;

/// Headers that let somebody in elsewhere. Nothing here reads them, so no row holds them.
const NOT_CARRIED: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

// Who has asked is gone before the wish is too old to be taken.
const _: () = assert!(ANSWER_WITHIN.as_secs() <= WISH_TAKEN_WITHIN.as_secs());

/// Why there is no answer. Each says whether it may have happened.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("no scheduler leads: nobody has taken this within {} s; nothing was done", .0.as_secs())]
    NotTaken(Duration),
    #[error("no scheduler leads, as was seen a moment ago; nothing was done")]
    NotAsked,
    #[error(
        "the scheduler has not answered in time: it may have happened, look before you ask again"
    )]
    NoAnswer,
    #[error("it cannot be written for the scheduler ({}); nothing was done", chain(.0))]
    NotWritten(StoreError),
    #[error("too much waits for the scheduler already; nothing was done")]
    TooMany,
    #[error("it is too large to be carried to the scheduler; nothing was done")]
    TooLarge,
    #[error("it cannot be carried to the scheduler ({0}); nothing was done")]
    NoForm(serde_json::Error),
    #[error("the scheduler is of another version and cannot read it ({0}); nothing was done")]
    NotRead(String),
    #[error("it was done, but its answer cannot be carried here: {0}")]
    NotTold(String),
}

/// Carries wishes to the scheduler and answers back.
pub struct Asker {
    store: Arc<dyn WishStore>,
    wishes: Arc<Semaphore>,
    calls: Arc<Semaphore>,
    /// When a wish was last taken back because nobody had taken it, if none was answered since.
    untaken: Arc<Mutex<Option<Instant>>>,
}

impl Asker {
    /// By the rows of this store.
    pub fn new(store: Arc<dyn WishStore>) -> Asker {
        Asker {
            store,
            wishes: Arc::new(Semaphore::new(WISHES_MAX)),
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            untaken: Arc::default(),
        }
    }

    /// Asks the engine.
    ///
    /// # Errors
    /// The engine's refusal, or that there is no answer.
    pub async fn command(&self, command: Command) -> Result<Answer, Refusal> {
        let changes = command.changes();
        match self
            .ask(Asked::Command(command), &self.wishes, changes)
            .await
        {
            Ok(Said::Command(said)) => said,
            other => Err(Refusal::Unavailable { what: why(other) }),
        }
    }

    /// Asks those who read streams.
    ///
    /// # Errors
    /// Their refusal, or that there is no answer.
    pub async fn stream(&self, wish: StreamWish) -> Result<Value, Refusal> {
        let changes = wish.changes();
        match self.ask(Asked::Stream(wish), &self.wishes, changes).await {
            Ok(Said::Stream(said)) => said,
            other => Err(Refusal::Unavailable { what: why(other) }),
        }
    }

    /// Hands a call of a webhook on.
    ///
    /// # Errors
    /// Why it has made no run, or that there is no answer.
    pub async fn call(&self, mut call: HookCall) -> Result<Option<String>, NotTaken> {
        call.headers.retain(|(name, _)| {
            let mut hidden = NOT_CARRIED.iter();
            !hidden.any(|hidden| name.eq_ignore_ascii_case(hidden))
        });
        match self.ask(Asked::Hook(call), &self.calls, true).await {
            Ok(Said::Hook(said)) => said,
            other => Err(NotTaken::Later { why: why(other) }),
        }
    }

    /// Asks, and sees it to its end even if whoever asked has hung up.
    async fn ask(
        &self,
        asked: Asked,
        places: &Arc<Semaphore>,
        changes: bool,
    ) -> Result<Said, Unanswered> {
        if !changes && locked(&self.untaken).is_some_and(|at| at.elapsed() < QUIET) {
            return Err(Unanswered::NotAsked);
        }
        let place = Arc::clone(places).try_acquire_owned();
        let place = place.map_err(|_| Unanswered::TooMany)?;
        let asked = serde_json::to_string(&asked).map_err(Unanswered::NoForm)?;
        if asked.len() > WISH_BYTES_MAX {
            return Err(Unanswered::TooLarge);
        }
        let (store, untaken) = (Arc::clone(&self.store), Arc::clone(&self.untaken));
        let carried = tokio::spawn(async move {
            let _place = place;
            let carried = carry(&*store, &asked, taken_within(changes));
            let carried = tokio::time::timeout(OVER_WITHIN, carried).await;
            let carried = carried.unwrap_or(Err(Unanswered::NoAnswer));
            // Not left to who has asked: a page hangs up sooner, and the next is to be quick.
            match &carried {
                Ok(_) => *locked(&untaken) = None,
                Err(Unanswered::NotTaken(_)) => *locked(&untaken) = Some(Instant::now()),
                Err(_) => {}
            }
            carried
        });
        let carried = carried.await.unwrap_or(Err(Unanswered::NoAnswer));
        match serde_json::from_str(&carried?) {
            Ok(Said::NotRead(why)) => Err(Unanswered::NotRead(why)),
            Ok(Said::NotTold(why)) => Err(Unanswered::NotTold(why)),
            Ok(said) => Ok(said),
            Err(err) => Err(Unanswered::NotTold(err.to_string())),
        }
    }
}

fn locked(untaken: &Mutex<Option<Instant>>) -> MutexGuard<'_, Option<Instant>> {
    untaken.lock().unwrap_or_else(PoisonError::into_inner)
}

const fn taken_within(changes: bool) -> Duration {
    if changes {
        CHANGE_TAKEN_WITHIN
    } else {
        QUESTION_TAKEN_WITHIN
    }
}

/// Why there is no answer of the kind that was asked for.
fn why(said: Result<Said, Unanswered>) -> String {
    match said {
        Ok(_) => Unanswered::NotTold("it answers something else".to_string()).to_string(),
        Err(unanswered) => unanswered.to_string(),
    }
}

/// Writes a wish and waits for what comes of it. The row goes with the answer; what is left of one
/// whose answer nobody has waited for is swept by the scheduler.
async fn carry(
    store: &dyn WishStore,
    asked: &str,
    taken_within: Duration,
) -> Result<String, Unanswered> {
    let began = Instant::now();
    let wish = match store.put_wish(asked).await {
        Ok(PutWish::Waits(wish)) => wish,
        Ok(PutWish::Full) => return Err(Unanswered::TooMany),
        Ok(PutWish::Failed(err)) => return Err(Unanswered::NotWritten(err)),
        Err(_) => return Err(Unanswered::NoAnswer),
    };
    let mut is_taken = false;
    let mut pause = LOOK_FIRST;
    while began.elapsed() < ANSWER_WITHIN {
        tokio::time::sleep(pause).await;
        pause = LOOK_EVERY.min(pause * 2);
        // A database that does not answer is asked again.
        if let Ok(Some(answer)) = store.wish_answer(wish).await {
            let _ = store.forget_wish(wish).await; // else it is swept
            return Ok(answer);
        }
        if !is_taken && began.elapsed() >= taken_within {
            match store.withdraw_wish(wish).await {
                Ok(true) => return Err(Unanswered::NotTaken(taken_within)),
                Ok(false) => is_taken = true,
                Err(err) => tracing::debug!(error = %chain(&err), "A wish cannot be taken back"),
            }
        }
    }
    match store.forget_wish(wish).await {
        Ok(Some(answer)) => Ok(answer),
        _ => Err(Unanswered::NoAnswer),
    }
}

//! The side that does what is asked: the scheduler, for as long as it leads.

use super::{ANSWER_WITHIN, Asked, Said};
use crate::daemon::database::Database;
use crate::exit::chain;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidemill_store::{CommandDoor, StoreError, StreamDoor, TakenWish, WishStore};
use tidemill_web::HookDoor;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

/// So many wishes are done at once; others wait until one of them is answered.
const AT_ONCE: u32 = 16;
/// Wishes are looked for so often, where nobody says that there is one.
#[cfg(feature = "postgres")]
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// An answer that the database does not take is given again after this.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// A server that ends lets what it has taken be answered for so long.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// No answer is larger.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Where wishes are done.
pub struct Doors {
    /// By the engine.
    pub commands: CommandDoor,
    /// By those who read streams.
    pub streams: StreamDoor,
    /// By those who know the webhooks.
    pub hooks: HookDoor,
}

/// Wishes of other processes are done until the value is dropped.
pub struct Attending {
    tasks: [JoinHandle<()>; 2],
    places: Arc<Semaphore>,
}

impl Attending {
    /// Begins, if this database carries wishes. While the server is not ready none is taken: those
    /// who ask would be told of a scheduler that does not know its files yet, or that ends.
    pub fn start(
        database: &Database,
        term: i64,
        doors: Doors,
        is_ready: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Option<Attending> {
        let places = Arc::new(Semaphore::new(AT_ONCE as usize));
        let attendant = Arc::new(Attendant {
            store: database.wishes.clone()?,
            term,
            doors,
            is_ready: Box::new(is_ready),
            places: Arc::clone(&places),
        });
        let bell = Arc::new(Notify::new());
        let listening = listen(database.clone(), Arc::clone(&bell));
        Some(Attending {
            tasks: [
                tokio::spawn(listening),
                tokio::spawn(attendant.attend(bell)),
            ],
            places,
        })
    }

    /// Lets what was taken be answered, for a moment.
    pub async fn finish(&self) {
        let all = self.places.acquire_many(AT_ONCE);
        let _ = tokio::time::timeout(LAST_WORDS, all).await; // who asked is told that nobody knows
    }
}

impl Drop for Attending {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Rings when somebody has asked, and now and then besides.
async fn listen(database: Database, bell: Arc<Notify>) {
    #[cfg(feature = "postgres")]
    if let Some(store) = database.shared_store() {
        use tidemill_store_postgres::{Listener, Rings};
        let mut listener = Listener::new(store, Rings::Wishes);
        loop {
            listener.wait(LOOK_EVERY).await;
            bell.notify_one();
        }
    }
    let _ = (database, bell); // a file carries no wishes
}

struct Attendant {
    store: Arc<dyn WishStore>,
    term: i64,
    doors: Doors,
    is_ready: Box<dyn Fn() -> bool + Send + Sync>,
    places: Arc<Semaphore>,
}

impl Attendant {
    async fn attend(self: Arc<Self>, bell: Arc<Notify>) {
        loop {
            bell.notified().await;
            match Arc::clone(&self).take_all().await {
                Ok(()) => {}
                Err(StoreError::TermLost) => return, // another does it from now on
                Err(err) => tracing::debug!(error = %chain(&err), "Wishes cannot be looked for"),
            }
        }
    }

    /// Takes all that wait, never more at once than can be done at once.
    async fn take_all(self: Arc<Self>) -> Result<(), StoreError> {
        loop {
            let Some(mut free) = free_places(&self.places).await else {
                return Ok(());
            };
            // Not before a place is free: a server may end while all are taken.
            if !(self.is_ready)() {
                return Ok(());
            }
            let limit = free.num_permits();
            let taken = self.store.take_wishes(self.term, limit as u32).await?;
            let is_all = taken.len() < limit;
            for wish in taken {
                let (attendant, place) = (Arc::clone(&self), free.split(1));
                tokio::spawn(async move {
                    let _place = place;
                    attendant.fulfil(wish).await;
                });
            }
            if is_all {
                return Ok(());
            }
        }
    }

    async fn fulfil(&self, wish: TakenWish) {
        let said = match serde_json::from_str(&wish.asked) {
            Ok(Asked::Command(command)) => Said::Command((self.doors.commands)(command).await),
            Ok(Asked::Stream(asked)) => Said::Stream((self.doors.streams)(asked).await),
            Ok(Asked::Hook(call)) => Said::Hook((self.doors.hooks)(call).await),
            Err(err) => Said::NotRead(err.to_string()),
        };
        self.tell(wish.wish, &text_of(&said)).await;
    }

    /// Answers. While the database is away it is tried again, as long as somebody waits for it.
    async fn tell(&self, wish: i64, answer: &str) {
        let began = Instant::now();
        while began.elapsed() < ANSWER_WITHIN {
            match self.store.answer_wish(self.term, wish, answer).await {
                Err(StoreError::Unavailable { .. }) => tokio::time::sleep(AGAIN_AFTER).await,
                Ok(()) | Err(_) => return,
            }
        }
    }
}

/// All places that are free, at least one; nothing when there never will be one.
async fn free_places(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    let mut free = Arc::clone(places).acquire_owned().await.ok()?;
    let n_more = places.available_permits() as u32;
    if let Ok(more) = Arc::clone(places).try_acquire_many_owned(n_more) {
        free.merge(more);
    }
    Some(free)
}

/// An answer as it stands in the row.
fn text_of(said: &Said) -> String {
    let told = match serde_json::to_string(said) {
        Ok(text) if text.len() <= ANSWER_BYTES_MAX => return text,
        Ok(text) => format!("it has {} bytes", text.len()),
        Err(err) => err.to_string(),
    };
    serde_json::to_string(&Said::NotTold(told)).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tidemill_model::Ts;
    use tidemill_store::memory::MemoryStore;
    use tidemill_store::{Answer, EngineStore};

    /// Where everything is done at once.
    fn doors() -> Doors {
        Doors {
            commands: Arc::new(|_| Box::pin(async { Ok(Answer::Done) })),
            streams: Arc::new(|_| Box::pin(async { Ok(Value::Null) })),
            hooks: Arc::new(|_| Box::pin(async { Ok(None) })),
        }
    }

    #[tokio::test]
    async fn a_server_that_ends_while_all_places_are_taken_takes_no_more() {
        let store = Arc::new(MemoryStore::new());
        let term = store.take_term("a test", Ts(1)).await.unwrap();
        store.put_wish("\"Pools\"").await.unwrap();
        let is_ready = Arc::new(AtomicBool::new(true));
        let places = Arc::new(Semaphore::new(1));
        let attendant = Arc::new(Attendant {
            store: Arc::<MemoryStore>::clone(&store),
            term,
            doors: doors(),
            is_ready: {
                let is_ready = Arc::clone(&is_ready);
                Box::new(move || is_ready.load(Ordering::Acquire))
            },
            places: Arc::clone(&places),
        });
        let last = places.acquire().await.unwrap();
        let taking = tokio::spawn(attendant.take_all());
        tokio::task::yield_now().await; // it waits for a place
        is_ready.store(false, Ordering::Release);
        drop(last);
        taking.await.unwrap().unwrap();
        assert_eq!(store.take_wishes(term, 9).await.unwrap().len(), 1);
    }
}

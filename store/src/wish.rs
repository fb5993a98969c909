//! What is asked of a process that is not the scheduler. A row carries it to the one that is, and
//! the answer back; the stores see texts and nothing of their meaning.
//!
//! A wish is done at most once: it is taken in a transaction that is fenced by the term, and what
//! was taken is never taken again, whatever became of whoever took it. One that was taken back by
//! who asked is never done. One with a word that its reader does not know is not done either: the
//! two are of different versions, and half of a wish may be another one.

use crate::{Command, StoreError, StreamWish};
use async_trait::async_trait;
use std::time::Duration;

/// An older wish is not taken, by the store's clock: who asked waits no more.
pub const WISH_TAKEN_WITHIN: Duration = Duration::from_secs(20);
/// An older wish is forgotten by the scheduler, whatever became of it.
pub const WISH_KEPT: Duration = Duration::from_secs(300);
/// No more wishes wait to be taken at once.
pub const WISHES_WAITING_MAX: u32 = 100;

/// What became of a wish that was to be written. An error says that nobody knows.
#[derive(Debug)]
pub enum PutWish {
    /// It waits under this number.
    Waits(i64),
    /// Too many wait already; it was not written.
    Full,
    /// It was certainly not written.
    Failed(StoreError),
}

/// A wish that is to be done by whoever has taken it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenWish {
    /// Its number.
    pub wish: i64,
    /// What is asked.
    pub asked: String,
}

/// The verbs of wishes, for stores that several processes share.
#[async_trait]
pub trait WishStore: Send + Sync {
    /// Writes a wish, and tells the scheduler that there is one.
    async fn put_wish(&self, asked: &str) -> Result<PutWish, StoreError>;

    /// The answer to a wish, when it is there.
    async fn wish_answer(&self, wish: i64) -> Result<Option<String>, StoreError>;

    /// Takes back a wish that nobody has taken. `true` says that it will never be done.
    async fn withdraw_wish(&self, wish: i64) -> Result<bool, StoreError>;

    /// Forgets a wish, and gives the answer if there was one.
    async fn forget_wish(&self, wish: i64) -> Result<Option<String>, StoreError>;

    /// Takes at most `limit` wishes that wait, the oldest first, fenced by the term. Forgets those
    /// that are older than [`WISH_KEPT`].
    async fn take_wishes(&self, term: i64, limit: u32) -> Result<Vec<TakenWish>, StoreError>;

    /// Answers a wish that this term has taken, fenced by it. One that was forgotten meanwhile
    /// needs no answer.
    async fn answer_wish(&self, term: i64, wish: i64, answer: &str) -> Result<(), StoreError>;
}

impl Command {
    /// Does it change anything?
    pub const fn changes(&self) -> bool {
        match self {
            Command::PlanBackfill(_)
            | Command::Assets
            | Command::Pools
            | Command::Why(_)
            | Command::WhyPaused { .. } => false,
            Command::Clear { dry_run, .. } | Command::MarkTasks { dry_run, .. } => !*dry_run,
            Command::Outside(wish) => wish.changes(),
            Command::Trigger { .. }
            | Command::Happened(_)
            | Command::SetPaused { .. }
            | Command::CreateBackfill(_)
            | Command::PauseBackfill { .. }
            | Command::CancelBackfill { .. }
            | Command::EmitAsset { .. }
            | Command::DropAssetEvents { .. }
            | Command::SetNote { .. }
            | Command::MarkRun { .. }
            | Command::UnblockLane { .. }
            | Command::SetPool { .. }
            | Command::DeletePool { .. }
            | Command::ForgetRuns { .. }
            | Command::Cancel { .. } => true,
        }
    }
}

impl StreamWish {
    /// Does it change anything?
    pub const fn changes(&self) -> bool {
        match self {
            StreamWish::Status => false,
            StreamWish::Seek { dry_run, .. } | StreamWish::Replay { dry_run, .. } => !*dry_run,
            StreamWish::Pause { .. }
            | StreamWish::CancelReplay { .. }
            | StreamWish::Retry { .. }
            | StreamWish::Drop { .. } => true,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
mod tests {
    use crate::{
        Answer, BackfillWish, Command, NamedOffset, OutsideWish, PoolChange, Reach, SeekTo,
        StreamWish, WhyOf,
    };
    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use tidemill_model::{DagNo, Reprocess, Ts};

    #[test]
    fn what_may_hold_a_secret_has_no_form_in_json() {
        let wish = Command::Outside(OutsideWish::Export);
        assert!(serde_json::to_string(&wish).is_err());
        assert!(serde_json::to_string(&Answer::Export(Vec::new(), Vec::new())).is_err());
        assert!(serde_json::from_str::<Command>(r#"{"Outside":"Export"}"#).is_err());
        assert_eq!(serde_json::to_string(&Command::Pools).unwrap(), "\"Pools\"");
    }

    /// It is read as it is written, and not with one more word anywhere.
    fn assert_closed<T: Serialize + DeserializeOwned>(wish: &T) {
        let text = serde_json::to_string(wish).unwrap();
        serde_json::from_str::<T>(&text).unwrap();
        for (at, brace) in text.match_indices('{') {
            let mut odd = text.clone();
            odd.insert_str(at + brace.len(), r#""odd":1,"#);
            assert!(serde_json::from_str::<T>(&odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_wish_with_a_word_that_is_not_known_here_is_not_read() {
        let (dag_id, name) = ("etl".to_string(), "mill".to_string());
        assert_closed(&Command::MarkTasks {
            dag_id: dag_id.clone(),
            reach: Reach::default(),
            state: tidemill_model::TaskState::Failed,
            dry_run: true,
        });
        assert_closed(&Command::SetPool {
            name,
            change: PoolChange::default(),
            is_new: None,
        });
        let (from_date, to_date) = (Ts(1), Ts(2));
        let conf = serde_json::Map::new();
        assert_closed(&Command::PlanBackfill(BackfillWish {
            dag_id: dag_id.clone(),
            from_date,
            to_date,
            is_backwards: false,
            reprocess: Reprocess::None,
            max_active_runs: 1,
            on_latest_version: None,
            conf,
        }));
        assert_closed(&Command::Why(WhyOf::Dag { dag_id, at: None }));
        let offset = NamedOffset {
            topic: None,
            partition: 0,
            offset: 17,
        };
        assert_closed(&StreamWish::Seek {
            dag: DagNo(1),
            trigger: "in".to_string(),
            to: SeekTo::Offsets(vec![offset]),
            dry_run: true,
        });
    }
}

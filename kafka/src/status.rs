//! What a source shows of itself while it works. Nothing is decided by it.

use serde::Serialize;
use tidemill_model::Ts;

/// What a source does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "why", rename_all = "snake_case")]
pub enum State {
    /// It asks the brokers which partitions there are.
    #[default]
    Connecting,
    /// It reads.
    Reading,
    /// It reads nothing more until runs have ended.
    HeldBack(String),
    /// The DAG or the trigger is paused.
    Paused,
    /// A transaction that does not end holds back what was written after it began.
    OpenTransaction(String),
    /// Something outside is not as it must be; it tries again by itself.
    Waiting(String),
    /// A person must say where to go on.
    Halted(String),
    /// It has ended.
    Ended,
}

/// A partition as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionStatus {
    /// The topic.
    pub topic: String,
    /// The topic's own id.
    pub incarnation: String,
    /// The partition.
    pub partition: i32,
    /// The next offset to read, as it is stored.
    pub next_offset: i64,
    /// The oldest offset that the brokers keep.
    pub low: Option<i64>,
    /// The end of what can be read: the offset of the next record that is written, or where the
    /// oldest open transaction begins for who reads only what is committed.
    pub high: Option<i64>,
    /// The offset of the next record that is written, transactions or not.
    pub last: Option<i64>,
    /// Since when the end of what can be read has stood below that.
    pub held_since: Option<Ts>,
    /// Has everything been read? Lag alone does not tell: markers of transactions have offsets.
    pub is_caught_up: bool,
    /// When the newest record that was read had been written.
    pub read_up_to: Option<Ts>,
    /// When the oldest record that is in no run yet had been written, as far as it is known: it
    /// was not before this.
    pub unread_since: Option<Ts>,
    /// Until when the brokers keep that record by the topic's `retention.ms`; they may drop it
    /// earlier by `retention.bytes`.
    pub kept_until: Option<Ts>,
    /// Why it has stopped.
    pub halted: Option<String>,
}

/// A source as it was last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// What it does.
    #[serde(flatten)]
    pub state: State,
    /// Its partitions.
    pub partitions: Vec<PartitionStatus>,
    /// Commits that found their cursor elsewhere.
    pub n_fenced: u64,
    /// Commits.
    pub n_commits: u64,
    /// How long they took, in microseconds.
    pub commit_us: u64,
    /// How long decoding and filtering took, in microseconds.
    pub decode_us: u64,
}

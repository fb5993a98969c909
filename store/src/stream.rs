//! Streams: how far they are read, and the runs that were made of what was read.

use crate::StoreError;
use crate::hands::{GapRecord, LaneBlock, ReplayOf, ReplayRecord, SeekTo};
use crate::record::RunRow;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tidemill_model::{DagNo, RunNo, TriggerNo, Ts};

/// The live reading of a trigger. Replays have numbers from 1.
pub const LIVE: i64 = 0;

/// A trigger as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct TriggerRecord {
    /// Its number.
    pub trigger: TriggerNo,
    /// Its DAG.
    pub dag: DagNo,
    /// The name of its DAG.
    pub dag_id: String,
    /// Its name in its DAG.
    pub name: String,
    /// Has a person stopped it?
    pub is_paused: bool,
    /// When it was first seen.
    pub created_at: Ts,
}

/// A partition of a topic. A topic that was deleted and made anew is another incarnation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition {
    /// The topic.
    pub topic: String,
    /// The topic's own id; empty where the brokers tell none.
    pub incarnation: String,
    /// The partition.
    pub partition: i32,
}

/// What became of the records that a cursor has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Records that runs were made of.
    pub taken: i64,
    /// Records that the filter rejected.
    pub filtered: i64,
    /// Of those, records that have not the field that the filter asks for.
    pub missing: i64,
    /// Records that were passed over: tombstones, or those that cannot be read.
    pub skipped: i64,
    /// Records in quarantine.
    pub quarantined: i64,
    /// Records that were there before.
    pub deduped: i64,
    /// Offsets that were lost before they were read.
    pub lost: i64,
}

impl Counts {
    /// Both together.
    pub fn plus(self, other: Counts) -> Counts {
        Counts {
            taken: self.taken + other.taken,
            filtered: self.filtered + other.filtered,
            missing: self.missing + other.missing,
            skipped: self.skipped + other.skipped,
            quarantined: self.quarantined + other.quarantined,
            deduped: self.deduped + other.deduped,
            lost: self.lost + other.lost,
        }
    }
}

/// How far a partition is read. Only a commit moves it.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    /// The trigger.
    pub trigger: TriggerNo,
    /// [`LIVE`], or the replay.
    pub replay: i64,
    /// How often a person has moved it: records that are read again make other runs.
    pub generation: i64,
    /// What is read.
    pub partition: Partition,
    /// The next offset to read.
    pub next_offset: i64,
    /// Where a replay ends; `None` for the live reading.
    pub end_offset: Option<i64>,
    /// Why reading has stopped, until a person says where to go on.
    pub halted: Option<String>,
    /// What became of what was read.
    pub counts: Counts,
    /// When it was last moved.
    pub updated_at: Ts,
}

/// A part of a partition that one commit takes: from the offset that it expects up to `end`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// Which partition.
    pub partition: Partition,
    /// Where its cursor must stand; else nothing is written.
    pub expected: i64,
    /// Where the cursor stands afterwards.
    pub end: i64,
    /// What is added to its counts.
    pub counts: Counts,
    /// Why it stops here.
    pub halted: Option<String>,
    /// Offsets that were gone before they were read, and why.
    pub gap: Option<(i64, i64, String)>,
}

/// The records of a run, without their bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchRecord {
    /// The run.
    pub run: RunNo,
    /// The trigger.
    pub trigger: TriggerNo,
    /// [`LIVE`], or the replay.
    pub replay: i64,
    /// Where they come from.
    pub partition: Partition,
    /// The first record's offset.
    pub first_offset: i64,
    /// After the last record's offset.
    pub end_offset: i64,
    /// Its place among runs of the same range.
    pub slot: i32,
    /// Runs with the same lane run one after another.
    pub lane: Option<String>,
    /// How many records.
    pub n_records: i64,
    /// Their bytes, as they came.
    pub n_bytes: i64,
    /// The SHA-256 of what tasks read, hexadecimal.
    pub sha256: String,
    /// What templates see as `trigger`, an object.
    pub facts: serde_json::Value,
}

/// A run of a stream that is new, with its records.
#[derive(Clone, Debug, PartialEq)]
pub struct NewStreamRun {
    /// The run, queued.
    pub row: RunRow,
    /// Its records, told.
    pub batch: BatchRecord,
    /// Its records as tasks read them: a JSON object a line.
    pub records: Vec<u8>,
}

/// A record that no run was made of.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPoison {
    /// Where it comes from.
    pub partition: Partition,
    /// Its offset.
    pub offset: i64,
    /// When it was written.
    pub timestamp: Option<Ts>,
    /// What is wrong, by a name that stays: `decode`, `filter`, `oversize`, `rejected`, `run_failed`.
    pub class: String,
    /// What is wrong, for people. Holds nothing of the record.
    pub message: String,
    /// Its key as it came.
    pub key: Option<Vec<u8>>,
    /// Its value as it came; nothing where it is too large.
    pub value: Option<Vec<u8>>,
    /// Its headers in order, as `[[name, base64 or null], …]`.
    pub headers: serde_json::Value,
}

/// A record in quarantine, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct PoisonRecord {
    /// Its number.
    pub poison: i64,
    /// The trigger.
    pub trigger: TriggerNo,
    /// [`LIVE`], or the replay.
    pub replay: i64,
    /// Where it comes from.
    pub partition: Partition,
    /// Its offset.
    pub offset: i64,
    /// When it was written.
    pub timestamp: Option<Ts>,
    /// What is wrong, by a name that stays.
    pub class: String,
    /// What is wrong, for people.
    pub message: String,
    /// Its key as it came.
    pub key: Option<Vec<u8>>,
    /// Its value as it came; nothing where it is too large.
    pub value: Option<Vec<u8>>,
    /// Its headers in order.
    pub headers: serde_json::Value,
    /// `held` or `dropped`.
    pub state: String,
    /// When its copy in the dead-letter topic was confirmed.
    pub sent_at: Option<Ts>,
    /// When it came to quarantine.
    pub created_at: Ts,
}

/// What people ask of the streams that are being read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum StreamWish {
    /// What each source does: a list of `{dag, trigger, state, why, partitions}`.
    Status,
    /// Stop or resume a trigger.
    Pause {
        /// The DAG.
        dag: DagNo,
        /// The trigger.
        trigger: String,
        /// Stop it?
        paused: bool,
    },
    /// Go on elsewhere: `{partitions: [{topic, partition, from, to, again, passed_over}]}`.
    Seek {
        /// The DAG.
        dag: DagNo,
        /// The trigger.
        trigger: String,
        /// Where.
        to: SeekTo,
        /// Say it, and move nothing.
        dry_run: bool,
    },
    /// Read a range again: `{replay, records, partitions: [{topic, partition, from, to}]}`.
    Replay {
        /// The DAG.
        dag: DagNo,
        /// The trigger.
        trigger: String,
        /// What is read.
        of: ReplayOf,
        /// Of these partitions; of all when empty.
        partitions: Vec<i32>,
        /// Begin with what is there where the range's beginning is gone.
        allow_gap: bool,
        /// Say it, and read nothing.
        dry_run: bool,
    },
    /// End a replay.
    CancelReplay {
        /// Which.
        replay: i64,
    },
    /// Make a run of a record in quarantine: `{run_id}`.
    Retry {
        /// The DAG.
        dag: DagNo,
        /// The trigger.
        trigger: String,
        /// The record.
        poison: i64,
    },
    /// Drop a record in quarantine and forget its bytes: was it there?
    Drop {
        /// The trigger.
        trigger: TriggerNo,
        /// The record.
        poison: i64,
    },
}

/// A sender of wishes; cheap to clone.
pub type StreamDoor = std::sync::Arc<
    dyn Fn(
            StreamWish,
        ) -> std::pin::Pin<
            Box<dyn Future<Output = Result<serde_json::Value, crate::Refusal>> + Send>,
        > + Send
        + Sync,
>;

/// All that one commit writes. It happens whole or not at all.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamCommit {
    /// The term that fences it.
    pub term: i64,
    /// The trigger.
    pub trigger: TriggerNo,
    /// [`LIVE`], or the replay.
    pub replay: i64,
    /// When.
    pub now: Ts,
    /// What is taken, by partition in order.
    pub cuts: Vec<Cut>,
    /// The runs that are made of it.
    pub runs: Vec<NewStreamRun>,
    /// The records that go to quarantine.
    pub poison: Vec<NewPoison>,
    /// Keys to remember until an instant, as SHA-256.
    pub seen: Vec<SeenKey>,
    /// Records that leave the quarantine with it. If one of them is not held any more, nothing is
    /// written.
    pub retried: Vec<i64>,
}

/// A key that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenKey {
    /// The SHA-256 of the key.
    pub hash: [u8; 32],
    /// Where it was first seen: the same record read again is no double of itself.
    pub partition: Partition,
    /// Its offset there.
    pub offset: i64,
    /// It is forgotten after this.
    pub expires_at: Ts,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// All of it is written.
    Done,
    /// A cursor stands elsewhere: nothing is written, and what was read is to be forgotten.
    Fenced,
    /// The DAG or the trigger is paused: nothing is written.
    Paused,
}

/// The verbs of streams. A store that several processes use fences the writing ones by the term:
/// by the one that is named, or else by the one that the store has taken.
#[async_trait]
pub trait StreamStore: Send + Sync {
    /// The trigger of a DAG by name; a new one where there is none.
    async fn put_trigger(
        &self,
        dag: DagNo,
        name: &str,
        now: Ts,
    ) -> Result<TriggerRecord, StoreError>;

    /// All triggers by DAG and name.
    async fn triggers(&self) -> Result<Vec<TriggerRecord>, StoreError>;

    /// Stops or resumes a trigger.
    async fn pause_trigger(&self, trigger: TriggerNo, is_paused: bool) -> Result<(), StoreError>;

    /// The cursors of a trigger's reading, by partition.
    async fn cursors(&self, trigger: TriggerNo, replay: i64) -> Result<Vec<Cursor>, StoreError>;

    /// Begins cursors, fenced by the term. One that is there already stays as it is.
    async fn begin_cursors(&self, term: i64, cursors: &[Cursor]) -> Result<(), StoreError>;

    /// Moves cursors otherwise than by reading, fenced by the term: each to `end` if it stands at
    /// `expected`. It stands in a new generation then, and goes on unless the cut halts it.
    async fn seek(
        &self,
        term: i64,
        trigger: TriggerNo,
        replay: i64,
        cuts: &[Cut],
        now: Ts,
    ) -> Result<Committed, StoreError>;

    /// Writes runs, their records and the new offsets in one transaction, durable before it
    /// returns.
    async fn commit_stream(&self, commit: &StreamCommit) -> Result<Committed, StoreError>;

    /// How many runs of a trigger are not over.
    async fn open_runs(&self, trigger: TriggerNo, replay: i64) -> Result<i64, StoreError>;

    /// Which of these names runs of the DAG have already.
    async fn run_ids_taken(&self, dag: DagNo, names: &[String]) -> Result<Vec<String>, StoreError>;

    /// What a run was made of.
    async fn batch(&self, run: RunNo) -> Result<Option<BatchRecord>, StoreError>;

    /// The newest batches of a trigger.
    async fn batches(&self, trigger: TriggerNo, limit: u32)
    -> Result<Vec<BatchRecord>, StoreError>;

    /// The records of a run as tasks read them.
    async fn records(&self, run: RunNo) -> Result<Option<Vec<u8>>, StoreError>;

    /// What the runs that are not over were made of, by run.
    async fn open_batches(&self) -> Result<Vec<BatchRecord>, StoreError>;

    /// Of these keys, those that are remembered.
    async fn seen(
        &self,
        trigger: TriggerNo,
        hashes: &[[u8; 32]],
        now: Ts,
    ) -> Result<Vec<SeenKey>, StoreError>;

    /// The newest records in quarantine of a trigger that nobody has dropped.
    async fn quarantine(
        &self,
        trigger: TriggerNo,
        limit: u32,
    ) -> Result<Vec<PoisonRecord>, StoreError>;

    /// Drops a record of the quarantine; says whether it was there. Its bytes are forgotten.
    async fn drop_poison(&self, trigger: TriggerNo, poison: i64) -> Result<bool, StoreError>;

    /// The oldest records in quarantine that are not copied to the dead-letter topic.
    async fn unsent_poison(
        &self,
        trigger: TriggerNo,
        limit: u32,
    ) -> Result<Vec<PoisonRecord>, StoreError>;

    /// These are copied.
    async fn mark_sent(&self, poison: &[i64], now: Ts) -> Result<(), StoreError>;

    /// A record that is held in quarantine.
    async fn held_poison(
        &self,
        trigger: TriggerNo,
        poison: i64,
    ) -> Result<Option<PoisonRecord>, StoreError>;

    /// The newest gaps of a trigger.
    async fn gaps(&self, trigger: TriggerNo, limit: u32) -> Result<Vec<GapRecord>, StoreError>;

    /// Every run that holds up its lane.
    async fn blocks(&self) -> Result<Vec<LaneBlock>, StoreError>;

    /// Begins a replay with its cursors, fenced by the term; gives its number, which the cursors
    /// have then.
    async fn begin_replay(
        &self,
        term: i64,
        trigger: TriggerNo,
        wish: &serde_json::Value,
        cursors: &[Cursor],
        now: Ts,
    ) -> Result<i64, StoreError>;

    /// The newest replays of a trigger.
    async fn replays(
        &self,
        trigger: TriggerNo,
        limit: u32,
    ) -> Result<Vec<ReplayRecord>, StoreError>;

    /// Every replay that goes on.
    async fn open_replays(&self) -> Result<Vec<ReplayRecord>, StoreError>;

    /// Ends a replay that goes on, as `done` or `cancelled`, fenced by the term; says whether it
    /// went on.
    async fn end_replay(
        &self,
        term: i64,
        replay: i64,
        state: &str,
        now: Ts,
    ) -> Result<bool, StoreError>;
}

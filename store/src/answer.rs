//! What the engine tells of itself: how pools are used, and why something has not happened.

use crate::asset::{AssetEventRow, AssetRow};
use crate::record::PoolRecord;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use tidemill_model::{MapIndex, TaskState};

/// A run or a task instance that holds something that others wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its DAG.
    pub dag_id: String,
    /// Its run.
    pub run_id: String,
    /// Its task; `None` for a run.
    pub task_id: Option<String>,
    /// Its place in a mapped task.
    pub map_index: MapIndex,
    /// The slots that it takes; `None` for a run.
    pub slots: Option<u32>,
}

/// One condition, met or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Which, by a name that stays.
    pub condition: Cow<'static, str>,
    /// Is it met?
    pub ok: bool,
    /// How it stands, in a sentence with numbers.
    pub detail: String,
    /// Who holds what it needs; at most ten.
    pub holders: Vec<Holder>,
    /// How many more hold it.
    pub more: usize,
}

/// A task instance that a command was about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// Its run.
    pub run_id: String,
    /// Its task.
    pub task_id: String,
    /// Its place in a mapped task.
    pub map_index: MapIndex,
    /// Its state before.
    pub state: TaskState,
}

/// How a pool is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolState {
    /// The pool as it was set; for one that nobody has made, no slots.
    pub pool: PoolRecord,
    /// Has somebody made it?
    pub exists: bool,
    /// Slots of live attempts.
    pub n_running: u64,
    /// Slots of deferred instances.
    pub n_deferred: u64,
    /// Slots that instances wait for.
    pub n_waiting: u64,
    /// Slots that count as taken.
    pub n_occupied: u64,
    /// Who holds slots, and in which state; at most a hundred.
    pub holders: Vec<(Holder, TaskState)>,
    /// How many more hold slots.
    pub more: usize,
}

impl PoolState {
    /// A pool that nobody uses.
    pub fn unused(pool: PoolRecord) -> PoolState {
        PoolState {
            pool,
            exists: true,
            n_running: 0,
            n_deferred: 0,
            n_waiting: 0,
            n_occupied: 0,
            holders: Vec::new(),
            more: 0,
        }
    }

    /// Slots that are free; -1 when there is no limit.
    pub fn n_open(&self) -> i64 {
        if self.pool.slots < 0 {
            return -1;
        }
        let occupied = i64::try_from(self.n_occupied).unwrap_or(i64::MAX);
        (self.pool.slots - occupied).max(0)
    }
}

/// An asset, with who writes it and who waits for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AssetState {
    /// The asset.
    pub row: AssetRow,
    /// The tasks that write it, with their DAGs: DAG, task.
    pub producers: Vec<(String, String)>,
    /// The tasks that read it: DAG, task.
    pub readers: Vec<(String, String)>,
    /// The DAGs whose schedule names it, with the events that wait for the next run of each.
    pub consumers: Vec<(String, Vec<AssetEventRow>)>,
}

impl AssetState {
    /// An asset that nobody writes or waits for.
    pub fn of(row: AssetRow) -> AssetState {
        AssetState {
            row,
            producers: Vec::new(),
            readers: Vec::new(),
            consumers: Vec::new(),
        }
    }
}

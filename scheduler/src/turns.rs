//! Which queued run of a DAG begins next: `max_active_runs`, and the limit of its key.

use std::collections::{BTreeMap, BTreeSet};
use tidemill_model::dag::ConcurrencyPolicy;
use tidemill_model::{Dag, RunNo, RunRow, RunState, Ts};

/// Smaller begins first (Airflow's `get_queued_dag_runs_to_set_running`): other runs before those
/// of a backfill (which has a limit of its own), then the one that was due earlier, or later where
/// the backfill runs backwards, then the older one.
type Turn = (bool, Ts, RunNo);

/// The runs of one DAG that are running or wait for their turn, by the key of `[dag.concurrency]`.
/// Derived from the rows of runs by [`Turns::follow`].
#[derive(Clone, Debug, Default)]
pub struct Turns {
    /// And its turn, which says whether it is of a backfill.
    keys: BTreeMap<RunNo, (String, Turn)>,
    running: BTreeMap<String, BTreeSet<RunNo>>,
    queued: BTreeMap<String, BTreeSet<Turn>>,
    /// Keys of which one run is running at a time, whatever the DAG says of others: the lanes of
    /// streams.
    lanes: BTreeSet<String>,
    n_running: usize,
    n_queued: usize,
}

/// Why a queued run has not begun; each with the runs that go before it or hold the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnGate {
    /// Which.
    pub kind: TurnGateKind,
    /// Is it met?
    pub is_open: bool,
    /// Runs that count.
    pub n: usize,
    /// How many there may be; `None` for the queue itself.
    pub max: Option<u32>,
    /// Those runs.
    pub holders: Vec<RunNo>,
}

/// The conditions that a queued run waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnGateKind {
    /// Fewer runs are running than `max_active_runs`.
    ActiveRuns,
    /// Fewer runs with its key are running than the limit of `[dag.concurrency]`.
    Key,
    /// No other run goes before it.
    Turn,
}

impl Turns {
    /// Takes in a run's row: is it running, queued or neither? Called twice it changes nothing.
    /// The runs of a backfill do not count under `max_active_runs`: it has a limit of its own.
    pub fn follow(&mut self, row: &RunRow, key: &str, is_of_backfill: bool) {
        self.follow_at(row, key, (is_of_backfill, row.run_after, row.run));
    }

    /// As [`Turns::follow`], for a run of a backfill that begins with its latest date.
    pub fn follow_backwards(&mut self, row: &RunRow, key: &str) {
        let from_the_end = Ts(row.run_after.0.saturating_neg());
        self.follow_at(row, key, (true, from_the_end, row.run));
    }

    fn follow_at(&mut self, row: &RunRow, key: &str, turn: Turn) {
        self.forget(row);
        let counts = usize::from(!turn.0);
        match row.state {
            RunState::Running => {
                self.running
                    .entry(key.to_string())
                    .or_default()
                    .insert(row.run);
                self.n_running += counts;
            }
            RunState::Queued => {
                self.queued.entry(key.to_string()).or_default().insert(turn);
                self.n_queued += counts;
            }
            RunState::Success | RunState::Failed => return,
        }
        self.keys.insert(row.run, (key.to_string(), turn));
    }

    /// As [`Turns::follow`], for a run of a stream in a lane: one of its runs is running at a time.
    pub fn follow_lane(&mut self, row: &RunRow, lane: &str, is_of_backfill: bool) {
        self.follow(row, lane, is_of_backfill);
        if self.keys.contains_key(&row.run) {
            self.lanes.insert(lane.to_string());
        }
    }

    /// A failed run keeps its lane: those behind it wait until a person has decided. It counts for
    /// nothing else.
    pub fn block(&mut self, run: RunNo, lane: &str) {
        let lane = lane.to_string();
        self.running.entry(lane.clone()).or_default().insert(run);
        self.lanes.insert(lane.clone());
        self.keys.insert(run, (lane, (true, Ts(0), run)));
    }

    /// A failed run keeps its lane no more.
    pub fn unblock(&mut self, run: RunNo) {
        let Some((lane, _)) = self.keys.remove(&run) else {
            return;
        };
        if let Some(runs) = self.running.get_mut(&lane) {
            runs.remove(&run);
            if runs.is_empty() {
                self.running.remove(&lane);
            }
        }
        self.forget_lane(&lane);
    }

    fn forget_lane(&mut self, lane: &str) {
        if !self.running.contains_key(lane) && !self.queued.contains_key(lane) {
            self.lanes.remove(lane);
        }
    }

    /// A run neither runs nor waits for its turn.
    pub fn forget(&mut self, row: &RunRow) {
        let Some((key, turn)) = self.keys.remove(&row.run) else {
            return;
        };
        let counts = usize::from(!turn.0);
        if let Some(runs) = self.running.get_mut(&key) {
            self.n_running -= counts * usize::from(runs.remove(&row.run));
            if runs.is_empty() {
                self.running.remove(&key);
            }
        }
        if let Some(turns) = self.queued.get_mut(&key) {
            self.n_queued -= counts * usize::from(turns.remove(&turn));
            if turns.is_empty() {
                self.queued.remove(&key);
            }
        }
        self.forget_lane(&key);
    }

    /// Runs that are running, but for those of a backfill.
    pub fn n_running(&self) -> usize {
        self.n_running
    }

    /// Runs that wait for their turn, but for those of a backfill.
    pub fn n_queued(&self) -> usize {
        self.n_queued
    }

    /// How many more runs a schedule may make under `max_active_runs`. Runs of every cause count
    /// but those of backfills, waiting ones too (Airflow's `DagRun.active_runs_of_dags`).
    pub fn room(&self, dag: &Dag) -> usize {
        (dag.max_active_runs as usize).saturating_sub(self.n_running + self.n_queued)
    }

    /// Runs with a key that are running or wait for their turn.
    pub fn n_with_key(&self, key: &str) -> usize {
        let n_queued = self.queued.get(key).map_or(0, BTreeSet::len);
        n_queued + self.running.get(key).map_or(0, BTreeSet::len)
    }

    /// The run that begins now, if one may.
    pub fn next(&self, dag: &Dag) -> Option<RunNo> {
        let is_full = self.n_running >= dag.max_active_runs as usize;
        let firsts = self
            .queued
            .iter()
            .filter(|(key, _)| self.has_room(dag, key));
        let firsts = firsts.filter_map(|(_, turns)| match is_full {
            true => turns.range(FIRST_OF_BACKFILL..).next(),
            false => turns.first(),
        });
        firsts.min().map(|turn| turn.2)
    }

    fn has_room(&self, dag: &Dag, key: &str) -> bool {
        let n = self.running.get(key).map_or(0, BTreeSet::len);
        self.limit(dag, key).is_none_or(|limit| n < limit as usize)
    }

    /// How many runs with one key may be running at once; `None` where there is no limit.
    fn limit(&self, dag: &Dag, key: &str) -> Option<u32> {
        if self.lanes.contains(key) {
            return Some(1);
        }
        dag.concurrency
            .as_ref()
            .map(|concurrency| concurrency.limit)
    }

    /// Every condition of a queued run, `None` when it is not queued. All are met exactly when
    /// [`Turns::next`] names it.
    pub fn gates(&self, row: &RunRow, dag: &Dag) -> Option<Vec<TurnGate>> {
        let (key, mine) = self.keys.get(&row.run)?;
        let (mine, is_of_backfill) = (*mine, mine.0);
        if !self.queued.get(key)?.contains(&mine) {
            return None;
        }
        let is_full = self.n_running >= dag.max_active_runs as usize;
        let mut gates = Vec::new();
        if !is_of_backfill {
            let counts = |run: &&RunNo| self.keys.get(run).is_some_and(|(_, turn)| !turn.0);
            let running = self.running.values().flatten().filter(counts);
            gates.push(TurnGate {
                kind: TurnGateKind::ActiveRuns,
                is_open: !is_full,
                n: self.n_running,
                max: Some(dag.max_active_runs),
                holders: running.copied().collect(),
            });
        }
        if let Some(limit) = self.limit(dag, key) {
            let same: Vec<RunNo> = self
                .running
                .get(key)
                .into_iter()
                .flatten()
                .copied()
                .collect();
            gates.push(TurnGate {
                kind: TurnGateKind::Key,
                is_open: self.has_room(dag, key),
                n: same.len(),
                max: Some(limit),
                holders: same,
            });
        }
        let may_go = |other: &str| other == key || self.has_room(dag, other);
        let others = self.queued.iter().filter(|(other, _)| may_go(other));
        let mut before: Vec<Turn> = others
            .flat_map(|(_, turns)| turns.range(..mine).copied())
            .filter(|turn| turn.0 || !is_full || !is_of_backfill)
            .collect();
        before.sort_unstable();
        gates.push(TurnGate {
            kind: TurnGateKind::Turn,
            is_open: before.is_empty(),
            n: before.len(),
            max: None,
            holders: before.iter().map(|turn| turn.2).collect(),
        });
        Some(gates)
    }

    /// Is a new run with this key not to be made, since those with it have no room?
    pub fn is_skipped(&self, dag: &Dag, key: &str) -> bool {
        dag.concurrency.as_ref().is_some_and(|concurrency| {
            concurrency.policy == ConcurrencyPolicy::Skip
                && self.n_with_key(key) >= concurrency.limit as usize
        })
    }

    /// The runs that a new queued one takes the place of: all that wait with its key, and the
    /// oldest running ones, as many as are too many beside it.
    pub fn replaced_by(&self, row: &RunRow, dag: &Dag) -> Vec<RunNo> {
        let Some(concurrency) = &dag.concurrency else {
            return Vec::new();
        };
        let Some((key, _)) = self.keys.get(&row.run) else {
            return Vec::new();
        };
        if concurrency.policy != ConcurrencyPolicy::Replace {
            return Vec::new();
        }
        let waiting = self
            .queued
            .get(key)
            .into_iter()
            .flatten()
            .map(|turn| turn.2);
        let mut ended: Vec<RunNo> = waiting.filter(|run| *run != row.run).collect();
        let running = self.running.get(key);
        let room = (concurrency.limit as usize).saturating_sub(1);
        let too_many = running.map_or(0, BTreeSet::len).saturating_sub(room);
        ended.extend(running.into_iter().flatten().take(too_many));
        ended
    }
}

/// No run of a backfill has an earlier turn.
const FIRST_OF_BACKFILL: Turn = (true, Ts(i64::MIN), RunNo(i64::MIN));

//! Which queued run of a DAG begins next: `max_active_runs`, and the limit of its key.

use std::collections::{BTreeMap, BTreeSet};
use tidemill_model::dag::ConcurrencyPolicy;
use tidemill_model::{Dag, RunNo, RunRow, RunState, RunType, Ts};

/// Smaller begins first (Airflow's `get_queued_dag_runs_to_set_running`): other runs before those
/// of a backfill, then the one that was due earlier, then the older one.
type Turn = (bool, Ts, RunNo);

/// The runs of one DAG that are running or wait for their turn, by the key of `[dag.concurrency]`.
/// Derived from the rows of runs by [`Turns::follow`].
#[derive(Clone, Debug, Default)]
pub struct Turns {
    keys: BTreeMap<RunNo, String>,
    running: BTreeMap<String, BTreeSet<RunNo>>,
    queued: BTreeMap<String, BTreeSet<Turn>>,
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
    pub fn follow(&mut self, row: &RunRow, key: &str) {
        self.forget(row);
        let turn = turn(row);
        match row.state {
            RunState::Running => {
                self.running
                    .entry(key.to_string())
                    .or_default()
                    .insert(row.run);
                self.n_running += 1;
            }
            RunState::Queued => {
                self.queued.entry(key.to_string()).or_default().insert(turn);
                self.n_queued += 1;
            }
            RunState::Success | RunState::Failed => return,
        }
        self.keys.insert(row.run, key.to_string());
    }

    /// A run neither runs nor waits for its turn.
    pub fn forget(&mut self, row: &RunRow) {
        let Some(key) = self.keys.remove(&row.run) else {
            return;
        };
        if let Some(runs) = self.running.get_mut(&key) {
            self.n_running -= usize::from(runs.remove(&row.run));
            if runs.is_empty() {
                self.running.remove(&key);
            }
        }
        if let Some(turns) = self.queued.get_mut(&key) {
            self.n_queued -= usize::from(turns.remove(&turn(row)));
            if turns.is_empty() {
                self.queued.remove(&key);
            }
        }
    }

    /// Runs that are running.
    pub fn n_running(&self) -> usize {
        self.n_running
    }

    /// Runs that wait for their turn.
    pub fn n_queued(&self) -> usize {
        self.n_queued
    }

    /// The run that begins now, if one may.
    pub fn next(&self, dag: &Dag) -> Option<RunNo> {
        if self.n_running >= dag.max_active_runs as usize {
            return None;
        }
        let firsts = self
            .queued
            .iter()
            .filter(|(key, _)| self.has_room(dag, key));
        let firsts = firsts.filter_map(|(_, turns)| turns.first());
        firsts.min().map(|turn| turn.2)
    }

    fn has_room(&self, dag: &Dag, key: &str) -> bool {
        let n = self.running.get(key).map_or(0, BTreeSet::len);
        dag.concurrency
            .as_ref()
            .is_none_or(|concurrency| n < concurrency.limit as usize)
    }

    /// Every condition of a queued run, `None` when it is not queued. All are met exactly when
    /// [`Turns::next`] names it.
    pub fn gates(&self, row: &RunRow, dag: &Dag) -> Option<Vec<TurnGate>> {
        let key = self.keys.get(&row.run)?;
        let mine = turn(row);
        if !self.queued.get(key)?.contains(&mine) {
            return None;
        }
        let running: Vec<RunNo> = self.running.values().flatten().copied().collect();
        let mut gates = vec![TurnGate {
            kind: TurnGateKind::ActiveRuns,
            is_open: running.len() < dag.max_active_runs as usize,
            n: running.len(),
            max: Some(dag.max_active_runs),
            holders: running,
        }];
        if let Some(concurrency) = &dag.concurrency {
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
                max: Some(concurrency.limit),
                holders: same,
            });
        }
        let may_go = |other: &str| other == key || self.has_room(dag, other);
        let others = self.queued.iter().filter(|(other, _)| may_go(other));
        let mut before: Vec<Turn> = others
            .flat_map(|(_, turns)| turns.range(..mine).copied())
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
        let skips = dag
            .concurrency
            .as_ref()
            .is_some_and(|concurrency| concurrency.policy == ConcurrencyPolicy::Skip);
        let n_queued = self.queued.get(key).map_or(0, BTreeSet::len);
        let n = n_queued + self.running.get(key).map_or(0, BTreeSet::len);
        skips
            && dag
                .concurrency
                .as_ref()
                .is_some_and(|concurrency| n >= concurrency.limit as usize)
    }

    /// The runs that a new queued one takes the place of: all that wait with its key, and the
    /// oldest running ones, as many as are too many beside it.
    pub fn replaced_by(&self, row: &RunRow, dag: &Dag) -> Vec<RunNo> {
        let Some(concurrency) = &dag.concurrency else {
            return Vec::new();
        };
        let Some(key) = self.keys.get(&row.run) else {
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

fn turn(row: &RunRow) -> Turn {
    (row.run_type == RunType::Backfill, row.run_after, row.run)
}

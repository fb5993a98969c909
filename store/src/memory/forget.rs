//! Old runs, and how they go.

use super::Tables;
use crate::forget::{Forgotten, LookedAt, OldRuns};
use std::collections::{BTreeMap, BTreeSet};
use tidemill_model::RunNo;

impl Tables {
    pub(super) fn look_at(&self, which: &OldRuns) -> Vec<LookedAt> {
        let next = self.runs.values().filter(|run| run.run > which.after);
        let of_dag = |run: &crate::RunRow| {
            let newer = self.runs.values();
            newer
                .filter(|other| other.dag == run.dag && other.run > run.run)
                .count()
        };
        next.take(which.look_at as usize)
            .map(|run| LookedAt {
                run: run.run,
                queued_at: run.queued_at,
                is_old: run.state.is_terminal()
                    && run.ended_at.is_some_and(|at| at < which.ended_before)
                    && of_dag(run) >= which.keep_last as usize,
            })
            .collect()
    }

    pub(super) fn forget(&mut self, runs: &[RunNo], rows_max: u32) -> Forgotten {
        let is_over = |run: &&RunNo| {
            self.runs
                .get(run)
                .is_some_and(|row| row.state.is_terminal())
        };
        let going: BTreeSet<RunNo> = runs.iter().filter(is_over).copied().collect();
        self.keep_positions(&going);
        let mut left = BTreeSet::new();
        left.extend(trim(&mut self.notes, &going, rows_max, |key| key.0));
        left.extend(trim(&mut self.values, &going, rows_max, |key| key.0.0));
        left.extend(trim(&mut self.tries, &going, rows_max, |key| key.0.0));
        left.extend(trim(&mut self.tasks, &going, rows_max, |key| key.0));
        let gone: Vec<RunNo> = going.difference(&left).copied().collect();
        self.backfill_dates
            .retain(|_, date| date.run.is_none_or(|run| !gone.contains(&run)));
        for run in &gone {
            self.runs.remove(run);
        }
        self.forget_spans(&gone);
        let left = left.into_iter().collect();
        Forgotten { gone, left }
    }
}

/// Takes the first rows of these runs; tells whose rows are left.
fn trim<K: Ord + Clone, V>(
    rows: &mut BTreeMap<K, V>,
    going: &BTreeSet<RunNo>,
    rows_max: u32,
    run_of: impl Fn(&K) -> RunNo,
) -> Vec<RunNo> {
    let of_going = |key: &&K| going.contains(&run_of(key));
    let keys: Vec<K> = rows.keys().filter(of_going).cloned().collect();
    let (taken, left) = keys.split_at(keys.len().min(rows_max as usize));
    for key in taken {
        rows.remove(key);
    }
    left.iter().map(run_of).collect()
}

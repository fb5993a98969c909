//! One pass on the maps: first every rule is checked, then everything is written.

use super::{CHANGES_KEPT, CHANGES_TRIMMED_EVERY, Tables, refused};
use crate::record::*;
use crate::{BackfillRow, StoreError};
use std::collections::HashSet;
use tidemill_model::{BackfillNo, DagNo, RunNo, Ts};

impl Tables {
    /// Could a database write this pass?
    pub(super) fn check(&self, pass: &Pass) -> Result<(), StoreError> {
        // Term 0 is nobody's: it was never taken.
        if pass.term != self.term || self.term == 0 {
            return Err(StoreError::TermLost);
        }
        let new_runs = self.check_new_runs(pass)?;
        let is_run = |run: &RunNo| self.runs.contains_key(run) || new_runs.contains(run);
        for row in &pass.runs {
            if !is_run(&row.run) || !self.versions.contains_key(&row.version) {
                return Err(refused(format!(
                    "run {} or its version is not there",
                    row.run
                )));
            }
        }
        let tasks = pass.tasks.iter().map(|task| task.run);
        let tries = pass.tries.iter().map(|row| row.task.run);
        let values = pass.values.iter().map(|value| value.run);
        let notes = pass.notes.iter().filter(|note| !note.note.is_empty());
        let notes = notes.map(|note| note.run);
        let dates = pass.backfill_dates.iter().filter_map(|date| date.run);
        let mut named = tasks.chain(tries).chain(values).chain(notes).chain(dates);
        if let Some(run) = named.find(|run| !is_run(run)) {
            return Err(refused(format!("run {run} is not there")));
        }
        if let Some(pool) = pass.pools.iter().find(|pool| pool.slots < -1) {
            return Err(refused(format!("pool {} has no such size", pool.name)));
        }
        self.check_backfills(pass)?;
        self.check_assets(pass)?;
        let mut seqs = HashSet::new();
        for change in &pass.changes {
            if self.changes.contains_key(&change.seq) || !seqs.insert(change.seq) {
                return Err(refused(format!("change {} is there already", change.seq)));
            }
        }
        match pass
            .dags
            .iter()
            .find(|patch| !self.dags.contains_key(&patch.dag))
        {
            Some(patch) => Err(refused(format!("DAG {} is not there", patch.dag))),
            None => Ok(()),
        }
    }

    fn check_backfills(&self, pass: &Pass) -> Result<(), StoreError> {
        let is_new = |no: &BackfillNo| pass.backfills.iter().any(|row| row.backfill == *no);
        let is_there = |no: &BackfillNo| self.backfills.contains_key(no) || is_new(no);
        let has_dag = |row: &BackfillRow| {
            self.backfills.contains_key(&row.backfill) || self.dags.contains_key(&row.dag)
        };
        let is_whole = pass.backfills.iter().all(has_dag)
            && pass
                .backfill_dates
                .iter()
                .all(|date| is_there(&date.backfill));
        match is_whole {
            true => Ok(()),
            false => Err(refused("a backfill or its DAG is not there")),
        }
    }

    fn check_new_runs(&self, pass: &Pass) -> Result<HashSet<RunNo>, StoreError> {
        let mut numbers = HashSet::new();
        let mut names: HashSet<(DagNo, &str)> = HashSet::new();
        let mut instants: HashSet<(DagNo, Ts)> = HashSet::new();
        let mut causes: HashSet<(DagNo, &str)> = HashSet::new();
        for row in &pass.new_runs {
            let key = RunKey {
                run_id: row.run_id.clone(),
                logical_date: row.logical_date,
                cause: row.cause.clone(),
            };
            let is_unique = !self.runs.contains_key(&row.run)
                && self.conflicting(row.dag, &key).is_none()
                && numbers.insert(row.run)
                && names.insert((row.dag, &row.run_id))
                && row
                    .logical_date
                    .is_none_or(|instant| instants.insert((row.dag, instant)))
                && row
                    .cause
                    .as_deref()
                    .is_none_or(|cause| causes.insert((row.dag, cause)));
            if !is_unique {
                return Err(refused(format!(
                    "run {} ({}) is there already",
                    row.run, row.run_id
                )));
            }
            if !self.dags.contains_key(&row.dag) || !self.versions.contains_key(&row.version) {
                return Err(refused(format!(
                    "the DAG or the version of run {} is not there",
                    row.run
                )));
            }
        }
        Ok(numbers)
    }

    /// Writes a pass that was checked.
    pub(super) fn apply(&mut self, pass: &Pass) {
        for row in &pass.new_runs {
            self.last_run = self.last_run.max(row.run.0);
            self.runs.insert(row.run, row.clone());
        }
        for row in &pass.runs {
            if let Some(old) = self.runs.get_mut(&row.run) {
                *old = with_identity_of(old, row);
            }
        }
        for removed in &pass.removed_tasks {
            self.tasks.remove(removed);
        }
        for task in &pass.tasks {
            self.tasks
                .insert((task.run, task.task_no, task.map_index), task.clone());
        }
        for row in &pass.tries {
            let task = &row.task;
            let key = (
                (task.run, task.task_no, task.map_index),
                task.try_number,
                task.epoch.0,
            );
            self.tries.insert(key, row.clone());
        }
        if !pass.cleared_values.is_empty() {
            let cleared: HashSet<_> = pass.cleared_values.iter().collect();
            self.values.retain(|(task, _), _| !cleared.contains(task));
        }
        for value in &pass.values {
            let task = (value.run, value.task_no, value.map_index);
            self.values
                .insert((task, value.key.clone()), value.value.clone());
        }
        self.tell(&pass.changes);
        self.keep_pools_and_notes(pass);
        self.exchange.apply(pass);
        self.keep_backfills(pass);
        self.keep_assets(pass);
        self.alerts.add(&pass.alerts);
        self.streams.apply(&pass.streams);
        for patch in &pass.dags {
            if let Some(dag) = self.dags.get_mut(&patch.dag) {
                dag.is_paused = patch.is_paused;
                dag.schedule_high = dag.schedule_high.max(patch.schedule_high);
                dag.next_run = patch.next_run;
            }
        }
    }

    fn keep_pools_and_notes(&mut self, pass: &Pass) {
        for name in &pass.dropped_pools {
            self.pools.remove(name);
        }
        for pool in &pass.pools {
            self.pools.insert(pool.name.clone(), pool.clone());
        }
        for note in &pass.notes {
            let key = (note.run, note.task_no, note.map_index);
            if note.note.is_empty() {
                self.notes.remove(&key);
            } else {
                self.notes.insert(key, note.clone());
            }
        }
    }

    fn keep_backfills(&mut self, pass: &Pass) {
        for row in &pass.backfills {
            let kept = self
                .backfills
                .entry(row.backfill)
                .or_insert_with(|| row.clone());
            // What was wished for never changes; how far it is does.
            kept.is_paused = row.is_paused;
            kept.position = row.position;
            kept.updated_at = row.updated_at;
            kept.completed_at = row.completed_at;
        }
        for date in &pass.backfill_dates {
            let kept = self
                .backfill_dates
                .entry((date.backfill, date.tick))
                .or_insert_with(|| date.clone());
            kept.run = date.run;
            kept.skipped = date.skipped;
        }
    }

    fn tell(&mut self, changes: &[Change]) {
        for change in changes {
            self.changes.insert(change.seq, change.clone());
            if change.seq % CHANGES_TRIMMED_EVERY == 0 {
                self.changes = self.changes.split_off(&(change.seq - CHANGES_KEPT + 1));
            }
        }
    }
}

/// What a run is called and what caused it never changes; the rest of a row does.
fn with_identity_of(old: &RunRow, new: &RunRow) -> RunRow {
    RunRow {
        dag: old.dag,
        run_id: old.run_id.clone(),
        run_type: old.run_type,
        cause: old.cause.clone(),
        logical_date: old.logical_date,
        ..new.clone()
    }
}

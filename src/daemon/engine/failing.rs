//! A DAG whose runs fail again and again is paused (`max_consecutive_failed_dag_runs`).

use super::Engine;
use super::state::DagState;
use crate::daemon::clock;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidemill_model::{DagNo, Reason, RunNo, RunRow};
use tidemill_scheduler::is_failing;
use tidemill_store::{RunColumn, RunFilter, RunOrder};

impl Engine {
    /// A run has failed: pauses its DAG when it was one too many in a row. What people have ended
    /// says nothing about the DAG.
    pub(super) fn pause_if_failing(&mut self, run_no: RunNo) {
        let Some(run) = self.runs.get(&run_no) else {
            return;
        };
        let by_people = [Reason::Cancelled, Reason::Marked, Reason::Replaced];
        if run.row.reason.is_some_and(|why| by_people.contains(&why)) {
            return;
        }
        let dag_no = run.row.dag;
        let is_paused = |dag: &DagState| dag.record.is_paused;
        if self.dags.get(&dag_no).is_none_or(is_paused) {
            return;
        }
        let Some(n_failed) = self.n_failed(dag_no) else {
            return;
        };
        tracing::warn!(dag.id = %self.dags[&dag_no].record.dag_id, n_failed, "So many runs have failed in a row: the DAG is paused");
        if let Some(state) = self.dags.get_mut(&dag_no) {
            state.record.is_paused = true;
            state.record.next_run = None;
        }
        self.draft.dags.insert(dag_no);
        self.streams_changed = true;
    }

    /// How many of a DAG's latest runs have failed in a row, where it may have no more.
    pub(super) fn n_failed(&mut self, dag_no: DagNo) -> Option<u32> {
        let state = self.dags.get(&dag_no)?;
        let max = state.definition.as_ref()?.dag.max_consecutive_failed_runs;
        if max == 0 {
            return None;
        }
        let dag_id = state.record.dag_id.clone();
        let runs = self.latest_runs(dag_no, &dag_id, max);
        is_failing(runs.values(), max as usize).then_some(max)
    }

    /// The latest runs of a DAG that have been due: as the store has them, and as they are in
    /// memory by now.
    fn latest_runs(&mut self, dag_no: DagNo, dag_id: &str, n: u32) -> BTreeMap<RunNo, RunRow> {
        let now = clock::now();
        let filter = RunFilter {
            dag_id: Some(dag_id.to_string()),
            run_after: (None, Some(now)),
            order: Some(RunOrder {
                by: RunColumn::RunAfter,
                descending: true,
            }),
            limit: n,
            ..RunFilter::default()
        };
        let pages = Arc::clone(&self.pages);
        let kept = self.insist("Reading the latest runs of a DAG", || pages.runs(&filter));
        let kept = kept.map_or_else(
            |err| {
                tracing::error!(%err, "Cannot read the latest runs of a DAG");
                Vec::new()
            },
            |list| list.runs,
        );
        let mut runs: BTreeMap<RunNo, RunRow> = kept
            .into_iter()
            .map(|record| (record.row.run, record.row))
            .collect();
        // A run that is tried again has been due before.
        let is_due = |row: &RunRow| row.retries_used > 0 || !row.waits_to_begin(now);
        let in_memory = self.runs.values().map(|run| &run.row);
        let in_memory = in_memory.filter(|row| row.dag == dag_no && is_due(row));
        runs.extend(in_memory.map(|row| (row.run, row.clone())));
        runs
    }
}

//! Runs that streams have made: their rows are stored already, and are taken in here.

use super::Engine;
use crate::daemon::facts;
use serde_json::{Map, Value};
use std::sync::Arc;
use tidemill_model::{Dag, DagNo, RunNo, RunRow, VersionNo};
use tidemill_scheduler::Run;
use tidemill_store::BatchRecord;

/// A run of a stream, as it was committed.
pub struct StreamRun {
    /// Its row.
    pub row: RunRow,
    /// What it was made of.
    pub batch: BatchRecord,
}

/// The triggers of a DAG as they are to be read now.
#[derive(Clone, Debug)]
pub struct WantedStreams {
    /// The DAG.
    pub dag: DagNo,
    /// Its current version.
    pub version: VersionNo,
    /// That version.
    pub definition: Arc<Dag>,
    /// Is it paused?
    pub is_paused: bool,
}

impl Engine {
    /// Reads what the runs of streams that are not over were made of: their lanes are among it.
    pub(super) fn resume_streams(&mut self) {
        let streams = Arc::clone(&self.database.streams);
        match self.insist("Reading the runs of streams", || streams.open_batches()) {
            Ok(batches) => batches.into_iter().for_each(|one| self.know_batch(one)),
            Err(err) => tracing::error!(%err, "Cannot read the runs of streams"),
        }
        self.resume_blocks();
    }

    /// Takes in runs that are stored. One that is lost on its way is found at the next start.
    pub(super) fn adopt(&mut self, runs: Vec<StreamRun>) {
        if self.stopping.is_some() {
            return;
        }
        let mut dags = std::collections::BTreeSet::new();
        for StreamRun { row, batch } in runs {
            let run_no = row.run;
            let Some(definition) = self.definition_of(row.version) else {
                tracing::error!(run.id = %row.run_id, "A run of a stream waits: its definition cannot be read");
                continue;
            };
            if self.runs.contains_key(&run_no) {
                continue;
            }
            dags.insert(row.dag);
            let run = Run::new(row, definition.dag, &definition.task_nos, Vec::new());
            self.runs.insert(run_no, run);
            self.know_batch(batch);
            // Its row is as it was; the change tells that it is there.
            self.draft.touch_run(run_no);
            self.take_turn(run_no);
        }
        for dag_no in dags {
            self.begin_runs(dag_no);
        }
    }

    /// Remembers what a run was made of, for its templates.
    pub(super) fn know_batch(&mut self, batch: BatchRecord) {
        self.batches.insert(batch.run, batch);
    }

    /// What templates of a run see as `trigger`; `None` where no stream has made it. Its records
    /// are laid out where they are not.
    pub(super) fn trigger_facts(&mut self, run_no: RunNo) -> Option<Map<String, Value>> {
        let row = &self.runs.get(&run_no)?.row;
        if !facts::is_of_stream(row) {
            return None;
        }
        let streams = Arc::clone(&self.database.streams);
        if !self.batches.contains_key(&run_no) {
            let read = self.insist("Reading a batch", || streams.batch(run_no));
            self.know_batch(read.ok()??);
        }
        let file = facts::records_file(&self.options.runs, run_no);
        if !file.exists() {
            let read = self.insist("Reading records", || streams.records(run_no));
            let laid_out = match read.ok()? {
                Some(records) => facts::lay_out_records(&file, &records),
                None => Ok(()),
            };
            if let Err(err) = laid_out {
                tracing::error!(run = %run_no, %err, "Cannot lay out the records of a run");
            }
        }
        let batch = self.batches.get(&run_no)?;
        Some(facts::of_trigger(&batch.facts, &file))
    }

    /// Tells which streams are to be read, if that has changed.
    pub(super) fn tell_streams(&mut self) {
        if !std::mem::take(&mut self.streams_changed) || !self.is_folder_read {
            return;
        }
        let dags = self.dags.values().filter(|state| !state.record.is_stale);
        let wanted = dags.filter_map(|state| {
            let definition = state.definition.as_ref()?;
            let dag = &definition.dag;
            let has_any = dag.triggers.iter().any(|one| one.is_enabled)
                || dag.event_triggers.iter().any(|one| one.is_enabled);
            has_any.then(|| WantedStreams {
                dag: state.record.dag,
                version: state.record.version,
                definition: Arc::clone(&definition.dag),
                is_paused: state.record.is_paused,
            })
        });
        self.streams.send_replace(wanted.collect());
    }
}

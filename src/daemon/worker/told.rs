//! What a worker of another process reads for the templates of its attempts.

use super::RemoteWorker;
use crate::daemon::definition::Definition;
use crate::daemon::engine::RUN_ITSELF;
use crate::daemon::{facts, outputs};
use crate::exit::chain;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ops::Range;
use tidemill_model::{MapIndex, RunNo, RunRow, RunType, TaskIndex, TaskNo, TaskState};
use tidemill_store::{Claim, InstanceValue, StoreError, StreamStore, ValueRow, WorkerStore};
use tidemill_template::{LookedUp, TaskFacts};

impl<S: WorkerStore + StreamStore + 'static> RemoteWorker<S> {
    /// What templates of a run of a stream see as `trigger`; its records are laid out for it.
    pub(super) fn trigger_facts(&self, run: &RunRow) -> Result<Option<Map<String, Value>>, String> {
        if !facts::is_of_stream(run) {
            return Ok(None);
        }
        let away = |err: StoreError| chain(&err);
        let batch = self.runtime.block_on(self.store.batch(run.run));
        let Some(batch) = batch.map_err(away)? else {
            return Ok(None);
        };
        let file = facts::records_file(&self.home.runs(), run.run);
        if !file.exists() {
            let records = self.runtime.block_on(self.store.records(run.run));
            let records = records.map_err(away)?.unwrap_or_default();
            facts::lay_out_records(&file, &records)
                .map_err(|err| format!("the records of its run cannot be laid out: {err}"))?;
        }
        Ok(Some(facts::of_trigger(&batch.facts, &file)))
    }

    /// What its upstream tasks have left, and the values that its run keeps.
    pub(super) fn upstream(
        &self,
        known: &Definition,
        at: TaskIndex,
        run: &RunRow,
    ) -> Result<(BTreeMap<String, TaskFacts>, Vec<ValueRow>), String> {
        let reads = &known.dag.task(at).reads;
        let task_nos: Vec<TaskNo> = reads.iter().map(|read| known.task_nos[read.at()]).collect();
        let mut asked = task_nos.clone();
        if run.run_type == RunType::AssetTriggered {
            asked.push(RUN_ITSELF);
        }
        if asked.is_empty() {
            return Ok((BTreeMap::new(), Vec::new()));
        }
        let states = self.task_states(run.run, &task_nos)?;
        let values = self.runtime.block_on(self.store.values(run.run, &asked));
        let values = values.map_err(|err| chain(&err))?;
        let facts = reads.iter().zip(task_nos).map(|(read, task_no)| {
            let of_task = states.iter().filter(|(no, _)| *no == task_no);
            let states: Vec<TaskState> = of_task.map(|(_, state)| *state).collect();
            let mine = values.iter().filter(|value| value.task_no == task_no);
            let task = known.dag.task(*read);
            (task.id.clone(), facts::of_upstream(task, &states, mine))
        });
        Ok((facts.collect(), values))
    }

    /// What the task's templates ask of earlier runs, and of its own instances.
    pub(super) fn looked_up(
        &self,
        known: &Definition,
        at: TaskIndex,
        claim: &Claim,
    ) -> Result<LookedUp, String> {
        let mut found = LookedUp::default();
        let (uses, attempt) = (&known.dag.task(at).uses, claim.attempt);
        if uses.n_instances && attempt.map_index != MapIndex::NONE {
            let states = self.task_states(attempt.run, &[attempt.task_no])?;
            let states = states.into_iter().map(|(_, state)| state);
            found.n_instances = Some(facts::n_instances(states));
        }
        if let Some(date) = claim.run.logical_date.filter(|_| uses.last_success) {
            let asked = self.store.last_success(claim.run.dag, date);
            let last = self.runtime.block_on(asked).map_err(|err| chain(&err))?;
            found.last_success = last.unwrap_or_default();
        }
        Ok(found)
    }

    /// What an attempt before this one has kept while it waited.
    pub(super) fn kept(
        &self,
        known: &Definition,
        at: TaskIndex,
        claim: &Claim,
    ) -> Result<BTreeMap<String, Value>, String> {
        let attempt = claim.attempt;
        if !known.dag.task(at).operator.keeps() || claim.try_number < 2 {
            return Ok(BTreeMap::new());
        }
        let own = outputs::only(attempt.map_index);
        let found = self.instance_values(attempt.run, attempt.task_no, own)?;
        Ok(found.into_iter().filter_map(|one| one.value).collect())
    }

    pub(super) fn instance_values(
        &self,
        run: RunNo,
        task: TaskNo,
        indexes: Range<i32>,
    ) -> Result<Vec<InstanceValue>, String> {
        let read = self.store.instance_values(run, task, indexes);
        self.runtime.block_on(read).map_err(|err| chain(&err))
    }

    fn task_states(
        &self,
        run: RunNo,
        tasks: &[TaskNo],
    ) -> Result<Vec<(TaskNo, TaskState)>, String> {
        let read = self.store.task_states(run, tasks);
        self.runtime.block_on(read).map_err(|err| chain(&err))
    }
}

//! Slots: who gets the next one, and what its attempt is told.

use super::Engine;
use super::RUN_ITSELF;
use super::remote::dispatch_of;
use crate::daemon::{clock, definition, facts, outputs, outside};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use tidemill_connection::Found;
use tidemill_executor::AttemptSpec;
use tidemill_model::{Attempt, MapIndex, RunNo, RunType, TaskIndex, TaskNo, TaskState, Ts, Uses};
use tidemill_store::{InstanceValue, StoreError, ValueRow};
use tidemill_template::{Facts, LookedUp, TaskFacts};

impl Engine {
    /// Gives free slots to waiting tasks, in the transaction that is being made.
    pub(super) fn admit(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        let now = clock::now();
        self.open_queues();
        while let Some((run_no, at)) = self.admission.admit() {
            self.give_slot(run_no, at, now);
        }
    }

    fn give_slot(&mut self, run_no: RunNo, at: TaskIndex, now: Ts) {
        let queue = self.runs.get(&run_no).map(|run| run.task(at).queue.clone());
        let goes_here = queue.as_ref().is_none_or(|queue| self.goes_here(queue));
        let Some(run) = self.runs.get_mut(&run_no) else {
            tracing::error!(run = %run_no, "A run that is not in memory was given a slot");
            return;
        };
        if goes_here {
            let (attempt, effects) = run.launch(at, self.worker_no, now);
            self.draft.launches.push((run_no, at, attempt));
            self.take_effects(run_no, effects, now);
        } else {
            let (attempt, effects) = run.dispatch(at, now);
            let dispatch = dispatch_of(run, attempt);
            self.take_effects(run_no, effects, now);
            if let Some(mut dispatch) = dispatch {
                dispatch.sealed = self.sealed(run_no, at, attempt);
                self.give_out(attempt, dispatch);
            }
        }
        if let Some(queue) = queue {
            self.open_queue(&queue);
        }
    }

    /// Hands an attempt to the worker. Its row is committed.
    pub(super) fn launch(&mut self, run_no: RunNo, at: TaskIndex, attempt: Attempt) {
        let values = self.upstream_values(run_no, at);
        let kept = self.kept(run_no, at);
        let found = self.found(run_no, at);
        let trigger = self.trigger_facts(run_no);
        let mut facts = self.facts(run_no, at, &values, found);
        facts.trigger = trigger.or_else(|| facts::of_happening(&values));
        if let Err(why) = self.look_up(run_no, at, &mut facts) {
            Arc::make_mut(&mut facts.found).wrong.push(why); // so that it does not start
        }
        let Some(run) = self.runs.get(&run_no) else {
            return;
        };
        let task = &run.tasks[at.at()];
        let has_files = self.has_files(run.row.version);
        let spec = AttemptSpec {
            attempt,
            dag: Arc::clone(&run.dag),
            task: run.index_of(at),
            kept,
            now: clock::now(),
            run_started_at: run.row.started_at.unwrap_or_else(clock::now),
            facts,
            log: log_path(&self.options.logs, attempt, task.try_number),
            dag_dir: definition::folder(&self.options.versions, run.row.version, has_files),
            run_dir: self.options.runs.join(run_no.to_string()),
        };
        self.worker.launch(spec);
    }

    /// What the task uses of earlier runs, of its own instances and of those above it. A guess
    /// would be worse than no attempt: whoever loads what is new since the last success would load
    /// everything.
    fn look_up(&mut self, run_no: RunNo, at: TaskIndex, facts: &mut Facts) -> Result<(), String> {
        facts.looked_up = self.looked_up(run_no, at)?;
        self.add_outputs(run_no, at, facts)
    }

    /// What the task uses of single instances of a mapped task.
    fn add_outputs(
        &mut self,
        run_no: RunNo,
        at: TaskIndex,
        facts: &mut Facts,
    ) -> Result<(), String> {
        let Some(run) = self.runs.get(&run_no) else {
            return Ok(());
        };
        let (dag, at) = (Arc::clone(&run.dag), run.index_of(at));
        let own = run.tasks.iter().take(dag.tasks.len());
        let task_nos: Vec<TaskNo> = match outputs::are_used(dag.task(at)) {
            true => own.map(|row| row.task_no).collect(),
            false => return Ok(()),
        };
        let task_no = |at: TaskIndex| task_nos[at.at()];
        outputs::add(facts, &dag, at, task_no, |task_no, indexes| {
            let read = self.instance_values(run_no, task_no, indexes);
            read.map_err(|err| crate::exit::chain(&err))
        })
    }

    pub(super) fn instance_values(
        &mut self,
        run: RunNo,
        task: TaskNo,
        indexes: Range<i32>,
    ) -> Result<Vec<InstanceValue>, StoreError> {
        let store = Arc::clone(&self.store);
        let ask = || store.instance_values(run, task, indexes.clone());
        self.insist("Reading values", ask)
    }

    /// What the task's templates ask of earlier runs, and of its own instances.
    fn looked_up(&mut self, run_no: RunNo, at: TaskIndex) -> Result<LookedUp, String> {
        let mut found = LookedUp::default();
        let Some(run) = self.runs.get(&run_no) else {
            return Ok(found);
        };
        let uses = &run.task(at).uses;
        if uses.n_instances && run.tasks[at.at()].map_index != MapIndex::NONE {
            let places = run.instances(run.index_of(at)).iter();
            let states = places.map(|place| run.tasks[place.at()].state);
            found.n_instances = Some(facts::n_instances(states));
        }
        if let Some(date) = run.row.logical_date.filter(|_| uses.last_success) {
            let (store, dag) = (Arc::clone(&self.store), run.row.dag);
            let last = self.insist("Looking for the last success", || {
                store.last_success(dag, date)
            });
            let last = last.map_err(|err| crate::exit::chain(&err))?;
            found.last_success = last.unwrap_or_default();
        }
        Ok(found)
    }

    /// What an attempt before this one has kept while it waited.
    fn kept(&mut self, run_no: RunNo, at: TaskIndex) -> BTreeMap<String, serde_json::Value> {
        let Some(run) = self.runs.get(&run_no) else {
            return BTreeMap::new();
        };
        let task = &run.tasks[at.at()];
        let (task_no, map_index) = (task.task_no, task.map_index);
        if !run.task(at).operator.keeps() || task.try_number < 2 {
            return BTreeMap::new();
        }
        let found = self.instance_values(run_no, task_no, outputs::only(map_index));
        let found = found.into_iter().flatten();
        found.filter_map(|one| one.value).collect()
    }

    fn has_files(&self, version: tidemill_model::VersionNo) -> bool {
        definition::folder(&self.options.versions, version, true).is_dir()
    }

    fn facts(&self, run_no: RunNo, at: TaskIndex, values: &[ValueRow], found: Found) -> Facts {
        let run = &self.runs[&run_no];
        let task = &run.tasks[at.at()];
        let item = task.map_item.as_ref();
        let place = facts::Place {
            try_number: task.try_number,
            map_index: task.map_index.0,
            map: item.map(|item| item.values.clone()).unwrap_or_default(),
        };
        let run_dir = self.options.runs.join(run_no.to_string());
        let tasks = self.upstream_facts(run_no, at, values);
        let at = run.index_of(at);
        let mut facts = facts::of_attempt(&run.row, &run.dag, at, place, &run_dir, tasks, found);
        facts.asset_events = facts::asset_events(values);
        facts
    }

    /// The connections and variables that the task uses.
    fn found(&mut self, run_no: RunNo, at: TaskIndex) -> Found {
        let uses = self.runs.get(&run_no).map(|run| &run.task(at).uses);
        let Some(uses) = uses.filter(|uses| !uses.is_empty()) else {
            return Found::default();
        };
        let (mut found, open) = Found::look(uses, &self.options.places);
        self.find_stored(&open, &mut found);
        if found.wrong.is_empty() {
            found.close(&open, &self.options.places);
        }
        found
    }

    /// What the database has of it.
    fn find_stored(&mut self, open: &Uses, found: &mut Found) {
        let Some(keeper) = self.options.keeper.clone().filter(|_| !open.is_empty()) else {
            return;
        };
        match self.insist("Reading connections", || keeper.read(open)) {
            Ok(stored) => keeper.unseal(&stored, found),
            Err(err) => found.wrong.push(crate::exit::chain(&err)),
        }
    }

    /// What an attempt on another machine may need of the database, sealed.
    fn sealed(&mut self, run_no: RunNo, at: TaskIndex, attempt: Attempt) -> Option<Vec<u8>> {
        let uses = self.runs.get(&run_no)?.task(at).uses.clone();
        if uses.is_empty() {
            return None;
        }
        let mut found = Found::default();
        self.find_stored(&uses, &mut found);
        for what in &found.wrong {
            tracing::warn!(%attempt, what, "A secret cannot be sent to a worker");
        }
        let keys = self.options.keeper.as_ref()?.keys()?;
        match outside::for_worker(attempt, &found, &keys) {
            Ok(sealed) => sealed,
            Err(err) => {
                tracing::error!(%attempt, %err, "Cannot seal secrets for a worker");
                None
            }
        }
    }

    /// The values of the upstream tasks that static analysis found in the task's templates.
    fn upstream_values(&mut self, run_no: RunNo, at: TaskIndex) -> Vec<ValueRow> {
        let Some(run) = self.runs.get(&run_no) else {
            return Vec::new();
        };
        let reads = run.task(at).reads.iter();
        let mut task_nos: Vec<TaskNo> = reads.map(|read| run.tasks[read.at()].task_no).collect();
        if run.row.run_type == RunType::AssetTriggered {
            task_nos.push(RUN_ITSELF);
        }
        if task_nos.is_empty() {
            return Vec::new();
        }
        let store = Arc::clone(&self.store);
        self.insist("Reading values", || store.values(run_no, &task_nos))
            .unwrap_or_else(|err| {
                tracing::error!(%err, "Cannot read the values of upstream tasks");
                Vec::new()
            })
    }

    fn upstream_facts(
        &self,
        run_no: RunNo,
        at: TaskIndex,
        values: &[ValueRow],
    ) -> BTreeMap<String, TaskFacts> {
        let run = &self.runs[&run_no];
        let facts = run.task(at).reads.iter().map(|read| {
            let places = run.places_of(*read);
            let states: Vec<TaskState> = places.iter().map(|at| run.tasks[at.at()].state).collect();
            let own_no = run.tasks[read.at()].task_no;
            let mine = values.iter().filter(|value| value.task_no == own_no);
            let task = run.dag.task(*read);
            (task.id.clone(), facts::of_upstream(task, &states, mine))
        });
        facts.collect()
    }
}

/// Where the log of a try lies.
pub fn log_path(logs: &std::path::Path, attempt: Attempt, try_number: i32) -> std::path::PathBuf {
    logs.join(attempt.run.to_string()).join(format!(
        "{}.{}.{try_number}",
        attempt.task_no, attempt.map_index
    ))
}

//! Runs by schedule: each tick makes one run, however often anything is asked twice.

use super::Engine;
use super::state::{Active, Timer};
use crate::daemon::clock;
use std::cmp::Reverse;
use tidemill_model::{DagNo, RunNo, RunState, RunType, Ts};
use tidemill_scheduler::{Run, due};
use tidemill_store::{RunKey, RunRow};

/// Runs of one DAG that catch-up keeps waiting; the next ones are made as these begin.
const CATCHUP_QUEUE_MAX: usize = 16;

/// What a new run is about.
pub(super) struct NewRun {
    pub key: RunKey,
    pub run_type: RunType,
    pub data_interval: Option<(Ts, Ts)>,
    pub conf: serde_json::Value,
    pub triggered_by: Option<String>,
    pub note: Option<String>,
}

impl Engine {
    /// Makes the runs that a DAG's schedule owes, and sets the timer for the next.
    pub(super) fn tick(&mut self, dag_no: DagNo) {
        let now = clock::now();
        let Some(state) = self.dags.get_mut(&dag_no) else {
            return;
        };
        let Some(definition) = state.definition.clone() else {
            return;
        };
        if state.record.is_paused || state.record.is_stale || self.stopping.is_some() {
            return;
        }
        if !definition
            .dag
            .allowed_run_types
            .contains(&RunType::Scheduled)
        {
            return;
        }
        let room = CATCHUP_QUEUE_MAX.saturating_sub(state.queued.len());
        let owed = due(&definition.dag, state.record.schedule_high, now, room);
        let changed =
            state.record.schedule_high != Some(owed.high) || state.record.next_run != owed.next;
        state.record.schedule_high = Some(owed.high);
        state.record.next_run = owed.next;
        if changed {
            self.draft.dags.insert(dag_no);
        }
        if let Some(next) = owed.next.filter(|next| room > 0 || *next > now) {
            self.timers.push(Reverse((next, Timer::Schedule(dag_no))));
        }
        for fire in owed.fires {
            let key = RunKey {
                run_id: format!("scheduled__{fire}"),
                logical_date: Some(fire),
                cause: Some(format!("schedule:{}", fire.0)),
            };
            if self.existing_run(dag_no, &key).is_some() {
                continue;
            }
            self.make_run(
                dag_no,
                NewRun {
                    key,
                    run_type: RunType::Scheduled,
                    data_interval: Some((fire, fire)),
                    conf: serde_json::json!({}),
                    triggered_by: None,
                    note: None,
                },
            );
        }
        self.begin_runs(dag_no);
    }

    /// A run with the same name, logical date or cause: in memory, or in the store.
    pub(super) fn existing_run(&self, dag_no: DagNo, key: &RunKey) -> Option<RunRow> {
        let same = |row: &RunRow| {
            row.dag == dag_no
                && (row.run_id == key.run_id
                    || key.logical_date.is_some() && row.logical_date == key.logical_date
                    || key.cause.is_some() && row.cause == key.cause)
        };
        if let Some(active) = self.runs.values().find(|active| same(&active.run.row)) {
            return Some(active.run.row.clone());
        }
        self.runtime
            .block_on(self.store.conflicting_run(dag_no, key))
            .unwrap_or_else(|err| {
                tracing::error!(%err, "Cannot look for an earlier run of the same cause");
                None
            })
    }

    /// Makes a run in the pass that is being made. The caller has looked for a conflict.
    pub(super) fn make_run(&mut self, dag_no: DagNo, new: NewRun) -> Option<RunNo> {
        let now = clock::now();
        let state = self.dags.get_mut(&dag_no)?;
        let definition = state.definition.clone()?;
        self.last_run += 1;
        let run_no = RunNo(self.last_run);
        let row = RunRow {
            run: run_no,
            dag: dag_no,
            run_id: new.key.run_id,
            run_type: new.run_type,
            state: RunState::Queued,
            version: state.record.version,
            cause: new.key.cause,
            logical_date: new.key.logical_date,
            data_interval_start: new.data_interval.map(|interval| interval.0),
            data_interval_end: new.data_interval.map(|interval| interval.1),
            run_after: new.key.logical_date.unwrap_or(now).min(now),
            queued_at: now,
            started_at: None,
            ended_at: None,
            conf: new.conf,
            triggered_by: new.triggered_by,
            note: new.note,
            reason: None,
        };
        state.queued.push_back(run_no);
        let mut run = Run::new(row, definition.dag, &definition.task_nos, Vec::new());
        if self.options.no_retry {
            run.tasks.iter_mut().for_each(|task| task.max_tries = 0);
        }
        self.runs.insert(
            run_no,
            Active {
                run,
                parked: Vec::new(),
            },
        );
        self.draft.new_runs.insert(run_no);
        Some(run_no)
    }
}

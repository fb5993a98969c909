//! Runs that tasks start (`trigger_dag_run`): one run for one cause, in the pass that takes the
//! task's report.

use super::Engine;
use super::commands::manual_id;
use super::schedule::NewRun;
use super::watch::Waiter;
use crate::daemon::clock;
use std::sync::Arc;
use tidemill_model::attempt::{ChildDate, ChildWish};
use tidemill_model::dag::TriggerDagRun;
use tidemill_model::{Dag, DagNo, Operator, RunNo, RunRow, RunType, Ts, check_run_id};
use tidemill_scheduler::{ClearChoice, Event, Heard, plan_clear};
use tidemill_store::RunKey;

impl Engine {
    /// Makes the run that a task wants, unless the same cause has made it, and tells the task.
    pub(super) fn make_child(&mut self, waiter: Waiter, wish: ChildWish) {
        let (run_no, at) = waiter;
        let Some(run) = self.runs.get(&run_no) else {
            return;
        };
        let Operator::TriggerDagRun(trigger) = run.task(at).operator.clone() else {
            return;
        };
        let row = &run.tasks[at.at()];
        // Each time a person clears the task, it may make a run anew; its own tries may not.
        let cause = format!(
            "task:{run_no}:{}:{}:{}",
            row.task_no, row.map_index, row.clears
        );
        let dag_id = wish.dag_id.clone();
        let heard = match self.child(&trigger, wish, cause) {
            Ok(child) => {
                if trigger.waits {
                    self.watches.watch(waiter, vec![(child.run, None)]);
                }
                Heard::Made {
                    dag_id,
                    run_id: child.run_id,
                    state: child.state,
                }
            }
            Err(heard) => heard,
        };
        self.step(run_no, Event::Heard(at, heard));
    }

    fn child(
        &mut self,
        trigger: &TriggerDagRun,
        wish: ChildWish,
        cause: String,
    ) -> Result<RunRow, Heard> {
        let (dag_no, dag) = self.child_dag(trigger, &wish)?;
        let only_cause = RunKey {
            run_id: String::new(),
            logical_date: None,
            cause: Some(cause.clone()),
        };
        if let Some(own) = self.existing_run(dag_no, &only_cause) {
            // An earlier try of the task has made it. One that has not ended as it should runs
            // again, for that is what this try is for.
            let is_bad = own.state.is_terminal() && !trigger.allowed.contains(&own.state);
            return match is_bad {
                true => self.run_child_again(dag_no, &own),
                false => Ok(own),
            };
        }
        let mut date = match wish.date {
            ChildDate::Present => Some(clock::now()),
            ChildDate::None => None,
            ChildDate::At(at) => Some(at),
        };
        let key = |date: Option<Ts>| RunKey {
            run_id: wish
                .run_id
                .clone()
                .unwrap_or_else(|| manual_id(date.unwrap_or_else(clock::now))),
            logical_date: date,
            cause: Some(cause.clone()),
        };
        let mut wanted = key(date);
        while let Some(there) = self.existing_run(dag_no, &wanted) {
            let is_named = wish.run_id.is_some();
            let may_move = match wish.date {
                ChildDate::Present => !is_named || there.run_id != wanted.run_id,
                ChildDate::None => !is_named,
                ChildDate::At(_) => false,
            };
            if may_move {
                // Two runs in one microsecond: the later one is a microsecond later.
                date = date.map(|at| Ts(at.0 + 1));
                wanted = key(date);
                continue;
            }
            if trigger.resets {
                return self.run_child_again(dag_no, &there);
            }
            let why = format!(
                "DAG {} has run {} with that name or logical date already",
                wish.dag_id, there.run_id
            );
            return Err(Heard::Exists(why));
        }
        let new = NewRun {
            key: wanted,
            run_type: RunType::Manual,
            data_interval: date.map(|at| dag.schedule.asked_for(at)),
            run_after: None,
            conf: serde_json::Value::Object(wish.conf),
            triggered_by: Some("operator".to_string()),
            note: wish.note,
        };
        let made = self.make_run(dag_no, new);
        self.begin_runs(dag_no);
        match made {
            Ok(run_no) => Ok(self.runs[&run_no].row.clone()),
            Err(why) => Err(Heard::Missing(format!("DAG {}: {why}", wish.dag_id))),
        }
    }

    /// The DAG that is to be started, if it can be.
    fn child_dag(
        &self,
        trigger: &TriggerDagRun,
        wish: &ChildWish,
    ) -> Result<(DagNo, Arc<Dag>), Heard> {
        let id = &wish.dag_id;
        let missing = |why: String| Heard::Missing(why);
        let dag_no = self.dag_no(id).map_err(|why| missing(why.to_string()))?;
        let state = &self.dags[&dag_no];
        let Some(definition) = state.definition.as_ref().filter(|_| !state.record.is_stale) else {
            return Err(missing(format!(
                "the file of DAG {id} is gone or cannot be read"
            )));
        };
        if !definition.dag.allowed_run_types.contains(&RunType::Manual) {
            return Err(missing(format!("DAG {id} does not allow manual runs")));
        }
        if trigger.fails_when_paused && state.record.is_paused {
            return Err(missing(format!("DAG {id} is paused")));
        }
        let fits = definition.dag.check_conf(&wish.conf);
        fits.map_err(|why| missing(format!("conf of DAG {id}: {why}")))?;
        let named = wish.run_id.as_deref().map_or(Ok(()), check_run_id);
        named.map_err(|why| missing(format!("run of DAG {id}: {why}")))?;
        Ok((dag_no, Arc::clone(&definition.dag)))
    }

    fn run_child_again(&mut self, dag_no: DagNo, row: &RunRow) -> Result<RunRow, Heard> {
        let gone = || Heard::Missing(format!("run {} cannot be read", row.run_id));
        let run_no: RunNo = self.load_run(dag_no, &row.run_id).ok_or_else(gone)?;
        let chosen = plan_clear(&self.runs[&run_no], &ClearChoice::default());
        self.step(run_no, Event::Clear(chosen));
        self.begin_runs(dag_no);
        Ok(self.runs[&run_no].row.clone())
    }
}

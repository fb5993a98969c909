//! A run that is over moves to the current version of its DAG, when a person wishes it.

use super::Engine;
use crate::daemon::clock;
use crate::daemon::definition::Definition;
use tidemill_model::{RunNo, TaskIndex, TaskRow, VersionNo};
use tidemill_scheduler::{self as scheduler, Pin};
use tidemill_store::Refusal;

impl Engine {
    /// Pins a run to the current version, if that is wished; gives the places of `chosen` there.
    /// Instances of tasks that are gone stay as `removed`.
    pub(super) fn repin(
        &mut self,
        run_no: RunNo,
        wished: Option<bool>,
        chosen: Vec<TaskIndex>,
    ) -> Result<Vec<TaskIndex>, Refusal> {
        let Some((current, version)) = self.wished_version(run_no, wished)? else {
            return Ok(chosen);
        };
        let stored = self.runtime.block_on(self.store.run_with_tasks(run_no));
        let stored = stored.map_err(|err| Refusal::Unavailable {
            what: format!("the run cannot be read: {err}"),
        })?;
        let pin = Pin {
            version,
            dag: current.dag,
            task_nos: current.task_nos,
        };
        let run = &self.runs[&run_no];
        let mut rows = stored.map_or(Vec::new(), |(_, rows)| rows);
        // What left the run in this very pass is not written yet.
        let gone = self
            .draft
            .rows
            .tasks
            .extract_if(.., |row| row.run == run_no);
        for row in gone.collect::<Vec<_>>() {
            let same = |old: &TaskRow| (old.task_no, old.map_index) == (row.task_no, row.map_index);
            rows.retain(|old| !same(old));
            rows.push(row);
        }
        let anew = scheduler::repin(run, pin, rows, &chosen);
        self.draft.forget_tasks(run_no);
        self.draft.rows.tasks.extend(anew.gone);
        self.admission.forget(run);
        self.admission.follow_all(&anew.run);
        self.runs.insert(run_no, anew.run);
        self.take_effects(run_no, anew.effects, clock::now());
        Ok(anew.chosen)
    }

    /// The version that a run moves to; `None` when it stays where it is.
    fn wished_version(
        &self,
        run_no: RunNo,
        wished: Option<bool>,
    ) -> Result<Option<(Definition, VersionNo)>, Refusal> {
        let run = &self.runs[&run_no];
        let Some(state) = self.dags.get(&run.row.dag) else {
            return Ok(None);
        };
        let Some(current) = state.definition.clone() else {
            return Ok(None);
        };
        let is_wished = wished.or(current.dag.rerun_with_latest_version) == Some(true);
        if !is_wished || run.row.version == state.record.version {
            return Ok(None);
        }
        let is_over = run.row.state.is_terminal() && run.n_live() == 0;
        match (is_over, wished) {
            (true, _) => Ok(Some((current, state.record.version))),
            (false, None) => Ok(None), // the DAG's own wish waits until the run is over
            (false, Some(_)) => Err(Refusal::Conflict {
                what: format!(
                    "run {} is not over: it goes on by its own version; cancel it, or clear it when it is over",
                    run.row.run_id
                ),
            }),
        }
    }
}

//! People's hands on runs that are going on or over: clear, mark, note.

use super::Engine;
use tidemill_model::{Dag, DagNo, MapIndex, RunNo, TaskIndex, TaskState};
use tidemill_scheduler::{ClearChoice, Event, Run, plan_clear, with_neighbours};
use tidemill_store::{
    Answer, Command, Reach, Refusal, RunColumn, RunFilter, RunOrder, TaskNote, Touched,
};

/// Runs that one wish may reach.
const RUNS_MAX: u32 = 1_000;

/// The longest note, in bytes; Airflow's notes are as long.
const NOTE_BYTES_MAX: usize = 1_000;

impl Engine {
    pub(super) fn clear(&mut self, command: Command) -> Result<Answer, Refusal> {
        let Command::Clear {
            dag_id,
            reach,
            only_failed,
            only_running,
            on_latest_version,
            note,
            dry_run,
        } = command
        else {
            return Ok(Answer::Done);
        };
        if let Some(note) = &note {
            check_note(note)?;
        }
        let runs = self.reached(&dag_id, &reach)?;
        let mut touched = Vec::new();
        for run_no in runs {
            let run = &self.runs[&run_no];
            let Some(tasks) = places(run, &reach.tasks) else {
                continue;
            };
            let choice = ClearChoice {
                tasks,
                only_failed,
                only_running,
                downstream: reach.downstream,
                upstream: reach.upstream,
            };
            let chosen = plan_clear(run, &choice);
            touched.extend(named(run, &chosen));
            if dry_run || chosen.is_empty() {
                continue;
            }
            let chosen = self.repin(run_no, on_latest_version, chosen)?;
            self.step(run_no, Event::Clear(chosen));
            if let (Some(note), Some(run)) = (&note, self.runs.get_mut(&run_no)) {
                run.row.note = Some(note.clone()).filter(|note| !note.is_empty());
                self.draft.touch_run(run_no);
            }
        }
        Ok(Answer::Tasks(touched))
    }

    pub(super) fn mark_tasks(
        &mut self,
        dag_id: &str,
        reach: &Reach,
        state: TaskState,
        dry_run: bool,
    ) -> Result<Answer, Refusal> {
        let runs = self.reached(dag_id, reach)?;
        let mut touched = Vec::new();
        for run_no in runs {
            let run = &self.runs[&run_no];
            if let Some(tasks) = places(run, &reach.tasks) {
                let tasks = with_neighbours(run, tasks, reach.downstream, reach.upstream);
                touched.extend(named(run, &tasks));
                if !dry_run {
                    self.step(run_no, Event::Mark(tasks, state));
                }
            }
        }
        Ok(Answer::Tasks(touched))
    }

    pub(super) fn set_note(
        &mut self,
        dag_id: &str,
        run_id: &str,
        task: Option<(String, MapIndex)>,
        note: String,
    ) -> Result<Answer, Refusal> {
        check_note(&note)?;
        let run_no = self.find(dag_id, run_id)?;
        self.forget_if_over(run_no);
        match task {
            Some((task_id, map_index)) => {
                let at = self.place(run_no, &task_id, map_index)?;
                self.draft.rows.notes.push(TaskNote {
                    run: run_no,
                    task_no: self.runs[&run_no].tasks[at.at()].task_no,
                    map_index,
                    note,
                });
            }
            None => {
                if let Some(run) = self.runs.get_mut(&run_no) {
                    run.row.note = Some(note).filter(|note| !note.is_empty());
                }
                self.draft.touch_run(run_no);
            }
        }
        Ok(Answer::Done)
    }

    /// The runs that a wish reaches, in memory, oldest logical date first. A task that is named
    /// must be in the DAG of the run that is named, or in some run's.
    fn reached(&mut self, dag_id: &str, reach: &Reach) -> Result<Vec<RunNo>, Refusal> {
        let dag_no = self.dag_no(dag_id)?;
        let mut filter = RunFilter {
            dag_id: Some(dag_id.to_string()),
            logical_date: (reach.from, reach.until),
            order: Some(RunOrder {
                by: RunColumn::LogicalDate,
                descending: false,
            }),
            limit: RUNS_MAX + 1,
            ..RunFilter::default()
        };
        let mut runs = Vec::new();
        if let Some(run_id) = &reach.run_id {
            let run_no = self.find(dag_id, run_id)?;
            self.forget_if_over(run_no);
            runs.push(run_no);
            let anchor = self.runs[&run_no].row.logical_date;
            if !reach.past && !reach.future {
                return self.checked(runs, reach);
            }
            let anchor = anchor.ok_or_else(|| Refusal::Invalid {
                what: format!(
                    "run {run_id} has no logical date, so there is no past and no future of it"
                ),
            })?;
            let end = |is_open: bool| (!is_open).then_some(anchor);
            filter.logical_date = (end(reach.past), end(reach.future));
        }
        for run_id in self.run_ids(dag_no, &filter)? {
            let run_no = self.find(dag_id, &run_id)?;
            self.forget_if_over(run_no);
            // Runs without a logical date are neither past nor future.
            if self.runs[&run_no].row.logical_date.is_some() || reach.run_id.is_none() {
                runs.push(run_no);
            }
        }
        runs.sort_unstable_by_key(|run_no| (self.runs[run_no].row.logical_date, *run_no));
        runs.dedup();
        self.checked(runs, reach)
    }

    fn run_ids(&self, dag_no: DagNo, filter: &RunFilter) -> Result<Vec<String>, Refusal> {
        let found = self.runtime.block_on(self.pages.runs(filter));
        let found = found.map_err(|err| Refusal::Unavailable {
            what: format!("the runs cannot be read: {err}"),
        })?;
        if found.total > i64::from(RUNS_MAX) {
            let what = format!(
                "this reaches {} runs, and at most {RUNS_MAX} at once are possible: give it dates",
                found.total
            );
            return Err(Refusal::Invalid { what });
        }
        let of_store = found.runs.into_iter().map(|run| run.row.run_id);
        // Runs of the pass that is being made are not in the store yet.
        let of_pass = self
            .draft
            .new_runs
            .iter()
            .filter_map(|run_no| self.runs.get(run_no));
        let of_pass = of_pass.filter(|run| run.row.dag == dag_no && filter.has_date(&run.row));
        let of_pass: Vec<String> = of_pass.map(|run| run.row.run_id.clone()).collect();
        Ok(of_store.chain(of_pass).collect())
    }

    /// Refuses names that are in no run's DAG.
    fn checked(&self, runs: Vec<RunNo>, reach: &Reach) -> Result<Vec<RunNo>, Refusal> {
        let dags: Vec<&Dag> = runs.iter().map(|run_no| &*self.runs[run_no].dag).collect();
        for (name, _) in &reach.tasks {
            let is_known = |dag: &&Dag| !named_places(dag, name).is_empty();
            if !runs.is_empty() && !dags.iter().any(is_known) {
                let what = format!("DAG {} has no task and no group {name}", dags[0].id);
                return Err(Refusal::NotFound { what });
            }
        }
        Ok(runs)
    }

    /// The place of a task instance in a run.
    pub(super) fn place(
        &self,
        run_no: RunNo,
        task_id: &str,
        map_index: MapIndex,
    ) -> Result<TaskIndex, Refusal> {
        let run = &self.runs[&run_no];
        let task = run.dag.index_of(task_id).ok_or_else(|| Refusal::NotFound {
            what: format!("DAG {} has no task {task_id}", run.dag.id),
        })?;
        if map_index == MapIndex::NONE {
            return Ok(task);
        }
        let instance = run.place(run.tasks[task.at()].task_no, map_index);
        instance.ok_or_else(|| Refusal::NotFound {
            what: format!("task {task_id} has no instance {map_index} in this run"),
        })
    }
}

fn check_note(note: &str) -> Result<(), Refusal> {
    if note.len() > NOTE_BYTES_MAX {
        let what = format!(
            "a note has at most {NOTE_BYTES_MAX} bytes; this has {}",
            note.len()
        );
        return Err(Refusal::Invalid { what });
    }
    Ok(())
}

/// The places of tasks and groups by name; `None` when this run has none of those that are named.
/// A name without a map index means every instance.
fn places(run: &Run, names: &[(String, MapIndex)]) -> Option<Vec<TaskIndex>> {
    if names.is_empty() {
        return Some(run.places().collect());
    }
    let mut found = Vec::new();
    for (name, map_index) in names {
        for task in named_places(&run.dag, name) {
            if *map_index == MapIndex::NONE {
                found.extend(run.places_of(task));
            } else {
                found.extend(run.place(run.tasks[task.at()].task_no, *map_index));
            }
        }
    }
    (!found.is_empty()).then_some(found)
}

/// The place of a task, or those of all tasks in a group and in the groups inside it.
pub(super) fn named_places(dag: &Dag, name: &str) -> Vec<TaskIndex> {
    if let Some(at) = dag.index_of(name) {
        return vec![at];
    }
    let Some(group) = dag.groups.iter().position(|group| group.id == name) else {
        return Vec::new();
    };
    let all = (0..dag.tasks.len() as u32).map(TaskIndex);
    all.filter(|at| dag.is_in_group(*at, group)).collect()
}

fn named(run: &Run, places: &[TaskIndex]) -> Vec<Touched> {
    let one = |at: &TaskIndex| Touched {
        run_id: run.row.run_id.clone(),
        task_id: run.task(*at).id.clone(),
        map_index: run.tasks[at.at()].map_index,
        state: run.tasks[at.at()].state,
    };
    places.iter().map(one).collect()
}

//! What is waited for outside of a run, in words: the workers of a queue, the run before, an
//! instant, another DAG.

use super::Engine;
use super::remote::Served;
use super::why::{Said, from_now, told};
use tidemill_model::dag::{External, ExternalTask};
use tidemill_model::row::UNCLAIMED;
use tidemill_model::{MapIndex, Operator, RunNo, TaskIndex, TaskState, Ts};
use tidemill_scheduler::{Gate, GateKind, PastGate, PastTask, Place, Run};
use tidemill_store::{Condition, Holder};

impl Engine {
    /// The slots of the workers of a task's queue, where workers are processes of their own.
    pub(super) fn slots_of_workers(&self, gate: &Gate, task: Option<Place>) -> Option<Said> {
        let (run_no, at) = task.filter(|_| gate.kind == GateKind::WorkerSlots)?;
        let queue = &self.runs.get(&run_no)?.task(at).queue;
        let served = self.served(queue)?;
        let is_there = |(run_no, at): Place| {
            let run = self.runs.get(&run_no)?;
            let worker = run.tasks[at.at()].worker?;
            let waits_there = worker == UNCLAIMED && run.task(at).queue == *queue;
            Some(waits_there || served.workers.contains(&worker))
        };
        let there = gate
            .holders
            .iter()
            .filter(|(place, _)| is_there(*place) == Some(true));
        let holders = there.filter_map(|(place, slots)| self.holder(*place, *slots));
        let detail = workers_words(queue, &served);
        Some(("worker_slots", detail, holders.collect()))
    }

    /// The workers of the queue of a task that is given out, while none of them has claimed it.
    pub(super) fn unclaimed(&self, (run_no, at): Place) -> Option<Condition> {
        let run = self.runs.get(&run_no)?;
        if run.tasks[at.at()].state != TaskState::Queued {
            return None;
        }
        let queue = &run.task(at).queue;
        let detail = workers_words(queue, &self.served(queue)?);
        Some(told(("worker_slots", detail, Vec::new()), false))
    }

    /// The run before, and the tasks there that are waited for.
    pub(super) fn past_run(&self, gate: PastGate, before: &PastTask, run: Option<&Run>) -> Said {
        let run_id = self.run_id_of(before.run);
        let detail = format!("{}: run {run_id}", past_words(gate));
        let waited = match gate {
            PastGate::OpenBelow => before.open_below.as_slice(),
            _ => &[],
        };
        let holder = |task_id: Option<String>| Holder {
            dag_id: run.map_or(String::new(), |run| run.dag.id.clone()),
            run_id: run_id.clone(),
            task_id,
            map_index: MapIndex::NONE,
            slots: None,
        };
        let tasks = waited
            .iter()
            .filter_map(|at| Some(run?.task(*at).id.clone()));
        let mut holders: Vec<Holder> = tasks.map(|task| holder(Some(task))).collect();
        if holders.is_empty() && !gate.is_open() {
            holders.push(holder(None));
        }
        ("depends_on_past", detail, holders)
    }

    /// What a run is called, wherever it is.
    pub(super) fn run_id_of(&self, run_no: RunNo) -> String {
        if let Some(run) = self.runs.get(&run_no) {
            return run.row.run_id.clone();
        }
        let found = self.runtime.block_on(self.pages.run_by_no(run_no));
        let found = found.ok().flatten();
        found.map_or_else(|| run_no.short_id(), |found| found.row.run_id)
    }

    /// What a deferred instance waits for, and until when at the latest.
    pub(super) fn deferred(&self, at: TaskIndex, until: Option<Ts>, run: Option<&Run>) -> Said {
        let limit = until.map_or(String::new(), |at| {
            format!("; until {at} at the latest, {}", from_now(at))
        });
        let Some(run) = run else {
            return ("deferred", limit, Vec::new());
        };
        let target = self.watches.run_of((run.row.run, at));
        let (detail, dag_id) = match &run.task(at).operator {
            Operator::TimeSensor(_) => {
                let when = until.map_or(String::new(), |at| format!("{at}, {}", from_now(at)));
                return ("deferred", format!("it waits for {when}"), Vec::new());
            }
            Operator::ExternalTaskSensor(sensor) => {
                let what = what_of(sensor);
                let detail = match target {
                    Some(_) => format!("it waits for {what} of DAG {}", sensor.dag_id),
                    None => format!(
                        "it waits for {what} of a run of DAG {} that is not there yet{}",
                        sensor.dag_id,
                        dates_words(self.watches.dates_of((run.row.run, at)))
                    ),
                };
                (detail, sensor.dag_id.clone())
            }
            Operator::TriggerDagRun(_) => {
                let child = target.and_then(|no| self.runs.get(&no));
                let dag_id = child.map_or(String::new(), |child| child.dag.id.clone());
                (
                    "it waits for the run that it has started".to_string(),
                    dag_id,
                )
            }
            _ => ("it waits for an event".to_string(), String::new()),
        };
        let holder = target.map(|no| Holder {
            dag_id,
            run_id: self.run_id_of(no),
            task_id: None,
            map_index: MapIndex::NONE,
            slots: None,
        });
        (
            "deferred",
            format!("{detail}{limit}"),
            holder.into_iter().collect(),
        )
    }
}

fn workers_words(queue: &str, served: &Served) -> String {
    let who = match (served.workers.len(), served.n_draining) {
        (0, 0) => {
            return format!(
                "no worker serves its queue {queue}: start one with `tidemill worker --queues {queue}`"
            );
        }
        (0, _) => return format!("every worker that serves its queue {queue} is draining"),
        (1, _) => "the worker that serves".to_string(),
        (n, _) => format!("the {n} workers that serve"),
    };
    let waiting = match served.n_unclaimed {
        0 => String::new(),
        n => format!("; given out and not claimed yet: {n}"),
    };
    let (taken, slots) = (served.n_taken, served.n_slots);
    format!("{taken} of {slots} slots of {who} its queue {queue} are taken{waiting}")
}

/// The logical dates of the runs that may be meant.
fn dates_words(dates: Option<(Option<Ts>, Ts)>) -> String {
    match dates {
        Some((Some(from), until)) if from == until => format!(": the one for {until}"),
        Some((Some(from), until)) => format!(": the newest for {from} to {until}"),
        Some((None, until)) => format!(": the newest for {until} or earlier"),
        None => String::new(),
    }
}

fn what_of(sensor: &ExternalTask) -> String {
    match &sensor.what {
        External::Run => "the end".to_string(),
        External::Tasks(names) => format!("task {}", names.join(", ")),
        External::Group(name) => format!("group {name}"),
    }
}

pub(super) fn past_words(gate: PastGate) -> &'static str {
    match gate {
        PastGate::Unknown => "it is not known yet how the run before stands",
        PastGate::First => "there is no run before this one",
        PastGate::New => "the task is new: no run before had it",
        PastGate::Met => "the task has ended well in the run before",
        PastGate::NoTask => "the run before had no such task",
        PastGate::Open => "the task has not succeeded, nor been skipped, in the run before",
        PastGate::OpenBelow => "tasks directly below it have not ended well in the run before",
    }
}

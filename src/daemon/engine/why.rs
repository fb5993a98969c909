//! Why something has not happened: the checks of the scheduler, in words and with names.

use super::Engine;
use super::schedule::key_of_next;
use super::state::DagState;
use super::why_dag::{dates_words, due_words, failing_words, owed_words};
use super::why_elsewhere::past_words;
use super::why_task::{instances, named, upstream};
use crate::daemon::clock;
use std::collections::BTreeSet;
use tidemill_model::time::human;
use tidemill_model::{DagNo, MapIndex, RunNo, RunState, TaskState, Ts};
use tidemill_scheduler::{
    Check, CheckKind, DagStand, Gate, GateKind, Place, Run, TurnGate, TurnGateKind, why_dag,
    why_paused, why_run, why_task,
};
use tidemill_store::{Answer, Condition, Holder, Refusal, WhyOf};

/// Holders that one condition names.
const HOLDERS_MAX: usize = 10;
/// Runs that a DAG owes are counted up to this where many DAGs are asked at once.
const OWED_LISTED_MAX: usize = 100;

/// A condition in words, and who holds what it needs.
pub(super) type Said = (&'static str, String, Vec<Holder>);

impl Engine {
    pub(super) fn why(&mut self, of: &WhyOf) -> Result<Answer, Refusal> {
        if let Some(conditions) = self.why_over(of)? {
            return Ok(Answer::Why(conditions));
        }
        let (mut task, mut fate) = (None, None);
        let (checks, run_no) = match of {
            WhyOf::Task {
                dag_id,
                run_id,
                task_id,
                map_index,
            } => {
                let run_no = self.find(dag_id, run_id)?;
                let at = self.place(run_no, task_id, *map_index)?;
                let run = &self.runs[&run_no];
                if *map_index == MapIndex::NONE && run.is_expanded(at) {
                    let said = told(instances(run, at), false);
                    self.forget_if_over(run_no);
                    return Ok(Answer::Why(vec![said]));
                }
                let dag = self.dag_of(run);
                let is_paused = dag.record.is_paused;
                let (turns, now) = (&dag.turns, clock::now());
                let checks = why_task(run, at, &self.admission, turns, is_paused, now);
                task = Some((run_no, at));
                (checks, Some(run_no))
            }
            WhyOf::Run { dag_id, run_id } => {
                let run_no = self.find(dag_id, run_id)?;
                let run = &self.runs[&run_no];
                let dag = self.dag_of(run);
                let is_paused = dag.record.is_paused;
                let checks = why_run(run, &dag.turns, is_paused, clock::now());
                (checks, Some(run_no))
            }
            WhyOf::Dag { dag_id, at } => {
                let dag_no = self.dag_no(dag_id)?;
                let n_failed = self.n_failed_if_paused(dag_no);
                let state = &self.dags[&dag_no];
                let has_events = self.assets.waiting_for(state.record.dag);
                let key = key_of_next(state, *at);
                let stand = DagStand {
                    key: key.as_deref(),
                    n_failed,
                    ..stand(state, &has_events)
                };
                let checks = why_dag(&stand, &state.turns, *at, clock::now());
                fate = at.and_then(|at| self.fate(dag_no, at, &checks));
                (checks, None)
            }
        };
        let conditions = checks.iter().map(|check| match (&check.kind, of) {
            (
                CheckKind::Due {
                    next: Some(next), ..
                },
                WhyOf::Dag { dag_id, at },
            ) if !check.is_ok => told(self.not_due(dag_id, *next, at.is_some()), false),
            _ => self.condition(check, run_no, task),
        });
        let fate = fate.map(|said| told(said, false));
        let mut conditions: Vec<Condition> = fate.into_iter().chain(conditions).collect();
        conditions.extend(task.and_then(|task| self.unclaimed(task)));
        if let Some(run_no) = run_no {
            self.forget_if_over(run_no);
        }
        Ok(Answer::Why(conditions))
    }

    /// Why DAGs that are paused are so without anybody's doing, and what they owe.
    pub(super) fn why_paused(&mut self, dag_ids: &[String]) -> Answer {
        let mut told = Vec::new();
        for dag_id in dag_ids {
            let Ok(dag_no) = self.dag_no(dag_id) else {
                continue;
            };
            let n_failed = self.n_failed_if_paused(dag_no);
            let none = BTreeSet::new();
            let stand = DagStand {
                n_failed,
                ..stand(&self.dags[&dag_no], &none)
            };
            let checks = why_paused(&stand, clock::now(), OWED_LISTED_MAX);
            let conditions = checks.iter().map(|check| self.condition(check, None, None));
            let conditions: Vec<Condition> = conditions.collect();
            if !conditions.is_empty() {
                told.push((dag_id.clone(), conditions));
            }
        }
        Answer::WhyPaused(told)
    }

    fn n_failed_if_paused(&mut self, dag_no: DagNo) -> Option<u32> {
        let is_paused = self.dags.get(&dag_no)?.record.is_paused;
        is_paused.then(|| self.n_failed(dag_no)).flatten()
    }

    /// The conditions of a run that is over and not in memory: there is nothing more to ask, so
    /// its tasks are not read. Those of one of its tasks are.
    fn why_over(&self, of: &WhyOf) -> Result<Option<Vec<Condition>>, Refusal> {
        let WhyOf::Run { dag_id, run_id } = of else {
            return Ok(None);
        };
        let dag_no = self.dag_no(dag_id)?;
        let is_it = |run: &&Run| run.row.dag == dag_no && run.row.run_id == *run_id;
        if self.runs.values().any(|run| is_it(&run)) {
            return Ok(None);
        }
        let found = self.runtime.block_on(self.store.find_run(dag_no, run_id));
        let Some(row) = found.ok().flatten().filter(|row| row.state.is_terminal()) else {
            return Ok(None);
        };
        let said = said(&CheckKind::RunOpen(row.state), false, None);
        Ok(Some(vec![told(said, false)]))
    }

    fn dag_of(&self, run: &Run) -> &DagState {
        &self.dags[&run.row.dag]
    }

    fn condition(&self, check: &Check, run_no: Option<RunNo>, task: Option<Place>) -> Condition {
        let run = run_no.and_then(|run_no| self.runs.get(&run_no));
        let said = match &check.kind {
            CheckKind::Slot(gate) => self
                .slots_of_workers(gate, task)
                .unwrap_or_else(|| self.slot(gate, check.is_ok, &self.pool_of(task))),
            CheckKind::RunTurn(gate) => self.turn(gate),
            CheckKind::Deferred { at, until } => self.deferred(*at, *until, run),
            CheckKind::Past {
                gate,
                before: Some(before),
            } => self.past_run(*gate, before, run),
            kind => said(kind, check.is_ok, run),
        };
        told(said, check.is_ok)
    }

    /// The pool of a task, in words.
    fn pool_of(&self, task: Option<Place>) -> String {
        let of_task = |(run_no, at): Place| {
            let run = self.runs.get(&run_no)?;
            Some(format!("its pool `{}`", run.task(at).pool))
        };
        let pool = task.and_then(of_task);
        pool.unwrap_or_else(|| "its pool".to_string())
    }

    fn slot(&self, gate: &Gate, is_ok: bool, pool: &str) -> Said {
        let holders = gate.holders.iter();
        let holders = holders.filter_map(|(place, slots)| self.holder(*place, *slots));
        let of = gate
            .max
            .map_or("no limit".to_string(), |max| max.to_string());
        let n = gate.n;
        let (name, detail) = match gate.kind {
            GateKind::PoolExists if is_ok => ("pool_exists", format!("{pool} exists")),
            GateKind::PoolExists => (
                "pool_exists",
                format!(
                    "{pool} does not exist: make it with `tidemill pools set`, or name another one in the file"
                ),
            ),
            GateKind::PoolSize => (
                "pool_size",
                format!("it takes {n} of the {of} slots of {pool}"),
            ),
            GateKind::PoolSlots => (
                "pool_slots",
                format!("{n} of {of} slots of {pool} are taken"),
            ),
            GateKind::PoolKept if is_ok => (
                "pool_kept",
                format!("{pool} keeps no free slots for another task"),
            ),
            GateKind::PoolKept => (
                "pool_kept",
                format!("{pool} keeps its {n} free slots for a wider task that has waited longest"),
            ),
            GateKind::RunTasks => (
                "max_active_tasks",
                format!("{n} of {of} tasks of its run are live"),
            ),
            GateKind::TaskPerDag => (
                "max_active_tis_per_dag",
                format!("{n} of {of} instances of it are live over all runs"),
            ),
            GateKind::TaskPerRun => (
                "max_active_tis_per_dagrun",
                format!("{n} of {of} instances of it are live in its run"),
            ),
            GateKind::WorkerSlots => (
                "worker_slots",
                format!("{n} of {of} slots of the workers are taken"),
            ),
            GateKind::Turn if n == 0 && is_ok => ("turn", "nobody goes before it".to_string()),
            GateKind::Turn if n == 0 => (
                "turn",
                "the next slot goes to one that has waited longer".to_string(),
            ),
            GateKind::Turn => ("turn", format!("{n} go before it by weight and date")),
        };
        (name, detail, holders.collect())
    }

    fn turn(&self, gate: &TurnGate) -> Said {
        let holders = gate.holders.iter().filter_map(|run_no| {
            let run = self.runs.get(run_no)?;
            Some(Holder {
                dag_id: run.dag.id.clone(),
                run_id: run.row.run_id.clone(),
                task_id: None,
                map_index: MapIndex::NONE,
                slots: None,
            })
        });
        let (n, of) = (gate.n, gate.max.unwrap_or(0));
        let (name, detail) = match gate.kind {
            TurnGateKind::ActiveRuns => (
                "max_active_runs",
                format!("{n} of {of} runs of its DAG are running"),
            ),
            TurnGateKind::Key => (
                "concurrency_key",
                format!("{n} of {of} runs with its key are running"),
            ),
            TurnGateKind::Turn if n == 0 => {
                ("run_turn", "no queued run goes before it".to_string())
            }
            TurnGateKind::Turn => ("run_turn", format!("{n} queued runs go before it")),
        };
        (name, detail, holders.collect())
    }
}

/// A condition as it is told: with as many holders as one can read.
pub(super) fn told((condition, detail, mut holders): Said, ok: bool) -> Condition {
    let more = holders.len().saturating_sub(HOLDERS_MAX);
    holders.truncate(HOLDERS_MAX);
    Condition {
        condition: condition.into(),
        ok,
        detail,
        holders,
        more,
    }
}

/// How a DAG stands, for its schedule.
pub(super) fn stand<'s>(state: &'s DagState, has_events: &'s BTreeSet<String>) -> DagStand<'s> {
    DagStand {
        dag: state.definition.as_ref().map(|definition| &*definition.dag),
        is_paused: state.record.is_paused,
        is_stale: state.record.is_stale,
        high: state.record.schedule_high,
        next: state.record.next_run,
        has_events,
        n_failed: None,
        key: None,
    }
}

/// The conditions that need no other run to be told.
fn said(kind: &CheckKind, is_ok: bool, run: Option<&Run>) -> Said {
    let plain = |name, text: &str| (name, text.to_string(), Vec::new());
    let yes_no = |name, yes: &str, no: &str| plain(name, if is_ok { yes } else { no });
    match kind {
        CheckKind::RunOpen(state) => plain("run_running", run_words(*state)),
        CheckKind::RunAfter(at) => plain(
            "run_after",
            &format!("its run is not to begin before {at}, {}", from_now(*at)),
        ),
        CheckKind::TaskOpen(state) => plain("task_waiting", task_words(*state)),
        CheckKind::Upstream { .. } => upstream(kind, run),
        CheckKind::Past { gate, .. } => plain("depends_on_past", past_words(*gate)),
        CheckKind::NotBefore(at) => match at {
            Some(at) => plain(
                "not_before",
                &format!("its next try is not before {at}, {}", from_now(*at)),
            ),
            None => plain("not_before", "it waits"),
        },
        CheckKind::Tasks(state, tasks) => {
            let text = format!("{} tasks: {}", tasks.len(), task_words(*state));
            (
                "tasks",
                text,
                run.map_or(Vec::new(), |run| named(run, tasks)),
            )
        }
        CheckKind::FileThere => yes_no(
            "file",
            "its file can be read",
            "its file is gone or has errors",
        ),
        CheckKind::NotPaused => yes_no(
            "not_paused",
            "it is not paused",
            "it is paused: `tidemill dags unpause` resumes it",
        ),
        CheckKind::Failing { n } => plain("failing", &failing_words(*n)),
        CheckKind::Owed { n, max, is_catchup } => {
            plain("owed", &owed_words(*n, *max, *is_catchup, is_ok))
        }
        CheckKind::HasSchedule => yes_no(
            "schedule",
            "it has a schedule",
            "it has no schedule: only people and the API make runs",
        ),
        CheckKind::ScheduledAllowed => yes_no(
            "allowed_run_types",
            "its file allows scheduled runs",
            "`allowed_run_types` leaves scheduled runs out",
        ),
        CheckKind::Due { next, end_date } => plain("due", &due_words(*next, *end_date, is_ok)),
        CheckKind::ActiveRuns {
            n_running,
            n_queued,
            max,
        } => plain(
            "max_active_runs",
            &format!(
                "{n_running} of {max} runs are running, {n_queued} are queued: there is {} for one more",
                if is_ok { "room" } else { "no room" }
            ),
        ),
        CheckKind::KeyRoom { key, n, max } => plain(
            "concurrency_skip",
            &format!(
                "{n} of {max} runs with the key `{key}` are running or queued: one more is {}",
                if is_ok {
                    "made"
                } else {
                    "skipped, by the policy of [dag.concurrency]"
                }
            ),
        ),
        CheckKind::Assets { condition, missing } => {
            let text = match missing.as_slice() {
                [] => "all have events".to_string(),
                missing => format!("no event yet of {}", missing.join(", ")),
            };
            plain("assets", &format!("it waits for {condition}: {text}"))
        }
        CheckKind::Fires { at, before } => match before {
            Some(before) => plain(
                "fires",
                &format!("its schedule does not fire at {at}; it fires at {before} before that"),
            ),
            None => yes_no(
                "fires",
                &format!("its schedule fires at {at}"),
                &format!("its schedule does not fire at or before {at}"),
            ),
        },
        CheckKind::InDates {
            at,
            start_date,
            end_date,
        } => plain("dates", &dates_words(*at, *start_date, *end_date)),
        CheckKind::MadeUp { at, high } => {
            let settled = high.map_or(String::new(), |high| {
                format!("; its schedule is settled up to {high}")
            });
            let text = if is_ok {
                "it is not a missed tick that is passed over"
            } else {
                "`catchup` is false: of missed ticks only the latest makes a run"
            };
            plain("catchup", &format!("{at}: {text}{settled}"))
        }
        CheckKind::Slot(_) | CheckKind::RunTurn(_) | CheckKind::Deferred { .. } => {
            plain("slot", "")
        }
    }
}

pub(super) fn from_now(at: Ts) -> String {
    let now = clock::now();
    if at > now {
        format!("in {}", human(at.since(now)))
    } else {
        format!("{} ago", human(now.since(at)))
    }
}

fn run_words(state: RunState) -> &'static str {
    match state {
        RunState::Queued => "its run is queued",
        RunState::Running => "its run is running",
        RunState::Success => "its run is over: it succeeded",
        RunState::Failed => "its run is over: it failed",
    }
}

fn task_words(state: TaskState) -> &'static str {
    match state {
        TaskState::None => "waiting for upstream tasks",
        TaskState::Scheduled => "waiting for a slot",
        TaskState::Queued => "given out: no worker has claimed it yet",
        TaskState::Running => "running",
        TaskState::Success => "over: succeeded",
        TaskState::Failed => "over: failed",
        TaskState::UpstreamFailed => "over: blocked by a failure upstream",
        TaskState::Skipped => "over: skipped",
        TaskState::UpForRetry => "waiting for the next try",
        TaskState::UpForReschedule => "waiting for the next poke",
        TaskState::Deferred => "waiting for an event",
        TaskState::Restarting => "cleared while it ran: its attempt is being ended",
        TaskState::Removed => "no longer in the DAG",
    }
}

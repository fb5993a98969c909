//! Why something has not happened: every condition, met or not, from the functions that decide.

use crate::admit::{Admission, Gate};
use crate::due::{FIRST_RUNS_MAX, OWED_MAX, due, next_tick, previous_tick};
use crate::past::{PastGate, PastTask};
use crate::rule::{Decision, UpstreamCounts};
use crate::run::Run;
use crate::turns::{TurnGate, Turns};
use std::collections::BTreeSet;
use tidemill_model::dag::{AssetCondition, ConcurrencyPolicy};
use tidemill_model::schedule::Ticks;
use tidemill_model::{Dag, RunState, RunType, TaskIndex, TaskState, TriggerRule, Ts};

/// One condition of a task, a run or a DAG.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Which, with its numbers.
    pub kind: CheckKind,
    /// Is it met?
    pub is_ok: bool,
}

/// The conditions.
#[derive(Clone, Debug, PartialEq)]
pub enum CheckKind {
    /// The run has begun and is not over.
    RunOpen(RunState),
    /// The instant before which the run does not begin has come.
    RunAfter(Ts),
    /// The run's own turn.
    RunTurn(TurnGate),
    /// The task is not over, and no attempt of it is live.
    TaskOpen(TaskState),
    /// Its trigger rule allows it.
    Upstream {
        /// The rule.
        rule: TriggerRule,
        /// How far its upstream tasks are.
        counts: UpstreamCounts,
        /// Those that are not over yet.
        open: Vec<TaskIndex>,
        /// Those that failed or were blocked by a failure.
        bad: Vec<TaskIndex>,
        /// Those that were skipped.
        skipped: Vec<TaskIndex>,
    },
    /// What it waits for in the run before is there (`depends_on_past`).
    Past {
        /// How that stands.
        gate: PastGate,
        /// The run before, and what it has of this task; `None` where there is none.
        before: Option<PastTask>,
    },
    /// It waits for nothing outside of its run any more.
    Deferred {
        /// Which.
        at: TaskIndex,
        /// When the wait is over at the latest.
        until: Option<Ts>,
    },
    /// Its wait for the next try or poke is over.
    NotBefore(Option<Ts>),
    /// A limit on slots.
    Slot(Gate),
    /// How many tasks of a run are in a state that is not over.
    Tasks(TaskState, Vec<TaskIndex>),
    /// The file of the DAG is there and can be read.
    FileThere,
    /// The DAG is not paused.
    NotPaused,
    /// While it is paused: its latest runs have failed in a row, as many as it may have
    /// (`max_consecutive_failed_dag_runs`).
    Failing {
        /// How many.
        n: u32,
    },
    /// While it is paused: what it owes is not so much that it started paused.
    Owed {
        /// Runs that it makes when it goes on.
        n: usize,
        /// Counted up to this.
        max: usize,
        /// Does it make up for every tick that it has missed?
        is_catchup: bool,
    },
    /// It has a schedule.
    HasSchedule,
    /// Its file allows scheduled runs.
    ScheduledAllowed,
    /// Its schedule has another fire time, and that has come.
    Due {
        /// The next fire time; `None` when there is none any more.
        next: Option<Ts>,
        /// Its end date, when that is why there is none.
        end_date: Option<Ts>,
    },
    /// The assets of its schedule have events.
    Assets {
        /// What the schedule waits for.
        condition: AssetCondition,
        /// Those of its assets that have none.
        missing: Vec<String>,
    },
    /// `max_active_runs` has room for one more. A schedule counts the runs that wait for their turn
    /// as well; events of assets make a run that waits.
    ActiveRuns {
        /// Runs that are running.
        n_running: usize,
        /// Runs that wait for their turn.
        n_queued: usize,
        /// The limit.
        max: u32,
    },
    /// The policy `skip` of `[dag.concurrency]` has room for one more run with its key.
    KeyRoom {
        /// The key.
        key: String,
        /// Runs with it that are running or wait for their turn.
        n: usize,
        /// The limit.
        max: u32,
    },
    /// Its schedule fires at the instant that was asked for.
    Fires {
        /// The instant.
        at: Ts,
        /// The fire time before it, where it is none itself.
        before: Option<Ts>,
    },
    /// The logical date of a run for the instant lies between the start and the end date.
    InDates {
        /// The logical date.
        at: Ts,
        /// The start date, when it is before that.
        start_date: Option<Ts>,
        /// The end date, when it is after that.
        end_date: Option<Ts>,
    },
    /// Missed fire times before the latest one are made up for.
    MadeUp {
        /// The instant.
        at: Ts,
        /// The latest fire time that is settled.
        high: Option<Ts>,
    },
}

fn check(kind: CheckKind, is_ok: bool) -> Check {
    Check { kind, is_ok }
}

/// Every condition of a task instance. All are met exactly when it gets the next free slot.
pub fn why_task(
    run: &Run,
    at: TaskIndex,
    admission: &Admission,
    turns: &Turns,
    is_paused: bool,
    now: Ts,
) -> Vec<Check> {
    let task = &run.tasks[at.at()];
    let mut checks = why_begun(run, turns, is_paused, now);
    let is_open = !task.state.is_terminal() && !task.is_live() && task.state != TaskState::Deferred;
    checks.push(check(CheckKind::TaskOpen(task.state), is_open));
    checks.push(upstream(run, at));
    checks.extend(past(run, at));
    if task.state == TaskState::Deferred {
        let until = task.not_before;
        checks.push(check(CheckKind::Deferred { at, until }, false));
    }
    if matches!(
        task.state,
        TaskState::UpForRetry | TaskState::UpForReschedule
    ) {
        checks.push(check(CheckKind::NotBefore(task.not_before), false));
    }
    let gates = admission.gates((run.row.run, at)).unwrap_or_default();
    let slots = gates.into_iter().map(|gate| {
        let is_open = gate.is_open;
        check(CheckKind::Slot(gate), is_open)
    });
    checks.extend(slots);
    checks
}

/// Has the run begun, and if it is queued, what for?
fn why_begun(run: &Run, turns: &Turns, is_paused: bool, now: Ts) -> Vec<Check> {
    let is_open = run.row.state == RunState::Running;
    let mut checks = vec![check(CheckKind::RunOpen(run.row.state), is_open)];
    if run.row.state == RunState::Queued {
        checks.push(check(CheckKind::NotPaused, !is_paused));
        if run.row.is_delayed() {
            let has_come = !run.row.waits_to_begin(now);
            checks.push(check(CheckKind::RunAfter(run.row.run_after), has_come));
        }
    }
    let gates = turns.gates(&run.row, &run.dag).unwrap_or_default();
    checks.extend(gates.into_iter().map(|gate| {
        let is_open = gate.is_open;
        check(CheckKind::RunTurn(gate), is_open)
    }));
    checks
}

fn past(run: &Run, at: TaskIndex) -> Option<Check> {
    let gate = run.past_gate(at)?;
    // A task that has gone past it does not go back behind it.
    let is_ok = gate.is_open() || run.tasks[at.at()].state != TaskState::None;
    let before = run.past.get(&run.index_of(at)).cloned().flatten();
    Some(check(CheckKind::Past { gate, before }, is_ok))
}

fn upstream(run: &Run, at: TaskIndex) -> Check {
    let counts = run.upstream(at);
    let rule = run.task(at).trigger_rule;
    let among = |wanted: &dyn Fn(TaskState) -> bool| -> Vec<TaskIndex> {
        let above = run.dag.graph.upstream(run.index_of(at)).iter();
        let all = above.flat_map(|up| match run.one_beside(at, *up) {
            Some(one) => vec![one],
            None => run.places_of(*up),
        });
        all.filter(|up| wanted(run.tasks[up.at()].state)).collect()
    };
    // A task that has passed its rule does not go back behind it.
    let has_passed = !matches!(
        run.tasks[at.at()].state,
        TaskState::None | TaskState::UpstreamFailed | TaskState::Skipped
    );
    let kind = CheckKind::Upstream {
        rule,
        counts,
        open: among(&|state| !state.is_terminal()),
        bad: among(&|state| state.is_failure()),
        skipped: among(&|state| state == TaskState::Skipped),
    };
    check(kind, has_passed || run.decision(at) == Decision::Run)
}

/// Every condition of a run: of its turn while it is queued, of its tasks while it runs.
pub fn why_run(run: &Run, turns: &Turns, is_paused: bool, now: Ts) -> Vec<Check> {
    let mut checks = why_begun(run, turns, is_paused, now);
    if run.row.state == RunState::Running {
        for &state in TaskState::ALL.iter().filter(|state| !state.is_terminal()) {
            let in_state = (0..run.tasks.len() as u32).map(TaskIndex);
            let in_state = in_state.filter(|at| run.tasks[at.at()].state == state);
            let tasks: Vec<TaskIndex> = in_state.collect();
            if !tasks.is_empty() {
                checks.push(check(CheckKind::Tasks(state, tasks), false));
            }
        }
    }
    checks
}

/// How a DAG stands, as far as its schedule goes.
#[derive(Clone, Copy, Debug)]
pub struct DagStand<'a> {
    /// The definition; `None` when it cannot be read.
    pub dag: Option<&'a Dag>,
    /// Is it paused?
    pub is_paused: bool,
    /// Is its file gone?
    pub is_stale: bool,
    /// The last fire time that is settled.
    pub high: Option<Ts>,
    /// The next fire time.
    pub next: Option<Ts>,
    /// The assets that have events for its next run.
    pub has_events: &'a BTreeSet<String>,
    /// How many of its latest runs have failed in a row, where it may have no more.
    pub n_failed: Option<u32>,
    /// The key of `[dag.concurrency]` that its next run would have; `None` when nobody knows.
    pub key: Option<&'a str>,
}

/// The conditions under which a schedule makes runs at all. The engine asks them before each tick.
pub fn may_tick(stand: &DagStand<'_>) -> Vec<Check> {
    let dag = stand.dag;
    let has_schedule = dag.is_some_and(has_schedule_of_its_own);
    let is_allowed = dag.is_some_and(|dag| dag.allowed_run_types.contains(&own_type(dag)));
    vec![
        check(CheckKind::FileThere, dag.is_some() && !stand.is_stale),
        check(CheckKind::NotPaused, !stand.is_paused),
        check(CheckKind::HasSchedule, has_schedule),
        check(CheckKind::ScheduledAllowed, is_allowed),
    ]
}

fn has_schedule_of_its_own(dag: &Dag) -> bool {
    !dag.schedule.is_manual() || dag.asset_schedule.is_some()
}

/// The type of the runs that come by themselves.
fn own_type(dag: &Dag) -> RunType {
    match dag.schedule.is_manual() && dag.asset_schedule.is_some() {
        true => RunType::AssetTriggered,
        false => RunType::Scheduled,
    }
}

fn assets(condition: &AssetCondition, stand: &DagStand<'_>) -> Check {
    let has_event = |name: &str| stand.has_events.contains(name);
    let missing = condition
        .names()
        .into_iter()
        .filter(|name| !has_event(name));
    let kind = CheckKind::Assets {
        condition: condition.clone(),
        missing: missing.map(str::to_string).collect(),
    };
    check(kind, condition.is_met(&has_event))
}

/// Why a DAG has no new run now, or had none for an instant.
pub fn why_dag(stand: &DagStand<'_>, turns: &Turns, at: Option<Ts>, now: Ts) -> Vec<Check> {
    let mut checks = may_tick(stand);
    checks.extend(why_paused(stand, now, OWED_MAX));
    let Some(dag) = stand.dag.filter(|dag| has_schedule_of_its_own(dag)) else {
        return checks;
    };
    match at {
        Some(at) => checks.extend(why_instant(dag, stand, at, now)),
        None if dag.schedule.is_manual() => {}
        None => {
            let next = next_of(dag, stand, now);
            let goes_on = dag.schedule.next_after(stand.high.unwrap_or(now)).is_some();
            let end_date = dag.end_date.filter(|_| next.is_none() && goes_on);
            let is_due = next.is_some_and(|next| next <= now);
            checks.push(check(CheckKind::Due { next, end_date }, is_due));
        }
    }
    checks.extend(
        dag.asset_schedule
            .iter()
            .map(|condition| assets(condition, stand)),
    );
    checks.push(active_runs(dag, turns));
    checks.extend(stand.key.and_then(|key| key_room(dag, turns, key)));
    checks
}

/// Why a DAG that is paused may be so without anybody's doing, and what it owes, counted up to
/// `max`. Nothing for one that is not paused.
pub fn why_paused(stand: &DagStand<'_>, now: Ts, max: usize) -> Vec<Check> {
    let Some(dag) = stand.dag.filter(|_| stand.is_paused) else {
        return Vec::new();
    };
    let failing = stand.n_failed.map(|n| CheckKind::Failing { n });
    let failing = failing.map(|kind| check(kind, false));
    failing
        .into_iter()
        .chain(owed(dag, stand, now, max))
        .collect()
}

/// A new DAG that owes many runs starts paused, and says how many.
fn owed(dag: &Dag, stand: &DagStand<'_>, now: Ts, max: usize) -> Option<Check> {
    if !dag.allowed_run_types.contains(&RunType::Scheduled) {
        return None;
    }
    let n = due(dag, stand.high, now, max).ticks.len();
    let is_catchup = dag.catchup;
    let has_started_paused = is_catchup && stand.high.is_none() && n > FIRST_RUNS_MAX;
    let kind = CheckKind::Owed { n, max, is_catchup };
    (n > 0).then(|| check(kind, !has_started_paused))
}

fn active_runs(dag: &Dag, turns: &Turns) -> Check {
    let has_room = match dag.schedule.is_manual() {
        true => turns.n_running() < dag.max_active_runs as usize,
        false => turns.room(dag) > 0,
    };
    let kind = CheckKind::ActiveRuns {
        n_running: turns.n_running(),
        n_queued: turns.n_queued(),
        max: dag.max_active_runs,
    };
    check(kind, has_room)
}

/// Runs that `[dag.concurrency]` makes wait are made; those that it skips are not.
fn key_room(dag: &Dag, turns: &Turns, key: &str) -> Option<Check> {
    let concurrency = dag.concurrency.as_ref()?;
    let kind = CheckKind::KeyRoom {
        key: key.to_string(),
        n: turns.n_with_key(key),
        max: concurrency.limit,
    };
    let skips = concurrency.policy == ConcurrencyPolicy::Skip;
    skips.then(|| check(kind, !turns.is_skipped(dag, key)))
}

/// The tick whose run comes next. A schedule without ticks of its own has the one that it owes.
fn next_of(dag: &Dag, stand: &DagStand<'_>, now: Ts) -> Option<Ts> {
    if !matches!(dag.schedule.ticks, Ticks::Continuous | Ticks::Once(None)) {
        return next_tick(dag, stand.high.unwrap_or(now)).map(|tick| tick.at);
    }
    let due = due(dag, stand.high, now, 1);
    due.ticks.first().map(|tick| tick.at).or(due.next)
}

fn why_instant(dag: &Dag, stand: &DagStand<'_>, at: Ts, now: Ts) -> Vec<Check> {
    let before = dag.schedule.previous_before(Ts(at.0.saturating_add(1)));
    let fires = before == Some(at);
    let logical_date = dag.schedule.about(at).logical_date;
    let dates = CheckKind::InDates {
        at: logical_date,
        start_date: dag.start_date.filter(|start| logical_date < *start),
        end_date: dag.end_date.filter(|end| logical_date > *end),
    };
    let is_in_dates = matches!(
        dates,
        CheckKind::InDates {
            start_date: None,
            end_date: None,
            ..
        }
    );
    // Without catch-up only the latest missed fire time makes a run; the last one before the end
    // date does, however long ago that was.
    let until = Ts(now.0.saturating_add(1));
    let latest = dag.schedule.previous_before(until);
    let last = previous_tick(dag, until).map(|tick| tick.at);
    let is_made_up = dag.catchup || at > now || [latest, last].contains(&Some(at));
    let due = CheckKind::Due {
        next: Some(at),
        end_date: None,
    };
    vec![
        check(
            CheckKind::Fires {
                at,
                before: before.filter(|_| !fires),
            },
            fires,
        ),
        check(dates, is_in_dates),
        check(due, at <= now),
        check(
            CheckKind::MadeUp {
                at,
                high: stand.high,
            },
            is_made_up,
        ),
    ]
}

//! What why says is what the decisions do: nothing is met in full but the task that goes next.
#![allow(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

mod support;
#[path = "admission/world.rs"]
#[allow(dead_code, reason = "shared with another test")]
mod world;

use std::sync::Arc;
use support::Chance;
use tidemill_model::attempt::Verdict;
use tidemill_model::dag::{AssetCondition, Concurrency, ConcurrencyPolicy, Dag, OnLost};
use tidemill_model::schedule::{Schedule, Ticks};
use tidemill_model::{
    Attempt, Graph, Outcome, Reason, RunState, RunType, TaskIndex, TaskState, Ts,
};
use tidemill_scheduler::{
    Admission, CheckKind, DagStand, Effect, Event, Run, Turns, n_owed, owes_many, step, why_dag,
    why_paused, why_run, why_task,
};
use world::{dag, pool, run, task};

fn random_dag(chance: &mut Chance) -> Arc<Dag> {
    let n = 1 + chance.below(8) as u32;
    let mut edges = Vec::new();
    for to in 1..n {
        edges.extend(
            (0..to)
                .filter(|_| chance.below(3) == 0)
                .map(|from| (from, to)),
        );
    }
    let tasks = (0..n).map(|at| {
        let mut one = task(&format!("t{at}"));
        one.retry.retries = chance.below(3) as u32;
        one.on_lost = OnLost::Retry;
        one.pool_slots = 1 + chance.below(2) as u32;
        one.max_active_tis_per_dag = (chance.below(3) == 0).then_some(1);
        one
    });
    let tasks: Vec<_> = tasks.collect();
    Arc::new(Dag {
        graph: Graph::new(tasks.len(), edges).unwrap(),
        ..Arc::unwrap_or_clone(dag("d", 1 + chance.below(3) as u32, tasks))
    })
}

struct Play {
    seed: u64,
    chance: Chance,
    now: Ts,
    dag: Arc<Dag>,
    runs: Vec<Run>,
    turns: Turns,
    admission: Admission,
    live: Vec<(usize, Attempt)>,
    timers: Vec<(usize, TaskIndex)>,
}

impl Play {
    fn new(seed: u64) -> Play {
        let mut chance = Chance(seed);
        let dag = random_dag(&mut chance);
        let mut admission = Admission::new(1 + chance.below(3) as u32);
        admission.set_pools(&[pool("default_pool", 2 + chance.below(3) as i64)]);
        let dag = Arc::new(Dag {
            max_active_runs: 2,
            ..Arc::unwrap_or_clone(dag)
        });
        let mut turns = Turns::default();
        let runs: Vec<Run> = (1..=3)
            .map(|no| {
                let mut one = run(no, 1, &dag);
                one.row.state = RunState::Queued;
                turns.follow(&one.row, "", false);
                one
            })
            .collect();
        Play {
            seed,
            chance,
            now: Ts(1_000),
            dag,
            runs,
            turns,
            admission,
            live: Vec::new(),
            timers: Vec::new(),
        }
    }

    fn step(&mut self, at: usize, event: Event) {
        self.now = Ts(self.now.0 + 1_000_000);
        let effects = step(&mut self.runs[at], event, self.now);
        self.take(at, effects);
        self.turns.follow(&self.runs[at].row, "", false);
    }

    fn take(&mut self, at: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Task(task) => self.admission.follow(&self.runs[at], task),
                Effect::Wake(task, _) => self.timers.push((at, task)),
                _ => {}
            }
        }
    }

    fn act(&mut self) {
        while let Some(next) = self.turns.next(&self.dag) {
            self.step(next.0 as usize - 1, Event::Begin);
        }
        match self.chance.below(5) {
            0 | 1 => self.grant(),
            2 | 3 if !self.live.is_empty() => {
                let at = self.chance.below(self.live.len() as u64) as usize;
                let (run, attempt) = self.live.swap_remove(at);
                let outcome = match self.chance.below(4) {
                    0 => Outcome::without_process(Verdict::Failed, Reason::ExitStatus, "1"),
                    1 => Outcome::without_process(Verdict::Skipped, Reason::SkippedItself, "99"),
                    _ => Outcome::success(),
                };
                let outcome = Box::new(outcome);
                let event = Event::AttemptEnded { attempt, outcome };
                self.step(run, event);
            }
            _ => match self.timers.pop() {
                Some((run, task)) => {
                    self.now = Ts(self.now.0 + 3_600_000_000);
                    self.step(run, Event::TimerDue(task));
                }
                None => self.grant(),
            },
        }
    }

    fn grant(&mut self) {
        let Some((run_no, task)) = self.admission.admit() else {
            return;
        };
        let at = run_no.0 as usize - 1;
        let (attempt, effects) = self.runs[at].launch(task, 1, self.now);
        self.take(at, effects);
        self.live.push((at, attempt));
    }

    fn check(&self) {
        let next = self.admission.next();
        for run in &self.runs {
            for at in (0..run.tasks.len() as u32).map(TaskIndex) {
                let checks = why_task(run, at, &self.admission, &self.turns, false, self.now);
                let goes = checks.iter().all(|check| check.is_ok);
                assert_eq!(
                    goes,
                    next == Some((run.row.run, at)),
                    "seed {}: {:?} {checks:#?}",
                    self.seed,
                    run.tasks[at.at()].state
                );
            }
            let is_blocked = why_run(run, &self.turns, false, self.now)
                .iter()
                .any(|check| !check.is_ok);
            assert!(is_blocked, "seed {}: {:?}", self.seed, run.row.state);
        }
    }
}

#[test]
fn all_conditions_of_a_task_are_met_exactly_when_it_gets_the_next_slot() {
    let mut n_over = 0;
    for seed in 0..200 {
        let mut play = Play::new(seed);
        for _ in 0..150 {
            play.act();
            play.check();
        }
        n_over += play
            .runs
            .iter()
            .filter(|run| run.row.state.is_terminal())
            .count();
    }
    assert!(n_over > 300, "only {n_over} runs came to their end");
}

fn daily(change: impl FnOnce(&mut Dag)) -> Dag {
    let period = std::time::Duration::from_secs(86_400);
    let anchor = Ts(0);
    let mut dag = Arc::unwrap_or_clone(dag("d", 16, vec![task("t")]));
    dag.schedule.ticks = Ticks::Every { period, anchor };
    dag.allowed_run_types = RunType::ALL.to_vec();
    change(&mut dag);
    dag
}

const DAY: i64 = 86_400_000_000;

/// Names of the conditions that are not met.
fn blocked(dag: &Dag, at: Option<Ts>, change: impl FnOnce(&mut DagStand<'_>)) -> Vec<&'static str> {
    blocked_by(dag, &Turns::default(), at, change)
}

fn blocked_by(
    dag: &Dag,
    turns: &Turns,
    at: Option<Ts>,
    change: impl FnOnce(&mut DagStand<'_>),
) -> Vec<&'static str> {
    let none = std::collections::BTreeSet::new();
    let mut stand = DagStand {
        has_events: &none,
        dag: Some(dag),
        is_paused: false,
        is_stale: false,
        high: Some(Ts(10 * DAY)),
        next: Some(Ts(11 * DAY)),
        n_failed: None,
        key: None,
    };
    change(&mut stand);
    let now = Ts(10 * DAY + 5);
    let checks = why_dag(&stand, turns, at, now);
    let name = |kind: &CheckKind| match kind {
        CheckKind::FileThere => "file",
        CheckKind::NotPaused => "paused",
        CheckKind::HasSchedule => "schedule",
        CheckKind::ScheduledAllowed => "run types",
        CheckKind::Due { .. } => "due",
        CheckKind::ActiveRuns { .. } => "runs",
        CheckKind::KeyRoom { .. } => "key",
        CheckKind::Failing { .. } => "failing",
        CheckKind::Owed { .. } => "owed",
        CheckKind::Fires { .. } => "fires",
        CheckKind::InDates { .. } => "dates",
        CheckKind::MadeUp { .. } => "catchup",
        _ => "another",
    };
    checks
        .iter()
        .filter(|check| !check.is_ok)
        .map(|check| name(&check.kind))
        .collect()
}

#[test]
fn a_run_that_was_not_made_has_its_reason() {
    let plain = daily(|_| {});
    let none = |_: &mut DagStand<'_>| {};
    assert_eq!(blocked(&plain, None, none), ["due"]);
    assert_eq!(blocked(&plain, Some(Ts(10 * DAY)), none), [""; 0]);
    assert_eq!(
        blocked(&plain, Some(Ts(10 * DAY)), |d| d.is_paused = true),
        ["paused"]
    );
    assert_eq!(
        blocked(&plain, Some(Ts(10 * DAY)), |d| d.is_stale = true),
        ["file"]
    );
    assert_eq!(blocked(&plain, Some(Ts(9 * DAY)), none), ["catchup"]);
    assert_eq!(
        blocked(&plain, Some(Ts(9 * DAY + 7)), none),
        ["fires", "catchup"]
    );
    assert_eq!(blocked(&plain, Some(Ts(12 * DAY)), none), ["due"]);
    let caught_up = daily(|dag| dag.catchup = true);
    assert_eq!(blocked(&caught_up, Some(Ts(9 * DAY)), none), [""; 0]);
    let ended = daily(|dag| dag.end_date = Some(Ts(9 * DAY)));
    assert_eq!(blocked(&ended, Some(Ts(10 * DAY)), none), ["dates"]);
    assert_eq!(blocked(&ended, None, none), ["due"]);
    let manual_only = daily(|dag| dag.allowed_run_types = vec![RunType::Manual]);
    assert_eq!(
        blocked(&manual_only, Some(Ts(10 * DAY)), none),
        ["run types"]
    );
    let without = daily(|dag| dag.schedule = Schedule::MANUAL);
    assert_eq!(blocked(&without, None, none), ["schedule"]);
}

/// Runs with a key: so many running, so many that wait for their turn.
fn turns(dag: &Dag, key: &str, n_running: i64, n_queued: i64) -> Turns {
    let dag = Arc::new(dag.clone());
    let mut turns = Turns::default();
    for no in 1..=n_running + n_queued {
        let mut one = run(no, 1, &dag);
        one.row.state = match no <= n_running {
            true => RunState::Running,
            false => RunState::Queued,
        };
        turns.follow(&one.row, key, false);
    }
    turns
}

#[test]
fn a_schedule_has_no_room_while_running_and_waiting_runs_fill_it_and_an_asset_run_may_wait() {
    let none = |_: &mut DagStand<'_>| {};
    let at = Some(Ts(10 * DAY));
    let full = daily(|dag| dag.max_active_runs = 3);
    for (n_running, n_queued) in [(3, 0), (1, 2), (0, 3), (2, 5)] {
        let turns = turns(&full, "", n_running, n_queued);
        assert_eq!(turns.room(&full), 0);
        assert_eq!(blocked_by(&full, &turns, at, none), ["runs"]);
    }
    let turns = turns(&full, "", 1, 1);
    assert_eq!(turns.room(&full), 1);
    assert_eq!(blocked_by(&full, &turns, at, none), [""; 0]);

    let by_assets = daily(|dag| {
        dag.schedule = Schedule::MANUAL;
        dag.asset_schedule = Some(AssetCondition::Asset("a".to_string()));
        dag.max_active_runs = 1;
    });
    let events = std::collections::BTreeSet::from(["a".to_string()]);
    let stand = DagStand {
        dag: Some(&by_assets),
        is_paused: false,
        is_stale: false,
        high: None,
        next: None,
        has_events: &events,
        n_failed: None,
        key: None,
    };
    let is_met = |turns: &Turns| {
        let checks = why_dag(&stand, turns, None, Ts(DAY));
        checks.iter().all(|check| check.is_ok)
    };
    assert!(is_met(&self::turns(&by_assets, "", 0, 4)));
    assert!(!is_met(&self::turns(&by_assets, "", 1, 0)));
}

#[test]
fn a_run_that_its_key_skips_has_that_as_its_reason() {
    let limited = |policy: ConcurrencyPolicy| {
        daily(|dag| {
            dag.concurrency = Some(Concurrency {
                key: "eu".to_string(),
                limit: 2,
                policy,
            });
        })
    };
    let with_key = |stand: &mut DagStand<'_>| stand.key = Some("eu");
    let at = Some(Ts(10 * DAY));
    let skip = limited(ConcurrencyPolicy::Skip);
    for (n_running, n_queued) in [(2, 0), (1, 1), (0, 2)] {
        let turns = turns(&skip, "eu", n_running, n_queued);
        assert!(turns.is_skipped(&skip, "eu"));
        assert_eq!(blocked_by(&skip, &turns, at, with_key), ["key"]);
    }
    let other_key = turns(&skip, "us", 2, 0);
    assert_eq!(blocked_by(&skip, &other_key, at, with_key), [""; 0]);
    let one = turns(&skip, "eu", 1, 0);
    assert_eq!(blocked_by(&skip, &one, at, with_key), [""; 0]);
    // What waits or takes a place is made.
    for policy in [ConcurrencyPolicy::Queue, ConcurrencyPolicy::Replace] {
        let dag = limited(policy);
        let turns = turns(&dag, "eu", 2, 0);
        assert_eq!(blocked_by(&dag, &turns, at, with_key), [""; 0]);
    }
}

#[test]
fn a_new_dag_that_owes_many_runs_says_so_and_one_that_a_person_paused_does_not() {
    let since = |days: i64| {
        daily(|dag| {
            dag.catchup = true;
            dag.start_date = Some(Ts((10 - days) * DAY));
        })
    };
    let new = |stand: &mut DagStand<'_>| (stand.is_paused, stand.high) = (true, None);
    let known = |stand: &mut DagStand<'_>| (stand.is_paused, stand.high) = (true, Some(Ts(DAY)));
    let now = Ts(10 * DAY + 5);
    assert!(!owes_many(&since(2), now));
    assert_eq!(n_owed(&since(2), None, now), 3);
    assert_eq!(blocked(&since(2), Some(Ts(10 * DAY)), new), ["paused"]);
    assert!(owes_many(&since(3), now));
    assert_eq!(n_owed(&since(3), None, now), 4);
    let found = blocked(&since(3), Some(Ts(10 * DAY)), new);
    assert_eq!(found, ["paused", "owed"]);
    let found = blocked(&since(9), Some(Ts(10 * DAY)), known);
    assert_eq!(found, ["paused"]);
}

#[test]
fn a_waiting_retry_says_when() {
    let mut one = run(1, 1, &dag("d", 16, vec![task("t")]));
    one.tasks[0].state = TaskState::UpForRetry;
    one.tasks[0].not_before = Some(Ts(77));
    let checks = why_task(
        &one,
        TaskIndex(0),
        &Admission::new(1),
        &Turns::default(),
        false,
        Ts(0),
    );
    let waits: Vec<_> = checks.iter().filter(|check| !check.is_ok).collect();
    assert_eq!(waits.len(), 1);
    assert_eq!(waits[0].kind, CheckKind::NotBefore(Some(Ts(77))));
}

#[test]
fn a_run_that_waits_for_its_instant_says_until_when() {
    let mut one = run(1, 1, &dag("d", 16, vec![task("t")]));
    (one.row.state, one.row.queued_at) = (RunState::Queued, Ts(10));
    let mut after = |due: i64, now: i64| {
        one.row.run_after = Ts(due);
        let checks = why_run(&one, &Turns::default(), false, Ts(now));
        let mut found = checks.into_iter();
        found
            .find(|one| one.kind == CheckKind::RunAfter(Ts(due)))
            .map(|one| one.is_ok)
    };
    assert_eq!(after(77, 76), Some(false));
    assert_eq!(after(77, 77), Some(true));
    // What was due when it was made waits for no clock.
    assert_eq!(after(10, 5), None);
}

#[test]
fn a_dag_that_failed_too_often_says_so_while_it_is_paused() {
    let dag = daily(|_| {});
    let failed = |stand: &mut DagStand<'_>| stand.n_failed = Some(3);
    assert_eq!(blocked(&dag, Some(Ts(10 * DAY)), failed), [""; 0]);
    let paused = |stand: &mut DagStand<'_>| (stand.is_paused, stand.n_failed) = (true, Some(3));
    let found = blocked(&dag, Some(Ts(10 * DAY)), paused);
    assert_eq!(found, ["paused", "failing"]);
}

#[test]
fn what_a_paused_dag_owes_is_told_and_counted_no_further_than_asked() {
    let owed = |dag: &Dag, high: i64, max: usize| {
        let none = std::collections::BTreeSet::new();
        let stand = DagStand {
            has_events: &none,
            dag: Some(dag),
            is_paused: true,
            is_stale: false,
            high: Some(Ts(high * DAY)),
            next: None,
            n_failed: None,
            key: None,
        };
        let checks = why_paused(&stand, Ts(10 * DAY + 5), max);
        checks.into_iter().find_map(|check| match check.kind {
            CheckKind::Owed { n, .. } => Some(n),
            _ => None,
        })
    };
    let caught_up = daily(|dag| dag.catchup = true);
    assert_eq!(owed(&caught_up, 4, 100), Some(6));
    assert_eq!(owed(&caught_up, 4, 5), Some(5));
    assert_eq!(owed(&caught_up, 10, 100), None);
    assert_eq!(owed(&daily(|_| {}), 4, 100), Some(1));
    let by_hand = daily(|dag| dag.allowed_run_types = vec![RunType::Manual]);
    assert_eq!(owed(&by_hand, 4, 100), None);
}

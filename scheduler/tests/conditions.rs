//! Every condition that why lists, whole: which they are, in which order, with which numbers.
#![allow(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use support::{Sketch, new_run};
use tidemill_model::dag::{AssetCondition, Dag, PastRule};
use tidemill_model::schedule::{Schedule, Ticks};
use tidemill_model::{RunNo, RunState, RunType, TaskIndex, TaskRow, TaskState, TriggerRule, Ts};
use tidemill_scheduler::{
    Admission, Check, CheckKind, DagStand, Event, OWED_MAX, PastGate, PastTask, Run, Turns,
    may_tick, step, why_dag, why_paused, why_run, why_task,
};

const NOW: Ts = Ts(1_000);
const LAST: TaskIndex = TaskIndex(4);

/// `good`, `bad`, `left` and `slow`, each before `last`.
fn fan(change: impl FnOnce(&mut Sketch)) -> Arc<Dag> {
    let mut sketch = Sketch::default();
    let above = ["good", "bad", "left", "slow"];
    above.iter().for_each(|name| {
        sketch.add(name, &[]);
    });
    sketch.add("last", &above).trigger_rule = TriggerRule::AllDone;
    change(&mut sketch);
    Arc::new(sketch.build())
}

/// A running run of it with these states.
fn run_of(dag: &Arc<Dag>, states: [TaskState; 5]) -> Run {
    let mut run = new_run(Arc::clone(dag));
    run.row.state = RunState::Running;
    let task_nos: Vec<_> = run.tasks.iter().map(|row| row.task_no).collect();
    let rows = run.tasks.iter().zip(states).map(|(row, state)| TaskRow {
        state,
        worker: (state == S::Running).then_some(1),
        ..row.clone()
    });
    let rows = rows.collect();
    Run::new(run.row, run.dag, &task_nos, rows)
}

fn why(run: &Run, at: TaskIndex) -> Vec<Check> {
    let (admission, turns) = (Admission::new(1), Turns::default());
    why_task(run, at, &admission, &turns, false, NOW)
}

fn ok(kind: CheckKind) -> Check {
    Check { kind, is_ok: true }
}

fn blocked(kind: CheckKind) -> Check {
    Check { kind, is_ok: false }
}

use TaskState as S;
const MIXED: [TaskState; 5] = [S::Success, S::Failed, S::Skipped, S::Running, S::None];

fn upstream(run: &Run) -> CheckKind {
    CheckKind::Upstream {
        rule: TriggerRule::AllDone,
        counts: run.upstream(LAST),
        open: vec![TaskIndex(3)],
        bad: vec![TaskIndex(1)],
        skipped: vec![TaskIndex(2)],
    }
}

#[test]
fn a_task_says_who_above_it_is_open_has_failed_or_was_skipped() {
    let run = run_of(&fan(|_| {}), MIXED);
    let begun = ok(CheckKind::RunOpen(RunState::Running));
    let open = ok(CheckKind::TaskOpen(S::None));
    assert_eq!(why(&run, LAST), [begun, open, blocked(upstream(&run))]);
}

#[test]
fn what_has_passed_its_rule_is_not_said_to_wait_for_it() {
    let dag = fan(|_| {});
    for &state in TaskState::ALL {
        let mut states = MIXED;
        states[4] = state;
        let checks = why(&run_of(&dag, states), LAST);
        let passes = checks
            .iter()
            .find(|check| matches!(check.kind, CheckKind::Upstream { .. }));
        let has_not = [S::None, S::UpstreamFailed, S::Skipped].contains(&state);
        assert_eq!(passes.unwrap().is_ok, !has_not, "{state}");
        // Once all above are over the rule itself lets it go.
        states[3] = S::Failed;
        let checks = why(&run_of(&dag, states), LAST);
        let passes = checks
            .iter()
            .find(|check| matches!(check.kind, CheckKind::Upstream { .. }));
        assert!(passes.unwrap().is_ok, "{state}");
    }
}

#[test]
fn a_task_is_open_while_it_is_neither_over_nor_with_a_worker_nor_deferred() {
    let dag = fan(|_| {});
    for &state in TaskState::ALL {
        for is_live in [false, true] {
            let mut states = MIXED;
            states[4] = state;
            let mut run = run_of(&dag, states);
            run.tasks[4].worker = is_live.then_some(1);
            run.tasks[4].not_before = Some(Ts(77));
            let checks = why(&run, LAST);
            let found = |kind: CheckKind| checks.iter().find(|check| check.kind == kind);
            let is_open = !state.is_terminal() && !is_live && state != S::Deferred;
            assert_eq!(
                found(CheckKind::TaskOpen(state)).unwrap().is_ok,
                is_open,
                "{state}"
            );
            let deferred = CheckKind::Deferred {
                at: LAST,
                until: Some(Ts(77)),
            };
            assert_eq!(found(deferred).is_some(), state == S::Deferred, "{state}");
            let waits = found(CheckKind::NotBefore(Some(Ts(77)))).is_some();
            assert_eq!(
                waits,
                [S::UpForRetry, S::UpForReschedule].contains(&state),
                "{state}"
            );
        }
    }
}

#[test]
fn a_task_that_looks_back_says_what_it_has_found_there_until_it_has_gone() {
    let rule = PastRule {
        with_downstream: false,
        passes_when_new: true,
    };
    let dag = fan(|sketch| sketch.tasks[4].past = Some(rule));
    let stand = |open| PastTask {
        run: RunNo(7),
        open,
        open_below: Vec::new(),
        is_new: false,
    };
    let past = |told: Option<Option<PastTask>>, state: TaskState| {
        let mut states = MIXED;
        states[4] = state;
        let mut run = run_of(&dag, states);
        if let Some(told) = told {
            let effects = step(&mut run, Event::Past(vec![(LAST, told)]), NOW);
            assert_eq!(effects, []);
        }
        let found = why(&run, LAST).into_iter();
        let mut found = found.filter(|check| matches!(check.kind, CheckKind::Past { .. }));
        found.next().unwrap()
    };
    let kind = |gate, before| CheckKind::Past { gate, before };
    assert_eq!(past(None, S::None), blocked(kind(PastGate::Unknown, None)));
    assert_eq!(past(Some(None), S::None), ok(kind(PastGate::First, None)));
    let open = Some(stand(Some(2)));
    let is_open = kind(PastGate::Open, open.clone());
    assert_eq!(past(Some(open.clone()), S::None), blocked(is_open.clone()));
    assert_eq!(past(Some(open), S::Scheduled), ok(is_open));
    let met = Some(stand(Some(0)));
    assert_eq!(
        past(Some(met.clone()), S::None),
        ok(kind(PastGate::Met, met))
    );
    let checks = why(&run_of(&fan(|_| {}), MIXED), LAST);
    assert!(
        !checks
            .iter()
            .any(|check| matches!(check.kind, CheckKind::Past { .. }))
    );
}

#[test]
fn a_run_lists_its_tasks_by_state_as_long_as_they_are_not_over() {
    let turns = Turns::default();
    let dag = fan(|_| {});
    let states = [S::Running, S::None, S::Success, S::Running, S::None];
    let mut run = run_of(&dag, states);
    let of = |state, tasks: &[u32]| {
        let tasks = tasks.iter().copied().map(TaskIndex).collect();
        blocked(CheckKind::Tasks(state, tasks))
    };
    let begun = ok(CheckKind::RunOpen(RunState::Running));
    let expect = [begun, of(S::None, &[1, 4]), of(S::Running, &[0, 3])];
    assert_eq!(why_run(&run, &turns, true, NOW), expect);
    run.row.state = RunState::Queued;
    let waits = blocked(CheckKind::RunOpen(RunState::Queued));
    let paused = CheckKind::NotPaused;
    let expect = [waits.clone(), blocked(paused.clone())];
    assert_eq!(why_run(&run, &turns, true, NOW), expect);
    assert_eq!(
        why_run(&run, &turns, false, NOW),
        [waits.clone(), ok(paused.clone())]
    );
    run.row.run_after = Ts(1_001);
    let delayed = CheckKind::RunAfter(Ts(1_001));
    let expect = [waits, ok(paused), blocked(delayed)];
    assert_eq!(why_run(&run, &turns, false, NOW), expect);
    run.row.state = RunState::Success;
    let over = blocked(CheckKind::RunOpen(RunState::Success));
    assert_eq!(why_run(&run, &turns, false, NOW), [over]);
}

const DAY: i64 = 86_400_000_000;

fn daily(change: impl FnOnce(&mut Dag)) -> Dag {
    let mut dag = Arc::unwrap_or_clone(fan(|_| {}));
    dag.schedule.ticks = Ticks::Every {
        period: Duration::from_secs(86_400),
        anchor: Ts(0),
    };
    dag.allowed_run_types = RunType::ALL.to_vec();
    change(&mut dag);
    dag
}

fn stand<'a>(dag: &'a Dag, has_events: &'a BTreeSet<String>) -> DagStand<'a> {
    DagStand {
        dag: Some(dag),
        is_paused: false,
        is_stale: false,
        high: Some(Ts(10 * DAY)),
        next: Some(Ts(11 * DAY)),
        has_events,
        n_failed: None,
        key: None,
    }
}

fn active_runs(n_running: usize, n_queued: usize) -> CheckKind {
    CheckKind::ActiveRuns {
        n_running,
        n_queued,
        max: 1,
    }
}

#[test]
fn a_schedule_says_when_it_fires_next_or_that_its_end_date_has_come() {
    let (turns, none) = (Turns::default(), BTreeSet::new());
    let due = |dag: &Dag, now: Ts| {
        let checks = why_dag(&stand(dag, &none), &turns, None, now);
        assert_eq!(checks[..4], may_tick(&stand(dag, &none)));
        assert_eq!(checks[5], ok(active_runs(0, 0)));
        assert_eq!(checks.len(), 6);
        checks[4].clone()
    };
    let next = |next: Option<i64>, end: Option<i64>| CheckKind::Due {
        next: next.map(|day| Ts(day * DAY)),
        end_date: end.map(|day| Ts(day * DAY)),
    };
    let until = |day: i64| daily(|dag| dag.end_date = Some(Ts(day * DAY)));
    let endless = daily(|_| {});
    assert_eq!(
        due(&endless, Ts(11 * DAY - 1)),
        blocked(next(Some(11), None))
    );
    assert_eq!(due(&endless, Ts(11 * DAY)), ok(next(Some(11), None)));
    assert_eq!(due(&until(11), Ts(11 * DAY)), ok(next(Some(11), None)));
    assert_eq!(due(&until(10), Ts(12 * DAY)), blocked(next(None, Some(10))));
}

#[test]
fn a_dag_that_waits_for_assets_says_which_have_no_event_and_whether_a_run_may_wait() {
    let both = AssetCondition::All(vec![
        AssetCondition::Asset("a".to_string()),
        AssetCondition::Asset("b".to_string()),
    ]);
    let dag = daily(|dag| {
        dag.schedule = Schedule::MANUAL;
        dag.asset_schedule = Some(both.clone());
    });
    let mut running = Turns::default();
    let mut row = new_run(Arc::new(dag.clone())).row;
    row.state = RunState::Running;
    running.follow(&row, "", false);
    let free = Turns::default();
    let told = |names: &[&str], turns: &Turns| {
        let has = names.iter().map(|name| name.to_string()).collect();
        why_dag(&stand(&dag, &has), turns, None, NOW)[4..].to_vec()
    };
    let assets = |missing: &[&str]| CheckKind::Assets {
        condition: both.clone(),
        missing: missing.iter().map(|name| name.to_string()).collect(),
    };
    let room = ok(active_runs(0, 0));
    assert_eq!(
        told(&[], &free),
        [blocked(assets(&["a", "b"])), room.clone()]
    );
    assert_eq!(told(&["b"], &free), [blocked(assets(&["a"])), room.clone()]);
    assert_eq!(told(&["a", "b"], &free), [ok(assets(&[])), room]);
    let full = blocked(active_runs(1, 0));
    assert_eq!(told(&["a", "b"], &running), [ok(assets(&[])), full]);
}

#[test]
fn whether_runs_come_by_themselves_depends_on_the_file_the_pause_and_the_run_types() {
    let none = BTreeSet::new();
    let names = ["file", "pause", "schedule", "types"];
    let closed = |dag: &Dag, change: &dyn Fn(&mut DagStand<'_>)| -> Vec<&str> {
        let mut stand = stand(dag, &none);
        change(&mut stand);
        let checks = may_tick(&stand);
        assert_eq!(checks.len(), names.len());
        let closed = checks.iter().zip(names).filter(|(check, _)| !check.is_ok);
        closed.map(|(_, name)| name).collect()
    };
    let plain = daily(|_| {});
    assert_eq!(closed(&plain, &|_| {}), [""; 0]);
    assert_eq!(closed(&plain, &|stand| stand.is_stale = true), ["file"]);
    assert_eq!(closed(&plain, &|stand| stand.is_paused = true), ["pause"]);
    assert_eq!(
        closed(&plain, &|stand| stand.dag = None),
        ["file", "schedule", "types"]
    );
    let by_hand = daily(|dag| dag.schedule = Schedule::MANUAL);
    assert_eq!(closed(&by_hand, &|_| {}), ["schedule"]);
    let only = |run_type: RunType, change: &dyn Fn(&mut Dag)| {
        let dag = daily(|dag| {
            dag.allowed_run_types = vec![run_type];
            change(dag);
        });
        closed(&dag, &|_| {})
    };
    let assets = |dag: &mut Dag| {
        dag.asset_schedule = Some(AssetCondition::Asset("a".to_string()));
    };
    let assets_alone = |dag: &mut Dag| {
        dag.schedule = Schedule::MANUAL;
        assets(dag);
    };
    assert_eq!(only(RunType::Scheduled, &|_| {}), [""; 0]);
    assert_eq!(only(RunType::AssetTriggered, &|_| {}), ["types"]);
    // With both a clock and assets the clock's runs are meant.
    assert_eq!(only(RunType::Scheduled, &assets), [""; 0]);
    assert_eq!(only(RunType::AssetTriggered, &assets_alone), [""; 0]);
    assert_eq!(only(RunType::Scheduled, &assets_alone), ["types"]);
}

#[test]
fn a_paused_dag_says_what_it_owes_and_whether_that_is_why_it_started_paused() {
    let none = BTreeSet::new();
    let now = Ts(10 * DAY + 5);
    let owed = |days: i64, is_catchup: bool, high: Option<i64>| {
        let dag = daily(|dag| {
            dag.catchup = is_catchup;
            dag.start_date = Some(Ts((11 - days) * DAY));
        });
        let mut stand = stand(&dag, &none);
        (stand.is_paused, stand.high) = (true, high.map(|day| Ts(day * DAY)));
        why_paused(&stand, now, OWED_MAX)
    };
    let told = |n, is_catchup| CheckKind::Owed {
        n,
        max: OWED_MAX,
        is_catchup,
    };
    assert_eq!(owed(3, true, None), [ok(told(3, true))]);
    assert_eq!(owed(4, true, None), [blocked(told(4, true))]);
    assert_eq!(owed(5, true, None), [blocked(told(5, true))]);
    assert_eq!(owed(9, true, Some(5)), [ok(told(5, true))]);
    assert_eq!(owed(9, false, None), [ok(told(1, false))]);
    assert_eq!(owed(9, true, Some(10)), []);
}

#[test]
fn an_instant_of_now_at_which_nothing_fires_is_neither_to_come_nor_made_up_for() {
    let none = BTreeSet::new();
    let made_up = |at: Ts, now: Ts| {
        let dag = daily(|_| {});
        let checks = why_dag(&stand(&dag, &none), &Turns::default(), Some(at), now);
        let mut found = checks.into_iter();
        found
            .find(|check| matches!(check.kind, CheckKind::MadeUp { .. }))
            .map(|check| check.is_ok)
    };
    let now = Ts(10 * DAY + 5);
    assert_eq!(made_up(now, now), Some(false));
    assert_eq!(made_up(Ts(now.0 + 1), now), Some(true));
    assert_eq!(made_up(Ts(10 * DAY), now), Some(true));
    assert_eq!(made_up(Ts(10 * DAY), Ts(10 * DAY)), Some(true));
    assert_eq!(made_up(Ts(9 * DAY), now), Some(false));
}

#[test]
fn the_first_and_the_last_date_are_within_and_what_lies_beyond_is_told_with_the_date_that_forbids()
{
    let none = BTreeSet::new();
    let (start, end) = (Ts(3 * DAY), Ts(5 * DAY));
    let dag = daily(|dag| (dag.start_date, dag.end_date) = (Some(start), Some(end)));
    let dates = |day: i64| {
        let stand = stand(&dag, &none);
        let checks = why_dag(&stand, &Turns::default(), Some(Ts(day * DAY)), Ts(10 * DAY));
        let mut found = checks.into_iter();
        found
            .find(|check| matches!(check.kind, CheckKind::InDates { .. }))
            .unwrap()
    };
    let kind = |day: i64, start_date, end_date| CheckKind::InDates {
        at: Ts(day * DAY),
        start_date,
        end_date,
    };
    assert_eq!(dates(2), blocked(kind(2, Some(start), None)));
    for day in 3..=5 {
        assert_eq!(dates(day), ok(kind(day, None, None)));
    }
    assert_eq!(dates(6), blocked(kind(6, None, Some(end))));
}

#[test]
fn a_schedule_without_ticks_of_its_own_says_when_it_goes_next() {
    let none = BTreeSet::new();
    let next = |ticks: Ticks, high: Option<Ts>, now: Ts| {
        let dag = daily(|dag| dag.schedule.ticks = ticks);
        let mut stand = stand(&dag, &none);
        stand.high = high;
        let checks = why_dag(&stand, &Turns::default(), None, now);
        let mut found = checks.into_iter();
        let due = found.find(|check| matches!(check.kind, CheckKind::Due { .. }));
        match due.unwrap().kind {
            CheckKind::Due { next, .. } => next,
            other => panic!("{other:?}"),
        }
    };
    let second = Ts(DAY + 1_000_000);
    assert_eq!(
        next(Ticks::Continuous, Some(Ts(DAY)), Ts(DAY)),
        Some(second)
    );
    assert_eq!(
        next(Ticks::Continuous, Some(Ts(DAY)), Ts(2 * DAY)),
        Some(Ts(2 * DAY))
    );
    assert_eq!(next(Ticks::Once(None), None, NOW), Some(NOW));
    assert_eq!(next(Ticks::Once(None), Some(NOW), Ts(DAY)), None);
}

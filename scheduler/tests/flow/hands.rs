//! What people's hands do to one instance, for each state that it can be in.

use crate::support::{Sketch, TEARDOWN, new_run};
use std::sync::Arc;
use std::time::Duration;
use tidemill_model::attempt::Verdict;
use tidemill_model::dag::{Mapping, OnEmpty, Over, RetryScope, Values};
use tidemill_model::{
    MapItem, Outcome, Reason, RunState, TaskIndex, TaskNo, TaskRow, TaskState, Ts,
};
use tidemill_scheduler::{ClearChoice, Effect, Event, Run, plan_clear, step, with_neighbours};

const NOW: Ts = Ts(5_000);
const IT: TaskIndex = TaskIndex(0);

/// A running run in which another task keeps the run open, and one has this row.
fn run_with(row: TaskRow, change: impl FnOnce(&mut Sketch)) -> Run {
    let mut sketch = Sketch::default();
    sketch.add("it", &[]).retry.retries = 2;
    sketch.add("other", &[]);
    change(&mut sketch);
    let mut run = new_run(Arc::new(sketch.build()));
    run.row.state = RunState::Running;
    run.row.started_at = Some(Ts(1));
    let task_nos: Vec<TaskNo> = run.tasks.iter().map(|row| row.task_no).collect();
    let mut rows = run.tasks.clone();
    rows[0] = TaskRow {
        run: rows[0].run,
        task_no: rows[0].task_no,
        map_index: rows[0].map_index,
        ..row
    };
    (rows[1].state, rows[1].worker) = (TaskState::Running, Some(1));
    Run::new(run.row, run.dag, &task_nos, rows)
}

/// A row that has seen much.
fn used(state: TaskState, is_live: bool) -> TaskRow {
    let fresh = run_with_fresh().tasks[0].clone();
    TaskRow {
        state,
        worker: is_live.then_some(9),
        try_number: 3,
        max_tries: 3,
        losses: 2,
        clears: 4,
        not_before: Some(Ts(77)),
        reason: Some(Reason::ExitStatus),
        followed: Some(vec![TaskNo(2)]),
        started_at: Some(Ts(2)),
        ..fresh
    }
}

fn run_with_fresh() -> Run {
    let mut sketch = Sketch::default();
    sketch.add("it", &[]);
    new_run(Arc::new(sketch.build()))
}

/// Every state in which an instance may stand, with and without an attempt at a worker.
fn all() -> impl Iterator<Item = TaskRow> {
    use TaskState as S;
    TaskState::ALL.iter().flat_map(|&state| {
        let lives: &[bool] = match state {
            S::Queued | S::Running | S::Restarting => &[true],
            // A worker may still have the attempt of what a person has marked.
            S::Success | S::Failed | S::Skipped | S::Deferred => &[false, true],
            _ => &[false],
        };
        lives.iter().map(move |is_live| used(state, *is_live))
    })
}

fn kills(run: &Run, effects: &[Effect]) -> bool {
    effects.contains(&Effect::Kill(run.attempt(IT), Reason::Cancelled))
}

#[test]
fn a_mark_ends_what_is_in_any_other_state_and_kills_its_attempt() {
    for mark in [TaskState::Success, TaskState::Failed, TaskState::Skipped] {
        for row in all() {
            let is_live = row.is_live();
            let mut run = run_with(row.clone(), |_| {});
            let before = run.tasks[0].clone();
            let effects = step(&mut run, Event::Mark(vec![IT], mark), NOW);
            let found = &run.tasks[0];
            if row.state == mark || row.state == TaskState::Removed {
                assert_eq!((found, effects), (&before, Vec::new()), "{}", row.state);
                continue;
            }
            let expect = TaskRow {
                state: mark,
                reason: Some(Reason::Marked),
                ended_at: Some(NOW),
                not_before: None,
                ..before
            };
            assert_eq!(found, &expect, "{} to {mark}", row.state);
            assert_eq!(kills(&run, &effects), is_live, "{} to {mark}", row.state);
            assert_eq!(effects.last(), Some(&Effect::Task(IT)));
        }
    }
}

#[test]
fn a_clear_gives_back_all_tries_and_kills_the_attempt_that_is_there() {
    for row in all() {
        let is_live = row.is_live();
        let mut run = run_with(row.clone(), |_| {});
        let before = run.tasks[0].clone();
        let effects = step(&mut run, Event::Clear(vec![IT]), NOW);
        let found = &run.tasks[0];
        let is_ending = is_live && row.state.is_terminal() || row.state == TaskState::Restarting;
        if is_ending {
            assert_eq!(
                (found, effects),
                (&before, vec![Effect::Run]),
                "{}",
                row.state
            );
            continue;
        }
        let state = match is_live {
            true => TaskState::Restarting,
            false => TaskState::Scheduled,
        };
        let expect = TaskRow {
            state,
            max_tries: 5,
            clears: 5,
            losses: 0,
            not_before: None,
            reason: None,
            followed: None,
            scheduled_at: found.scheduled_at,
            ..before
        };
        assert_eq!(found, &expect, "{}", row.state);
        assert_eq!(
            found.scheduled_at,
            (!is_live).then_some(NOW),
            "{}",
            row.state
        );
        assert_eq!(kills(&run, &effects), is_live, "{}", row.state);
        assert!(effects.contains(&Effect::ClearValues(IT)));
        assert!(effects.contains(&Effect::Task(IT)));
        assert_eq!(
            effects.contains(&Effect::Ready(IT)),
            !is_live,
            "{}",
            row.state
        );
    }
}

#[test]
fn the_end_of_a_run_kills_what_is_live_skips_what_is_open_and_leaves_what_is_over() {
    for row in all() {
        let mut run = run_with(row.clone(), |_| {});
        let before = run.tasks[0].clone();
        let effects = step(&mut run, Event::Cancel, NOW);
        let found = &run.tasks[0];
        assert_eq!(kills(&run, &effects), row.is_live(), "{}", row.state);
        if row.is_live() || row.state.is_terminal() {
            assert_eq!(found, &before, "{}", row.state);
            assert!(!effects.contains(&Effect::Task(IT)), "{}", row.state);
            continue;
        }
        let is_skipped = TaskState::None == row.state
            || [TaskState::Scheduled, TaskState::Deferred].contains(&row.state);
        let expect = TaskRow {
            state: match is_skipped {
                true => TaskState::Skipped,
                false => TaskState::Failed,
            },
            reason: Some(Reason::Cancelled),
            ended_at: Some(NOW),
            ..before
        };
        assert_eq!(found, &expect, "{}", row.state);
        assert!(effects.contains(&Effect::Task(IT)), "{}", row.state);
    }
}

#[test]
fn a_teardown_outlives_a_run_that_a_person_ends_but_not_one_whose_time_is_up() {
    let teardown = |sketch: &mut Sketch| {
        sketch.tasks[0].role = TEARDOWN;
    };
    let mut run = run_with(used(TaskState::Running, true), teardown);
    let effects = step(&mut run, Event::Cancel, NOW);
    assert!(!kills(&run, &effects));
    let mut run = run_with(used(TaskState::Running, true), |sketch| {
        teardown(sketch);
    });
    let dag = Arc::make_mut(&mut run.dag);
    dag.dagrun_timeout = Some(Duration::from_micros(10));
    assert_eq!(step(&mut run, Event::RunTimedOut, Ts(10)), []);
    let effects = step(&mut run, Event::RunTimedOut, Ts(11));
    let killed = Effect::Kill(run.attempt(IT), Reason::TimedOut);
    assert!(effects.contains(&killed));
}

#[test]
fn a_run_that_waits_for_its_turn_is_ended_like_one_that_runs_and_one_that_is_over_stays_so() {
    let mut run = run_with(used(TaskState::None, false), |_| {});
    (run.row.state, run.row.started_at) = (RunState::Queued, None);
    let _ = step(&mut run, Event::Cancel, NOW);
    assert_eq!(run.row.state, RunState::Running);
    assert_eq!(
        (run.row.started_at, run.row.reason),
        (Some(NOW), Some(Reason::Cancelled))
    );
    for state in [RunState::Success, RunState::Failed] {
        run.row.state = state;
        let before = run.row.clone();
        assert_eq!(step(&mut run, Event::Cancel, NOW), []);
        assert_eq!(run.row, before);
    }
}

#[test]
fn a_failed_run_is_tried_again_by_what_its_scope_names_and_what_is_below() {
    use TaskState as S;
    for (scope, expect) in [
        (RetryScope::All, [S::None; 3]),
        (RetryScope::Failed, [S::Success, S::None, S::None]),
    ] {
        let mut sketch = Sketch::default();
        sketch.add("good", &[]);
        sketch.add("bad", &[]);
        sketch.add("last", &["bad"]);
        let mut dag = sketch.build();
        (dag.retry.retries, dag.retry.scope) = (1, scope);
        dag.retry.delay = Duration::from_micros(30);
        let mut run = new_run(Arc::new(dag));
        let _ = step(&mut run, Event::Begin, NOW);
        for (at, state) in [(0, S::Success), (1, S::Failed)] {
            let _ = step(&mut run, Event::Mark(vec![TaskIndex(at)], state), NOW);
        }
        let states: Vec<TaskState> = run.tasks.iter().map(|row| row.state).collect();
        assert_eq!(states, expect, "{scope:?}");
        let row = &run.row;
        assert_eq!((row.state, row.retries_used), (RunState::Queued, 1));
        assert_eq!((row.run_after, row.started_at), (Ts(5_030), None));
        assert_eq!((row.ended_at, row.reason), (None, None));
    }
}

#[test]
fn what_was_cleared_while_it_ran_does_not_start_again_in_a_run_that_is_ended() {
    let mut run = run_with(used(TaskState::Running, true), |_| {});
    let attempt = run.attempt(IT);
    let _ = step(&mut run, Event::Clear(vec![IT]), NOW);
    assert_eq!(run.tasks[0].state, TaskState::Restarting);
    let _ = step(&mut run, Event::Cancel, NOW);
    let outcome = Box::new(Outcome::without_process(
        Verdict::Failed,
        Reason::Cancelled,
        "killed",
    ));
    let effects = step(&mut run, Event::AttemptEnded { attempt, outcome }, NOW);
    let row = &run.tasks[0];
    assert_eq!(
        (row.state, row.reason),
        (TaskState::Skipped, Some(Reason::Cancelled))
    );
    assert!(!effects.contains(&Effect::Ready(IT)));
}

#[test]
fn a_success_that_comes_late_begins_nothing_in_a_run_that_is_ended() {
    let mapped = |sketch: &mut Sketch| {
        sketch.tasks[0].mapping = Some(Mapping {
            over: Over::Objects(Values::List(Vec::new())),
            label: None,
            on_empty: OnEmpty::Skip,
        });
    };
    let item = || MapItem {
        values: serde_json::Map::new(),
        label: None,
    };
    let mut run = run_with(used(TaskState::Running, true), mapped);
    let attempt = run.attempt(IT);
    let _ = step(&mut run, Event::Cancel, NOW);
    let outcome = Box::new(Outcome {
        items: Some(vec![item(), item()]),
        ..Outcome::success()
    });
    let _ = step(&mut run, Event::AttemptEnded { attempt, outcome }, NOW);
    assert_eq!(run.tasks[0].state, TaskState::Skipped);
    assert!(run.instances(IT).is_empty());
}

/// Three in a row, of which the first has ended well and the second has failed.
fn chain() -> Run {
    let mut sketch = Sketch::default();
    sketch.add("first", &[]);
    sketch.add("second", &["first"]);
    sketch.add("third", &["second"]);
    sketch.add("aside", &[]);
    let mut run = new_run(Arc::new(sketch.build()));
    let _ = step(&mut run, Event::Begin, NOW);
    for (at, state) in [(0, TaskState::Success), (1, TaskState::Failed)] {
        let _ = step(&mut run, Event::Mark(vec![TaskIndex(at)], state), NOW);
    }
    run
}

fn states(run: &Run) -> Vec<TaskState> {
    run.tasks.iter().map(|row| row.state).collect()
}

#[test]
fn neighbours_are_all_above_and_below_and_those_themselves() {
    let run = chain();
    let of = |downstream, upstream| {
        let found = with_neighbours(&run, vec![TaskIndex(1)], downstream, upstream);
        found.iter().map(|at| at.0).collect::<Vec<_>>()
    };
    assert_eq!(of(false, false), [1]);
    assert_eq!(of(true, false), [1, 2]);
    assert_eq!(of(false, true), [0, 1]);
    assert_eq!(of(true, true), [0, 1, 2]);
}

#[test]
fn a_clear_names_nothing_that_has_not_been_touched_and_nothing_that_is_gone() {
    let mut run = chain();
    let all = |run: &Run| plan_clear(run, &ClearChoice::default());
    let places = |list: &[u32]| list.iter().copied().map(TaskIndex).collect::<Vec<_>>();
    assert_eq!(all(&run), places(&[0, 1, 2, 3]));
    let _ = step(&mut run, Event::Clear(places(&[0])), NOW);
    assert_eq!(run.tasks[0].state, TaskState::Scheduled);
    run.tasks[2].state = TaskState::None;
    run.tasks[3].state = TaskState::Removed;
    assert_eq!(all(&run), places(&[0, 1]));
}

#[test]
fn a_run_that_is_marked_failed_is_ended_and_one_that_is_over_is_renamed() {
    use TaskState as S;
    let mut run = chain();
    let effects = step(&mut run, Event::MarkRun(RunState::Failed), NOW);
    assert!(effects.contains(&Effect::Run));
    assert_eq!(
        states(&run),
        [S::Success, S::Failed, S::UpstreamFailed, S::Skipped]
    );
    assert_eq!(
        (run.row.state, run.row.reason),
        (RunState::Failed, Some(Reason::Marked))
    );
    run.row.state = RunState::Success;
    run.row.reason = None;
    assert_eq!(
        step(&mut run, Event::MarkRun(RunState::Failed), NOW),
        [Effect::Run]
    );
    assert_eq!(
        (run.row.state, run.row.reason),
        (RunState::Failed, Some(Reason::Marked))
    );
}

#[test]
fn a_run_that_is_marked_as_a_success_has_only_successes_and_skips() {
    use TaskState as S;
    for state in [RunState::Queued, RunState::Running, RunState::Failed] {
        let mut run = chain();
        run.row.state = state;
        run.tasks[3].state = S::Skipped;
        let rows = run.tasks.clone();
        let task_nos: Vec<TaskNo> = rows.iter().map(|row| row.task_no).collect();
        if state == RunState::Queued {
            run.row.started_at = None;
        }
        let mut run = Run::new(run.row, run.dag, &task_nos, rows);
        let effects = step(&mut run, Event::MarkRun(RunState::Success), NOW);
        assert!(effects.contains(&Effect::Run));
        assert_eq!(
            states(&run),
            [S::Success, S::Success, S::Success, S::Skipped]
        );
        assert_eq!(
            (run.row.state, run.row.reason),
            (RunState::Success, None),
            "{state}"
        );
        assert_eq!(run.row.started_at, Some(NOW));
    }
}

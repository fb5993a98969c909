//! How waits begin and end at their edges: timeouts, odd news, conditions and mapped sensors.

use crate::support::{Player, Sketch};
use std::sync::Arc;
use std::time::Duration;
use tidemill_model::attempt::{ChildDate, ChildWish, Verdict};
use tidemill_model::dag::{
    Dag, External, ExternalTask, Mapping, Match, OnEmpty, Over, Patience, TimeSensor, TimeTarget,
    TriggerDagRun, Values,
};
use tidemill_model::{
    JsonObject, MapItem, Operator, Outcome, Reason, RunState, TaskIndex, TaskState, Ts,
};
use tidemill_scheduler::{Effect, Event, Heard};

const HOUR: Duration = Duration::from_secs(3_600);
const FIRST: TaskIndex = TaskIndex(0);

fn until(target: TimeTarget, soft_fail: bool) -> Operator {
    let patience = Patience {
        timeout: HOUR,
        soft_fail,
    };
    Operator::TimeSensor(TimeSensor { target, patience })
}

fn elsewhere(soft_fail: bool) -> Operator {
    let patience = Patience {
        timeout: HOUR,
        soft_fail,
    };
    Operator::ExternalTaskSensor(Box::new(ExternalTask {
        dag_id: "other".to_string(),
        what: External::Run,
        matching: Match::Same,
        delta: Duration::ZERO,
        allowed: vec![TaskState::Success],
        skipped: Vec::new(),
        failed: vec![TaskState::Failed],
        check_existence: false,
        patience,
    }))
}

fn trigger(allowed: &[RunState], failed: &[RunState]) -> Operator {
    Operator::TriggerDagRun(Box::new(TriggerDagRun {
        dag_id: "other".to_string(),
        run_id: None,
        conf: None,
        logical_date: None,
        note: None,
        waits: true,
        allowed: allowed.to_vec(),
        failed: failed.to_vec(),
        resets: false,
        skips_existing: false,
        fails_when_paused: false,
    }))
}

fn begun_with(operator: Operator, change: impl FnOnce(&mut Dag)) -> Player {
    let mut sketch = Sketch::default();
    sketch.add("it", &[]).operator = operator;
    // Something else is open, so the run goes on.
    sketch.add("other", &[]);
    let mut dag = sketch.build();
    change(&mut dag);
    let mut player = Player::new(Arc::new(dag), 1, &[]);
    player.step(Event::Begin);
    player
}

fn begun(operator: Operator) -> Player {
    begun_with(operator, |_| {})
}

fn hear(player: &mut Player, heard: Heard) -> Vec<Effect> {
    player.step(Event::Heard(FIRST, heard))
}

fn child(date: ChildDate) -> Outcome {
    Outcome {
        child: Some(Box::new(ChildWish {
            dag_id: "other".to_string(),
            run_id: None,
            date,
            conf: JsonObject::new(),
            note: None,
        })),
        ..Outcome::success()
    }
}

/// The task has said which run it wants, and that was made.
fn with_child(operator: Operator, change: impl FnOnce(&mut Dag)) -> Player {
    let mut player = begun_with(operator, change);
    let (attempt, _) = player.run.launch(FIRST, 1, player.now);
    player.report(attempt, child(ChildDate::Present));
    let made = Heard::Made {
        dag_id: "other".to_string(),
        run_id: "r".to_string(),
        state: RunState::Queued,
    };
    hear(&mut player, made);
    assert_eq!(player.run.tasks[0].state, TaskState::Deferred);
    player
}

#[test]
fn an_instant_behind_the_timeout_is_not_waited_for() {
    for (soft, state) in [(false, TaskState::Failed), (true, TaskState::Skipped)] {
        let far = TimeTarget::At(Ts(1_000_000).after(HOUR * 2));
        let mut player = begun(until(far, soft));
        let over = player.now.after(HOUR);
        assert_eq!(player.timers, [(over, FIRST)]);
        player.now = over;
        player.step(Event::TimerDue(FIRST));
        let row = &player.run.tasks[0];
        assert_eq!((row.state, row.reason), (state, Some(Reason::TimedOut)));
        assert_eq!((row.ended_at, row.not_before), (Some(over), None));
        assert!(row.message.as_ref().unwrap().contains("`timeout`"));
    }
}

#[test]
fn an_instant_in_a_time_zone_that_is_not_known_fails_and_says_so() {
    let noon = until(TimeTarget::Daily(12 * 3_600), false);
    let mut player = begun_with(noon, |dag| dag.timezone = "Nowhere/Else".to_string());
    player.now = player.now.after(HOUR);
    player.step(Event::TimerDue(FIRST));
    let row = &player.run.tasks[0];
    assert_eq!(
        (row.state, row.reason),
        (TaskState::Failed, Some(Reason::ElsewhereFailed))
    );
    assert!(row.message.as_ref().unwrap().contains("Nowhere/Else"));
}

#[test]
fn what_will_never_be_there_fails_the_wait_and_says_why() {
    let mut player = begun(elsewhere(true));
    hear(&mut player, Heard::Missing("no such DAG".to_string()));
    let row = &player.run.tasks[0];
    assert_eq!(
        (row.state, row.reason),
        (TaskState::Failed, Some(Reason::ElsewhereFailed))
    );
    assert_eq!(row.message.as_deref(), Some("no such DAG"));
}

#[test]
fn news_that_a_wait_did_not_ask_for_changes_nothing() {
    let states = || Heard::States(vec![TaskState::Success]);
    let run = || Heard::Child(RunState::Success);
    let exists = || Heard::Exists("there".to_string());
    let mut sensor = begun(elsewhere(false));
    let mut clock = begun(until(TimeTarget::At(Ts(9_000_000)), false));
    let mut parent = with_child(trigger(&[RunState::Success], &[]), |_| {});
    for (player, odd) in [
        (&mut sensor, vec![run(), exists()]),
        (&mut clock, vec![run(), exists(), states()]),
        (&mut parent, vec![states()]),
    ] {
        let before = player.run.tasks.clone();
        for heard in odd {
            assert_eq!(hear(player, heard), []);
        }
        assert_eq!(player.run.tasks, before);
    }
    hear(&mut sensor, states());
    hear(&mut parent, run());
    for player in [sensor, parent] {
        assert_eq!(player.run.tasks[0].state, TaskState::Success);
    }
}

#[test]
fn a_wait_that_a_worker_has_hears_nothing_and_no_timer_ends_it() {
    let mut sketch = Sketch::default();
    sketch.add("it", &[]).operator = elsewhere(false);
    let mut player = Player::new(Arc::new(sketch.build()), 1, &[]);
    player.step(Event::Begin);
    player.run.tasks[0].worker = Some(7);
    let heard = Event::Heard(FIRST, Heard::States(vec![TaskState::Success]));
    player.now = player.now.after(HOUR * 2);
    for event in [heard, Event::TimerDue(FIRST)] {
        let effects = tidemill_scheduler::step(&mut player.run, event, player.now);
        assert_eq!(effects, []);
    }
    assert_eq!(player.run.tasks[0].state, TaskState::Deferred);
}

#[test]
fn the_run_that_a_task_has_made_is_judged_by_the_states_that_it_names() {
    use RunState::{Failed, Queued, Running, Success};
    for (allowed, failed, state, expect) in [
        (
            [Success].as_slice(),
            [Failed].as_slice(),
            Success,
            TaskState::Success,
        ),
        (&[Success], &[Failed], Failed, TaskState::Failed),
        (&[Success, Failed], &[], Failed, TaskState::Success),
        (&[Success], &[], Failed, TaskState::Deferred),
        (&[Success], &[Failed], Running, TaskState::Deferred),
        (&[Success], &[Failed], Queued, TaskState::Deferred),
        (&[Success], &[Success], Success, TaskState::Failed),
    ] {
        let mut player = with_child(trigger(allowed, failed), |_| {});
        hear(&mut player, Heard::Child(state));
        let row = &player.run.tasks[0];
        assert_eq!(row.state, expect, "{state} of {allowed:?}, not {failed:?}");
        if expect == TaskState::Failed {
            assert!(row.message.as_ref().unwrap().contains(&state.to_string()));
        }
    }
}

#[test]
fn the_wait_for_a_run_ends_with_the_execution_timeout_of_its_try() {
    let operator = || trigger(&[RunState::Success], &[RunState::Failed]);
    let mut endless = with_child(operator(), |_| {});
    assert_eq!(endless.run.tasks[0].not_before, None);
    assert_eq!(endless.timers, []);
    // A timer of an earlier try, or of an instance that another version had, is nobody's.
    for at in [FIRST, TaskIndex(99)] {
        assert_eq!(endless.step(Event::TimerDue(at)), []);
    }
    assert_eq!(endless.run.tasks[0].state, TaskState::Deferred);

    let mut player = with_child(operator(), |dag| {
        dag.tasks[0].execution_timeout = Some(HOUR);
        dag.tasks[0].retry.retries = 1;
    });
    let over = player.run.tasks[0].started_at.unwrap().after(HOUR);
    assert_eq!(player.timers, [(over, FIRST)]);
    assert_eq!(player.run.tasks[0].not_before, Some(over));
    player.now = Ts(over.0 - 1);
    assert_eq!(player.step(Event::TimerDue(FIRST)), []);
    player.run.tasks[0].losses = 2;
    player.now = over;
    player.step(Event::TimerDue(FIRST));
    let row = &player.run.tasks[0];
    assert_eq!(
        (row.state, row.reason),
        (TaskState::UpForRetry, Some(Reason::TimedOut))
    );
    assert_eq!((row.losses, row.ended_at), (0, Some(over)));
    assert!(
        row.message
            .as_ref()
            .unwrap()
            .contains("`execution_timeout`")
    );
}

#[test]
fn a_task_that_was_cleared_makes_no_run_any_more() {
    let mut player = begun(trigger(&[RunState::Success], &[]));
    let (attempt, _) = player.run.launch(FIRST, 1, player.now);
    player.step(Event::Clear(vec![FIRST]));
    let effects = player.report(attempt, child(ChildDate::Present));
    let made = effects
        .iter()
        .any(|effect| matches!(effect, Effect::MakeChild(..)));
    assert!(!made, "{effects:?}");
    assert!(player.run.wants_slot(FIRST));
}

#[test]
fn a_worker_looks_at_each_condition_of_a_sensor_and_at_the_values_of_a_mapped_one() {
    type Change = fn(&mut Dag);
    let mapping = |dag: &mut Dag| {
        dag.tasks[0].mapping = Some(Mapping {
            over: Over::Objects(Values::List(Vec::new())),
            label: None,
            on_empty: OnEmpty::Skip,
        });
    };
    let some = || Some("{{ true }}".to_string());
    let table: [(Change, bool); 4] = [
        (|_| {}, false),
        (
            |dag| dag.tasks[0].run_if = Some("{{ true }}".to_string()),
            true,
        ),
        (
            |dag| dag.tasks[0].skip_if = Some("{{ false }}".to_string()),
            true,
        ),
        (mapping, true),
    ];
    for (change, needs_worker) in table {
        let player = begun_with(elsewhere(false), change);
        assert_eq!(player.ready.contains(&FIRST), needs_worker);
        let is_waiting = player.run.tasks[0].state == TaskState::Deferred;
        assert_eq!(is_waiting, !needs_worker);
    }
    // The instances of a mapped one need no worker, unless they have conditions.
    for has_condition in [false, true] {
        let mut player = begun_with(elsewhere(false), |dag| {
            mapping(dag);
            dag.tasks[0].run_if = some().filter(|_| has_condition);
        });
        let (attempt, _) = player.run.launch(FIRST, 1, player.now);
        let item = || MapItem {
            values: serde_json::Map::new(),
            label: None,
        };
        let found = Outcome {
            items: Some(vec![item(), item()]),
            ..Outcome::success()
        };
        let effects = player.report(attempt, found);
        let n_watched = effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Watch(_)));
        assert_eq!(n_watched.count(), if has_condition { 0 } else { 2 });
    }
}

#[test]
fn a_report_of_a_wait_that_its_worker_kept_ends_it_like_any_other() {
    let mut player = begun(crate::support::command());
    let (attempt, _) = player.run.launch(FIRST, 1, player.now);
    let deferred = Outcome {
        verdict: Verdict::Deferred,
        ..Outcome::success()
    };
    assert_eq!(
        player.report(attempt, deferred.clone()),
        [Effect::Task(FIRST)]
    );
    assert_eq!(player.run.tasks[0].state, TaskState::Deferred);
    player.step(Event::Clear(vec![FIRST]));
    // It is being ended: that it waits is no news any more.
    assert_eq!(player.report(attempt, deferred), []);
    assert_eq!(player.run.tasks[0].state, TaskState::Restarting);
}

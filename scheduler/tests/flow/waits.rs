//! Sensors and `trigger_dag_run`: what waiting without a worker means for a run.

use crate::support::{Fate, Player, Sketch};
use std::sync::Arc;
use std::time::Duration;
use tidemill_model::attempt::{ChildDate, ChildWish};
use tidemill_model::dag::{
    Dag, External, ExternalTask, Match, OnLost, Patience, TimeSensor, TimeTarget, TriggerDagRun,
};
use tidemill_model::{JsonObject, Operator, Outcome, Reason, RunState, TaskIndex, TaskState, Ts};
use tidemill_scheduler::{Effect, Event, Heard, Judged, Run, judge, step};

const HOUR: Duration = Duration::from_secs(3_600);
const FIRST: TaskIndex = TaskIndex(0);

fn patience(soft_fail: bool) -> Patience {
    Patience {
        timeout: HOUR,
        soft_fail,
    }
}

fn until(target: TimeTarget) -> Operator {
    Operator::TimeSensor(TimeSensor {
        target,
        patience: patience(false),
    })
}

fn external() -> ExternalTask {
    ExternalTask {
        dag_id: "other".to_string(),
        what: External::Run,
        matching: Match::Same,
        delta: Duration::ZERO,
        allowed: vec![TaskState::Success],
        skipped: Vec::new(),
        failed: Vec::new(),
        check_existence: false,
        patience: patience(false),
    }
}

fn trigger(waits: bool) -> TriggerDagRun {
    TriggerDagRun {
        dag_id: "other".to_string(),
        run_id: None,
        conf: None,
        logical_date: None,
        note: None,
        waits,
        allowed: vec![RunState::Success],
        failed: vec![RunState::Failed],
        resets: false,
        skips_existing: false,
        fails_when_paused: false,
    }
}

/// A task with that operator, and one after it.
fn dag(operator: Operator) -> Sketch {
    let mut sketch = Sketch::default();
    sketch.add("a", &[]).operator = operator;
    sketch.add("b", &["a"]);
    sketch
}

fn begun(sketch: Sketch) -> Player {
    let mut player = Player::new(Arc::new(sketch.build()), 1, &[]);
    player.step(Event::Begin);
    player
}

fn hear(player: &mut Player, heard: Heard) -> Vec<Effect> {
    player.step(Event::Heard(FIRST, heard))
}

fn wish() -> Outcome {
    Outcome {
        child: Some(Box::new(ChildWish {
            dag_id: "other".to_string(),
            run_id: None,
            date: ChildDate::Present,
            conf: JsonObject::new(),
            note: None,
        })),
        ..Outcome::success()
    }
}

fn made(state: RunState) -> Heard {
    Heard::Made {
        dag_id: "other".to_string(),
        run_id: "r".to_string(),
        state,
    }
}

#[test]
fn states_elsewhere_mean_what_airflows_sensor_says() {
    use Judged::{Bad, Good, Skip, Wait};
    use TaskState as S;
    let lists = |skipped: &[S], failed: &[S]| ExternalTask {
        skipped: skipped.to_vec(),
        failed: failed.to_vec(),
        ..external()
    };
    let plain = lists(&[], &[]);
    let strict = lists(&[S::Skipped], &[S::Failed, S::UpstreamFailed]);
    let table: &[(&[S], Judged, Judged)] = &[
        (&[], Wait, Wait),
        (&[S::None], Wait, Wait),
        (&[S::Running], Wait, Wait),
        (&[S::Success], Good, Good),
        (&[S::Failed], Wait, Bad),
        (&[S::Skipped], Wait, Skip),
        (&[S::Success, S::Running], Wait, Wait),
        (&[S::Success, S::Success], Good, Good),
        (&[S::Success, S::Skipped], Wait, Skip),
        (&[S::Skipped, S::Failed], Wait, Bad),
        (&[S::Running, S::UpstreamFailed], Wait, Bad),
    ];
    for (states, of_plain, of_strict) in table {
        assert_eq!(judge(&plain, states), *of_plain, "{states:?}");
        assert_eq!(judge(&strict, states), *of_strict, "{states:?}");
    }
}

#[test]
fn a_time_sensor_waits_without_a_slot_and_goes_with_its_instant() {
    let mut player = begun(dag(until(TimeTarget::At(Ts(60_000_000)))));
    assert_eq!(player.states()["a"], TaskState::Deferred);
    assert_eq!(player.run.n_live(), 0);
    assert!(player.ready.is_empty(), "nothing asks for a slot");
    assert_eq!(player.timers, [(Ts(60_000_000), FIRST)]);
    player.now = Ts(59_999_999);
    player.step(Event::TimerDue(FIRST));
    assert_eq!(
        player.states()["a"],
        TaskState::Deferred,
        "not a moment early"
    );
    player.now = Ts(60_000_000);
    player.step(Event::TimerDue(FIRST));
    assert_eq!(player.states()["a"], TaskState::Success);
    let ended = &player.run.tasks[0];
    assert_eq!((ended.ended_at, ended.not_before), (Some(player.now), None));
    player.timers.clear();
    player.play();
    assert_eq!(player.run.row.state, RunState::Success);
    assert_eq!(player.run.tasks[0].try_number, 1);
}

#[test]
fn the_instant_is_of_the_day_in_the_zone_of_the_dag_or_after_the_interval() {
    let in_zone = |zone: &str, target: TimeTarget, now: &str| {
        let mut dag: Dag = dag(until(target)).build();
        dag.timezone = zone.to_string();
        let mut player = Player::new(Arc::new(dag), 1, &[]);
        player.run.row.data_interval_end = Some(at("2026-01-01T00:00:00Z"));
        player.now = at(now);
        player.step(Event::Begin);
        player.timers[0].0
    };
    let half_past_six = TimeTarget::Daily(18 * 3600 + 1800);
    // The timeout of an hour cuts what is later.
    for (zone, target, now, expected) in [
        (
            "UTC",
            half_past_six,
            "2026-06-01T18:00:00Z",
            "2026-06-01T18:30:00Z",
        ),
        (
            "Europe/Paris",
            half_past_six,
            "2026-06-01T16:00:00Z",
            "2026-06-01T16:30:00Z",
        ),
        (
            "Europe/Paris",
            half_past_six,
            "2026-01-10T17:00:00Z",
            "2026-01-10T17:30:00Z",
        ),
        (
            "Asia/Tokyo",
            half_past_six,
            "2026-06-01T09:00:00Z",
            "2026-06-01T09:30:00Z",
        ),
        (
            "UTC",
            half_past_six,
            "2026-06-01T19:00:00Z",
            "2026-06-01T18:30:00Z",
        ),
        (
            "UTC",
            half_past_six,
            "2026-06-01T10:00:00Z",
            "2026-06-01T11:00:00Z",
        ),
        // A time that a change of the clock leaves out comes later by that change.
        (
            "Europe/Paris",
            TimeTarget::Daily(2 * 3600 + 1800),
            "2026-03-29T00:45:00Z",
            "2026-03-29T01:30:00Z",
        ),
        (
            "UTC",
            TimeTarget::After(HOUR),
            "2026-01-01T00:30:00Z",
            "2026-01-01T01:00:00Z",
        ),
    ] {
        assert_eq!(in_zone(zone, target, now), at(expected), "{zone} {now}");
    }
}

fn at(text: &str) -> Ts {
    serde_json::from_value(serde_json::json!(text)).unwrap()
}

#[test]
fn a_sensor_whose_time_is_over_fails_without_another_try_or_is_skipped() {
    for (soft_fail, state) in [(false, TaskState::Failed), (true, TaskState::Skipped)] {
        let mut sensor = external();
        sensor.patience = patience(soft_fail);
        let mut sketch = dag(Operator::ExternalTaskSensor(Box::new(sensor)));
        sketch.tasks[0].retry.retries = 5;
        let mut player = begun(sketch);
        player.now = player.now.after(HOUR);
        player.step(Event::TimerDue(FIRST));
        assert_eq!(player.states()["a"], state);
        assert_eq!(player.run.tasks[0].reason, Some(Reason::TimedOut));
        // What is heard later changes nothing.
        assert!(hear(&mut player, Heard::States(vec![TaskState::Success])).is_empty());
    }
}

#[test]
fn a_failure_elsewhere_is_tried_again_and_skips_a_soft_sensor() {
    let with = |soft_fail: bool| {
        let mut sensor = external();
        sensor.failed = vec![TaskState::Failed];
        sensor.patience = patience(soft_fail);
        let mut sketch = dag(Operator::ExternalTaskSensor(Box::new(sensor)));
        sketch.tasks[0].retry.retries = 1;
        begun(sketch)
    };
    let bad = || Heard::States(vec![TaskState::Failed]);
    let mut hard = with(false);
    hear(&mut hard, bad());
    assert_eq!(hard.states()["a"], TaskState::UpForRetry);
    hard.now = hard.now.after(HOUR);
    let effects = hard.step(Event::TimerDue(FIRST));
    assert!(
        effects.contains(&Effect::Watch(FIRST)),
        "it waits anew: {effects:?}"
    );
    assert_eq!(
        (hard.run.tasks[0].try_number, hard.states()["a"]),
        (2, TaskState::Deferred)
    );
    hear(&mut hard, bad());
    assert_eq!(hard.states()["a"], TaskState::Failed);
    assert_eq!(hard.states()["b"], TaskState::UpstreamFailed);
    let mut soft = with(true);
    hear(&mut soft, bad());
    assert_eq!(soft.states()["a"], TaskState::Skipped);
}

#[test]
fn conditions_of_a_sensor_are_looked_at_by_a_worker_before_it_waits() {
    let sketch = || {
        let mut sketch = dag(Operator::ExternalTaskSensor(Box::new(external())));
        sketch.tasks[0].run_if = Some("{{ true }}".to_string());
        sketch
    };
    let mut player = begun(sketch());
    assert_eq!(player.ready, [FIRST]);
    player.start(FIRST);
    let (_, attempt) = player.live[0];
    let effects = player.report(attempt, Outcome::success());
    assert!(effects.contains(&Effect::Watch(FIRST)), "{effects:?}");
    assert_eq!(player.states()["a"], TaskState::Deferred);
    assert_eq!(
        (player.run.n_live(), player.run.tasks[0].try_number),
        (0, 1)
    );
    hear(&mut player, Heard::States(vec![TaskState::Success]));
    assert_eq!(player.states()["a"], TaskState::Success);

    let mut skipped = begun(sketch());
    skipped.fates.insert("a".to_string(), Fate::Skip);
    skipped.play();
    assert_eq!(skipped.states()["a"], TaskState::Skipped);
}

/// Plays to the point at which a run of another DAG is wanted.
fn wanting(trigger: TriggerDagRun, retries: u32) -> (Player, Vec<Effect>) {
    let mut sketch = dag(Operator::TriggerDagRun(Box::new(trigger)));
    sketch.tasks[0].retry.retries = retries;
    let mut player = begun(sketch);
    player.start(FIRST);
    let (_, attempt) = player.live.remove(0);
    let effects = player.report(attempt, wish());
    (player, effects)
}

#[test]
fn a_run_that_is_wanted_is_made_once_and_its_end_is_the_end_of_the_task() {
    for (waits, child, state) in [
        (false, RunState::Queued, TaskState::Success),
        (true, RunState::Queued, TaskState::Deferred),
        (true, RunState::Success, TaskState::Success),
        (true, RunState::Failed, TaskState::Failed),
    ] {
        let (mut player, effects) = wanting(trigger(waits), 0);
        let wishes = effects
            .iter()
            .filter(|effect| matches!(effect, Effect::MakeChild(..)));
        assert_eq!(wishes.count(), 1);
        assert_eq!(player.run.n_live(), 0, "the wait holds no slot");
        let effects = hear(&mut player, made(child));
        let kept = effects.iter().any(
            |effect| matches!(effect, Effect::KeepValue(_, key, _) if key == "trigger_run_id"),
        );
        assert!(kept, "{effects:?}");
        assert_eq!(player.states()["a"], state, "waits {waits}, child {child}");
    }
    let (mut player, _) = wanting(trigger(true), 0);
    hear(&mut player, made(RunState::Queued));
    hear(&mut player, Heard::Child(RunState::Running));
    assert_eq!(player.states()["a"], TaskState::Deferred);
    hear(&mut player, Heard::Child(RunState::Success));
    assert_eq!(player.states()["a"], TaskState::Success);
}

#[test]
fn a_run_that_failed_is_a_failed_try_and_one_that_cannot_be_is_not_tried_again() {
    let (mut player, _) = wanting(trigger(true), 1);
    hear(&mut player, made(RunState::Failed));
    assert_eq!(player.states()["a"], TaskState::UpForRetry);
    let (mut there, _) = wanting(trigger(false), 1);
    hear(&mut there, Heard::Exists("it is there".to_string()));
    assert_eq!(there.states()["a"], TaskState::Failed);
    let skips = TriggerDagRun {
        skips_existing: true,
        ..trigger(false)
    };
    let (mut skipped, _) = wanting(skips, 1);
    hear(&mut skipped, Heard::Exists("it is there".to_string()));
    assert_eq!(skipped.states()["a"], TaskState::Skipped);
}

#[test]
fn a_lost_try_wants_its_run_again_and_never_counts_as_the_users() {
    let mut sketch = dag(Operator::TriggerDagRun(Box::new(trigger(true))));
    sketch.tasks[0].on_lost = OnLost::Fail;
    let mut player = begun(sketch);
    player.start(FIRST);
    let (_, attempt) = player.live.remove(0);
    player.step(Event::AttemptLost {
        attempt,
        blame: true,
    });
    // It starts nothing of the user's itself: it may be done again.
    assert!(player.run.wants_slot(FIRST));
}

#[test]
fn after_a_crash_waits_are_made_anew_from_their_rows() {
    let mut sketch = Sketch::default();
    sketch.add("t", &[]).operator = until(TimeTarget::At(Ts(60_000_000)));
    sketch.add("e", &[]).operator = Operator::ExternalTaskSensor(Box::new(external()));
    let mut player = begun(sketch);
    let task_nos: Vec<_> = player.run.tasks.iter().map(|task| task.task_no).collect();
    let (row, rows) = (player.run.row.clone(), player.run.tasks.clone());
    player.run = Run::new(row, Arc::clone(&player.run.dag), &task_nos, rows);
    player.timers.clear();
    let effects = player.step(Event::Resume);
    assert_eq!(player.timers.len(), 2);
    assert!(
        effects.contains(&Effect::Watch(TaskIndex(1))),
        "{effects:?}"
    );
    assert!(
        !effects.contains(&Effect::Watch(FIRST)),
        "an instant needs only its timer"
    );
    assert!(!player.run.is_stuck());
    let again = player.step(Event::Resume);
    assert!(
        !again.iter().any(|effect| matches!(effect, Effect::Task(_))),
        "{again:?}"
    );
}

#[test]
fn people_end_and_clear_a_wait() {
    let sensor = || dag(Operator::ExternalTaskSensor(Box::new(external())));
    let mut cancelled = begun(sensor());
    cancelled.step(Event::Cancel);
    assert_eq!(cancelled.states()["a"], TaskState::Skipped);
    assert_eq!(cancelled.run.row.state, RunState::Failed);
    assert!(cancelled.kills.is_empty(), "no worker has it");
    let mut marked = begun(sensor());
    marked.step(Event::Mark(vec![FIRST], TaskState::Success));
    assert!(marked.run.wants_slot(TaskIndex(1)));
    let mut cleared = begun(sensor());
    cleared.step(Event::Clear(vec![FIRST]));
    assert_eq!(cleared.states()["a"], TaskState::Deferred);
    assert_eq!(cleared.run.tasks[0].try_number, 2);
}

#[test]
fn ten_thousand_waits_are_ten_thousand_timers_and_nothing_else() {
    const N: usize = 10_000;
    let mut sketch = Sketch::default();
    for n in 0..N {
        let operator = match n % 2 {
            0 => until(TimeTarget::At(Ts(60_000_000))),
            _ => Operator::ExternalTaskSensor(Box::new(external())),
        };
        sketch.add(&format!("w{n}"), &[]).operator = operator;
    }
    sketch.add("work", &[]);
    let mut player = Player::new(Arc::new(sketch.build()), 1, &[]);
    player.step(Event::Begin);
    assert_eq!(player.timers.len(), N);
    let work = TaskIndex(N as u32);
    assert_eq!(
        (player.ready.as_slice(), player.run.n_live()),
        ([work].as_slice(), 0)
    );
    // What happens beside them touches none of them.
    let (attempt, _) = player.run.launch(work, 1, player.now);
    let ended = Event::AttemptEnded {
        attempt,
        outcome: Box::new(Outcome::success()),
    };
    let effects = step(&mut player.run, ended, player.now);
    assert_eq!(effects, [Effect::Task(work)]);
}

#[test]
fn a_long_chain_of_waits_that_are_over_needs_no_deep_stack() {
    let mut sketch = Sketch::default();
    for n in 0..100_000u32 {
        sketch.tasks.push(crate::support::task(&format!("w{n}")));
        sketch.tasks[n as usize].operator = until(TimeTarget::At(Ts(0)));
        sketch.edges.extend((n > 0).then(|| (n - 1, n)));
    }
    let mut player = begun(sketch);
    for _ in 0..100_000 {
        let (_, at) = player.timers.pop().unwrap();
        player.step(Event::TimerDue(at));
    }
    assert_eq!(player.run.row.state, RunState::Success);
}

#[test]
fn a_deferred_attempt_that_is_lost_is_tried_again_like_one_that_ran() {
    let mut sketch = Sketch::default();
    let sensor = sketch.add("a", &[]);
    sensor.on_lost = OnLost::Retry;
    let mut player = begun(sketch);
    player.start(FIRST);
    let (_, attempt) = player.live.remove(0);
    player.report(
        attempt,
        Outcome {
            verdict: tidemill_model::attempt::Verdict::Deferred,
            ..Outcome::success()
        },
    );
    assert_eq!(player.states()["a"], TaskState::Deferred);
    let blame = true;
    player.step(Event::AttemptLost { attempt, blame });
    assert_eq!(player.states()["a"], TaskState::Scheduled);
}

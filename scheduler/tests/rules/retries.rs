//! When and how often a failed task is tried again, held against Airflow's own sums.
//! Sources: `models/taskinstance.py: next_retry_datetime`, `is_eligible_to_retry` and
//! `clear_task_instances`.

use crate::support::{Fate, Player, Sketch};
use std::sync::Arc;
use std::time::Duration;
use tidemill_model::dag::RetryPolicy;
use tidemill_model::{
    Attempt, Epoch, MapIndex, Outcome, Reason, RunNo, RunState, TaskIndex, TaskNo, TaskState, Ts,
};
use tidemill_scheduler::{Event, next_try_at};

const DAY_S: f64 = 86_400.0;

/// The shortest and the longest wait of Airflow's in seconds: between them its hash decides.
fn airflow(delay_s: f64, multiplier: f64, most_s: Option<f64>, try_number: i32) -> (f64, f64) {
    if multiplier == 0.0 || multiplier == 1.0 {
        return (delay_s, delay_s);
    }
    let least = (delay_s * multiplier.powi(try_number - 1)).ceil().max(1.0);
    let capped = |wait: f64| wait.min(DAY_S).min(most_s.unwrap_or(f64::MAX));
    (capped(least), capped(2.0 * least - 1.0))
}

fn attempt(number: i64) -> Attempt {
    Attempt {
        run: RunNo(number),
        task_no: TaskNo(1),
        map_index: MapIndex::NONE,
        epoch: Epoch(1),
    }
}

#[test]
fn waits_are_within_those_of_airflow_and_spread_over_all_of_them() {
    let delays_s = [0.0, 0.4, 1.0, 30.0, 300.0, 100_000.0];
    let multipliers = [0.0, 0.5, 1.0, 1.5, 2.0, 10.0];
    let limits_s = [None, Some(20.0), Some(400.0), Some(1_000_000.0)];
    for delay_s in delays_s {
        for multiplier in multipliers {
            for most_s in limits_s {
                let policy = RetryPolicy {
                    retries: 9,
                    delay: Duration::from_secs_f64(delay_s),
                    multiplier,
                    max_delay: most_s.map(Duration::from_secs_f64),
                    jitter: multiplier > 0.0 && multiplier != 1.0,
                    rules: Vec::new(),
                };
                for try_number in [1, 2, 3, 9, 500] {
                    check(&policy, try_number);
                }
            }
        }
    }
}

fn check(policy: &RetryPolicy, try_number: i32) {
    let most_s = policy.max_delay.map(|most| most.as_secs_f64());
    let delay_s = policy.delay.as_secs_f64();
    let (least, most) = airflow(delay_s, policy.multiplier, most_s, try_number);
    let waits = (0..200).map(|number| {
        let due = next_try_at(policy, None, attempt(number), try_number, Ts(0));
        due.since(Ts(0)).as_secs_f64()
    });
    let waits: Vec<f64> = waits.collect();
    let about = format!("{policy:?}, try {try_number}: from {least} to {most}");
    for wait in &waits {
        // Airflow's are whole seconds; ours may end within the last of them.
        assert!((least..most + 1.0).contains(wait), "{wait} {about}");
        assert!(
            most_s.is_none_or(|most_s| *wait <= most_s.max(least)),
            "{wait} {about}"
        );
    }
    let is_cut = most >= DAY_S.min(most_s.unwrap_or(DAY_S));
    let found = |wanted: fn(f64, f64) -> f64, from: f64| waits.iter().copied().fold(from, wanted);
    let spread = found(f64::max, 0.0) - found(f64::min, f64::MAX);
    assert!(is_cut || spread >= (most - least) * 0.8, "{spread} {about}");
}

/// A task that always fails, with so many retries.
fn failing(retries: u32) -> Player {
    let mut sketch = Sketch::default();
    sketch.add("task", &[]).retry.retries = retries;
    Player::new(Arc::new(sketch.build()), 0, &[("task", Fate::Fail)])
}

/// `max_tries = retries`, and a try follows while `try_number <= max_tries`; a clear sets
/// `max_tries = try_number + retries`.
#[test]
fn there_is_one_try_more_than_retries_and_as_many_again_after_each_clear() {
    for retries in 0..4 {
        let mut player = failing(retries as u32);
        for n_clears in 0..4 {
            player.play();
            let row = &player.run.tasks[0];
            assert_eq!(row.state, TaskState::Failed);
            assert_eq!(row.try_number, (retries + 1) * (n_clears + 1));
            assert_eq!(row.max_tries, row.try_number - 1, "{retries} {n_clears}");
            assert_eq!(player.run.row.state, RunState::Failed);
            let tried = row.try_number;
            player.step(Event::Clear(vec![TaskIndex(0)]));
            let row = &player.run.tasks[0];
            assert_eq!(
                (row.state, row.max_tries),
                (TaskState::None, tried + retries)
            );
            // As in Airflow the run waits for its turn, and has not begun.
            assert_eq!(player.run.row.state, RunState::Queued);
            assert_eq!(player.run.row.started_at, None);
        }
    }
}

/// `if self.state == TaskInstanceState.RESTARTING: return True`.
#[test]
fn a_task_that_is_cleared_while_it_runs_runs_again_without_any_retries() {
    let mut player = failing(0);
    player.step(Event::Begin);
    player.start(TaskIndex(0));
    player.step(Event::Clear(vec![TaskIndex(0)]));
    assert_eq!(player.run.tasks[0].state, TaskState::Restarting);
    let (_, attempt) = player.live.pop().unwrap();
    assert_eq!(player.kills, [(attempt, Reason::Cancelled)]);
    player.report(attempt, Fate::Fail.outcome());
    assert_eq!(player.run.tasks[0].state, TaskState::Scheduled);
    player.start(TaskIndex(0));
    let (_, attempt) = player.live.pop().unwrap();
    player.report(attempt, Outcome::success());
    assert_eq!(player.run.row.state, RunState::Success);
    assert_eq!(player.run.tasks[0].try_number, 2);
}

/// Airflow goes on counting after a clear, and so waits longer and longer (its own remark in
/// `next_retry_datetime`); here the waits begin anew.
#[test]
fn after_a_clear_the_waits_begin_anew() {
    let mut sketch = Sketch::default();
    let task = sketch.add("task", &[]);
    task.retry.retries = 2;
    task.retry.delay = Duration::from_secs(10);
    task.retry.multiplier = 3.0;
    let mut player = Player::new(Arc::new(sketch.build()), 0, &[]);
    for _ in 0..2 {
        let mut waits = Vec::new();
        player.step(Event::Begin);
        for _ in 0..2 {
            player.start(TaskIndex(0));
            let (_, attempt) = player.live.pop().unwrap();
            player.report(attempt, Fate::Fail.outcome());
            let due = player.run.tasks[0].not_before.unwrap();
            waits.push(due.since(player.now).as_secs());
            player.now = due;
            player.step(Event::TimerDue(TaskIndex(0)));
        }
        assert_eq!(waits, [10, 30]);
        player.start(TaskIndex(0));
        let (_, attempt) = player.live.pop().unwrap();
        player.report(attempt, Fate::Fail.outcome());
        assert_eq!(player.run.row.state, RunState::Failed);
        player.step(Event::Clear(vec![TaskIndex(0)]));
    }
}

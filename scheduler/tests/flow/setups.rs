//! Setup and teardown, `fail_fast`, and what a cancelled run still cleans up.

use crate::support::{Fate, Player, Sketch, TEARDOWN, outcome_of};
use std::sync::Arc;
use std::time::Duration;
use tidemill_model::dag::{Dag, Role};
use tidemill_model::{Reason, RunState, TaskIndex, TaskState, TriggerRule};
use tidemill_scheduler::{ClearChoice, Event, plan_clear};

/// `up` prepares, `work` and `more` use it, `down` cleans up.
fn cluster(teardown: Role) -> Dag {
    let mut sketch = Sketch::default();
    sketch.add("up", &[]).role = Role::Setup;
    sketch.add("work", &["up"]);
    sketch.add("more", &["work"]);
    let down = sketch.add("down", &["more", "up"]);
    down.role = teardown;
    down.trigger_rule = TriggerRule::AllDoneSetupSuccess;
    sketch.build()
}

#[test]
fn a_teardown_runs_whatever_failed_as_long_as_its_setup_succeeded() {
    assert_eq!(
        outcome_of(cluster(TEARDOWN), &[]),
        "success: up success, work success, more success, down success"
    );
    assert_eq!(
        outcome_of(cluster(TEARDOWN), &[("work", Fate::Fail)]),
        "failed: up success, work failed, more upstream_failed, down success"
    );
    assert_eq!(
        outcome_of(cluster(TEARDOWN), &[("up", Fate::Fail)]),
        "failed: up failed, work upstream_failed, more upstream_failed, down upstream_failed"
    );
    assert_eq!(
        outcome_of(cluster(TEARDOWN), &[("up", Fate::Skip)]),
        "success: up skipped, work skipped, more skipped, down skipped"
    );
}

#[test]
fn a_failed_teardown_fails_the_run_only_when_asked_to() {
    let fates = [("down", Fate::Fail)];
    assert_eq!(
        outcome_of(cluster(TEARDOWN), &fates),
        "success: up success, work success, more success, down failed"
    );
    let loud = Role::Teardown { fails_run: true };
    assert_eq!(
        outcome_of(cluster(loud), &fates),
        "failed: up success, work success, more success, down failed"
    );
    // A teardown that counts takes the place of the leaf above it, as in Airflow.
    assert_eq!(
        outcome_of(cluster(loud), &[("more", Fate::Fail)]),
        "success: up success, work success, more failed, down success"
    );
}

#[test]
fn a_teardown_waits_for_every_task_between_its_setup_and_it() {
    let mut sketch = Sketch::default();
    sketch.add("up", &[]).role = Role::Setup;
    sketch.add("slow", &["up"]);
    sketch.add("quick", &["up"]);
    sketch.add("join", &["slow", "quick"]).trigger_rule = TriggerRule::OneSuccess;
    let down = sketch.add("down", &["join", "up"]);
    down.role = TEARDOWN;
    down.trigger_rule = TriggerRule::AllDoneSetupSuccess;
    let dag = Arc::new(sketch.build());
    let mut player = Player::new(dag, 0, &[]);
    player.step(Event::Begin);
    for name in ["up", "quick", "join"] {
        finish(&mut player, name);
    }
    let down = player.run.dag.index_of("down").unwrap();
    assert_eq!(player.run.tasks[down.at()].state, TaskState::None);
    finish(&mut player, "slow");
    assert_eq!(player.run.tasks[down.at()].state, TaskState::Scheduled);
}

fn finish(player: &mut Player, name: &str) {
    let at = player.run.dag.index_of(name).unwrap();
    let (attempt, _) = player.run.launch(at, 1, player.now);
    player.report(attempt, Fate::Ok.outcome());
}

#[test]
fn a_task_far_below_a_setup_does_not_run_without_it() {
    let mut sketch = Sketch::default();
    sketch.add("up", &[]).role = Role::Setup;
    sketch.add("work", &["up"]);
    sketch.add("always_done", &["work"]).trigger_rule = TriggerRule::AllDone;
    let down = sketch.add("down", &["always_done", "up"]);
    down.role = TEARDOWN;
    down.trigger_rule = TriggerRule::AllDoneSetupSuccess;
    sketch.add("after", &["down"]).trigger_rule = TriggerRule::AllDone;
    assert_eq!(
        outcome_of(sketch.build(), &[("up", Fate::Fail)]),
        "failed: up failed, work upstream_failed, always_done upstream_failed, \
         down upstream_failed, after success"
    );
}

#[test]
fn the_first_failure_of_a_fast_run_stops_all_but_the_teardown() {
    let mut sketch = Sketch::default();
    sketch.add("up", &[]).role = Role::Setup;
    sketch.add("bad", &["up"]);
    sketch.add("after", &["bad"]);
    let down = sketch.add("down", &["after", "up"]);
    down.role = TEARDOWN;
    down.trigger_rule = TriggerRule::AllDoneSetupSuccess;
    let mut dag = sketch.build();
    dag.fail_fast = true;
    assert_eq!(
        outcome_of(dag, &[("bad", Fate::Fail)]),
        "success: up success, bad failed, after skipped, down success"
    );
}

#[test]
fn running_tasks_of_a_fast_run_are_killed_and_failed() {
    let mut sketch = Sketch::default();
    sketch.add("bad", &[]);
    sketch.add("running", &[]);
    sketch.add("waiting", &[]);
    let mut dag = sketch.build();
    dag.fail_fast = true;
    let mut player = Player::new(Arc::new(dag), 0, &[("bad", Fate::Fail)]);
    player.step(Event::Begin);
    player.start(TaskIndex(1));
    player.start(TaskIndex(0));
    let (_, bad) = player.live.pop().unwrap();
    player.report(bad, Fate::Fail.outcome());
    assert_eq!(player.kills.len(), 1);
    player.play();
    assert_eq!(player.states()["running"], TaskState::Failed);
    assert_eq!(player.states()["waiting"], TaskState::Skipped);
    assert_eq!(player.run.row.state, RunState::Failed);
}

#[test]
fn a_cancelled_run_still_cleans_up_and_a_run_out_of_time_does_not() {
    for (event, reason, down) in [
        (Event::Cancel, Reason::Cancelled, TaskState::Success),
        (Event::RunTimedOut, Reason::TimedOut, TaskState::Skipped),
    ] {
        let mut dag = cluster(TEARDOWN);
        dag.dagrun_timeout = Some(Duration::ZERO);
        let mut player = Player::new(Arc::new(dag), 0, &[]);
        player.step(Event::Begin);
        finish(&mut player, "up");
        player.start(TaskIndex(1));
        player.step(event);
        let (_, told) = player.kills[0];
        assert_eq!(told, reason, "what ran is told why it is ended");
        player.play();
        assert_eq!(player.run.row.state, RunState::Failed, "{reason}");
        assert_eq!(player.run.row.reason, Some(reason));
        assert_eq!(player.states()["down"], down, "{reason}");
        assert_eq!(player.states()["more"], TaskState::Skipped, "{reason}");
        // What runs when the time is up counts as skipped, as in Airflow.
        let work = if reason == Reason::TimedOut {
            TaskState::Skipped
        } else {
            TaskState::Failed
        };
        assert_eq!(player.states()["work"], work, "{reason}");
    }
}

#[test]
fn clearing_a_task_clears_its_setup_and_its_teardown_too() {
    let mut player = Player::new(Arc::new(cluster(TEARDOWN)), 0, &[]);
    player.play();
    let named = |choice: ClearChoice| -> Vec<String> {
        let chosen = plan_clear(&player.run, &choice);
        let name = |at: &TaskIndex| player.run.task(*at).id.clone();
        chosen.iter().map(name).collect()
    };
    let only = |name: &str| ClearChoice {
        tasks: vec![player.run.dag.index_of(name).unwrap()],
        ..ClearChoice::default()
    };
    assert_eq!(named(only("work")), ["up", "work", "down"]);
    assert_eq!(named(only("up")), ["up", "down"]);
    assert_eq!(named(only("down")), ["down"]);
    let chosen = plan_clear(&player.run, &only("work"));
    player.step(Event::Clear(chosen));
    player.play();
    assert_eq!(player.run.row.state, RunState::Success);
    assert_eq!(player.run.tasks[0].try_number, 2);
    assert_eq!(player.run.tasks[2].try_number, 1);
}

#[test]
fn a_run_in_which_nothing_can_move_any_more_fails_and_says_why() {
    let mut sketch = Sketch::default();
    sketch.add("stuck", &[]);
    sketch.add("after", &["stuck"]);
    let mut run = crate::support::new_run(Arc::new(sketch.build()));
    // No event leads here; a row that a hand has changed may.
    run.row.state = RunState::Running;
    let mut rows = run.tasks.clone();
    rows[0].state = TaskState::Restarting;
    let task_nos: Vec<_> = rows.iter().map(|row| row.task_no).collect();
    let mut run = tidemill_scheduler::Run::new(run.row, run.dag, &task_nos, rows);
    let _ = tidemill_scheduler::step(&mut run, Event::Resume, tidemill_model::Ts(1));
    assert_eq!(run.row.state, RunState::Failed);
    assert_eq!(run.row.reason, Some(Reason::Deadlock));
}

#[test]
fn the_ends_of_a_stopped_run_say_whether_it_has_failed_as_in_airflow() {
    let quiet = TEARDOWN;
    let loud = Role::Teardown { fails_run: true };
    for (role, end) in [(quiet, "success"), (loud, "failed")] {
        let mut sketch = Sketch::default();
        sketch.add("begin", &[]).role = Role::Setup;
        sketch.add("work", &["begin"]);
        let teardown = sketch.add("end", &["begin", "work"]);
        teardown.role = role;
        teardown.trigger_rule = TriggerRule::AllDoneSetupSuccess;
        let mut dag = sketch.build();
        dag.fail_fast = true;
        let told = outcome_of(dag, &[("end", Fate::Fail)]);
        assert_eq!(
            told,
            format!("{end}: begin success, work success, end failed")
        );
    }
}

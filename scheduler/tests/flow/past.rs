//! `depends_on_past` and `wait_for_downstream`, held against Airflow's `prev_dagrun_dep.py`.

use crate::support::{Fate, Player, Sketch, new_run};
use std::sync::Arc;
use tidemill_model::dag::{Dag, PastRule};
use tidemill_model::{RunNo, RunState, TaskIndex, TaskState};
use tidemill_scheduler::{Event, PastGate, PastTask, Run, look_back};

const FIRST: TaskIndex = TaskIndex(0);

/// `a` looks back, `b` waits for it.
fn dag(with_downstream: bool, passes_when_new: bool) -> Arc<Dag> {
    let mut sketch = Sketch::default();
    sketch.add("a", &[]).past = Some(PastRule {
        with_downstream,
        passes_when_new,
    });
    sketch.add("b", &["a"]);
    Arc::new(sketch.build())
}

fn before(dag: &Arc<Dag>, a: TaskState, b: TaskState) -> Run {
    let mut run = new_run(Arc::clone(dag));
    run.row.run = RunNo(7);
    run.tasks[0].state = a;
    run.tasks[1].state = b;
    let rows = run.tasks.clone();
    let task_nos: Vec<_> = rows.iter().map(|row| row.task_no).collect();
    Run::new(run.row, Arc::clone(dag), &task_nos, rows)
}

fn told(player: &mut Player, stand: Option<PastTask>) {
    player.step(Event::Past(vec![(FIRST, stand)]));
}

#[test]
fn a_task_waits_until_it_has_ended_well_in_the_run_before() {
    use TaskState as S;
    // The states of `a` and `b` there; may `a` go, without and with `wait_for_downstream`?
    let table = [
        (S::Success, S::None, true, false),
        (S::Success, S::Running, true, false),
        (S::Success, S::Failed, true, false),
        (S::Success, S::Success, true, true),
        (S::Skipped, S::Skipped, true, true),
        (S::Success, S::Skipped, true, true),
        (S::None, S::None, false, false),
        (S::Scheduled, S::None, false, false),
        (S::Running, S::None, false, false),
        (S::UpForRetry, S::None, false, false),
        (S::Deferred, S::None, false, false),
        (S::Failed, S::UpstreamFailed, false, false),
        (S::UpstreamFailed, S::UpstreamFailed, false, false),
    ];
    for (a, b, plain, with_downstream) in table {
        for (rule, goes) in [(false, plain), (true, with_downstream)] {
            let dag = dag(rule, true);
            let mut player = Player::new(Arc::clone(&dag), 1, &[]);
            let stand = look_back(&player.run, FIRST, &before(&dag, a, b));
            told(&mut player, Some(stand));
            player.step(Event::Begin);
            let wants = player.run.wants_slot(FIRST);
            assert_eq!(wants, goes, "{a} {b}, wait_for_downstream {rule}");
            assert_eq!(player.run.row.state, RunState::Running, "it only waits");
        }
    }
}

#[test]
fn without_a_run_before_it_goes_and_before_anybody_has_said_so_it_waits() {
    let mut player = Player::new(dag(false, true), 1, &[]);
    player.step(Event::Begin);
    assert_eq!(player.run.past_gate(FIRST), Some(PastGate::Unknown));
    assert!(!player.run.wants_slot(FIRST));
    told(&mut player, None);
    assert_eq!(player.run.past_gate(FIRST), Some(PastGate::First));
    player.play();
    assert_eq!(player.run.row.state, RunState::Success);
}

#[test]
fn a_task_that_the_run_before_did_not_have_goes_only_when_it_is_new_and_may() {
    for (passes_when_new, is_new, gate) in [
        (true, true, PastGate::New),
        (true, false, PastGate::NoTask),
        (false, true, PastGate::NoTask),
        (false, false, PastGate::NoTask),
    ] {
        let mut player = Player::new(dag(false, passes_when_new), 1, &[]);
        player.step(Event::Begin);
        let stand = PastTask {
            run: RunNo(7),
            open: None,
            open_below: Vec::new(),
            is_new,
        };
        told(&mut player, Some(stand));
        assert_eq!(player.run.past_gate(FIRST), Some(gate));
        assert_eq!(player.run.wants_slot(FIRST), gate.is_open());
    }
}

#[test]
fn what_moves_in_the_run_before_lets_it_go_later_and_a_clear_there_takes_nothing_back() {
    let dag = dag(false, true);
    let mut player = Player::new(Arc::clone(&dag), 1, &[]);
    player.step(Event::Begin);
    for (state, wants) in [
        (TaskState::Running, false),
        (TaskState::Failed, false),
        (TaskState::Success, true),
        (TaskState::None, true),
    ] {
        let there = before(&dag, state, TaskState::None);
        let stand = look_back(&player.run, FIRST, &there);
        told(&mut player, Some(stand));
        assert_eq!(player.run.wants_slot(FIRST), wants, "{state}");
    }
}

#[test]
fn only_a_start_is_held_up_marks_are_made_as_ever() {
    let mut sketch = Sketch::default();
    sketch.add("a", &[]);
    sketch.add("b", &["a"]).past = Some(PastRule {
        with_downstream: false,
        passes_when_new: true,
    });
    let mut player = Player::new(Arc::new(sketch.build()), 1, &[("a", Fate::Fail)]);
    player.play();
    assert_eq!(player.states()["b"], TaskState::UpstreamFailed);
    assert_eq!(player.run.row.state, RunState::Failed);
}

#[test]
fn a_run_that_waits_for_another_is_not_stuck_and_can_be_ended() {
    let mut player = Player::new(dag(false, true), 1, &[]);
    player.step(Event::Begin);
    assert!(!player.run.is_stuck());
    player.step(Event::Cancel);
    assert_eq!(player.run.row.state, RunState::Failed);
    assert_eq!(player.states()["a"], TaskState::Skipped);
}

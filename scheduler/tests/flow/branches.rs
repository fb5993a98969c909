//! Branches and gates: what is not followed is skipped, whatever its rule says.

use crate::support::{Fate, Player, Sketch, branch, gate, outcome_of};
use std::sync::Arc;
use tidemill_model::dag::Dag;
use tidemill_model::{Reason, TaskIndex, TaskState, TriggerRule};
use tidemill_scheduler::{ClearChoice, Event, plan_clear};

/// `choose` leads to `left` or `right`, which `join`.
fn fork(join: TriggerRule) -> Dag {
    let mut sketch = Sketch::default();
    sketch.add("choose", &[]).operator = branch();
    sketch.add("left", &["choose"]);
    sketch.add("right", &["choose"]);
    sketch.add("join", &["left", "right"]).trigger_rule = join;
    sketch.build()
}

#[test]
fn only_what_the_branch_names_is_followed() {
    let left = [("choose", Fate::follow(&["left"]))];
    let joined = TriggerRule::NoneFailedMinOneSuccess;
    assert_eq!(
        outcome_of(fork(joined), &left),
        "success: choose success, left success, right skipped, join success"
    );
    assert_eq!(
        outcome_of(fork(TriggerRule::AllSuccess), &left),
        "success: choose success, left success, right skipped, join skipped"
    );
    assert_eq!(
        outcome_of(
            fork(joined),
            &[("choose", Fate::follow(&["left", "right"]))]
        ),
        "success: choose success, left success, right success, join success"
    );
    assert_eq!(
        outcome_of(fork(joined), &[("choose", Fate::follow(&[]))]),
        "success: choose success, left skipped, right skipped, join skipped"
    );
    assert_eq!(
        outcome_of(fork(joined), &[("choose", Fate::Fail)]),
        "failed: choose failed, left upstream_failed, right upstream_failed, join upstream_failed"
    );
}

#[test]
fn a_join_directly_below_the_branch_is_followed_with_what_leads_to_it() {
    let mut sketch = Sketch::default();
    sketch.add("choose", &[]).operator = branch();
    sketch.add("task", &["choose"]);
    sketch.add("join", &["choose", "task"]);
    assert_eq!(
        outcome_of(sketch.build(), &[("choose", Fate::follow(&["task"]))]),
        "success: choose success, task success, join success"
    );
}

#[test]
fn a_branch_wins_over_every_rule_that_has_not_started_its_task() {
    for &rule in TriggerRule::ALL {
        let early = [
            TriggerRule::Always,
            TriggerRule::OneSuccess,
            TriggerRule::OneFailed,
            TriggerRule::OneDone,
        ];
        if early.contains(&rule) {
            continue;
        }
        let mut sketch = Sketch::default();
        sketch.add("choose", &[]).operator = branch();
        sketch.add("bad", &[]);
        sketch.add("task", &["choose", "bad"]).trigger_rule = rule;
        let fates = [("choose", Fate::follow(&[])), ("bad", Fate::Fail)];
        assert_eq!(
            outcome_of(sketch.build(), &fates),
            "success: choose success, bad failed, task skipped",
            "{rule}"
        );
    }
}

/// `gate` before `near`, `far` (which takes any end) and `clean`, a teardown task.
fn gated(ignores_rules: bool) -> Dag {
    let mut sketch = Sketch::default();
    sketch.add("gate", &[]).operator = gate(ignores_rules);
    sketch.add("near", &["gate"]);
    sketch.add("far", &["near"]).trigger_rule = TriggerRule::AllDone;
    let clean = sketch.add("clean", &["far"]);
    clean.role = crate::support::TEARDOWN;
    clean.trigger_rule = TriggerRule::AllDoneSetupSuccess;
    sketch.build()
}

#[test]
fn a_closed_gate_skips_all_below_it_or_only_what_is_next_but_never_a_teardown() {
    let closed = [("gate", Fate::follow(&[]))];
    assert_eq!(
        outcome_of(gated(true), &closed),
        "success: gate success, near skipped, far skipped, clean success"
    );
    assert_eq!(
        outcome_of(gated(false), &closed),
        "success: gate success, near skipped, far success, clean success"
    );
    assert_eq!(
        outcome_of(gated(true), &[]),
        "success: gate success, near success, far success, clean success"
    );
}

#[test]
fn a_failure_beside_a_gate_marks_nothing_before_the_gate_has_spoken() {
    let mut sketch = Sketch::default();
    sketch.add("gate", &[]).operator = gate(true);
    sketch.add("bad", &[]);
    sketch.add("near", &["gate"]);
    sketch.add("join", &["near", "bad"]);
    let fates = [("gate", Fate::follow(&[])), ("bad", Fate::Fail)];
    assert_eq!(
        outcome_of(sketch.build(), &fates),
        "success: gate success, bad failed, near skipped, join skipped"
    );
}

#[test]
fn what_was_not_followed_stays_so_when_it_alone_is_cleared_and_over_a_restart() {
    let fates = [("choose", Fate::follow(&["left"]))];
    let mut player = Player::new(Arc::new(fork(TriggerRule::AllDone)), 0, &fates);
    player.play();
    let right = TaskIndex(2);
    assert_eq!(player.run.tasks[2].reason, Some(Reason::NotFollowed));
    let task_nos: Vec<_> = player.run.tasks.iter().map(|row| row.task_no).collect();
    let (row, dag) = (player.run.row.clone(), Arc::clone(&player.run.dag));
    player.run =
        tidemill_scheduler::Run::new(row, dag, &task_nos, std::mem::take(&mut player.run.tasks));
    let clear = |player: &mut Player, at: TaskIndex| {
        let choice = ClearChoice {
            tasks: vec![at],
            ..ClearChoice::default()
        };
        let chosen = plan_clear(&player.run, &choice);
        player.step(Event::Clear(chosen));
    };
    clear(&mut player, right);
    player.play();
    assert_eq!(player.run.tasks[right.at()].state, TaskState::Skipped);
    // The branch itself, cleared, may choose anew.
    player
        .fates
        .insert("choose".into(), Fate::follow(&["right"]));
    clear(&mut player, TaskIndex(0));
    clear(&mut player, right);
    player.play();
    assert_eq!(player.run.tasks[right.at()].state, TaskState::Success);
}

#[test]
fn a_closed_gate_that_keeps_to_the_rules_leaves_a_teardown_directly_below_it_alone() {
    let mut sketch = Sketch::default();
    sketch.add("gate", &[]).operator = gate(false);
    sketch.add("work", &["gate"]);
    let teardown = sketch.add("clean", &["gate"]);
    teardown.role = crate::support::TEARDOWN;
    let found = outcome_of(sketch.build(), &[("gate", Fate::follow(&[]))]);
    assert_eq!(found, "success: gate success, work skipped, clean success");
}

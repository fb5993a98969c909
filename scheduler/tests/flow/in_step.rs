//! Mapped tasks that go in step with another one, instance by instance.

use crate::support::{Chance, Fate, Player, Sketch};
use std::sync::Arc;
use tidemill_model::dag::{Dag, Mapping, OnEmpty, Over, Values};
use tidemill_model::{MapItem, Outcome, RunState, TaskIndex, TaskState, TriggerRule};
use tidemill_scheduler::{
    ClearChoice, Counts, Decision, Effect, Event, Run, UpstreamCounts, decide, plan_clear,
};

const BESIDE: TaskIndex = TaskIndex(0);
const CONVERT: TaskIndex = TaskIndex(1);
const RESIZE: TaskIndex = TaskIndex(2);
const PACK: TaskIndex = TaskIndex(3);
const LAST: TaskIndex = TaskIndex(4);

fn over(over: Over, on_empty: OnEmpty) -> Option<Mapping> {
    let label = None;
    Some(Mapping {
        over,
        label,
        on_empty,
    })
}

fn each(task: &str) -> Over {
    let (name, task) = ("r".to_string(), task.to_string());
    Over::Each { name, task }
}

/// `convert` is mapped, `resize` goes in step with it and also waits for `beside`, `pack` goes in
/// step with `resize`, and `last` waits for all of `pack`.
fn chain(rule: TriggerRule, empty: [OnEmpty; 3]) -> Dag {
    let mut sketch = Sketch::default();
    let list = Over::Objects(Values::List(Vec::new()));
    sketch.add("beside", &[]);
    sketch.add("convert", &[]).mapping = over(list, empty[0]);
    let resize = sketch.add("resize", &["beside", "convert"]);
    resize.mapping = over(each("convert"), empty[1]);
    resize.trigger_rule = rule;
    sketch.add("pack", &["resize"]).mapping = over(each("resize"), empty[2]);
    sketch.add("last", &["pack"]).trigger_rule = TriggerRule::AllDone;
    sketch.build()
}

fn plain() -> Dag {
    chain(TriggerRule::AllSuccess, [OnEmpty::Skip; 3])
}

fn expansion(n_items: usize) -> Outcome {
    let item = |number: usize| MapItem {
        values: serde_json::Map::from_iter([("n".to_string(), number.into())]),
        label: None,
    };
    Outcome {
        items: Some((0..n_items).map(item).collect()),
        ..Outcome::success()
    }
}

fn finish(player: &mut Player, at: TaskIndex, outcome: Outcome) -> Vec<Effect> {
    assert!(player.run.wants_slot(at), "{at:?}");
    let (attempt, _) = player.run.launch(at, 1, player.now);
    player.report(attempt, outcome)
}

fn begun(dag: Dag) -> Player {
    let mut player = Player::new(Arc::new(dag), 0, &[]);
    player.step(Event::Begin);
    player
}

fn state(run: &Run, task: TaskIndex, index: usize) -> TaskState {
    run.tasks[run.instances(task)[index].at()].state
}

fn states(run: &Run, task: TaskIndex) -> Vec<TaskState> {
    let places = run.places_of(task).into_iter();
    places.map(|at| run.tasks[at.at()].state).collect()
}

/// The rows that a store would hold, read again.
fn restarted(player: &mut Player) {
    let run = &player.run;
    let rows = run.places().filter(|at| !run.is_expanded(*at));
    let rows = rows.map(|at| run.tasks[at.at()].clone()).collect();
    let own = run.tasks.iter().take(run.dag.tasks.len());
    let task_nos: Vec<_> = own.map(|row| row.task_no).collect();
    player.run = Run::new(run.row.clone(), Arc::clone(&run.dag), &task_nos, rows);
    player.ready.clear();
    player.step(Event::Resume);
}

#[test]
fn they_are_as_many_as_those_above_in_the_same_pass_and_all_have_rows() {
    let mut player = begun(plain());
    let effects = finish(&mut player, CONVERT, expansion(3));
    for task in [RESIZE, PACK] {
        assert!(effects.contains(&Effect::Replace(task)));
        assert_eq!(states(&player.run, task), [TaskState::None; 3]);
        for at in player.run.instances(task) {
            assert!(effects.contains(&Effect::Task(*at)));
            // Such a row may be left to a later pass, and then a restart would find a gap.
            assert!(!player.run.only_waits(*at));
        }
    }
    assert_eq!(player.run.upstream(LAST).near.open(), 3);
}

#[test]
fn an_instance_goes_as_soon_as_the_one_with_its_index_has_succeeded() {
    let mut player = begun(plain());
    finish(&mut player, CONVERT, expansion(3));
    finish(&mut player, BESIDE, Fate::Ok.outcome());
    let middle = player.run.instances(CONVERT)[1];
    finish(&mut player, middle, Fate::Ok.outcome());
    let (none, goes) = (TaskState::None, TaskState::Scheduled);
    assert_eq!(states(&player.run, RESIZE), [none, goes, none]);
    let middle = player.run.instances(RESIZE)[1];
    finish(&mut player, middle, Fate::Ok.outcome());
    assert_eq!(states(&player.run, PACK), [none, goes, none]);
    assert_eq!(states(&player.run, CONVERT)[0], goes);
    player.play();
    assert_eq!(player.run.row.state, RunState::Success);
}

#[test]
fn what_stands_beside_is_waited_for_by_each() {
    let mut player = begun(plain());
    finish(&mut player, CONVERT, expansion(2));
    for at in player.run.places_of(CONVERT) {
        finish(&mut player, at, Fate::Ok.outcome());
    }
    assert_eq!(states(&player.run, RESIZE), [TaskState::None; 2]);
    finish(&mut player, BESIDE, Fate::Ok.outcome());
    assert_eq!(states(&player.run, RESIZE), [TaskState::Scheduled; 2]);
}

/// What a rule makes of one task beside and one instance above, told a second time.
fn expected(rule: TriggerRule, beside: TaskState, above: TaskState) -> TaskState {
    let mut near = Counts::default();
    for state in [beside, above] {
        near.total += 1;
        near.count(state, 1);
    }
    let counts = UpstreamCounts {
        near,
        ..UpstreamCounts::default()
    };
    match decide(rule, &counts) {
        Decision::Wait => TaskState::None,
        Decision::Run => TaskState::Scheduled,
        Decision::Skip | Decision::NotFollowed => TaskState::Skipped,
        Decision::Block => TaskState::UpstreamFailed,
    }
}

#[test]
fn every_rule_is_asked_for_one_index_alone() {
    let ends = [
        (Fate::Ok, TaskState::Success),
        (Fate::Fail, TaskState::Failed),
        (Fate::Skip, TaskState::Skipped),
    ];
    for &rule in TriggerRule::ALL {
        for (fate_beside, beside) in &ends {
            let mut player = begun(chain(rule, [OnEmpty::Skip; 3]));
            finish(&mut player, CONVERT, expansion(4));
            finish(&mut player, BESIDE, fate_beside.outcome());
            for (index, (fate, _)) in ends.iter().enumerate() {
                let at = player.run.instances(CONVERT)[index];
                finish(&mut player, at, fate.outcome());
            }
            let above = ends.iter().map(|(_, end)| *end).chain([TaskState::None]);
            let expect: Vec<TaskState> = above.map(|end| expected(rule, *beside, end)).collect();
            let found = states(&player.run, RESIZE);
            assert_eq!(found, expect, "{rule} beside {beside}");
        }
    }
}

#[test]
fn nothing_above_is_nothing_to_map_over() {
    use OnEmpty::{Continue, Fail, Skip};
    use TaskState::{Failed, Skipped, Success, UpstreamFailed};
    let cases = [
        ([Skip, Continue, Continue], [Skipped, Skipped, Skipped]),
        ([Continue, Skip, Continue], [Success, Skipped, Skipped]),
        ([Continue, Continue, Continue], [Success, Success, Success]),
        (
            [Continue, Fail, Continue],
            [Success, Failed, UpstreamFailed],
        ),
        ([Fail, Skip, Skip], [Failed, UpstreamFailed, UpstreamFailed]),
    ];
    for (on_empty, expect) in cases {
        let mut player = begun(chain(TriggerRule::AllSuccess, on_empty));
        finish(&mut player, BESIDE, Fate::Ok.outcome());
        finish(&mut player, CONVERT, expansion(0));
        for task in [RESIZE, PACK] {
            if player.run.wants_slot(task) {
                // Whatever a worker says: there is nothing.
                finish(&mut player, task, expansion(2));
            }
        }
        let found = [CONVERT, RESIZE, PACK].map(|task| states(&player.run, task));
        assert_eq!(found, expect.map(|state| vec![state]), "{on_empty:?}");
        player.play();
        assert!(player.run.row.state.is_terminal());
    }
}

#[test]
fn a_rule_that_is_met_early_still_waits_for_the_number_of_instances() {
    let mut player = begun(chain(TriggerRule::OneSuccess, [OnEmpty::Skip; 3]));
    finish(&mut player, BESIDE, Fate::Ok.outcome());
    assert_eq!(states(&player.run, RESIZE), [TaskState::None]);
    finish(&mut player, CONVERT, expansion(2));
    assert_eq!(states(&player.run, RESIZE), [TaskState::Scheduled; 2]);
}

/// Ends whatever wants a slot, in an order that chance decides, as each index is to end.
fn play_all(player: &mut Player, chance: &mut Chance, fates: &[[Fate; 3]]) {
    loop {
        let places = player.run.places();
        let ready: Vec<TaskIndex> = places.filter(|at| player.run.wants_slot(*at)).collect();
        if ready.is_empty() {
            return;
        }
        let at = *chance.pick(&ready);
        let index = usize::try_from(player.run.tasks[at.at()].map_index.0);
        let outcome = match (player.run.index_of(at), index) {
            (CONVERT, Err(_)) => expansion(fates.len()),
            (task, Ok(index)) => fates[index][task.at() - CONVERT.at()].outcome(),
            (_, Err(_)) => Fate::Ok.outcome(),
        };
        finish(player, at, outcome);
        if chance.once_in(8) {
            restarted(player);
        }
    }
}

#[test]
fn in_whatever_order_instances_end_and_the_server_restarts_all_ends_alike() {
    for seed in 0..300 {
        let mut chance = Chance(seed);
        let fate = |chance: &mut Chance| match chance.below(4) {
            0 => Fate::Fail,
            1 => Fate::Skip,
            _ => Fate::Ok,
        };
        let n = 1 + chance.below(5) as usize;
        let fates: Vec<[Fate; 3]> = (0..n)
            .map(|_| [(); 3].map(|()| fate(&mut chance)))
            .collect();
        let rules: Vec<TriggerRule> = TriggerRule::ALL
            .iter()
            .copied()
            .filter(|rule| *rule != TriggerRule::Always)
            .collect();
        let rule = *chance.pick(&rules);
        let mut first = None;
        for _ in 0..6 {
            let mut player = begun(chain(rule, [OnEmpty::Skip; 3]));
            play_all(&mut player, &mut chance, &fates);
            let told = [CONVERT, RESIZE, PACK, LAST].map(|task| states(&player.run, task));
            let end = (player.run.row.state, told);
            assert!(end.0.is_terminal(), "seed {seed}, {rule}: {end:?}");
            let expect = first.get_or_insert_with(|| end.clone());
            assert_eq!(&end, expect, "seed {seed}, {rule}");
        }
    }
}

fn clear(player: &mut Player, tasks: Vec<TaskIndex>, downstream: bool) -> Vec<TaskIndex> {
    let choice = ClearChoice {
        tasks,
        downstream,
        ..ClearChoice::default()
    };
    let chosen = plan_clear(&player.run, &choice);
    player.step(Event::Clear(chosen.clone()));
    player.step(Event::Begin); // a run that was over has its turn again
    chosen
}

fn done(n: usize) -> (Player, Vec<[Fate; 3]>) {
    let fates = vec![[Fate::Ok, Fate::Ok, Fate::Ok]; n];
    let mut player = begun(plain());
    play_all(&mut player, &mut Chance(n as u64), &fates);
    assert_eq!(player.run.row.state, RunState::Success);
    (player, fates)
}

#[test]
fn what_is_cleared_below_one_instance_is_its_index_and_what_waits_for_all() {
    let (mut player, fates) = done(3);
    let second = [CONVERT, RESIZE, PACK].map(|task| player.run.instances(task)[1]);
    let chosen = clear(&mut player, vec![second[0]], true);
    let mut expect = [second.as_slice(), &[LAST]].concat();
    expect.sort_unstable();
    assert_eq!(chosen, expect);
    assert_eq!(state(&player.run, RESIZE, 1), TaskState::None);
    play_all(&mut player, &mut Chance(1), &fates);
    assert_eq!(player.run.row.state, RunState::Success);
    let tries = player.run.instances(RESIZE).iter();
    let tries: Vec<i32> = tries
        .map(|at| player.run.tasks[at.at()].try_number)
        .collect();
    assert_eq!(tries, [1, 2, 1]);
}

#[test]
fn what_is_cleared_above_one_instance_is_its_index() {
    let (player, _) = done(3);
    let choice = ClearChoice {
        tasks: vec![player.run.instances(PACK)[2]],
        upstream: true,
        ..ClearChoice::default()
    };
    let third = [CONVERT, RESIZE, PACK].map(|task| player.run.instances(task)[2]);
    let mut expect = [third.as_slice(), &[BESIDE]].concat();
    expect.sort_unstable();
    assert_eq!(plan_clear(&player.run, &choice), expect);
}

#[test]
fn all_cleared_are_expanded_anew_to_more_or_fewer_or_none() {
    for (n_now, n_then) in [(3, 5), (3, 1), (3, 0), (1, 3)] {
        for restarts in [false, true] {
            let (mut player, _) = done(n_now);
            let all = player.run.places_of(CONVERT);
            clear(&mut player, all, true);
            if restarts {
                restarted(&mut player);
            }
            let fates = vec![[Fate::Ok, Fate::Ok, Fate::Ok]; n_then];
            play_all(&mut player, &mut Chance(9), &fates);
            assert!(player.run.row.state.is_terminal());
            for task in [RESIZE, PACK] {
                let all = states(&player.run, task).into_iter();
                let n_done = all.filter(|state| *state == TaskState::Success).count();
                assert_eq!(n_done, n_then, "{n_now} to {n_then}, {task:?}");
            }
        }
    }
}

#[test]
fn those_that_have_not_begun_follow_a_task_that_is_cleared_in_the_middle() {
    for n_then in [2, 4] {
        let mut player = begun(plain());
        finish(&mut player, BESIDE, Fate::Ok.outcome());
        finish(&mut player, CONVERT, expansion(3));
        for at in player.run.places_of(CONVERT) {
            finish(&mut player, at, Fate::Fail.outcome());
        }
        // All below is blocked by now; a person has only `convert` run again.
        let all = player.run.places_of(CONVERT);
        clear(&mut player, all, false);
        finish(&mut player, CONVERT, expansion(n_then));
        let there = states(&player.run, RESIZE).into_iter();
        let there = there.filter(|state| *state != TaskState::Removed);
        assert_eq!(there.count(), n_then);
        let n_open = states(&player.run, PACK).into_iter();
        let n_open = n_open.filter(|state| *state == TaskState::None).count();
        assert_eq!(n_open, n_then.saturating_sub(3));
    }
}

#[test]
fn a_person_may_end_the_whole_before_there_are_instances() {
    let mut player = begun(plain());
    player.step(Event::Mark(vec![RESIZE], TaskState::Success));
    finish(&mut player, CONVERT, expansion(2));
    assert_eq!(states(&player.run, RESIZE), [TaskState::Success]);
    // What goes in step with it has nothing to be about.
    finish(&mut player, PACK, expansion(2));
    assert_eq!(states(&player.run, PACK), [TaskState::Skipped]);
}

#[test]
fn what_is_cleared_takes_those_in_step_with_it_along_and_nobody_elses() {
    let mut sketch = Sketch::default();
    let list = Over::Objects(Values::List(Vec::new()));
    sketch.add("gate", &[]);
    for (source, below) in [("a", "below_a"), ("b", "below_b")] {
        sketch.add(source, &[]).mapping = over(list.clone(), OnEmpty::Skip);
        sketch.add(below, &["gate", source]).mapping = over(each(source), OnEmpty::Skip);
    }
    let [a, below_a, b, below_b] = [1, 2, 3, 4].map(TaskIndex);
    let mut player = begun(sketch.build());
    finish(&mut player, a, expansion(2));
    finish(&mut player, b, expansion(2));
    player.step(Event::Clear(player.run.places_of(a)));
    assert!(!player.run.is_expanded(a) && !player.run.is_expanded(below_a));
    assert!(player.run.is_expanded(b) && player.run.is_expanded(below_b));
}

#[test]
fn one_more_above_writes_no_row_of_those_that_were_there() {
    let mut player = begun(plain());
    finish(&mut player, CONVERT, expansion(2));
    finish(&mut player, BESIDE, Fate::Ok.outcome());
    let first = player.run.instances(CONVERT)[0];
    finish(&mut player, first, Fate::Ok.outcome());
    let going = player.run.instances(RESIZE)[0];
    let (attempt, _) = player.run.launch(going, 1, player.now);
    player.step(Event::Clear(player.run.places_of(CONVERT)));
    let effects = finish(&mut player, CONVERT, expansion(3));
    assert_eq!(player.run.instances(RESIZE).len(), 3);
    let waits = player.run.instances(RESIZE)[1];
    for at in [going, waits] {
        assert!(!effects.contains(&Effect::Task(at)), "{at:?} has not moved");
    }
    assert_eq!(player.run.attempt(going), attempt);
    assert_eq!(player.run.tasks[going.at()].state, TaskState::Running);
}

#[test]
fn an_index_that_was_gone_comes_back_with_the_one_above_it_and_with_all_its_tries() {
    let mut dag = plain();
    dag.tasks[RESIZE.at()].retry.retries = 1;
    let mut player = begun(dag);
    finish(&mut player, BESIDE, Fate::Ok.outcome());
    finish(&mut player, CONVERT, expansion(3));
    for index in [0, 2] {
        let above = player.run.instances(CONVERT)[index];
        finish(&mut player, above, Fate::Ok.outcome());
        let going = player.run.instances(RESIZE)[index];
        finish(&mut player, going, Fate::Ok.outcome());
    }
    for n_then in [1, 3] {
        player.step(Event::Clear(player.run.places_of(CONVERT)));
        finish(&mut player, CONVERT, expansion(n_then));
    }
    let (done, none) = (TaskState::Success, TaskState::None);
    assert_eq!(states(&player.run, RESIZE), [done, none, none]);
    let (above, last) = (
        player.run.instances(CONVERT)[2],
        player.run.instances(RESIZE)[2],
    );
    finish(&mut player, above, Fate::Ok.outcome());
    finish(&mut player, last, Fate::Fail.outcome());
    assert_eq!(player.run.tasks[last.at()].state, TaskState::UpForRetry);
}

#[test]
fn an_expansion_anew_is_written_with_every_row_and_a_later_epoch() {
    let (mut player, _) = done(2);
    let all = player.run.places_of(CONVERT);
    clear(&mut player, all, true);
    let before: Vec<i64> = player
        .run
        .instances(RESIZE)
        .iter()
        .map(|at| player.run.tasks[at.at()].epoch.0)
        .collect();
    let effects = finish(&mut player, CONVERT, expansion(2));
    for (at, before) in player.run.instances(RESIZE).iter().zip(before) {
        assert!(effects.contains(&Effect::Task(*at)));
        assert!(player.run.tasks[at.at()].epoch.0 > before);
    }
}

#[test]
fn an_instance_that_has_not_begun_is_skipped_when_nothing_is_above_any_more() {
    let mut player = begun(chain(TriggerRule::AllDone, [OnEmpty::Skip; 3]));
    finish(&mut player, BESIDE, Fate::Ok.outcome());
    finish(&mut player, CONVERT, expansion(2));
    let first = player.run.instances(CONVERT)[0];
    finish(&mut player, first, Fate::Ok.outcome());
    let going = player.run.instances(RESIZE)[0];
    finish(&mut player, going, Fate::Ok.outcome());
    player.step(Event::Clear(player.run.places_of(CONVERT)));
    finish(&mut player, CONVERT, expansion(0));
    assert_eq!(states(&player.run, CONVERT), [TaskState::Skipped]);
    let (done, skipped) = (TaskState::Success, TaskState::Skipped);
    assert_eq!(states(&player.run, RESIZE), [done, skipped]);
}

#[test]
fn an_attempt_that_was_to_say_that_there_is_nothing_gives_way_to_what_there_is_by_now() {
    let mut player = begun(chain(TriggerRule::AllDone, [OnEmpty::Skip; 3]));
    finish(&mut player, BESIDE, Fate::Ok.outcome());
    finish(&mut player, CONVERT, expansion(0));
    let (attempt, _) = player.run.launch(RESIZE, 1, player.now);
    player.step(Event::Clear(vec![CONVERT]));
    finish(&mut player, CONVERT, expansion(2));
    assert_eq!(states(&player.run, RESIZE), [TaskState::Running]);
    let effects = player.report(attempt, expansion(0));
    assert!(effects.contains(&Effect::Replace(RESIZE)));
    assert_eq!(states(&player.run, RESIZE), [TaskState::None; 2]);
}

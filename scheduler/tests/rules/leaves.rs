//! What the ends of its tasks make of a run. Source: Airflow's `models/dagrun.py: update_state` and
//! `_tis_for_dagrun_state`.

use crate::support::{Chance, Fate, Player, Sketch, TEARDOWN, outcome_of};
use std::sync::Arc;
use tidemill_model::dag::{Dag, Role};
use tidemill_model::{Reason, RunState, TaskIndex, TaskState, TriggerRule};

/// A task of a case: its name, what it waits for, its rule and its fate.
type Line = (&'static str, &'static [&'static str], TriggerRule, Fate);

fn end(lines: &[Line], roles: &[(&str, Role)]) -> String {
    let mut sketch = Sketch::default();
    for (name, after, rule, _) in lines {
        let task = sketch.add(name, after);
        task.trigger_rule = *rule;
        if let Some((_, role)) = roles.iter().find(|(other, _)| other == name) {
            task.role = *role;
        }
    }
    let fates: Vec<(&str, Fate)> = lines.iter().map(|line| (line.0, line.3.clone())).collect();
    let told = outcome_of(sketch.build(), &fates);
    told.split(':').next().unwrap().to_string()
}

#[test]
fn the_leaves_of_a_run_decide_it() {
    use Fate::{Fail, Ok, Skip};
    use TriggerRule::{AllDone, AllDoneSetupSuccess, AllSuccess};
    let strict = Role::Teardown { fails_run: true };
    type Case = (&'static str, Vec<Line>, Vec<(&'static str, Role)>);
    let table: Vec<Case> = vec![
        ("success", vec![("a", &[], AllSuccess, Ok)], vec![]),
        ("failed", vec![("a", &[], AllSuccess, Fail)], vec![]),
        ("success", vec![("a", &[], AllSuccess, Skip)], vec![]),
        // One leaf of two has failed; one is upstream_failed; one is skipped.
        (
            "failed",
            vec![("a", &[], AllSuccess, Ok), ("b", &[], AllSuccess, Fail)],
            vec![],
        ),
        (
            "failed",
            vec![("a", &[], AllSuccess, Fail), ("b", &["a"], AllSuccess, Ok)],
            vec![],
        ),
        (
            "success",
            vec![("a", &[], AllSuccess, Skip), ("b", &["a"], AllSuccess, Ok)],
            vec![],
        ),
        // A failure that is not at the end fails nothing.
        (
            "success",
            vec![("a", &[], AllSuccess, Fail), ("b", &["a"], AllDone, Ok)],
            vec![],
        ),
        // Teardown tasks are no leaves: what stands above them is.
        (
            "failed",
            vec![
                ("up", &[], AllSuccess, Ok),
                ("work", &["up"], AllSuccess, Fail),
                ("down", &["up", "work"], AllDoneSetupSuccess, Ok),
            ],
            vec![("up", Role::Setup), ("down", TEARDOWN)],
        ),
        (
            "success",
            vec![
                ("up", &[], AllSuccess, Ok),
                ("work", &["up"], AllSuccess, Ok),
                ("down", &["up", "work"], AllDoneSetupSuccess, Fail),
            ],
            vec![("up", Role::Setup), ("down", TEARDOWN)],
        ),
        // Unless they are to fail the run: then they are the leaves.
        (
            "failed",
            vec![
                ("up", &[], AllSuccess, Ok),
                ("work", &["up"], AllSuccess, Ok),
                ("down", &["up", "work"], AllDoneSetupSuccess, Fail),
            ],
            vec![("up", Role::Setup), ("down", strict)],
        ),
        (
            "success",
            vec![
                ("up", &[], AllSuccess, Ok),
                ("work", &["up"], AllSuccess, Fail),
                ("down", &["up", "work"], AllDoneSetupSuccess, Ok),
            ],
            vec![("up", Role::Setup), ("down", strict)],
        ),
        // Where there is nothing but teardown tasks, the last of them decide.
        (
            "failed",
            vec![("a", &[], AllDoneSetupSuccess, Fail)],
            vec![("a", TEARDOWN)],
        ),
        (
            "success",
            vec![("a", &[], AllDoneSetupSuccess, Ok)],
            vec![("a", TEARDOWN)],
        ),
    ];
    for (at, (expected, lines, roles)) in table.iter().enumerate() {
        assert_eq!(end(lines, roles), *expected, "case {at}");
    }
}

/// `_tis_for_dagrun_state` once more: the tasks that count, from edges and roles alone.
fn effective_leaves(dag: &Dag) -> Vec<TaskIndex> {
    let all = || (0..dag.tasks.len() as u32).map(TaskIndex);
    let is_ignored = |at: TaskIndex| dag.task(at).role == TEARDOWN;
    let below = |at: TaskIndex| {
        let edges = dag.graph.edges();
        edges.filter(move |(from, _)| *from == at).map(|(_, to)| to)
    };
    let is_leaf = |at: &TaskIndex| !is_ignored(*at) && below(*at).all(is_ignored);
    let leaves: Vec<TaskIndex> = all().filter(is_leaf).collect();
    if leaves.is_empty() {
        return all().filter(|at| below(*at).next().is_none()).collect();
    }
    leaves
}

fn random(seed: u64) -> Player {
    let mut chance = Chance(seed);
    let mut sketch = Sketch::default();
    let names: Vec<String> = (0..2 + chance.below(7))
        .map(|at| format!("t{at}"))
        .collect();
    let mut fates = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let after: Vec<&str> = names[..at]
            .iter()
            .filter(|_| chance.once_in(3))
            .map(String::as_str)
            .collect();
        let task = sketch.add(name, &after);
        task.trigger_rule = *chance.pick(TriggerRule::ALL);
        let role = match chance.below(6) {
            0 => Role::Setup,
            1 => TEARDOWN,
            2 => Role::Teardown { fails_run: true },
            _ => Role::Work,
        };
        task.role = role;
        if role.is_teardown() {
            task.trigger_rule = TriggerRule::AllDoneSetupSuccess;
        }
        fates.push((
            name.as_str(),
            chance.pick(&[Fate::Ok, Fate::Fail, Fate::Skip]).clone(),
        ));
    }
    Player::new(Arc::new(sketch.build()), seed, &fates)
}

#[test]
fn a_run_has_failed_when_a_leaf_has_and_only_then() {
    let (mut n_failed, mut n_saved) = (0, 0);
    for seed in 0..5_000 {
        let mut player = random(seed);
        player.play();
        let run = &player.run;
        assert!(run.row.state.is_terminal(), "seed {seed}");
        let state = |at: TaskIndex| run.tasks[at.at()].state;
        let is_bad =
            |at: &TaskIndex| matches!(state(*at), TaskState::Failed | TaskState::UpstreamFailed);
        let has_failed = effective_leaves(&run.dag).iter().any(is_bad);
        assert_eq!(
            (run.row.state, run.row.reason),
            match has_failed {
                true => (RunState::Failed, Some(Reason::TaskFailed)),
                false => (RunState::Success, None),
            },
            "seed {seed}: {:?}",
            player.states()
        );
        let any_failed = run.places().any(|at| is_bad(&at));
        n_failed += u32::from(has_failed);
        n_saved += u32::from(any_failed && !has_failed);
    }
    // Both kinds are there: runs that failed, and those that ended well over a failure.
    assert!(n_failed > 1_000 && n_saved > 500, "{n_failed} {n_saved}");
}

/// Instances of tasks that have left the file do not count, however they had ended.
#[test]
fn a_removed_leaf_decides_nothing() {
    let mut sketch = Sketch::default();
    sketch.add("stays", &[]);
    sketch.add("leaves", &[]);
    let mut player = Player::new(Arc::new(sketch.build()), 0, &[]);
    player.run.tasks[1].state = TaskState::Removed;
    let (dag, row) = (Arc::clone(&player.run.dag), player.run.row.clone());
    let task_nos: Vec<_> = player.run.tasks.iter().map(|row| row.task_no).collect();
    player.run = tidemill_scheduler::Run::new(row, dag, &task_nos, player.run.tasks.clone());
    player.play();
    assert_eq!(player.run.row.state, RunState::Success);
    assert_eq!(player.run.tasks[1].state, TaskState::Removed);
}

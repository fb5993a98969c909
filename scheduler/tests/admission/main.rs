//! Admission against a plain second telling of its rules, by seeds; and what it promises.
#![allow(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

mod naive;
#[path = "../support/mod.rs"]
mod support;
mod world;

use naive::{Grants, has_slot, held, pool_use, rows};
use std::collections::BTreeSet;
use tidemill_model::dag::Task;
use tidemill_model::{TaskIndex, TaskState};
use tidemill_scheduler::{Admission, FAIR_SHARE, GateKind};
use world::{World, dag, pool, run, task};

const SEEDS: u64 = 100;
const STEPS: usize = 150;

/// Plays a world; after each change and each grant `check` looks at it.
fn play(seed: u64, mut check: impl FnMut(&World, &Grants)) {
    let mut world = World::random(seed);
    let mut grants = Grants::default();
    for _ in 0..STEPS {
        world.act();
        check(&world, &grants);
        while world.chance.below(3) > 0 {
            let expected = naive::next(&world, &grants);
            let given = world.grant();
            assert_eq!(given, expected, "seed {seed}");
            let Some((run_no, at)) = given else { break };
            let run = world.runs.iter().find(|run| run.row.run == run_no).unwrap();
            let name = run.dag.task(at).pool.clone();
            *grants.of_pool.entry(name).or_default() += 1;
            grants.all += 1;
            check(&world, &grants);
        }
    }
}

#[test]
fn slots_go_in_the_order_that_a_plain_telling_of_the_rules_gives() {
    (0..SEEDS).for_each(|seed| play(seed, |_, _| {}));
}

#[test]
fn a_grant_never_breaks_a_limit() {
    for seed in 0..SEEDS {
        let mut before: Vec<_> = Vec::new();
        play(seed, |world, _| {
            let live: Vec<_> = rows(world)
                .filter(|(_, _, row)| has_slot(row))
                .map(|(run, at, _)| (run.row.run, at))
                .collect();
            assert!(live.len() <= world.slots as usize, "seed {seed}");
            let is_new = |run: &tidemill_scheduler::Run, at: TaskIndex| {
                live.contains(&(run.row.run, at)) && !before.contains(&(run.row.run, at))
            };
            for (run, at, _) in rows(world).filter(|(run, at, _)| is_new(run, *at)) {
                let task = run.dag.task(at);
                // A pool may have been made smaller since; then it gives nothing.
                let (total, taken) = pool_use(world, &task.pool).unwrap();
                assert!(taken <= total, "seed {seed}: {taken} of {total}");
                let (of_dag, of_run) = held(world, run, at);
                let within = |n: usize, max: Option<u32>| max.is_none_or(|max| n <= max as usize);
                assert!(within(of_dag, task.max_active_tis_per_dag), "seed {seed}");
                assert!(
                    within(of_run, task.max_active_tis_per_dagrun),
                    "seed {seed}"
                );
                let n_live = run.tasks.iter().filter(|row| has_slot(row)).count();
                assert!(n_live <= run.dag.max_active_tasks as usize, "seed {seed}");
            }
            before = live;
        });
    }
}

#[test]
fn every_gate_is_told_with_its_numbers_and_holders_and_all_are_open_for_the_next_alone() {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for seed in 0..SEEDS / 10 {
        play(seed, |world, grants| {
            let next = world.admission.next();
            for (run, at, row) in rows(world) {
                let place = (run.row.run, at);
                let gates = world.admission.gates(place);
                let waits = row.state == TaskState::Scheduled;
                assert_eq!(gates.is_some(), waits, "seed {seed}: {place:?}");
                let Some(gates) = gates else { continue };
                assert_eq!(gates, naive::gates(world, grants, run, at), "seed {seed}");
                let may_go = gates.iter().all(|gate| gate.is_open);
                assert_eq!(may_go, next == Some(place), "seed {seed}: {gates:#?}");
                let held = gates.iter().filter(|gate| !gate.holders.is_empty());
                seen.extend(held.map(|gate| format!("{:?}", gate.kind)));
            }
        });
    }
    // Tasks of this world are not mapped: while one waits, its run holds no other of it.
    assert_eq!(seen.len(), 6, "{seen:?}");
}

#[test]
fn the_use_of_every_pool_is_what_the_rows_say() {
    for seed in 0..SEEDS / 5 {
        play(seed, |world, _| {
            let told = naive::pool_uses(world);
            assert_eq!(world.admission.pool_uses(), told, "seed {seed}");
        });
    }
}

#[test]
fn a_pool_that_is_not_there_is_told_of_only_while_somebody_waits_in_it_or_holds_it() {
    let small = tasks(1, |one| one.pool = "small".to_string());
    let small = dag("small", 16, small);
    let mut world = World::new(9, vec![pool("small", 1)], vec![run(1, 1, &small)]);
    let told = |world: &World| {
        let uses = world.admission.pool_uses().into_iter();
        uses.map(|one| (one.name, one.exists)).collect::<Vec<_>>()
    };
    let small = |exists: bool| vec![("small".to_string(), exists)];
    assert_eq!(told(&world), small(true));
    world.set(0, 0, TaskState::Running);
    world.admission.set_pools(&[]);
    assert_eq!(told(&world), small(false), "somebody holds it");
    world.set(0, 0, TaskState::Scheduled);
    assert_eq!(told(&world), small(false), "somebody waits in it");
    world.set(0, 0, TaskState::Success);
    assert_eq!(told(&world), []);
}

#[test]
fn an_admission_rebuilt_from_rows_holds_the_same() {
    for seed in 0..SEEDS / 5 {
        play(seed, |world, _| {
            let mut anew = Admission::new(world.slots);
            anew.set_pools(&world.pools);
            world.runs.iter().for_each(|run| anew.follow_all(run));
            assert_eq!(anew.pool_uses(), world.admission.pool_uses(), "seed {seed}");
            assert_eq!(anew.n_live(), world.admission.n_live(), "seed {seed}");
        });
    }
}

#[test]
fn a_run_that_leaves_memory_leaves_nothing_behind() {
    for seed in 0..SEEDS {
        let mut world = World::random(seed);
        (0..STEPS).for_each(|_| {
            world.act();
            world.grant();
        });
        for run in &world.runs {
            world.admission.forget(run);
        }
        let left: u64 = world
            .admission
            .pool_uses()
            .iter()
            .map(|pool| pool.n_live + pool.n_deferred + pool.n_waiting)
            .sum();
        assert_eq!((left, world.admission.n_live()), (0, 0), "seed {seed}");
        // A server lives for years: nothing may pile up that no answer shows.
        let told = format!("{:?}", world.admission);
        let maps = [
            "demands",
            "holds",
            "runs",
            "lanes",
            "task_lanes",
            "waiting_in",
            "last_start",
            "held_of_dag",
            "held_of_run",
            "waiting",
        ];
        for map in maps {
            assert!(
                told.contains(&format!("{map}: {{}}")),
                "seed {seed}: {map} in {told}"
            );
            let n_empty = told.matches(&format!(" {map}: {{}}")).count();
            assert_eq!(
                n_empty,
                told.matches(&format!(" {map}: ")).count(),
                "seed {seed}: {map}"
            );
        }
    }
}

fn tasks(n: usize, change: impl Fn(&mut Task)) -> Vec<Task> {
    let made = (0..n).map(|at| {
        let mut one = task(&format!("t{at}"));
        change(&mut one);
        one
    });
    made.collect()
}

#[test]
fn a_hundred_thousand_ready_tasks_do_not_keep_another_dags_single_one() {
    let many = dag("many", 100_000, tasks(100_000, |one| one.total_weight = 9));
    let single = dag("single", 16, tasks(1, |_| {}));
    let runs = vec![run(1, 1, &many), run(2, 2, &single)];
    let mut world = World::new(4, vec![pool("default_pool", 128)], runs);
    (0..100_000).for_each(|at| world.set(0, at, TaskState::Scheduled));
    let mut live: Vec<u32> = (0..4).map(|_| world.grant().unwrap().1.0).collect();
    world.set(1, 0, TaskState::Scheduled);
    let mut n_grants = 0;
    while !world.runs[1].tasks[0].is_live() {
        world.set(0, live.remove(0), TaskState::Success);
        live.push(world.grant().unwrap().1.0);
        n_grants += 1;
    }
    assert!(n_grants <= FAIR_SHARE, "{n_grants} went before it");
}

#[test]
fn the_lightest_task_of_a_run_goes_when_it_has_waited_longest_there() {
    let mut mixed = tasks(1_000, |one| one.total_weight = 9);
    mixed[0].total_weight = 1;
    let mixed = dag("mixed", 1_000, mixed);
    let mut world = World::new(1, vec![pool("default_pool", 128)], vec![run(1, 1, &mixed)]);
    (0..1_000).for_each(|at| world.set(0, at, TaskState::Scheduled));
    let mut n_grants = 0;
    while !world.runs[0].tasks[0].is_live() {
        let (_, at) = world.grant().unwrap();
        n_grants += 1;
        if at.0 != 0 {
            world.set(0, at.0, TaskState::Success);
        }
    }
    assert_eq!(n_grants, FAIR_SHARE);
}

#[test]
fn a_wide_task_that_has_waited_longest_keeps_free_slots_until_it_fits() {
    let wide = dag("wide", 16, tasks(1, |one| one.pool_slots = 3));
    let narrow = dag("narrow", 100, tasks(100, |one| one.total_weight = 9));
    let runs = vec![run(1, 1, &wide), run(2, 2, &narrow)];
    let mut world = World::new(100, vec![pool("default_pool", 4)], runs);
    (0..4).for_each(|at| world.set(1, at, TaskState::Scheduled));
    (0..4).for_each(|_| assert!(world.grant().is_some()));
    world.set(0, 0, TaskState::Scheduled);
    (4..100).for_each(|at| world.set(1, at, TaskState::Scheduled));
    let n_free = (0..4).take_while(|at| {
        world.set(1, *at, TaskState::Success);
        world.grant().is_none()
    });
    assert_eq!(n_free.count(), 2, "the third free slot makes room for it");
    assert!(world.runs[0].tasks[0].is_live());
}

#[test]
fn a_task_wider_than_its_pool_or_in_no_pool_waits_and_keeps_nobody_else() {
    let odd = [
        Task {
            pool_slots: 5,
            ..task("wide")
        },
        Task {
            pool: "nowhere".to_string(),
            ..task("lost")
        },
        task("plain"),
    ];
    let odd = dag("odd", 16, odd.to_vec());
    let mut world = World::new(9, vec![pool("default_pool", 4)], vec![run(1, 1, &odd)]);
    (0..3).for_each(|at| world.set(0, at, TaskState::Scheduled));
    assert_eq!(world.grant().unwrap().1, TaskIndex(2));
    assert_eq!(world.grant(), None);
    let closed = |at: u32| {
        let gates = world
            .admission
            .gates((world.runs[0].row.run, TaskIndex(at)));
        let closed = gates.unwrap().into_iter().find(|gate| !gate.is_open);
        closed.unwrap().kind
    };
    assert_eq!(closed(0), GateKind::PoolSize);
    assert_eq!(closed(1), GateKind::PoolExists);
    // Nobody is failed for it: a pool that is made or grows lets them go.
    let pools = [pool("default_pool", 6), pool("nowhere", 1)];
    world.admission.set_pools(&pools);
    assert!(world.grant().is_some() && world.grant().is_some());
}

#[test]
fn a_worker_queue_without_room_holds_back_nobody_of_another_one() {
    let tasks = vec![
        Task {
            queue: "gpu".to_string(),
            total_weight: 99,
            pool_slots: 4,
            ..task("heavy")
        },
        task("plain"),
    ];
    let both = dag("both", 16, tasks);
    let mut world = World::new(9, vec![pool("default_pool", 4)], vec![run(1, 1, &both)]);
    (0..2).for_each(|at| world.set(0, at, TaskState::Scheduled));
    let queues: BTreeSet<&str> = world.admission.queues().collect();
    assert_eq!(queues, BTreeSet::from(["default", "gpu"]));
    world.admission.set_room("gpu", false);
    let gates = world.admission.gates((world.runs[0].row.run, TaskIndex(0)));
    let mut closed = gates.unwrap().into_iter().filter(|gate| !gate.is_open);
    assert_eq!(closed.next().unwrap().kind, GateKind::WorkerSlots);
    assert_eq!(world.grant().unwrap().1, TaskIndex(1));
    assert_eq!(
        world.grant(),
        None,
        "it is the heavy one's turn, but nobody may run it"
    );
    world.set(0, 1, TaskState::Success);
    world.admission.set_room("gpu", true);
    assert_eq!(world.grant().unwrap().1, TaskIndex(0));
}

//! Which states count under which limit, and in what order tasks get their slots. Sources: Airflow's
//! `ti_deps/dependencies_states.py`, `models/pool.py: get_occupied_states` and
//! `jobs/scheduler_job_runner.py: ConcurrencyMap`, `_executable_task_instances_to_queued`.

use crate::support::{Chance, Sketch, new_run, run_row, task};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidemill_model::{MapIndex, RunNo, RunRow, RunState, TaskIndex, TaskState, Ts};
use tidemill_scheduler::{Admission, FAIR_SHARE, Place, PoolLimit, Run, Turns};

/// The limits that a state may count under, each of one.
const LIMITS: [&str; 6] = [
    "pool",
    "pool with deferred",
    "max_active_tasks",
    "max_active_tis_per_dag",
    "max_active_tis_per_dagrun",
    "workers",
];

/// An admission in which only one limit, of one, has been set.
fn admission(limit: &str) -> Admission {
    let slots = |is_tight: bool| if is_tight { 1 } else { 9 };
    let mut admission = Admission::new(slots(limit == "workers") as u32);
    admission.set_pools(&[PoolLimit {
        name: "default_pool".to_string(),
        slots: slots(limit.starts_with("pool")),
        include_deferred: limit == "pool with deferred",
    }]);
    admission
}

/// Does an instance in this state keep another one of its task from a slot under this limit?
fn keeps_another(limit: &str, state: TaskState) -> bool {
    let mut sketch = Sketch::default();
    let one = sketch.add("task", &[]);
    one.max_active_tis_per_dag = (limit == "max_active_tis_per_dag").then_some(1);
    one.max_active_tis_per_dagrun = (limit == "max_active_tis_per_dagrun").then_some(1);
    // Another instance of the same task, as a mapped task has.
    let other = one.clone();
    sketch.tasks.push(other);
    let mut dag = sketch.build();
    dag.max_active_tasks = if limit == "max_active_tasks" { 1 } else { 9 };
    let mut run = new_run(Arc::new(dag));
    let has_worker = [TaskState::Queued, TaskState::Running, TaskState::Restarting];
    run.tasks[0].state = state;
    run.tasks[0].worker = has_worker.contains(&state).then_some(1);
    run.tasks[1].state = TaskState::Scheduled;
    run.tasks[1].task_no = run.tasks[0].task_no;
    run.tasks[1].scheduled_at = Some(Ts(1));
    let mut admission = admission(limit);
    admission.follow(&run, TaskIndex(0));
    admission.follow(&run, TaskIndex(1));
    // One that waits itself is no holder: it is the other's turn when it has gone.
    if state == TaskState::Scheduled {
        return admission.admit().is_none();
    }
    admission.admit() != Some((run.row.run, TaskIndex(1)))
}

#[test]
fn each_state_counts_under_the_limits_that_airflow_counts_it_under() {
    // `EXECUTION_STATES` count under all. A task that was cleared while it ran is not among them
    // in Airflow; here its attempt holds what it has until it has ended.
    let all: BTreeSet<&str> = LIMITS.into();
    // `ACTIVE_STATES` has the deferred too, for the limits of one task; a pool when it says so.
    let parked: BTreeSet<&str> = [
        "max_active_tis_per_dag",
        "max_active_tis_per_dagrun",
        "pool with deferred",
    ]
    .into();
    for &state in TaskState::ALL {
        let expected = match state {
            TaskState::Queued | TaskState::Running | TaskState::Restarting => all.clone(),
            TaskState::Deferred => parked.clone(),
            _ => BTreeSet::new(),
        };
        let found = LIMITS
            .into_iter()
            .filter(|limit| keeps_another(limit, state));
        assert_eq!(found.collect::<BTreeSet<&str>>(), expected, "{state}");
    }
}

#[test]
fn a_pool_below_zero_has_no_limit_and_one_without_slots_gives_nothing() {
    for (slots, n_expected) in [(-1, 7), (0, 0), (3, 3)] {
        let runs = waiting(&[(1, 0, -1); 7]);
        let mut admission = Admission::new(99);
        admission.set_pools(&[PoolLimit {
            name: "default_pool".to_string(),
            slots,
            include_deferred: false,
        }]);
        runs.iter().for_each(|run| admission.follow_all(run));
        let n = std::iter::from_fn(|| admission.admit()).count();
        assert_eq!(n, n_expected, "{slots}");
    }
}

/// A run for each instance that waits: its weight, its logical date and its map index.
fn waiting(instances: &[(i64, i64, i32)]) -> Vec<Run> {
    let runs = (1..).zip(instances).map(|(no, (weight, date, map_index))| {
        let mut sketch = Sketch::default();
        sketch.tasks.push(task("task"));
        sketch.tasks[0].total_weight = *weight;
        let mut run = new_run(Arc::new(sketch.build()));
        run.row.run = RunNo(no);
        run.row.logical_date = Some(Ts(*date));
        run.tasks[0].run = RunNo(no);
        run.tasks[0].map_index = MapIndex(*map_index);
        run.tasks[0].state = TaskState::Scheduled;
        run.tasks[0].scheduled_at = Some(Ts(100 - no));
        run
    });
    runs.collect()
}

/// `order_by(-TI.priority_weight, DR.logical_date, TI.map_index)`, and then the older run. Every
/// eighth slot goes to whoever has waited longest, so fewer are looked at here.
#[test]
fn the_heaviest_goes_first_then_the_earliest_date_then_the_lowest_map_index() {
    for seed in 0..500 {
        let mut chance = Chance(seed);
        let instances: Vec<(i64, i64, i32)> = (1..FAIR_SHARE)
            .map(|_| {
                let weight = chance.below(3) as i64 - 1;
                let date = chance.below(3) as i64;
                (weight, date, chance.below(3) as i32 - 1)
            })
            .collect();
        let mut admission = admission("max_active_tasks");
        let runs = waiting(&instances);
        runs.iter().for_each(|run| admission.follow_all(run));
        let given: Vec<Place> = std::iter::from_fn(|| admission.admit()).collect();
        let mut expected: Vec<_> = (1..).zip(&instances).collect();
        expected.sort_by_key(|(no, (weight, date, map_index))| {
            (Reverse(*weight), *date, *map_index, *no)
        });
        let expected = expected
            .into_iter()
            .map(|(no, _)| (RunNo(no), TaskIndex(0)));
        assert_eq!(
            given,
            expected.collect::<Vec<_>>(),
            "seed {seed}: {instances:?}"
        );
    }
}

/// `nulls_first(BackfillDagRun.sort_ordinal), …, run_after` of `models/dagrun.py:
/// get_queued_dag_runs_to_set_running`: the runs of a backfill are last, in its own order.
#[test]
fn queued_runs_begin_by_when_they_were_due_and_those_of_a_backfill_last_in_its_order() {
    // The run's number, when it was due, and whether a backfill made it.
    let rows = [
        (1, 50, true),
        (2, 30, false),
        (3, 10, true),
        (4, 20, false),
        (5, 30, true),
    ];
    for (is_backwards, expected) in [(false, [4, 2, 3, 5, 1]), (true, [4, 2, 1, 5, 3])] {
        let mut dag = Sketch::default().build();
        dag.max_active_runs = 9;
        let mut turns = Turns::default();
        let mut rows: Vec<(RunRow, bool)> = rows
            .map(|(no, due, is_of_backfill)| {
                let row = RunRow {
                    run: RunNo(no),
                    run_after: Ts(due),
                    ..run_row()
                };
                (row, is_of_backfill)
            })
            .to_vec();
        let follow =
            |turns: &mut Turns, (row, is_of_backfill): &(RunRow, bool)| match *is_of_backfill
                && is_backwards
            {
                true => turns.follow_backwards(row, ""),
                false => turns.follow(row, "", *is_of_backfill),
            };
        rows.iter().for_each(|one| follow(&mut turns, one));
        let mut begun = Vec::new();
        while let Some(next) = turns.next(&dag) {
            begun.push(next.0);
            let one = rows.iter_mut().find(|(row, _)| row.run == next).unwrap();
            one.0.state = RunState::Running;
            follow(&mut turns, one);
        }
        assert_eq!(begun, expected, "backwards {is_backwards}");
    }
}

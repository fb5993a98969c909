//! The rules of admission once more, as plainly as they can be said: everything is counted anew
//! from the rows for each question.

use crate::world::World;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use tidemill_model::{MapIndex, RunNo, TaskIndex, TaskRow, TaskState, Ts};
use tidemill_scheduler::{FAIR_SHARE, GateKind, Place, Run};

/// Grants so far, of each pool and of all.
#[derive(Default)]
pub struct Grants {
    pub of_pool: BTreeMap<String, u64>,
    pub all: u64,
}

type Turn = (Reverse<i64>, Ts, MapIndex, RunNo, TaskIndex);
type Age = (Ts, Ts, Turn);

/// One that could go but for its pool.
struct Candidate {
    pool: String,
    width: u64,
    run_since: Ts,
    since: Ts,
    turn: Turn,
}

impl Candidate {
    fn age(&self) -> Age {
        (self.run_since, self.since, self.turn)
    }
}

pub fn rows(world: &World) -> impl Iterator<Item = (&Run, TaskIndex, &TaskRow)> {
    let rows = |run: &'_ Run| {
        (0..run.tasks.len() as u32)
            .map(TaskIndex)
            .collect::<Vec<_>>()
    };
    world.runs.iter().flat_map(move |run| {
        rows(run)
            .into_iter()
            .map(move |at| (run, at, &run.tasks[at.at()]))
    })
}

/// Slots of a pool and how many of them are taken.
pub fn pool_use(world: &World, name: &str) -> Option<(u64, u64)> {
    let pool = world.pools.iter().find(|pool| pool.name == name)?;
    let counts =
        |row: &TaskRow| row.is_live() || pool.include_deferred && row.state == TaskState::Deferred;
    let taken = rows(world)
        .filter(|(run, at, row)| run.dag.task(*at).pool == name && counts(row))
        .map(|(run, at, _)| u64::from(run.dag.task(at).pool_slots))
        .sum();
    Some((u64::try_from(pool.slots).unwrap_or(u64::MAX), taken))
}

pub fn is_held(row: &TaskRow) -> bool {
    row.is_live() || row.state == TaskState::Deferred
}

/// How many instances of a task are held: over all runs of its DAG, and in its own.
pub fn held(world: &World, run: &Run, at: TaskIndex) -> (usize, usize) {
    let same = rows(world)
        .filter(|(other, there, row)| other.row.dag == run.row.dag && *there == at && is_held(row));
    let same: Vec<RunNo> = same.map(|(other, _, _)| other.row.run).collect();
    let here = same.iter().filter(|no| **no == run.row.run).count();
    (same.len(), here)
}

/// Who holds what a gate of this kind counts, and how many slots; nothing for gates of another kind.
pub fn holders(
    world: &World,
    run: &Run,
    at: TaskIndex,
    kind: GateKind,
) -> Option<Vec<(Place, u32)>> {
    let pool = &run.dag.task(at).pool;
    let limit = world.pools.iter().find(|limit| limit.name == *pool);
    let found = rows(world).filter(|(other, there, row)| {
        let is_here = other.row.run == run.row.run;
        let is_same = other.row.dag == run.row.dag && *there == at && is_held(row);
        match kind {
            GateKind::RunTasks => is_here && row.is_live(),
            GateKind::TaskPerDag => is_same,
            GateKind::TaskPerRun => is_same && is_here,
            GateKind::WorkerSlots => row.is_live(),
            _ => {
                let keeps = limit.is_some_and(|limit| limit.include_deferred);
                other.dag.task(*there).pool == *pool && (row.is_live() || keeps && is_held(row))
            }
        }
    });
    let place = |other: &Run, there| ((other.row.run, there), other.dag.task(there).pool_slots);
    let mut found: Vec<(Place, u32)> = found.map(|(other, at, _)| place(other, at)).collect();
    found.sort_unstable();
    let has_holders = matches!(
        kind,
        GateKind::RunTasks
            | GateKind::TaskPerDag
            | GateKind::TaskPerRun
            | GateKind::WorkerSlots
            | GateKind::PoolSlots
    );
    has_holders.then_some(found)
}

fn may_go_but_for_its_pool(world: &World, run: &Run, at: TaskIndex) -> bool {
    let task = run.dag.task(at);
    let n_live = run.tasks.iter().filter(|row| row.is_live()).count();
    let (of_dag, of_run) = held(world, run, at);
    let below = |n: usize, max: Option<u32>| max.is_none_or(|max| n < max as usize);
    n_live < run.dag.max_active_tasks as usize
        && below(of_dag, task.max_active_tis_per_dag)
        && below(of_run, task.max_active_tis_per_dagrun)
}

fn candidates(world: &World) -> Vec<Candidate> {
    rows(world)
        .filter(|(_, _, row)| row.state == TaskState::Scheduled && !row.is_live())
        .filter(|(run, at, _)| may_go_but_for_its_pool(world, run, *at))
        .map(|(run, at, row)| {
            let task = run.dag.task(at);
            let weight = Reverse(task.total_weight);
            let since = row.scheduled_at.unwrap();
            let starts = run.tasks.iter().enumerate();
            let starts = starts.filter(|(at, _)| run.dag.tasks[*at].pool == task.pool);
            let last = starts.filter_map(|(_, row)| row.started_at).max();
            Candidate {
                pool: task.pool.clone(),
                width: u64::from(task.pool_slots),
                run_since: since.max(last.unwrap_or(since)),
                since,
                turn: (weight, run.row.run_after, row.map_index, run.row.run, at),
            }
        })
        .collect()
}

/// Who gets the next slot.
pub fn next(world: &World, grants: &Grants) -> Option<Place> {
    let n_live = rows(world).filter(|(_, _, row)| row.is_live()).count();
    if n_live >= world.slots as usize {
        return None;
    }
    let all = candidates(world);
    let is_share = |n: u64| (n + 1).is_multiple_of(FAIR_SHARE);
    let mut offers = Vec::new();
    for pool in &world.pools {
        let (total, taken) = pool_use(world, &pool.name).unwrap();
        let free = total.saturating_sub(taken);
        let of_pool = all
            .iter()
            .filter(|one| one.pool == pool.name && one.width <= total);
        let Some(oldest) = of_pool.clone().min_by_key(|one| one.age()) else {
            continue;
        };
        let Some(first) = of_pool
            .filter(|one| one.width <= free)
            .min_by_key(|one| one.turn)
        else {
            continue;
        };
        let breaks_up = first.width < oldest.width && free - first.width < oldest.width;
        if !breaks_up {
            offers.push((pool, first, oldest));
        } else if oldest.width <= free {
            offers.push((pool, oldest, oldest));
        }
    }
    let chosen = if is_share(grants.all) {
        offers
            .iter()
            .map(|(_, _, oldest)| oldest)
            .min_by_key(|one| one.age())?
    } else {
        let (pool, first, oldest) = offers.iter().min_by_key(|(_, first, _)| first.turn)?;
        let n = grants.of_pool.get(&pool.name).copied().unwrap_or(0);
        if is_share(n) { oldest } else { first }
    };
    Some((chosen.turn.3, chosen.turn.4))
}

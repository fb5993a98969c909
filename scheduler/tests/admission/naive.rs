//! The rules of admission once more, as plainly as they can be said: everything is counted anew
//! from the rows for each question.

use crate::world::World;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use tidemill_model::{MapIndex, RunNo, TaskIndex, TaskRow, TaskState, Ts};
use tidemill_scheduler::{FAIR_SHARE, Gate, GateKind, Place, PoolUse, Run};

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
        |row: &TaskRow| has_slot(row) || pool.include_deferred && row.state == TaskState::Deferred;
    let taken = rows(world)
        .filter(|(run, at, row)| run.dag.task(*at).pool == name && counts(row))
        .map(|(run, at, _)| u64::from(run.dag.task(at).pool_slots))
        .sum();
    Some((u64::try_from(pool.slots).unwrap_or(u64::MAX), taken))
}

/// Does an instance take a slot of its worker? One that is deferred may be with a worker still.
pub fn has_slot(row: &TaskRow) -> bool {
    row.is_live() && row.state != TaskState::Deferred
}

pub fn is_held(row: &TaskRow) -> bool {
    row.is_live() || row.state == TaskState::Deferred
}

fn waits(row: &TaskRow) -> bool {
    row.state == TaskState::Scheduled && !row.is_live()
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
            GateKind::RunTasks => is_here && has_slot(row),
            GateKind::TaskPerDag => is_same,
            GateKind::TaskPerRun => is_same && is_here,
            GateKind::WorkerSlots => has_slot(row),
            _ => {
                let keeps = limit.is_some_and(|limit| limit.include_deferred);
                other.dag.task(*there).pool == *pool && (has_slot(row) || keeps && is_held(row))
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

fn n_live(run: &Run) -> usize {
    run.tasks.iter().filter(|row| has_slot(row)).count()
}

fn n_live_of_all(world: &World) -> usize {
    world.runs.iter().map(n_live).sum()
}

fn may_go_but_for_its_pool(world: &World, run: &Run, at: TaskIndex) -> bool {
    let task = run.dag.task(at);
    let (of_dag, of_run) = held(world, run, at);
    let below = |n: usize, max: Option<u32>| max.is_none_or(|max| n < max as usize);
    n_live(run) < run.dag.max_active_tasks as usize
        && below(of_dag, task.max_active_tis_per_dag)
        && below(of_run, task.max_active_tis_per_dagrun)
        && !world.closed.contains(&task.queue)
}

fn turn_of(run: &Run, at: TaskIndex) -> Turn {
    let weight = Reverse(run.dag.task(at).total_weight);
    let date = run.row.logical_date.unwrap_or(run.row.run_after);
    let map_index = run.tasks[at.at()].map_index;
    (weight, date, map_index, run.row.run, at)
}

fn candidates(world: &World) -> Vec<Candidate> {
    rows(world)
        .filter(|(_, _, row)| waits(row))
        .filter(|(run, at, _)| may_go_but_for_its_pool(world, run, *at))
        .map(|(run, at, row)| {
            let task = run.dag.task(at);
            let since = row.scheduled_at.unwrap();
            let starts = run.tasks.iter().enumerate();
            let starts = starts.filter(|(at, _)| run.dag.tasks[*at].pool == task.pool);
            let got = |row: &TaskRow| row.queued_at.or(row.started_at);
            let last = starts.filter_map(|(_, row)| got(row)).max();
            Candidate {
                pool: task.pool.clone(),
                width: u64::from(task.pool_slots),
                run_since: since.max(last.unwrap_or(since)),
                since,
                turn: turn_of(run, at),
            }
        })
        .collect()
}

/// Who has waited longest for a pool and could ever fit, and whose turn it is of those that do now.
fn ends<'c>(
    world: &World,
    all: &'c [Candidate],
    pool: &str,
) -> Option<(&'c Candidate, &'c Candidate)> {
    let (total, taken) = pool_use(world, pool)?;
    let free = total.saturating_sub(taken);
    let of_pool = all.iter().filter(|one| one.pool == pool);
    let fit_ever = of_pool.clone().filter(|one| one.width <= total);
    let fit_now = of_pool.filter(|one| one.width <= free);
    let oldest = fit_ever.min_by_key(|one| one.age())?;
    Some((oldest, fit_now.min_by_key(|one| one.turn)?))
}

/// For whom the free slots of a pool are kept whole.
fn kept_for<'c>(world: &World, all: &'c [Candidate], pool: &str) -> Option<&'c Candidate> {
    let (oldest, first) = ends(world, all, pool)?;
    let (total, taken) = pool_use(world, pool)?;
    let free = total.saturating_sub(taken);
    let breaks_up = first.width < oldest.width && free - first.width < oldest.width;
    breaks_up.then_some(oldest)
}

/// Who gets the next slot.
pub fn next(world: &World, grants: &Grants) -> Option<Place> {
    if n_live_of_all(world) >= world.slots as usize {
        return None;
    }
    let all = candidates(world);
    let is_share = |n: u64| (n + 1).is_multiple_of(FAIR_SHARE);
    let mut offers = Vec::new();
    for pool in &world.pools {
        let (total, taken) = pool_use(world, &pool.name).unwrap();
        let Some((oldest, first)) = ends(world, &all, &pool.name) else {
            continue;
        };
        match kept_for(world, &all, &pool.name) {
            None => offers.push((pool, first, oldest)),
            Some(kept) if kept.width <= total.saturating_sub(taken) => {
                offers.push((pool, kept, kept));
            }
            Some(_) => {}
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

/// Every condition of one that waits, with its numbers and who holds what.
pub fn gates(world: &World, grants: &Grants, run: &Run, at: TaskIndex) -> Vec<Gate> {
    let task = run.dag.task(at);
    let gate = |kind, is_open, n: u64, max: Option<u64>| Gate {
        kind,
        is_open,
        n,
        max,
        holders: holders(world, run, at, kind).unwrap_or_default(),
    };
    let mut gates = vec![gate(
        GateKind::PoolExists,
        pool_use(world, &task.pool).is_some(),
        0,
        None,
    )];
    if let Some((total, taken)) = pool_use(world, &task.pool) {
        let (width, free) = (u64::from(task.pool_slots), total.saturating_sub(taken));
        let max = (total < u64::MAX).then_some(total);
        let all = candidates(world);
        let kept = kept_for(world, &all, &task.pool);
        let kept = kept.filter(|kept| kept.turn != turn_of(run, at));
        let for_whom = |kept: &Candidate| ((kept.turn.3, kept.turn.4), kept.width as u32);
        gates.extend([
            gate(GateKind::PoolSize, width <= total, width, max),
            gate(GateKind::PoolSlots, width <= free, taken, max),
            Gate {
                holders: kept.map(for_whom).into_iter().collect(),
                ..gate(GateKind::PoolKept, kept.is_none(), free, max)
            },
        ]);
    }
    let (of_dag, of_run) = held(world, run, at);
    let counted = [
        (
            GateKind::RunTasks,
            n_live(run),
            Some(run.dag.max_active_tasks),
        ),
        (GateKind::TaskPerDag, of_dag, task.max_active_tis_per_dag),
        (GateKind::TaskPerRun, of_run, task.max_active_tis_per_dagrun),
        (
            GateKind::WorkerSlots,
            n_live_of_all(world),
            Some(world.slots),
        ),
    ];
    for (kind, n, max) in counted {
        let Some(max) = max else { continue };
        let has_workers = kind != GateKind::WorkerSlots || !world.closed.contains(&task.queue);
        let is_open = n < max as usize && has_workers;
        gates.push(gate(kind, is_open, n as u64, Some(u64::from(max))));
    }
    let may_go = gates.iter().all(|gate| gate.is_open);
    gates.push(turn(world, grants, run, at, may_go));
    gates
}

fn turn(world: &World, grants: &Grants, run: &Run, at: TaskIndex, may_go: bool) -> Gate {
    let place = (run.row.run, at);
    let pool = |run: &Run, at| run.dag.task(at).pool.clone();
    let before = rows(world).filter(|(other, there, row)| {
        waits(row)
            && pool(other, *there) == pool(run, at)
            && turn_of(other, *there) < turn_of(run, at)
    });
    let n = before.count() as u64;
    let next = next(world, grants);
    let width = |(run, at): Place| {
        let run = world.runs.iter().find(|one| one.row.run == run).unwrap();
        run.dag.task(at).pool_slots
    };
    let first = next.filter(|next| *next != place);
    Gate {
        kind: GateKind::Turn,
        is_open: if may_go { next == Some(place) } else { n == 0 },
        n,
        max: None,
        holders: first
            .map(|first| (first, width(first)))
            .into_iter()
            .collect(),
    }
}

/// How every pool is used that somebody has made, or that somebody asks for.
pub fn pool_uses(world: &World) -> Vec<PoolUse> {
    let made = world.pools.iter().map(|pool| pool.name.clone());
    let asked = rows(world)
        .filter(|(_, _, row)| waits(row) || is_held(row))
        .map(|(run, at, _)| run.dag.task(at).pool.clone());
    let names: BTreeSet<String> = made.chain(asked).collect();
    names
        .into_iter()
        .map(|name| pool_use_of(world, name))
        .collect()
}

fn pool_use_of(world: &World, name: String) -> PoolUse {
    let wide = |wanted: &dyn Fn(&TaskRow) -> bool| -> Vec<(Place, u32, TaskState)> {
        let found = rows(world)
            .filter(|(run, at, row)| run.dag.task(*at).pool == name && wanted(row))
            .map(|(run, at, row)| {
                let place = (run.row.run, at);
                (place, run.dag.task(at).pool_slots, row.state)
            });
        found.collect()
    };
    let sum = |found: Vec<(Place, u32, TaskState)>| -> u64 {
        found.iter().map(|(_, width, _)| u64::from(*width)).sum()
    };
    let mut holders = wide(&is_held);
    holders.sort_unstable();
    let limit = world.pools.iter().find(|pool| pool.name == name);
    let keeps = limit.is_some_and(|limit| limit.include_deferred);
    let (n_live, n_held) = (sum(wide(&has_slot)), sum(wide(&is_held)));
    PoolUse {
        exists: limit.is_some(),
        n_live,
        n_deferred: n_held - n_live,
        n_occupied: if keeps { n_held } else { n_live },
        n_waiting: sum(wide(&waits)),
        holders,
        name,
    }
}

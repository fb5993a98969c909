//! Who gets the next free slot, over all runs and within every limit.
//!
//! What is held and who waits is derived from the rows of task instances, one at a time, by
//! [`Admission::follow`]: nothing is counted up and down beside them. Among those that may go,
//! Airflow's order holds. Two things differ from Airflow on purpose. Every eighth grant of a pool,
//! and every eighth of all, goes to the run that has waited longest for one, and in it to the task
//! that has. And free slots that the longest-waiting task needs whole are not broken up by
//! narrower ones. So nobody waits for ever behind many, heavier or narrower tasks.
//!
//! Each limit has a queue of its own, which shows only its two ends to the next one, and only
//! while the limit has room: instances of a limited task, then those of a run, then those of a
//! pool. So a freed slot costs the same however many wait behind a limit.

mod demand;
mod gate;
mod pool;
mod queue;

pub use gate::{Gate, GateKind, PoolUse};
pub use pool::PoolLimit;
pub use queue::Place;

use crate::run::Run;
use demand::{Demand, demand};
use pool::{Pool, QueueId};
use queue::{Ends, Queue, show};
use std::collections::{BTreeSet, HashMap};
use tidemill_model::{DagNo, RunNo, TaskIndex, TaskNo, TaskState, Ts};

/// Every so many grants, one goes to the task that has waited longest.
pub const FAIR_SHARE: u64 = 8;

type PoolId = usize;
/// Instances of a run that take the same slots of the same pool, by the same workers.
type LaneKey = (RunNo, PoolId, u32, QueueId);

/// What a live or deferred instance holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hold {
    pool: PoolId,
    width: u32,
    dag: DagNo,
    task_no: TaskNo,
    is_live: bool,
}

/// Waiting instances of one run and one width: those without a limit of their own, and the ends
/// of those with one.
#[derive(Debug, Default)]
struct Lane {
    n_waiting: usize,
    queue: Queue,
    shown: Ends,
}

/// Waiting instances of one limited task of one run.
#[derive(Debug)]
struct TaskLane {
    queue: Queue,
    shown: Ends,
    demand: Demand,
}

/// What is known of a run.
#[derive(Debug, Default)]
struct RunSide {
    n_live: u32,
    n_max: u32,
    lanes: BTreeSet<LaneKey>,
}

/// Slots, limits, and who waits for them. See the module's words.
#[derive(Debug)]
pub struct Admission {
    slots: u32,
    n_live: u32,
    n_granted: u64,
    pool_ids: HashMap<String, PoolId>,
    pools: Vec<Pool>,
    queue_ids: HashMap<String, QueueId>,
    /// Worker queues whose workers have no room.
    closed: BTreeSet<QueueId>,
    demands: HashMap<Place, Demand>,
    holds: HashMap<Place, Hold>,
    runs: HashMap<RunNo, RunSide>,
    lanes: HashMap<LaneKey, Lane>,
    task_lanes: HashMap<(RunNo, TaskNo), TaskLane>,
    /// Runs in which instances of a limited task wait.
    waiting_in: HashMap<(DagNo, TaskNo), BTreeSet<RunNo>>,
    /// When a run last got a slot of a pool, as its rows say.
    last_start: HashMap<(RunNo, PoolId), Ts>,
    held_of_dag: HashMap<(DagNo, TaskNo), u32>,
    held_of_run: HashMap<(RunNo, TaskNo), u32>,
}

impl Admission {
    /// An admission to `slots` attempts at once, with no pool yet.
    pub fn new(slots: u32) -> Admission {
        Admission {
            slots,
            n_live: 0,
            n_granted: 0,
            pool_ids: HashMap::new(),
            pools: Vec::new(),
            queue_ids: HashMap::new(),
            closed: BTreeSet::new(),
            demands: HashMap::new(),
            holds: HashMap::new(),
            runs: HashMap::new(),
            lanes: HashMap::new(),
            task_lanes: HashMap::new(),
            waiting_in: HashMap::new(),
            last_start: HashMap::new(),
            held_of_dag: HashMap::new(),
            held_of_run: HashMap::new(),
        }
    }

    /// These are the pools from now on. Whoever waits in another one goes on waiting.
    pub fn set_pools(&mut self, pools: &[PoolLimit]) {
        self.pools.iter_mut().for_each(|pool| pool.limit = None);
        for limit in pools {
            let at = self.pool_id(&limit.name);
            self.pools[at].limit = Some(limit.clone());
        }
    }

    /// Have the workers of a queue room for one more attempt? They have until this is said.
    pub fn set_room(&mut self, queue: &str, has_room: bool) {
        let queue = self.queue_id(queue);
        match has_room {
            true => self.closed.remove(&queue),
            false => self.closed.insert(queue),
        };
    }

    /// The worker queues that tasks have named so far.
    pub fn queues(&self) -> impl Iterator<Item = &str> {
        self.queue_ids.keys().map(String::as_str)
    }

    fn queue_id(&mut self, name: &str) -> QueueId {
        if let Some(&at) = self.queue_ids.get(name) {
            return at;
        }
        let at = self.queue_ids.len();
        self.queue_ids.insert(name.to_string(), at);
        at
    }

    /// Attempts that workers hold.
    pub fn n_live(&self) -> u32 {
        self.n_live
    }

    /// Takes in the row of an instance: what it holds, and whether it waits. Called after each
    /// change of a row; called twice it changes nothing more.
    pub fn follow(&mut self, run: &Run, at: TaskIndex) {
        let place = (run.row.run, at);
        let task = &run.tasks[at.at()];
        let holds = task.is_live() || task.state == TaskState::Deferred;
        let waits = task.state == TaskState::Scheduled && !task.is_live();
        let is_known = self.holds.contains_key(&place) || self.demands.contains_key(&place);
        // When it last got a slot; it may have waited for a worker since.
        let granted = task.queued_at.or(task.started_at);
        if !holds && !waits && !is_known && granted.is_none() {
            return;
        }
        let pool = self.pool_id(&run.task(at).pool);
        if let Some(started) = granted {
            let last = self
                .last_start
                .entry((run.row.run, pool))
                .or_insert(Ts(i64::MIN));
            if started > *last {
                *last = started;
                self.show_run(run.row.run);
            }
        }
        let hold = holds.then(|| Hold {
            pool,
            width: run.task(at).pool_slots,
            dag: run.row.dag,
            task_no: task.task_no,
            // A deferred attempt is with its worker and takes none of its slots.
            is_live: task.is_live() && task.state != TaskState::Deferred,
        });
        let demand = waits.then(|| {
            let queue = self.queue_id(&run.task(at).queue);
            demand(run, at, pool, queue)
        });
        self.set_hold(place, hold);
        self.set_demand(place, demand);
    }

    /// Takes in every instance of a run that was read from the store.
    pub fn follow_all(&mut self, run: &Run) {
        (0..run.tasks.len() as u32).for_each(|at| self.follow(run, TaskIndex(at)));
    }

    /// A run leaves memory: nothing in it waits or holds any more.
    pub fn forget(&mut self, run: &Run) {
        for at in (0..run.tasks.len() as u32).map(TaskIndex) {
            self.set_hold((run.row.run, at), None);
            self.set_demand((run.row.run, at), None);
        }
        for pool in 0..self.pools.len() {
            self.last_start.remove(&(run.row.run, pool));
        }
    }

    /// Gives the next free slot away: the instance that must now be launched, or nobody.
    pub fn admit(&mut self) -> Option<Place> {
        let place = self.next()?;
        let demand = self.demands.get(&place)?.clone();
        self.n_granted += 1;
        self.pools[demand.pool].n_granted += 1;
        self.set_demand(place, None);
        let hold = Hold {
            pool: demand.pool,
            width: demand.width,
            dag: demand.dag,
            task_no: demand.task_no,
            is_live: true,
        };
        self.set_hold(place, Some(hold));
        Some(place)
    }

    /// Who would get a free slot now.
    pub fn next(&self) -> Option<Place> {
        if self.n_live >= self.slots {
            return None;
        }
        let is_share = |n_granted: u64| (n_granted + 1).is_multiple_of(FAIR_SHARE);
        let offers = self
            .pools
            .iter()
            .filter_map(|pool| Some((pool, pool.offer(&self.closed)?)));
        let chosen = if is_share(self.n_granted) {
            offers.map(|(_, offer)| offer.oldest).min()?.turn
        } else {
            let (pool, offer) = offers.min_by_key(|(_, offer)| offer.first.turn)?;
            if is_share(pool.n_granted) {
                offer.oldest.turn
            } else {
                offer.first.turn
            }
        };
        Some(chosen.place())
    }

    fn pool_id(&mut self, name: &str) -> PoolId {
        if let Some(&at) = self.pool_ids.get(name) {
            return at;
        }
        let at = self.pools.len();
        self.pools.push(Pool {
            name: name.to_string(),
            ..Pool::default()
        });
        self.pool_ids.insert(name.to_string(), at);
        at
    }

    /// The one place where holds change. Sums follow here and nowhere else.
    fn set_hold(&mut self, place: Place, hold: Option<Hold>) {
        let before = match hold {
            Some(hold) => self.holds.insert(place, hold),
            None => self.holds.remove(&place),
        };
        if before == hold {
            return;
        }
        let run = place.0;
        if let Some(before) = before {
            self.add(run, &before, -1);
        }
        if let Some(hold) = hold {
            self.add(run, &hold, 1);
        }
        for hold in before.iter().chain(&hold) {
            let runs = self.waiting_in.get(&(hold.dag, hold.task_no));
            let runs: Vec<RunNo> = runs.into_iter().flatten().copied().collect();
            runs.into_iter()
                .for_each(|run| self.show_task_lane((run, hold.task_no)));
        }
        self.show_run(run);
        self.forget_run_if_idle(run);
    }

    fn add(&mut self, run: RunNo, hold: &Hold, by: i32) {
        let slots = i64::from(by) * i64::from(hold.width);
        let pool = &mut self.pools[hold.pool];
        if hold.is_live {
            pool.n_live = pool.n_live.wrapping_add_signed(slots);
            self.n_live = self.n_live.wrapping_add_signed(by);
            let side = self.runs.entry(run).or_default();
            side.n_live = side.n_live.wrapping_add_signed(by);
        } else {
            pool.n_deferred = pool.n_deferred.wrapping_add_signed(slots);
        }
        change(&mut self.held_of_dag, (hold.dag, hold.task_no), by);
        change(&mut self.held_of_run, (run, hold.task_no), by);
    }

    /// The one place where waits change.
    fn set_demand(&mut self, place: Place, demand: Option<Demand>) {
        if self.demands.get(&place) == demand.as_ref() {
            return;
        }
        if let Some(before) = self.demands.remove(&place) {
            self.leave(&before);
        }
        if let Some(demand) = demand {
            self.join(&demand);
            self.demands.insert(place, demand);
        }
        self.show_run(place.0);
        self.forget_run_if_idle(place.0);
    }

    fn join(&mut self, demand: &Demand) {
        let (run, task_no) = (demand.age.turn.run, demand.task_no);
        let side = self.runs.entry(run).or_default();
        side.n_max = demand.run_max;
        side.lanes.insert(demand.lane());
        let lane = self.lanes.entry(demand.lane()).or_default();
        lane.n_waiting += 1;
        if !demand.is_limited() {
            lane.queue.insert(demand.age);
            return;
        }
        let task_lane = self
            .task_lanes
            .entry((run, task_no))
            .or_insert_with(|| TaskLane {
                queue: Queue::default(),
                shown: None,
                demand: demand.clone(),
            });
        task_lane.queue.insert(demand.age);
        self.waiting_in
            .entry((demand.dag, task_no))
            .or_default()
            .insert(run);
        self.show_task_lane((run, task_no));
    }

    fn leave(&mut self, demand: &Demand) {
        let (run, task_no) = (demand.age.turn.run, demand.task_no);
        if let Some(lane) = self.lanes.get_mut(&demand.lane()) {
            lane.n_waiting -= 1;
            if !demand.is_limited() {
                lane.queue.remove(demand.age);
            }
        }
        let Some(task_lane) = self.task_lanes.get_mut(&(run, task_no)) else {
            return;
        };
        task_lane.queue.remove(demand.age);
        let is_empty = task_lane.queue.ends().is_none();
        self.show_task_lane((run, task_no));
        if is_empty {
            self.task_lanes.remove(&(run, task_no));
            let key = (demand.dag, task_no);
            if let Some(runs) = self.waiting_in.get_mut(&key) {
                runs.remove(&run);
                if runs.is_empty() {
                    self.waiting_in.remove(&key);
                }
            }
        }
    }

    /// A limited task shows its ends to its run's lane while both of its limits have room.
    fn show_task_lane(&mut self, key: (RunNo, TaskNo)) {
        let Some(task_lane) = self.task_lanes.get(&key) else {
            return;
        };
        let ends = task_lane
            .queue
            .ends()
            .filter(|_| self.task_has_room(&task_lane.demand));
        let lane_key = task_lane.demand.lane();
        let lane = self.lanes.entry(lane_key).or_default();
        if let Some(task_lane) = self.task_lanes.get_mut(&key) {
            show(&mut lane.queue, &mut task_lane.shown, ends);
        }
        self.show_lane(lane_key);
    }

    fn show_run(&mut self, run: RunNo) {
        let lanes = self
            .runs
            .get(&run)
            .map(|side| side.lanes.iter().copied().collect());
        let lanes: Vec<LaneKey> = lanes.unwrap_or_default();
        lanes.into_iter().for_each(|lane| self.show_lane(lane));
    }

    /// A run's lane shows its ends to its pool while the run has room.
    fn show_lane(&mut self, key: LaneKey) {
        let (run, pool, width, workers) = key;
        let has_room = self
            .runs
            .get(&run)
            .is_none_or(|side| side.n_live < side.n_max);
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        let queue = self.pools[pool]
            .waiting
            .entry((width, workers))
            .or_default();
        let last = self.last_start.get(&(run, pool)).copied();
        let last = last.unwrap_or(Ts(i64::MIN));
        let ends = lane.queue.ends().filter(|_| has_room);
        let ends = ends.map(|(first, oldest)| (first.of_run(last), oldest.of_run(last)));
        show(queue, &mut lane.shown, ends);
        if queue.ends().is_none() {
            self.pools[pool].waiting.remove(&(width, workers));
        }
        if lane.n_waiting == 0 {
            self.lanes.remove(&key);
            if let Some(side) = self.runs.get_mut(&run) {
                side.lanes.remove(&key);
            }
        }
    }

    fn forget_run_if_idle(&mut self, run: RunNo) {
        let is_idle = |side: &RunSide| side.lanes.is_empty() && side.n_live == 0;
        if self.runs.get(&run).is_some_and(is_idle) {
            self.runs.remove(&run);
        }
    }

    /// Instances of a limited task that count, and the limit, over all runs and in its own.
    fn limits_of_task(&self, demand: &Demand) -> [(u32, Option<u32>); 2] {
        let of_dag = self.held_of_dag.get(&(demand.dag, demand.task_no));
        let of_run = self.held_of_run.get(&(demand.age.turn.run, demand.task_no));
        let count = |n: Option<&u32>| n.copied().unwrap_or(0);
        [
            (count(of_dag), demand.per_dag),
            (count(of_run), demand.per_run),
        ]
    }

    fn task_has_room(&self, demand: &Demand) -> bool {
        let has_room = |(n, max): (u32, Option<u32>)| max.is_none_or(|max| n < max);
        self.limits_of_task(demand).into_iter().all(has_room)
    }
}

/// Counts in a map that holds no zeros.
fn change<K: std::hash::Hash + Eq + Copy>(counts: &mut HashMap<K, u32>, key: K, by: i32) {
    let count = counts.entry(key).or_default();
    *count = count.wrapping_add_signed(by);
    if *count == 0 {
        counts.remove(&key);
    }
}

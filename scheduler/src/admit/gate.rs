//! What stands between a waiting instance and its slot: the same sums that decide, with numbers.

use super::queue::Place;
use super::{Admission, Demand, Hold};
use tidemill_model::TaskState;

/// One condition that a waiting instance must meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Which.
    pub kind: GateKind,
    /// Is it met?
    pub is_open: bool,
    /// What is used, or who goes first: slots, attempts or instances.
    pub n: u64,
    /// The limit; `None` when there is none.
    pub max: Option<u64>,
    /// Who uses it, or goes first, with what they take; the longest list is cut by whoever shows it.
    pub holders: Vec<(Place, u32)>,
}

/// The conditions of admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateKind {
    /// Somebody has made its pool.
    PoolExists,
    /// It takes no more slots than its pool has.
    PoolSize,
    /// Its pool has so many slots free.
    PoolSlots,
    /// Its pool keeps its free slots for nobody else.
    PoolKept,
    /// Its run has fewer live tasks than `max_active_tasks`.
    RunTasks,
    /// Fewer instances of it are live than `max_active_tis_per_dag`.
    TaskPerDag,
    /// Fewer instances of it are live in its run than `max_active_tis_per_dagrun`.
    TaskPerRun,
    /// The workers have a free slot.
    WorkerSlots,
    /// Nobody goes before it.
    Turn,
}

impl Admission {
    /// Every condition of an instance that waits, `None` when it does not. All are met exactly
    /// when [`Admission::next`] names it.
    pub fn gates(&self, place: Place) -> Option<Vec<Gate>> {
        let demand = self.demands.get(&place)?;
        let mut gates = self.pool_gates(demand);
        gates.extend(self.limit_gates(demand));
        let slots = Gate {
            kind: GateKind::WorkerSlots,
            is_open: self.n_live < self.slots && !self.closed.contains(&demand.queue),
            n: u64::from(self.n_live),
            max: Some(u64::from(self.slots)),
            holders: self.holders(|_, hold| hold.is_live),
        };
        gates.push(slots);
        let may_go = gates.iter().all(|gate| gate.is_open);
        gates.push(self.turn(place, demand, may_go));
        Some(gates)
    }

    fn pool_gates(&self, demand: &Demand) -> Vec<Gate> {
        let pool = &self.pools[demand.pool];
        let exists = pool.limit.is_some();
        let gate = |kind, is_open, n, max| Gate {
            kind,
            is_open,
            n,
            max,
            holders: Vec::new(),
        };
        let mut gates = vec![gate(GateKind::PoolExists, exists, 0, None)];
        if !exists {
            return gates;
        }
        let width = u64::from(demand.width);
        let total = Some(pool.total()).filter(|total| *total < u64::MAX);
        gates.push(gate(
            GateKind::PoolSize,
            width <= pool.total(),
            width,
            total,
        ));
        let keeps = pool
            .limit
            .as_ref()
            .is_some_and(|limit| limit.include_deferred);
        gates.push(Gate {
            holders: self.holders(|_, hold| hold.pool == demand.pool && (hold.is_live || keeps)),
            ..gate(
                GateKind::PoolSlots,
                width <= pool.free(),
                pool.occupied(),
                total,
            )
        });
        let kept_for = pool
            .kept_for(&self.closed)
            .filter(|(age, _)| age.turn != demand.age.turn);
        gates.push(Gate {
            holders: kept_for
                .iter()
                .map(|(age, width)| (age.turn.place(), *width))
                .collect(),
            ..gate(GateKind::PoolKept, kept_for.is_none(), pool.free(), total)
        });
        gates
    }

    fn limit_gates(&self, demand: &Demand) -> Vec<Gate> {
        let run = demand.age.turn.run;
        let n_live = self.runs.get(&run).map_or(0, |side| side.n_live);
        let mut gates = vec![Gate {
            kind: GateKind::RunTasks,
            is_open: n_live < demand.run_max,
            n: u64::from(n_live),
            max: Some(u64::from(demand.run_max)),
            holders: self.holders(|place, hold| place.0 == run && hold.is_live),
        }];
        let [per_dag, per_run] = self.limits_of_task(demand);
        for (kind, (n, max)) in [
            (GateKind::TaskPerDag, per_dag),
            (GateKind::TaskPerRun, per_run),
        ] {
            let Some(max) = max else { continue };
            let is_same = |hold: &Hold| hold.dag == demand.dag && hold.task_no == demand.task_no;
            let is_near = |place: &Place| kind == GateKind::TaskPerDag || place.0 == run;
            gates.push(Gate {
                kind,
                is_open: n < max,
                n: u64::from(n),
                max: Some(u64::from(max)),
                holders: self.holders(|place, hold| is_same(hold) && is_near(place)),
            });
        }
        gates
    }

    /// How many go before it in its pool, and who is next.
    fn turn(&self, place: Place, demand: &Demand, may_go: bool) -> Gate {
        let is_before =
            |other: &&Demand| other.pool == demand.pool && other.age.turn < demand.age.turn;
        let n_before = self.demands.values().filter(is_before).count();
        let next = self.next();
        Gate {
            kind: GateKind::Turn,
            is_open: if may_go {
                next == Some(place)
            } else {
                n_before == 0
            },
            n: n_before as u64,
            max: None,
            holders: next
                .filter(|next| *next != place)
                .map(|next| (next, self.demands.get(&next).map_or(1, |other| other.width)))
                .into_iter()
                .collect(),
        }
    }

    /// Who holds something, in the order of runs and tasks.
    fn holders(&self, wanted: impl Fn(&Place, &Hold) -> bool) -> Vec<(Place, u32)> {
        let found = self
            .holds
            .iter()
            .filter(|(place, hold)| wanted(place, hold));
        let mut found: Vec<(Place, u32)> =
            found.map(|(place, hold)| (*place, hold.width)).collect();
        found.sort_unstable();
        found
    }

    /// How each pool is used, in the order of their names; those that nobody has made too, while
    /// somebody waits in them.
    pub fn pool_uses(&self) -> Vec<PoolUse> {
        let mut uses: Vec<PoolUse> = self
            .pools
            .iter()
            .map(|pool| PoolUse {
                name: pool.name.clone(),
                exists: pool.limit.is_some(),
                n_live: pool.n_live,
                n_deferred: pool.n_deferred,
                n_occupied: pool.occupied(),
                n_waiting: 0,
                holders: Vec::new(),
            })
            .collect();
        for demand in self.demands.values() {
            uses[demand.pool].n_waiting += u64::from(demand.width);
        }
        for (place, hold) in &self.holds {
            let state = if hold.is_live {
                TaskState::Running
            } else {
                TaskState::Deferred
            };
            uses[hold.pool].holders.push((*place, hold.width, state));
        }
        uses.retain(|pool| pool.exists || pool.n_waiting > 0 || !pool.holders.is_empty());
        uses.iter_mut()
            .for_each(|pool| pool.holders.sort_unstable());
        uses.sort_by(|a, b| a.name.cmp(&b.name));
        uses
    }
}

/// How a pool is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// Its name.
    pub name: String,
    /// Has somebody made it?
    pub exists: bool,
    /// Slots of live attempts.
    pub n_live: u64,
    /// Slots of deferred instances, whether they count or not.
    pub n_deferred: u64,
    /// Slots that count as taken.
    pub n_occupied: u64,
    /// Slots that instances wait for.
    pub n_waiting: u64,
    /// Who holds slots, how many, and whether it runs or is deferred.
    pub holders: Vec<(Place, u32, TaskState)>,
}

//! Slots: who holds them, who gets one, and why who waits has none.

use crate::store::key;
use crate::world::{SLOTS, World};
use tidemill_model::{TaskIndex, TaskState};
use tidemill_scheduler::{Admission, CheckKind, PoolUse, Turns, why_run, why_task};

impl World {
    /// I34, I35: the slot that was granted is within every limit, and wanted.
    pub fn check_grant(&self, at: TaskIndex) {
        let (run, task) = (&self.run, self.run.task(at));
        self.ensure(run.wants_slot(at), || format!("{at:?} wants no slot"));
        let row = &run.tasks[at.at()];
        self.ensure(!self.lost_for_good.contains(&key(row)), || {
            format!("I40: {:?} was lost and starts again", key(row))
        });
        // Who waits for something outside holds a slot of the pools that count it, and one of
        // those that its task may have at once.
        let is_deferred = |at: TaskIndex| run.tasks[at.at()].state == TaskState::Deferred;
        let in_slot = |at: TaskIndex| run.tasks[at.at()].is_live() && !is_deferred(at);
        let pool = self.pools.iter().find(|pool| pool.name == task.pool);
        let counts = pool.is_some_and(|pool| pool.include_deferred);
        let in_pool = |at: &TaskIndex| in_slot(*at) || counts && is_deferred(*at);
        let width = |at: TaskIndex| i64::from(run.task(at).pool_slots);
        let width: i64 = run.places().filter(in_pool).map(width).sum();
        let width = width + i64::from(task.pool_slots);
        let fits = pool.is_some_and(|pool| pool.slots < 0 || width <= pool.slots);
        self.ensure(fits, || format!("I34: {width} slots of {pool:?}"));
        let n_live = run.places().filter(|at| in_slot(*at)).count() as u32;
        let is_same = |at: &TaskIndex| run.tasks[at.at()].task_no == row.task_no;
        let same = run.places().filter(is_same);
        let same = same.filter(|at| in_slot(*at) || is_deferred(*at)).count() as u32;
        let fits_run = n_live < run.dag.max_active_tasks && n_live < SLOTS;
        let fits_task = task.max_active_tis_per_dagrun.is_none_or(|max| same < max);
        self.ensure(fits_run && fits_task && self.has_room, || {
            format!(
                "I35: {:?} starts as number {} of its run",
                key(row),
                n_live + 1
            )
        });
    }

    /// I34: slots are those of live rows, whatever has happened before; each with its holder.
    pub fn check_slots(&self) {
        let n_live = self.run.tasks.iter().filter(|row| row.is_live()).count() as u32;
        self.ensure(n_live == self.run.n_live(), || {
            "I34: live attempts".to_string()
        });
        let told = self.admission.pool_uses();
        let expected = self.pool_uses();
        self.ensure(told == expected, || {
            format!("I34: {told:?} from what was followed, {expected:?} from rows")
        });
        let in_slots = expected.iter().flat_map(|pool| &pool.holders);
        let n_taken = in_slots
            .filter(|holder| holder.2 == TaskState::Running)
            .count();
        self.ensure(n_taken == self.admission.n_live() as usize, || {
            format!(
                "I34: {n_taken} attempts run, {} slots are taken",
                self.admission.n_live()
            )
        });
    }

    /// The use of the one pool, counted from the rows.
    fn pool_uses(&self) -> Vec<PoolUse> {
        let run = &self.run;
        let limit = self.pools.first();
        let mut uses = PoolUse {
            name: "default_pool".to_string(),
            exists: limit.is_some(),
            n_live: 0,
            n_deferred: 0,
            n_occupied: 0,
            n_waiting: 0,
            holders: Vec::new(),
        };
        for at in run.places() {
            let width = run.task(at).pool_slots;
            let is_deferred = run.tasks[at.at()].state == TaskState::Deferred;
            let (slots, state) = match () {
                () if is_deferred => (&mut uses.n_deferred, TaskState::Deferred),
                () if run.tasks[at.at()].is_live() => (&mut uses.n_live, TaskState::Running),
                () if run.wants_slot(at) => {
                    uses.n_waiting += u64::from(width);
                    continue;
                }
                () => continue,
            };
            *slots += u64::from(width);
            uses.holders.push(((run.row.run, at), width, state));
        }
        let keeps = limit.is_some_and(|limit| limit.include_deferred);
        uses.n_occupied = uses.n_live + if keeps { uses.n_deferred } else { 0 };
        let is_used = uses.exists || uses.n_waiting > 0 || !uses.holders.is_empty();
        is_used.then_some(uses).into_iter().collect()
    }

    /// I34: who may go follows from the rows alone.
    pub fn check_admission(&self) {
        let mut again = Admission::new(SLOTS);
        again.set_pools(&self.pools);
        again.set_room("default", self.has_room);
        again.follow_all(&self.run);
        let (followed, read) = (self.admission.next(), again.next());
        self.ensure(followed.is_some() == read.is_some(), || {
            format!("I34: {followed:?} from what was followed, {read:?} from rows")
        });
    }

    /// I37, I38: every condition of an instance is met exactly when it gets the next slot, so who
    /// waits has one that is not; and a run names everything in it that is not over.
    pub fn check_reasons(&self) {
        let run = &self.run;
        let mut turns = Turns::default();
        turns.follow(&run.row, "", false);
        let next = self.admission.next();
        for at in run.places().filter(|at| !self.is_held_back(*at)) {
            if run.tasks[at.at()].state.is_terminal() {
                continue;
            }
            let checks = why_task(run, at, &self.admission, &turns, false, self.now);
            let goes = checks.iter().all(|check| check.is_ok);
            self.ensure(goes == (next == Some((run.row.run, at))), || {
                format!("I38: {at:?} goes {goes}, {next:?} is next: {checks:#?}")
            });
        }
        let mut told: Vec<TaskIndex> = Vec::new();
        for check in why_run(run, &turns, false, self.now) {
            if let CheckKind::Tasks(state, places) = check.kind {
                let is_in_it = |at: &TaskIndex| run.tasks[at.at()].state == state;
                let is_right = !check.is_ok && places.iter().all(is_in_it);
                self.ensure(is_right, || format!("I38: {places:?} are not {state}"));
                told.extend(places);
            }
        }
        told.sort_unstable();
        let is_open = |at: &TaskIndex| !run.tasks[at.at()].state.is_terminal();
        let begun = run.row.state == tidemill_model::RunState::Running;
        let open: Vec<TaskIndex> = run.places().filter(|at| begun && is_open(at)).collect();
        self.ensure(told == open, || {
            format!("I38: {told:?} are told, {open:?} open")
        });
    }

    /// Does an instance wait for its task to be expanded anew, or its task for an attempt of an
    /// instance to end? What it waits for is told by the other one.
    fn is_held_back(&self, at: TaskIndex) -> bool {
        let task = self.run.index_of(at);
        let is_live = |at: &TaskIndex| self.run.tasks[at.at()].is_live();
        match task == at {
            true => self.run.instances(task).iter().any(is_live),
            false => !self.run.is_expanded(task),
        }
    }
}

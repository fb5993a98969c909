//! What rows say: each by itself, beside the row that it was, and beside what the store holds, what
//! workers have and which timers will ring.

use crate::before::Before;
use crate::store::key;
use crate::world::World;
use tidemill_model::dag::Mapping;
use tidemill_model::{Attempt, MapIndex, Reason, RunState, TaskIndex, TaskRow, TaskState};
use tidemill_scheduler::{Counts, Effect, UpstreamCounts};

impl World {
    /// I10, I12: numbers of attempts only rise, a try has an epoch of its own and leaves the one
    /// before it to be kept, and whatever has changed is told to be written.
    pub fn check_since(&self, before: &Before, effects: &[Effect]) {
        for (at, new) in self.run.places().zip(&self.run.tasks) {
            let is_told = || {
                let of_it = [Effect::Task(at), Effect::Replace(at)];
                effects.iter().any(|effect| of_it.contains(effect))
            };
            let Some(old) = before.tasks.get(at.at()) else {
                self.ensure(is_told(), || format!("I12: nobody hears of {new:?}"));
                continue;
            };
            let numbers = |row: &TaskRow| [row.epoch.0, row.try_number.into(), row.clears.into()];
            let mut pairs = numbers(old).into_iter().zip(numbers(new));
            let only_rise = pairs.all(|(old, new)| old <= new) && key(old) == key(new);
            let is_new_try = new.try_number > old.try_number;
            let is_next = new.try_number == old.try_number + 1 && new.epoch > old.epoch;
            self.ensure(only_rise && (!is_new_try || is_next), || {
                format!("I10: {old:?} is {new:?}")
            });
            let is_kept = effects.iter().any(|effect| {
                let is_it =
                    |kept: &TaskRow| (key(kept), kept.try_number) == (key(old), old.try_number);
                matches!(effect, Effect::KeepTry(kept) if is_it(kept))
            });
            self.ensure(is_kept == (is_new_try && old.try_number > 0), || {
                format!("I12: is the try of {old:?} kept? {is_kept}, and it is {new:?}")
            });
            self.ensure(old == new || is_told(), || {
                format!("I12: nobody hears that {old:?} is {new:?}")
            });
        }
        let is_told = before.run == self.run.row || effects.contains(&Effect::Run);
        self.ensure(is_told, || "I12: nobody hears of the run".to_string());
    }

    /// What a row says by itself, after every event.
    pub fn check_rows(&self) {
        for row in &self.run.tasks {
            let may_be_live = row.state == TaskState::Deferred || row.state.is_terminal();
            let is_right = match row.state {
                TaskState::Queued | TaskState::Restarting => row.is_live(),
                TaskState::Running => row.is_live() && row.started_at.is_some(),
                TaskState::Scheduled => !row.is_live() && row.scheduled_at.is_some(),
                TaskState::UpForRetry => !row.is_live() && row.not_before.is_some(),
                _ => !row.is_live() || may_be_live,
            };
            let has_epoch = !row.is_live() || row.epoch.0 > 0 && row.try_number > 0;
            let is_over = row.state.is_terminal() && row.state != TaskState::Removed;
            let has_end = !is_over || row.is_live() || row.ended_at.is_some();
            self.ensure(is_right && has_epoch && has_end, || {
                format!("I13, I39, I43: no row may be {row:?}")
            });
        }
        self.check_timers();
    }

    /// I14, I43: who waits for an instant has a timer that rings then.
    fn check_timers(&self) {
        for (at, row) in self.run.places().zip(&self.run.tasks) {
            let waits_elsewhere = row.state == TaskState::Deferred && !row.is_live();
            let waits = waits_elsewhere || row.state == TaskState::UpForRetry;
            let Some(due) = row.not_before.filter(|_| waits) else {
                continue;
            };
            self.ensure(self.timers.contains(&(due, at)), || {
                format!("I14: nothing rings for {row:?}")
            });
        }
    }

    /// I10: what starts has an epoch that nothing has had.
    pub fn check_epoch(&mut self, attempt: Attempt) {
        let key = (attempt.task_no, attempt.map_index);
        let before = self.newest.insert(key, attempt.epoch.0);
        self.ensure(before.is_none_or(|before| before < attempt.epoch.0), || {
            format!("I10: the epoch of {attempt} is not new: {before:?}")
        });
    }

    /// I13: nobody has another attempt of what starts: of the same instance, or where a mapped task
    /// is expanded or its instances take over, of any.
    pub fn check_alone(&self, attempt: Attempt) {
        let is_near = |other: &Attempt| {
            let is_whole = [attempt.map_index, other.map_index].contains(&MapIndex::NONE);
            other.task_no == attempt.task_no && (other.map_index == attempt.map_index || is_whole)
        };
        let other = self.live.iter().find(|other| is_near(other));
        self.ensure(other.is_none(), || {
            format!("I13: {attempt} starts beside {other:?}")
        });
    }

    /// After a commit: what rows call live is with somebody, what somebody has is live, and what
    /// must end has been told so (I13, I14).
    pub fn check_live(&self) {
        for at in self.run.places() {
            let row = &self.run.tasks[at.at()];
            if !row.is_live() {
                continue;
            }
            let attempt = self.run.attempt(at);
            self.ensure(self.is_with_somebody(attempt), || {
                format!("I14: {attempt} is live and with nobody")
            });
            let is_killed = self.killed.contains(&attempt);
            self.ensure(is_killed || !self.must_end(at), || {
                format!("I14: {attempt} must end, and nobody ends it: {row:?}")
            });
        }
        for attempt in &self.live {
            let at = self.run.place_of(*attempt);
            let is_known = at.is_some_and(|at| self.run.tasks[at.at()].is_live());
            self.ensure(is_known, || format!("I13: {attempt} runs on, forgotten"));
        }
    }

    /// Must a live attempt end: cleared, marked, gone, or in a run that is being ended?
    fn must_end(&self, at: TaskIndex) -> bool {
        let state = self.run.tasks[at.at()].state;
        let is_ending = match self.run.row.reason {
            None => false,
            Some(Reason::TimedOut) => true,
            Some(_) => !self.run.task(at).role.is_teardown(),
        };
        state == TaskState::Restarting || state.is_terminal() || is_ending
    }

    /// After a commit: the store holds what memory holds, and what is read from it counts the same
    /// (I12, I43).
    pub fn check_stored(&self) {
        self.ensure(self.stored.run == self.run.row, || {
            "the run was not written".to_string()
        });
        for at in self.run.places() {
            let row = &self.run.tasks[at.at()];
            let stored = self.stored.tasks.get(&key(row));
            let is_right = match stored {
                _ if self.run.is_expanded(at) => stored.is_none(),
                Some(stored) => stored == row || self.run.only_waits(at) && is_blank(stored),
                None => is_blank(row) || self.run.only_waits(at),
            };
            self.ensure(is_right, || {
                format!("stored is {stored:?}, in memory {row:?}")
            });
        }
        let again = self.read_again();
        for at in (0..self.run.dag.tasks.len() as u32).map(TaskIndex) {
            let (now, then) = (self.run.upstream(at), again.upstream(at));
            self.ensure(counted(&now) == counted(&then), || {
                format!("counters of {at:?}: {now:?} from events, {then:?} from rows")
            });
        }
        let settled = |run: &tidemill_scheduler::Run| (run.n_live(), run.is_settled());
        self.ensure(settled(&self.run) == settled(&again), || {
            "what is open or live from rows is not what is from events".to_string()
        });
    }

    /// A task that goes in step with another has as many instances as that, and each of them sees
    /// the one with its index and no other.
    pub fn check_in_step(&self) {
        let run = &self.run;
        let there = |task: TaskIndex| {
            let all = run.instances(task).iter();
            all.filter(|at| run.tasks[at.at()].state != TaskState::Removed)
        };
        for (at, task) in run.dag.tasks.iter().enumerate() {
            let task_of_it = task.mapping.as_ref().and_then(Mapping::each);
            let source = task_of_it.and_then(|(_, above)| run.dag.index_of(above));
            let own = TaskIndex(at as u32);
            let is_running = run.row.state == RunState::Running;
            let both = |source: &TaskIndex| run.is_expanded(*source) && run.is_expanded(own);
            let Some(source) = source.filter(|source| is_running && both(source)) else {
                continue;
            };
            let mut instances = run.instances(own).iter();
            let leaves = instances.any(|at| run.tasks[at.at()].is_live());
            let (n_own, n_source) = (there(own).count(), there(source).count());
            self.ensure(n_own == n_source || leaves, || {
                format!("{own:?} has {n_own} instances, {source:?} {n_source}")
            });
            let above = run.dag.graph.upstream(own).iter();
            let others = above.filter(|up| **up != source);
            let others: Vec<&TaskIndex> = others
                .flat_map(|up| [up].into_iter().chain(run.instances(*up)))
                .collect();
            for (at, above) in there(own).zip(there(source)) {
                let mut near = Counts::default();
                for up in others.iter().copied().chain([above]) {
                    near.total += 1;
                    near.count(run.tasks[up.at()].state, 1);
                }
                self.ensure(run.upstream(*at).near == near, || {
                    format!("{at:?} sees {:?}, not {near:?}", run.upstream(*at).near)
                });
            }
        }
    }
}

/// Everything that decides; instances that are gone count for nothing, however many there were.
fn counted(up: &UpstreamCounts) -> ([[u32; 5]; 3], [u32; 3]) {
    let states = |counts: &Counts| {
        let bad = [counts.failed, counts.upstream_failed];
        [counts.n(), counts.success, bad[0], bad[1], counts.skipped]
    };
    let all = [&up.near, &up.near_setups, &up.far_setups].map(states);
    (
        all,
        [up.open_in_scope, up.open_deciders, up.not_followed_by],
    )
}

/// Does a row say that nothing has happened?
fn is_blank(row: &TaskRow) -> bool {
    (row.state, row.epoch.0, row.clears) == (TaskState::None, 0, 0)
}

//! What must hold after every event, and at the end. The numbers are those of the invariants in
//! the reliability table of the design.

use crate::store::key;
use crate::world::World;
use tidemill_model::attempt::Verdict;
use tidemill_model::dag::OnLost;
use tidemill_model::{
    Attempt, Epoch, MapIndex, Outcome, Reason, RunState, TaskIndex, TaskNo, TaskRow, TaskState,
};
use tidemill_scheduler::{Admission, Counts, Effect, Event};

/// What an event found, as far as its end is judged by it.
pub struct Before {
    pub tasks: Vec<TaskRow>,
    run_state: RunState,
    retries_used: i32,
    pub is_people: bool,
    /// The attempt that the event is about, its place if it is current, and how it ended.
    report: Option<(Attempt, Option<Verdict>)>,
    lost: Option<(TaskIndex, bool)>,
    early_timer: bool,
    /// What ends well by this event without a report.
    heard: Option<TaskIndex>,
}

impl World {
    /// Stops the story, with the seed that tells it again.
    pub fn fail(&self, what: &str) -> ! {
        let states: Vec<&str> = self.run.tasks.iter().map(|row| row.state.name()).collect();
        panic!(
            "seed {}, event {}: {what}; run {} {:?}, tasks {states:?}",
            self.seed, self.n_events, self.run.row.state, self.run.row.reason
        );
    }

    pub fn ensure(&self, holds: bool, what: impl Fn() -> String) {
        if !holds {
            self.fail(&what());
        }
    }

    pub fn look(&self, event: &Event) -> Before {
        let verdict = |outcome: &Outcome| match outcome.reason {
            Some(Reason::Interrupted) => None,
            _ => Some(outcome.verdict),
        };
        let report = match event {
            Event::AttemptEnded { attempt, outcome } => Some((*attempt, verdict(outcome))),
            Event::AttemptLost { attempt, .. } => Some((*attempt, Some(Verdict::Lost))),
            _ => None,
        };
        let blame = !matches!(event, Event::AttemptLost { blame: false, .. });
        let lost = report.filter(|(_, verdict)| *verdict == Some(Verdict::Lost));
        let lost = lost.and_then(|(attempt, _)| self.unsettled(attempt));
        let is_early = |at: TaskIndex| {
            let due = self.run.tasks[at.at()].not_before;
            due.is_some_and(|due| due > self.now)
        };
        Before {
            tasks: self.run.tasks.clone(),
            run_state: self.run.row.state,
            retries_used: self.run.row.retries_used,
            is_people: matches!(
                event,
                Event::Clear(_)
                    | Event::Mark(..)
                    | Event::MarkRun(_)
                    | Event::Cancel
                    | Event::Replace
            ),
            report: report.filter(|_| matches!(event, Event::AttemptEnded { .. })),
            lost: lost.map(|at| (at, blame)),
            early_timer: matches!(event, Event::TimerDue(at) if is_early(*at)),
            heard: self.ends_well_by(event),
        }
    }

    /// The place of an attempt whose end will be judged: current, live, neither cleared nor marked.
    fn unsettled(&self, attempt: Attempt) -> Option<TaskIndex> {
        let at = self.run.place_of(attempt)?;
        let row = &self.run.tasks[at.at()];
        let is_settled = row.state.is_terminal() || row.state == TaskState::Restarting;
        (row.is_live() && !is_settled).then_some(at)
    }

    pub fn check_step(&mut self, before: &Before, effects: &[Effect]) {
        let is_retried = before.retries_used != self.run.row.retries_used;
        if !before.is_people && !is_retried {
            self.check_ends_stay(before);
        }
        if let Some((attempt, verdict)) = before.report {
            self.check_report(attempt, verdict, before, effects);
        }
        if !before.is_people && before.report.is_none() {
            self.check_no_success(before, before.heard);
        }
        if !is_retried {
            self.check_events(before, effects);
        }
        if before.early_timer {
            self.ensure(before.tasks == self.run.tasks, || {
                "I43: a timer that rang too early moved something".to_string()
            });
        }
        if let Some((at, blame)) = before.lost {
            self.check_loss(at, blame, &before.tasks[at.at()], is_retried);
        }
        if before.is_people {
            // What a person has cleared, marked or had removed is no longer lost.
            let is_settled =
                |row: &&TaskRow| row.reason != Some(Reason::Lost) || !row.state.is_failure();
            for row in self.run.tasks.iter().filter(is_settled) {
                self.lost_for_good.remove(&key(row));
                self.draft.lost_for_good.retain(|lost| *lost != key(row));
            }
        }
        if before.run_state != self.run.row.state && self.run.row.state == RunState::Success {
            self.check_leaves();
        }
    }

    /// I11: only people, or a retry of the whole run, take an end back; instances that an
    /// expansion no longer has are removed.
    fn check_ends_stay(&self, before: &Before) {
        for (old, new) in before.tasks.iter().zip(&self.run.tasks) {
            let is_end = old.state.is_terminal() && old.state != TaskState::Removed;
            let is_kept = new.state == old.state || new.state == TaskState::Removed;
            self.ensure(!is_end || is_kept, || {
                format!("I11: {:?} was {} and is {}", key(old), old.state, new.state)
            });
        }
    }

    /// I10, I16: a report counts once, and only a report of success makes a success.
    fn check_report(
        &mut self,
        attempt: Attempt,
        verdict: Option<Verdict>,
        before: &Before,
        effects: &[Effect],
    ) {
        if effects.contains(&Effect::Stale(attempt)) {
            self.ensure(before.tasks == self.run.tasks, || {
                format!("I10: the stale report of {attempt} changed something")
            });
            return;
        }
        if verdict == Some(Verdict::Deferred) {
            return self.check_deferral(attempt, before);
        }
        let is_new = !self.accepted.contains(&attempt) && !self.draft.accepted.contains(&attempt);
        self.ensure(is_new, || format!("I10: {attempt} counted twice"));
        self.draft.accepted.push(attempt);
        let may = self.run.place(attempt.task_no, attempt.map_index);
        let may = may.filter(|_| verdict == Some(Verdict::Success));
        self.check_no_success(before, may);
    }

    fn check_no_success(&self, before: &Before, may: Option<TaskIndex>) {
        for (at, new) in self.run.tasks.iter().enumerate() {
            let was = before.tasks.get(at).map(|old| old.state);
            let is_new = new.state == TaskState::Success && was != Some(TaskState::Success);
            self.ensure(!is_new || may.is_some_and(|may| may.at() == at), || {
                format!("I16: {:?} succeeded without a report", key(new))
            });
        }
    }

    /// I39, I40, I41: a loss uses up no retry until it is the fourth in a row, and what must not
    /// be repeated is not.
    fn check_loss(&mut self, at: TaskIndex, blame: bool, old: &TaskRow, is_retried: bool) {
        let (may_repeat, new) = (self.may_repeat(at), &self.run.tasks[at.at()]);
        let lost = key(new);
        self.ensure(may_repeat || new.state.is_terminal(), || {
            format!("I40: {lost:?} was lost and is {}", new.state)
        });
        if !is_retried {
            let losses = old.losses + i32::from(blame);
            let free = i32::from(losses <= 3);
            self.ensure(
                (new.losses, new.max_tries) == (losses, old.max_tries + free),
                || format!("I39: {lost:?} was {old:?} and is {new:?}"),
            );
        }
        if !may_repeat {
            self.draft.lost_for_good.push(lost);
        }
    }

    /// May an attempt be followed by another one when nobody knows how it ended?
    fn may_repeat(&self, at: TaskIndex) -> bool {
        let task = self.run.task(at);
        task.on_lost == OnLost::Retry || self.is_expansion(at) || !task.operator.is_command()
    }

    /// The definition has changed, and with it what a loss means.
    pub fn judge_losses_anew(&mut self) {
        for at in self.run.places() {
            if self.may_repeat(at) {
                let may = key(&self.run.tasks[at.at()]);
                self.lost_for_good.remove(&may);
                self.draft.lost_for_good.retain(|lost| *lost != may);
            }
        }
    }

    /// I17: what is at the end of the graph has not failed.
    fn check_leaves(&self) {
        let leaves = self.run.dag.scopes.leaves().iter();
        let mut places = leaves.flat_map(|at| self.run.places_of(*at));
        let ends_well = places.all(|at| !self.run.tasks[at.at()].state.is_failure());
        self.ensure(ends_well, || {
            "I17: a run with a failed leaf succeeded".to_string()
        });
    }

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
        let fits_run = n_live < run.dag.max_active_tasks;
        let fits_task = task.max_active_tis_per_dagrun.is_none_or(|max| same < max);
        self.ensure(fits_run && fits_task, || {
            format!(
                "I35: {:?} starts as number {} of its run",
                key(row),
                n_live + 1
            )
        });
    }

    /// I10: what starts has an epoch that nothing has had.
    pub fn check_epoch(&mut self, attempt: Attempt) {
        let key = (attempt.task_no, attempt.map_index);
        let before = self.newest.insert(key, attempt.epoch.0);
        self.ensure(before.is_none_or(|before| before < attempt.epoch.0), || {
            format!("I10: the epoch of {attempt} is not new: {before:?}")
        });
    }

    /// What holds after every event.
    pub fn check(&self) {
        let row = &self.run.row;
        self.ensure(row.reason != Some(Reason::Deadlock), || {
            "I14: a deadlock".to_string()
        });
        let is_over = |row: &TaskRow| row.state.is_terminal() && !row.is_live();
        let all_over = || self.run.tasks.iter().all(is_over);
        self.ensure(!row.state.is_terminal() || all_over(), || {
            "I17: the run is over before its tasks".to_string()
        });
        for row in self
            .run
            .tasks
            .iter()
            .filter(|row| row.state == TaskState::UpForRetry)
        {
            self.ensure(row.not_before.is_some() && !row.is_live(), || {
                format!("I43: {:?} waits for no instant", key(row))
            });
        }
        self.check_in_step();
        self.check_resume();
        self.check_slots();
    }

    /// A task that goes in step with another has as many instances as that, and each of them sees
    /// the one with its index and no other.
    fn check_in_step(&self) {
        let run = &self.run;
        let there = |task: TaskIndex| {
            let all = run.instances(task).iter();
            all.filter(|at| run.tasks[at.at()].state != TaskState::Removed)
        };
        for (at, task) in run.dag.tasks.iter().enumerate() {
            let task_of_it = task.mapping.as_ref().and_then(|mapping| mapping.each());
            let source = task_of_it.and_then(|(_, above)| run.dag.index_of(above));
            let own = TaskIndex(at as u32);
            let Some(source) = source.filter(|source| {
                let is_running = run.row.state == RunState::Running;
                is_running && run.is_expanded(*source) && run.is_expanded(own)
            }) else {
                continue;
            };
            let leaves = run
                .instances(own)
                .iter()
                .any(|at| run.tasks[at.at()].is_live());
            let (n_own, n_source) = (there(own).count(), there(source).count());
            self.ensure(n_own == n_source || leaves, || {
                format!("{own:?} has {n_own} instances, {source:?} {n_source}")
            });
            let others = run
                .dag
                .graph
                .upstream(own)
                .iter()
                .filter(|up| **up != source);
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

    /// I18: looking again finds nothing that the event has not done.
    fn check_resume(&self) {
        let mut again = self.run.clone();
        let effects = tidemill_scheduler::step(&mut again, Event::Resume, self.now);
        let is_hint = |effect: &Effect| {
            matches!(
                effect,
                Effect::Ready(_) | Effect::Wake(..) | Effect::Watch(_)
            )
        };
        self.ensure(effects.iter().all(is_hint), || {
            format!("I18: a second look found {effects:?}")
        });
    }

    /// I34: slots are those of live rows, whatever has happened before.
    fn check_slots(&self) {
        let n_live = self.run.tasks.iter().filter(|row| row.is_live()).count() as u32;
        self.ensure(n_live == self.run.n_live(), || {
            "I34: live attempts".to_string()
        });
        let is_deferred = |row: &&TaskRow| row.is_live() && row.state == TaskState::Deferred;
        let n_deferred = self.run.tasks.iter().filter(is_deferred).count() as u32;
        let n_taken = self.admission.n_live();
        self.ensure(n_live - n_deferred == n_taken, || {
            format!("I34: {n_live} are live, {n_deferred} of them deferred, {n_taken} slots taken")
        });
    }

    /// I34: who may go follows from the rows alone.
    fn check_admission(&self) {
        let mut again = Admission::new(crate::world::SLOTS);
        again.set_pools(&self.pools);
        again.follow_all(&self.run);
        let may_go = again.next().is_some();
        self.ensure(
            !self.has_room || may_go == self.admission.next().is_some(),
            || format!("I34: from the rows a slot {may_go}, from what was followed not"),
        );
    }

    /// After a commit: the store holds what memory holds, the counters are those of the rows, and
    /// what is live is with somebody (I12, I14).
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
        self.check_admission();
        let again = self.read_again();
        for at in (0..self.run.dag.tasks.len() as u32).map(TaskIndex) {
            let (now, then) = (self.run.upstream(at), again.upstream(at));
            let counts = |up: tidemill_scheduler::UpstreamCounts| {
                let near = (up.near.n(), up.near.success, up.near.bad(), up.near.skipped);
                (
                    near,
                    up.far_setups.n(),
                    up.open_in_scope,
                    up.open_deciders,
                    up.not_followed_by,
                )
            };
            self.ensure(counts(now) == counts(then), || {
                format!("counters of {at:?}: {now:?} from events, {then:?} from rows")
            });
        }
        self.ensure(self.run.n_live() == again.n_live(), || {
            "live attempts".to_string()
        });
        let live = self
            .run
            .places()
            .filter(|at| self.run.tasks[at.at()].is_live());
        for attempt in live.map(|at| self.run.attempt(at)) {
            self.ensure(self.is_with_somebody(attempt), || {
                format!("I14: {attempt} is live and with nobody")
            });
        }
    }

    /// I42: a report that nobody can have sent changes nothing.
    pub fn report_nonsense(&mut self) {
        let attempt = Attempt {
            task_no: TaskNo(self.chance.below(20) as i32 - 2),
            map_index: MapIndex(self.chance.below(8) as i32 - 2),
            epoch: Epoch(*self.chance.pick(&[-1, 0, 1_000_000])),
            ..self.run.attempt(TaskIndex(0))
        };
        let before = self.run.tasks.clone();
        let outcome = Box::new(Outcome::success());
        self.step(Event::AttemptEnded { attempt, outcome });
        self.ensure(before == self.run.tasks, || {
            format!("I42: {attempt} moved something")
        });
    }

    pub fn assert_over(&self) {
        if self.is_told {
            self.tell_dag();
        }
        self.check();
        self.check_stored();
    }

    pub fn tell_aloud(&self, told: &str) {
        if !self.is_told {
            return;
        }
        let states: Vec<&str> = self.run.tasks.iter().map(|row| row.state.name()).collect();
        println!(
            "{} {told} -> {} {states:?}",
            self.n_events, self.run.row.state
        );
    }

    /// What waits for what, for whoever looks for a cause.
    fn tell_dag(&self) {
        for at in (0..self.run.dag.tasks.len() as u32).map(TaskIndex) {
            let task = self.run.dag.task(at);
            println!(
                "{} {:?} {} {} mapped {} after {:?}: {:?}",
                task.id,
                task.role,
                task.operator.name(),
                task.trigger_rule,
                task.mapping.is_some(),
                self.run.dag.graph.upstream(at),
                self.run.upstream(at),
            );
        }
    }
}

/// Does a row say that nothing has happened?
fn is_blank(row: &TaskRow) -> bool {
    (row.state, row.epoch.0, row.clears) == (TaskState::None, 0, 0)
}

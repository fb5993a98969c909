//! How attempts, instances and runs end: what each event may make of them, and what it must.

use crate::before::{About, Before, News, Wish};
use crate::store::key;
use crate::world::World;
use tidemill_model::dag::{OnEmpty, OnLost};
use tidemill_model::{Attempt, Reason, RunState, TaskIndex, TaskRow, TaskState};
use tidemill_scheduler::Effect;

/// So many losses in a row cost the task nothing.
const LOSSES_FREE: i32 = 3;

impl World {
    pub fn check_ends(&mut self, before: &Before, effects: &[Effect]) {
        let is_retried = before.run.retries_used != self.run.row.retries_used;
        match is_retried {
            true => self.check_retry(before),
            false => self.check_ends_stay(before),
        }
        let mut may_succeed = before.heard;
        if let Some(about) = &before.about {
            self.check_news(about, before, effects);
            may_succeed = about.at.filter(|_| about.news.is_success());
            if let Some(at) = about.at.filter(|at| is_judged(&before.tasks[at.at()])) {
                self.check_verdict(at, about.news, before, is_retried);
            }
        }
        let wish = before.wish.as_ref();
        self.check_successes(before, |at| {
            may_succeed == Some(at) || wish.is_some_and(|wish| wish.may_succeed(at))
        });
        if let Some(wish) = wish {
            self.check_wish(wish, before, is_retried);
            self.forget_settled_losses();
        }
        self.check_ended();
        self.check_run_end(before);
    }

    /// I11: only people, or a retry of the whole run, take an end back, and people no other than
    /// they have named; instances that an expansion no longer has are removed.
    fn check_ends_stay(&self, before: &Before) {
        let wish = before.wish.as_ref();
        let rows = before.tasks.iter().zip(&self.run.tasks);
        for (at, (old, new)) in self.run.places().zip(rows) {
            let is_end = old.state.is_terminal() && old.state != TaskState::Removed;
            let is_kept = new.state == old.state || new.state == TaskState::Removed;
            let is_wished = || wish.is_some_and(|wish| wish.may_change(at, old.state, new.state));
            self.ensure(!is_end || is_kept || is_wished(), || {
                format!("I11: {:?} was {} and is {}", key(old), old.state, new.state)
            });
        }
        let (old, new) = (&before.run, &self.run.row);
        let is_end = old.state.is_terminal() && wish.is_none();
        self.ensure(!is_end || old == new, || {
            format!("I11: the run was over as {old:?} and is {new:?}")
        });
    }

    /// What a person has named is as they have said. (What was marked or has gone while its attempt
    /// ran is not cleared before that has ended.)
    fn check_wish(&self, wish: &Wish, before: &Before, is_retried: bool) {
        let rows = before.tasks.iter().zip(&self.run.tasks);
        for (at, (old, new)) in self.run.places().zip(rows) {
            let is_out = old.state == TaskState::Removed || new.state == TaskState::Removed;
            let may_clear = match old.is_live() {
                true => is_judged(old),
                false => true,
            };
            let is_done = match wish {
                _ if is_out || is_retried => true,
                Wish::Clear(tasks) if tasks.contains(&at) && may_clear => {
                    new.clears == old.clears + 1 && (!old.is_live() || !is_judged(new))
                }
                Wish::Mark(tasks, state) if tasks.contains(&at) => new.state == *state,
                Wish::MarkRun => matches!(new.state, TaskState::Success | TaskState::Skipped),
                _ => true,
            };
            self.ensure(is_done, || format!("the wish left {old:?} as {new:?}"));
        }
    }

    /// A run that is being ended leaves nothing open but what still runs, and its teardown tasks while it
    /// has time.
    fn check_ended(&self) {
        let is_running = self.run.row.state == RunState::Running;
        let Some(reason) = self.run.row.reason.filter(|_| is_running) else {
            return;
        };
        for at in self.run.places() {
            let row = &self.run.tasks[at.at()];
            let is_spared = reason != Reason::TimedOut && self.run.task(at).role.is_teardown();
            self.ensure(
                row.state.is_terminal() || row.is_live() || is_spared,
                || format!("the run is ended by {reason:?}, and open is {row:?}"),
            );
        }
    }

    /// I10: what is told of an attempt counts if that is the current one and live, and else not;
    /// and its end counts once.
    fn check_news(&mut self, about: &About, before: &Before, effects: &[Effect]) {
        let attempt = about.attempt;
        let is_stale = effects.contains(&Effect::Stale(attempt));
        self.ensure(is_stale == about.at.is_none(), || {
            format!("I10: is the news of {attempt} stale? {is_stale}")
        });
        let Some(at) = about.at else {
            return self.ensure(before.tasks == self.run.tasks, || {
                format!("I10: the stale news of {attempt} changed something")
            });
        };
        let row = &self.run.tasks[at.at()];
        match about.news {
            News::Deferred => return self.check_deferral(attempt, before),
            News::Claimed(worker) => {
                let was_queued = before.tasks[at.at()].state == TaskState::Queued;
                let runs = row.state == TaskState::Running && row.started_at == Some(self.now);
                let is_right = row.worker == Some(worker) && (runs || !was_queued);
                return self.ensure(is_right, || format!("{worker} has claimed {row:?}"));
            }
            _ => {}
        }
        self.ensure(!row.is_live(), || {
            format!("I34: {attempt} has ended, not its slot")
        });
        self.check_counts_once(attempt);
    }

    fn check_counts_once(&mut self, attempt: Attempt) {
        let is_new = !self.accepted.contains(&attempt) && !self.draft.accepted.contains(&attempt);
        self.ensure(is_new, || format!("I10: {attempt} counted twice"));
        self.draft.accepted.push(attempt);
    }

    /// I16: a success has a report, a wish or news from elsewhere.
    fn check_successes(&self, before: &Before, may: impl Fn(TaskIndex) -> bool) {
        for (at, new) in self.run.places().zip(&self.run.tasks) {
            let was = before.tasks.get(at.at()).map(|old| old.state);
            let is_new = new.state == TaskState::Success && was != Some(TaskState::Success);
            self.ensure(!is_new || may(at), || {
                format!("I16: {:?} succeeded without a report", key(new))
            });
        }
    }

    /// What the end of an attempt that was neither cleared nor marked is for its instance.
    fn check_verdict(&mut self, at: TaskIndex, news: News, before: &Before, is_retried: bool) {
        match news {
            News::Claimed(_) | News::Deferred => return,
            News::Lost(blame) => return self.check_loss(at, Some(blame), before, is_retried),
            News::Interrupted => return self.check_loss(at, None, before, is_retried),
            _ => {}
        }
        if is_retried {
            return;
        }
        let new = &self.run.tasks[at.at()];
        let is_right = match news {
            News::Success => new.state == TaskState::Success,
            News::Skipped => new.state == TaskState::Skipped,
            News::Waits | News::Items(_) if self.was_ending(at, before) => {
                new.state == TaskState::Skipped
            }
            News::Waits => new.state == TaskState::Deferred,
            News::Items(n_items) => self.is_expanded_to(at, n_items, before),
            _ => true,
        };
        self.ensure(is_right && new.losses == 0, || {
            format!("I41: after {news:?} {new:?}")
        });
        if let News::Failed(was_killed) = news {
            self.check_failure(at, was_killed, before);
        }
    }

    /// As many instances as there are values; what their task says where there are none. One that
    /// goes in step with another has found nothing by itself.
    fn is_expanded_to(&self, at: TaskIndex, n_items: usize, before: &Before) -> bool {
        let Some(mapping) = &self.run.task(at).mapping else {
            return false;
        };
        let state = self.run.tasks[at.at()].state;
        let is_in_step = mapping.each().is_some();
        if self.run.is_expanded(at) {
            let instances = self.run.instances(at).iter();
            let states = instances.map(|at| self.run.tasks[at.at()].state);
            let n_there = states.filter(|state| *state != TaskState::Removed).count();
            return is_in_step || n_there == n_items;
        }
        let is_timed_out = before.run.reason == Some(Reason::TimedOut);
        let expected = match mapping.on_empty {
            OnEmpty::Skip => TaskState::Skipped,
            OnEmpty::Continue => TaskState::Success,
            OnEmpty::Fail if is_timed_out => TaskState::Skipped,
            OnEmpty::Fail => TaskState::Failed,
        };
        (n_items == 0 || is_in_step) && state == expected
    }

    /// I39, I43: a failed try is followed by another one while there is one left, after its whole
    /// wait, unless somebody has ended it or its run.
    fn check_failure(&self, at: TaskIndex, was_killed: bool, before: &Before) {
        let (old, new) = (&before.tasks[at.at()], &self.run.tasks[at.at()]);
        let may = !was_killed && !self.was_ending(at, before) && old.try_number <= old.max_tries;
        let due = self.now.after(self.run.task(at).retry.delay);
        let is_right = match may {
            true => (new.state, new.not_before) == (TaskState::UpForRetry, Some(due)),
            false => new.state == self.failure(before),
        };
        self.ensure(is_right && new.max_tries == old.max_tries, || {
            format!("I39: another try {may} after {old:?}, and it is {new:?}")
        });
    }

    /// The state of what fails for good: a run that is out of time skips it.
    fn failure(&self, before: &Before) -> TaskState {
        match before.run.reason {
            Some(Reason::TimedOut) => TaskState::Skipped,
            _ => TaskState::Failed,
        }
    }

    /// Was the run being ended around an instance?
    fn was_ending(&self, at: TaskIndex, before: &Before) -> bool {
        match before.run.reason {
            None => false,
            Some(Reason::TimedOut) => true,
            Some(_) => !self.run.task(at).role.is_teardown(),
        }
    }

    /// I39, I40, I41: a loss uses up no retry until it is the fourth in a row, a stop in good
    /// order never does; and what must not be repeated is not.
    fn check_loss(
        &mut self,
        at: TaskIndex,
        blame: Option<bool>,
        before: &Before,
        is_retried: bool,
    ) {
        let (old, new) = (&before.tasks[at.at()], &self.run.tasks[at.at()]);
        let (lost, may_repeat) = (key(new), self.may_repeat(at));
        let losses = old.losses + i32::from(blame == Some(true));
        let max_tries = old.max_tries + i32::from(blame.is_none() || losses <= LOSSES_FREE);
        let told = || format!("{lost:?} was {old:?} and is {new:?}");
        if !is_retried {
            let counts = (new.losses, new.max_tries) == (losses, max_tries);
            self.ensure(counts, || format!("I39: {}", told()));
            let goes_on = may_repeat && !self.was_ending(at, before) && old.try_number <= max_tries;
            let waits = matches!(new.state, TaskState::Scheduled | TaskState::Deferred);
            let is_right = if goes_on {
                waits
            } else {
                new.state == self.failure(before)
            };
            self.ensure(is_right, || format!("I40: goes on {goes_on}: {}", told()));
        }
        // How a stop in good order has ended it is known: a retry of the whole run may follow.
        let is_known = blame.is_none() && is_retried;
        self.ensure(may_repeat || is_known || new.state.is_terminal(), || {
            format!("I40: {}", told())
        });
        if !may_repeat && blame.is_some() {
            self.draft.lost_for_good.push(lost);
        }
    }

    /// May an attempt be followed by another one when nobody knows how it ended?
    fn may_repeat(&self, at: TaskIndex) -> bool {
        let task = self.run.task(at);
        task.on_lost == OnLost::Retry || self.is_expansion(at) || !task.operator.is_command()
    }

    /// What a person has cleared, marked or had removed is no longer lost.
    fn forget_settled_losses(&mut self) {
        let is_settled =
            |row: &&TaskRow| row.reason != Some(Reason::Lost) || !row.state.is_failure();
        for row in self.run.tasks.iter().filter(is_settled) {
            self.lost_for_good.remove(&key(row));
            self.draft.lost_for_good.retain(|lost| *lost != key(row));
        }
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

    /// I40: a run is tried again as a whole as often as its file says, when its whole wait is
    /// over, and not over a task that was lost for good.
    fn check_retry(&self, before: &Before) {
        let (row, retry) = (&self.run.row, &self.run.dag.retry);
        let is_next = row.retries_used == before.run.retries_used + 1;
        let is_allowed = row.retries_used as u32 <= retry.retries;
        let waits = (row.state, row.run_after) == (RunState::Queued, self.now.after(retry.delay));
        let mut tasks = self.run.tasks.iter();
        let is_open = !tasks.any(|task| task.state.is_failure() || task.is_live());
        let is_ended = word_before(before).is_some();
        let is_right = is_next && is_allowed && waits && is_open && !is_ended;
        self.ensure(is_right, || format!("I40: the run is tried again: {row:?}"));
    }

    /// I17: a run that ends has failed if a leaf of it has, or if somebody has ended it; it has no
    /// retry left then; and else it has succeeded.
    fn check_run_end(&self, before: &Before) {
        let row = &self.run.row;
        let was_over = before.run.state.is_terminal();
        let is_judged_anew = matches!(before.wish, Some(Wish::Mark(..) | Wish::MarkRun));
        if !row.state.is_terminal() || was_over && !is_judged_anew {
            return;
        }
        let leaves = self.run.dag.scopes.leaves().iter();
        let mut places = leaves.flat_map(|at| self.run.places_of(*at));
        let has_failed = |at: TaskIndex| self.run.tasks[at.at()].state.is_failure();
        let leaf_failed = places.any(has_failed).then_some(Reason::TaskFailed);
        let word = word_before(before);
        let expected = word.or(leaf_failed);
        let state = match expected {
            Some(_) => RunState::Failed,
            None => RunState::Success,
        };
        let is_right = (row.state, row.reason) == (state, expected);
        self.ensure(is_right && row.ended_at == Some(self.now), || {
            format!("I17: the run should have ended by {expected:?}")
        });
        let is_lost = |at: TaskIndex| {
            let task = &self.run.tasks[at.at()];
            let is_loss = task.reason == Some(Reason::Lost) && task.state.is_failure();
            is_loss && !self.may_repeat(at)
        };
        let has_retry = (row.retries_used as u32) < self.run.dag.retry.retries;
        let may_retry = has_retry && !self.run.places().any(is_lost);
        self.ensure(expected != Some(Reason::TaskFailed) || !may_retry, || {
            "I39: a run that has a retry left has failed".to_string()
        });
    }
}

/// Is the end of an attempt judged, or has a person said already what its instance is?
fn is_judged(row: &TaskRow) -> bool {
    !row.state.is_terminal() && row.state != TaskState::Restarting
}

/// Why a run was to end, when an event came, or why by that event. A clear, and a mark of what is
/// over or of the whole run, take back what was said before.
fn word_before(before: &Before) -> Option<Reason> {
    let is_taken_back = matches!(before.wish, Some(Wish::Clear(_) | Wish::MarkRun));
    let word = before.ends_by.or(before.run.reason);
    let was_over = before.run.state.is_terminal();
    word.filter(|word| *word != Reason::TaskFailed && !was_over && !is_taken_back)
}

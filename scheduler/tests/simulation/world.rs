//! The world around `step`: passes that are committed or forgotten, workers that are late, lost or
//! heard twice, and a clock that is set.

use crate::cells::{Counts, Fault};
use crate::draw;
use crate::store::{Draft, Key, Stored};
use crate::support::{Chance, run_row};
use std::collections::{BTreeMap, BTreeSet};
use tidemill_model::attempt::Verdict;
use tidemill_model::{
    Attempt, MapIndex, Outcome, Reason, RunRow, TaskIndex, TaskState, Ts, VersionNo,
};
use tidemill_scheduler::{Admission, Effect, Event, PastTask, Pin, PoolLimit, Run, Taken, step};

/// Events with faults in one story.
const STORMY: u64 = 150;
/// Events in which a run must be over once the faults have stopped.
const CALM_MAX: u64 = 6_000;
/// The worker that dies with the scheduler, as in `serve`.
const OWN: i64 = 1;
/// A worker on another machine.
const OTHER: i64 = 2;
/// Attempts at once.
pub const SLOTS: u32 = 6;

pub struct World {
    pub seed: u64,
    pub chance: Chance,
    pub now: Ts,
    /// What the file says now; runs go on by the version that they are pinned to.
    pub current: Pin,
    pub versions: BTreeMap<VersionNo, Pin>,
    pub run: Run,
    pub admission: Admission,
    pub pools: Vec<PoolLimit>,
    /// Have the workers room for one more attempt?
    pub has_room: bool,
    pub stored: Stored,
    pub draft: Draft,
    pub timers: Vec<(Ts, TaskIndex)>,
    /// How the run before stands, as far as this process was told.
    pub past: BTreeMap<TaskIndex, Option<PastTask>>,
    /// Attempts that a worker runs, or would if it claimed them.
    pub live: Vec<Attempt>,
    pub unclaimed: Vec<Attempt>,
    /// Attempts that were told to end.
    pub killed: BTreeSet<Attempt>,
    /// Reports on their way; some arrive late, some twice.
    pub on_their_way: Vec<(Attempt, Outcome)>,
    /// Attempts whose report has counted.
    pub accepted: BTreeSet<Attempt>,
    /// The newest epoch that has started.
    pub newest: BTreeMap<Key, i64>,
    /// Instances that were lost and must not start again by themselves.
    pub lost_for_good: BTreeSet<Key>,
    pub n_events: u64,
    pub counts: Counts,
    /// Is each event told aloud?
    pub is_told: bool,
    pub is_stormy: bool,
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut chance = Chance(seed.wrapping_mul(0x1234_5678_9ABC_DEF1));
        let current = draw::version(1, &mut chance);
        let row = run_row();
        let mut run = run_by(&current, row.clone(), Vec::new());
        run.keep_count(Taken::new());
        let pools = draw::pools(true, &mut chance);
        let mut admission = Admission::new(SLOTS);
        admission.set_pools(&pools);
        World {
            seed,
            chance,
            now: Ts(1_000_000_000),
            versions: BTreeMap::from([(current.version, current.clone())]),
            current,
            run,
            admission,
            pools,
            has_room: true,
            stored: Stored::new(row),
            draft: Draft::default(),
            timers: Vec::new(),
            past: BTreeMap::new(),
            live: Vec::new(),
            unclaimed: Vec::new(),
            killed: BTreeSet::new(),
            on_their_way: Vec::new(),
            accepted: BTreeSet::new(),
            newest: BTreeMap::new(),
            lost_for_good: BTreeSet::new(),
            n_events: 0,
            counts: Counts::default(),
            is_told: std::env::var_os("TIDEMILL_TELL").is_some(),
            is_stormy: true,
        }
    }

    pub fn counted(&mut self) -> Counts {
        self.counts.law = self.run.counted();
        std::mem::take(&mut self.counts)
    }

    /// One story: a storm, then a calm in which the run must end. Answers how many events it had.
    pub fn tell(&mut self) -> u64 {
        for _ in 0..STORMY {
            self.act();
        }
        self.calm_down();
        for _ in 0..CALM_MAX {
            if self.run.row.state.is_terminal() && self.live.is_empty() && self.draft.is_empty() {
                self.assert_over();
                return self.n_events;
            }
            self.act();
        }
        self.fail("the run does not end");
    }

    /// The faults stop; the slow look finds what hints were lost.
    fn calm_down(&mut self) {
        self.is_stormy = false;
        self.pools = draw::pools(false, &mut self.chance);
        self.admission.set_pools(&self.pools);
        self.has_room = true;
        self.admission.set_room("default", true);
        self.step(Event::Resume);
    }

    fn act(&mut self) {
        self.now = Ts(self.now.0 + self.chance.below(2_000_000) as i64);
        let n_choices = if self.is_stormy { 44 } else { 30 };
        match self.chance.below(n_choices) {
            0..=5 => self.launch_one(),
            6..=8 => self.claim_one(),
            9..=14 => self.end_one(),
            15..=18 => self.deliver_one(),
            19 | 20 => self.ring_timer(),
            21 => self.begin(),
            22..=25 => self.commit(),
            26 | 27 => self.hear_one(),
            28 => self.defer_one(),
            29 => self.tell_past(),
            30 => self.lose_one(),
            31 => self.deliver_again(),
            32 => self.crash(),
            33 => self.set_clock(),
            34 => self.lose_a_hint(),
            35 => self.step(Event::RunTimedOut),
            36 => self.report_nonsense(),
            37 => {
                self.has_room = self.chance.once_in(2);
                self.admission.set_room("default", self.has_room);
            }
            _ => self.person(),
        }
    }

    /// One event, and everything that must hold after it.
    pub fn step(&mut self, event: Event) {
        self.n_events += 1;
        self.counts.event(self.run.row.state, &event);
        let before = self.look(&event);
        let told = self.is_told.then(|| format!("{event:?}"));
        let effects = step(&mut self.run, event, self.now);
        if let Some(told) = told {
            self.tell_aloud(&told);
        }
        self.check_step(&before, &effects);
        self.take(effects);
        self.check();
    }

    /// What follows from a step: rows for the pass, the rest for after it.
    pub fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Task(at) => {
                    self.draft.touch(at);
                    self.admission.follow(&self.run, at);
                }
                Effect::Replace(at) => {
                    self.draft.remove(&self.run.tasks[at.at()]);
                    self.admission.follow(&self.run, at);
                }
                Effect::Run => self.draft.touch_run(),
                Effect::Ready(at) => self.admission.follow(&self.run, at),
                Effect::Wake(at, due) => self.timers.push((due, at)),
                Effect::Kill(attempt, _) => self.draft.killed.push(attempt),
                _ => {}
            }
        }
    }

    /// The pass is written, and only then does what follows from it happen.
    fn commit(&mut self) {
        let puts_off = self.is_stormy && self.chance.once_in(4);
        self.draft.write(&self.run, &mut self.stored, puts_off);
        for (attempt, waits) in std::mem::take(&mut self.draft.launched) {
            self.check_epoch(attempt);
            self.check_alone(attempt);
            if waits {
                self.unclaimed.push(attempt);
            }
            self.live.push(attempt);
        }
        self.draft.reports.clear();
        self.killed.extend(self.draft.killed.drain(..));
        self.accepted.extend(self.draft.accepted.drain(..));
        self.lost_for_good
            .extend(self.draft.lost_for_good.drain(..));
        self.check_commit();
    }

    /// The process dies and comes back. What was not committed has never been; what ran on its own
    /// worker is lost, and its reports may still arrive.
    fn crash(&mut self) {
        let is_after = self.chance.once_in(2);
        if is_after {
            self.commit(); // it dies after a commit, before anything follows from it
        }
        self.counts.fault(match is_after {
            true => Fault::CrashAfterCommit,
            false => Fault::CrashBeforeCommit,
        });
        let draft = std::mem::take(&mut self.draft);
        self.on_their_way.extend(draft.reports);
        let taken = self.run.counted();
        self.run = self.read_again();
        self.run.keep_count(taken);
        self.timers.clear();
        self.past.clear();
        self.admission = Admission::new(SLOTS);
        self.admission.set_pools(&self.pools);
        self.admission.set_room("default", self.has_room);
        self.admission.follow_all(&self.run);
        self.step(Event::Resume);
        let lost: Vec<Attempt> = self.run.places().filter_map(|at| self.dies(at)).collect();
        for attempt in lost {
            self.forget_live(attempt, 3);
            let blame = false;
            self.step(Event::AttemptLost { attempt, blame });
        }
    }

    /// The attempt of an instance, if it was on the scheduler's own worker, or on one whose lease
    /// had lapsed: that is found out once more.
    fn dies(&self, at: TaskIndex) -> Option<Attempt> {
        let attempt = self.run.attempt(at);
        let worker = self.run.tasks[at.at()].worker?;
        (worker == OWN || !self.is_with_somebody(attempt)).then_some(attempt)
    }

    /// Does a worker have this attempt, or is its report on its way?
    pub fn is_with_somebody(&self, attempt: Attempt) -> bool {
        let is_end = |(other, outcome): &(Attempt, Outcome)| {
            *other == attempt && outcome.verdict != Verdict::Deferred
        };
        self.on_their_way.iter().any(is_end) || self.live.contains(&attempt)
    }

    pub fn read_again(&self) -> Run {
        let pin = &self.versions[&self.stored.run.version];
        let rows = self.stored.tasks.values().cloned().collect();
        run_by(pin, self.stored.run.clone(), rows)
    }

    fn begin(&mut self) {
        if self.run.row.run_after <= self.now || !self.is_stormy {
            self.now = self.now.max(self.run.row.run_after);
            self.step(Event::Begin);
        }
    }

    fn launch_one(&mut self) {
        let Some((_, at)) = self.admission.admit() else {
            return;
        };
        self.check_grant(at);
        let before = self.look(&Event::Resume);
        let waits = self.chance.once_in(2);
        let (attempt, effects) = match waits {
            true => self.run.dispatch(at, self.now),
            false => self.run.launch(at, OWN, self.now),
        };
        self.check_since(&before, &effects);
        self.take(effects);
        self.draft.launched.push((attempt, waits));
        self.n_events += 1;
        self.tell_aloud(&format!("{attempt} is launched"));
        self.check();
    }

    fn claim_one(&mut self) {
        if let Some(attempt) = self.pick(|world| &mut world.unclaimed) {
            let worker = OTHER;
            self.step(Event::Claimed { attempt, worker });
        }
    }

    fn pick<T>(&mut self, list: impl Fn(&mut World) -> &mut Vec<T>) -> Option<T> {
        let n = list(self).len() as u64;
        (n > 0).then(|| {
            let at = self.chance.below(n) as usize;
            list(self).swap_remove(at)
        })
    }

    /// An attempt ends at its worker; its report sets out.
    fn end_one(&mut self) {
        if let Some(attempt) = self.pick(|world| &mut world.live) {
            self.unclaimed.retain(|other| *other != attempt);
            let outcome = self.outcome_of(attempt);
            self.on_their_way.push((attempt, outcome));
        }
    }

    fn outcome_of(&mut self, attempt: Attempt) -> Outcome {
        if self.killed.contains(&attempt) && !self.chance.once_in(6) {
            return Outcome::without_process(Verdict::Failed, Reason::Cancelled, "killed");
        }
        if self.is_stormy && self.chance.once_in(20) {
            return match self.chance.once_in(2) {
                true => Outcome::without_process(Verdict::Lost, Reason::Lost, "gone"),
                false => Outcome::without_process(Verdict::Failed, Reason::Interrupted, "gone"),
            };
        }
        match self.run.place(attempt.task_no, MapIndex::NONE) {
            None => Outcome::success(), // its task has left the DAG
            Some(task) => {
                let is_mapped = self.run.dag.task(task).mapping.is_some();
                let is_expansion = is_mapped && attempt.map_index == MapIndex::NONE;
                draw::outcome(&self.run.dag, task, is_expansion, &mut self.chance)
            }
        }
    }

    fn deliver_one(&mut self) {
        if let Some((attempt, outcome)) = self.pick(|world| &mut world.on_their_way) {
            self.deliver(attempt, outcome);
        }
    }

    /// The answer to a report got lost, so it is sent once more.
    fn deliver_again(&mut self) {
        if let Some((attempt, outcome)) = self.pick(|world| &mut world.on_their_way) {
            self.counts.fault(Fault::ReportTwice);
            self.on_their_way.push((attempt, outcome.clone()));
            self.deliver(attempt, outcome);
        }
    }

    pub fn deliver(&mut self, attempt: Attempt, outcome: Outcome) {
        self.draft.reports.push((attempt, outcome.clone()));
        let is_current = self.run.place_of(attempt);
        if !is_current.is_some_and(|at| self.run.tasks[at.at()].is_live()) {
            self.counts.fault(Fault::ReportLate);
        }
        let outcome = Box::new(outcome);
        self.step(Event::AttemptEnded { attempt, outcome });
    }

    fn ring_timer(&mut self) {
        self.timers.sort_unstable();
        let Some((due, at)) = self.timers.first().copied() else {
            return;
        };
        if due > self.now && self.is_stormy && !self.chance.once_in(4) {
            self.counts.fault(Fault::TimerEarly);
            self.step(Event::TimerDue(at)); // it is asked again when it is due
            return;
        }
        self.timers.remove(0);
        self.now = self.now.max(due);
        self.step(Event::TimerDue(at));
    }

    /// A worker's lease has lapsed: its attempt is lost, and its report may come all the same.
    fn lose_one(&mut self) {
        let is_deferred = |attempt: &&Attempt| {
            let at = self.run.place_of(**attempt);
            at.is_some_and(|at| self.run.tasks[at.at()].state == TaskState::Deferred)
        };
        let n = self.live.len() as u64;
        if n > 0 {
            let any = self.live[self.chance.below(n) as usize];
            let attempt = self.live.iter().find(is_deferred).copied().unwrap_or(any);
            self.counts.fault(Fault::LeaseLapsed);
            self.forget_live(attempt, 2);
            let blame = true;
            self.step(Event::AttemptLost { attempt, blame });
        }
    }

    fn forget_live(&mut self, attempt: Attempt, late_once_in: u64) {
        self.unclaimed.retain(|other| *other != attempt);
        let was_live = self.live.contains(&attempt);
        self.live.retain(|other| *other != attempt);
        if was_live && self.chance.once_in(late_once_in) {
            let late = self.outcome_of(attempt);
            self.on_their_way.push((attempt, late));
        }
    }

    fn set_clock(&mut self) {
        let by = self.chance.below(7_200_000_000) as i64 - 3_600_000_000;
        self.counts.fault(match by < 0 {
            true => Fault::ClockBack,
            false => Fault::ClockAhead,
        });
        self.now = Ts((self.now.0 + by).max(1));
    }

    /// Nobody hears of a timer; the slow look finds what it was about.
    fn lose_a_hint(&mut self) {
        self.counts.fault(Fault::HintLost);
        self.timers.pop();
        self.step(Event::Resume);
    }
}

fn run_by(pin: &Pin, row: RunRow, rows: Vec<tidemill_model::TaskRow>) -> Run {
    let dag = std::sync::Arc::clone(&pin.dag);
    Run::new(row, dag, &pin.task_nos, rows)
}

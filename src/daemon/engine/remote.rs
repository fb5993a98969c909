//! Workers in other processes: what is given to them, and what comes in from them.
//!
//! Where the database is a file there are none, and nothing here costs anything.

use super::Engine;
use crate::exit::chain;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidemill_model::attempt::Verdict;
use tidemill_model::row::UNCLAIMED;
use tidemill_model::{Attempt, Reason, TaskState};
use tidemill_scheduler::{Event, Run};
use tidemill_store::{
    Arrivals, Dispatch, DispatchStore, Kill, StoreError, WorkerRecord, while_it_waits,
};

/// What one pass takes in; more waits for the next.
const ARRIVALS_PER_PASS_MAX: u32 = 1_000;
/// So often it is asked what has come in, when no bell is heard.
const FLOOR: Duration = Duration::from_secs(1);
/// So often it is looked who is there, and whose lease is over.
const ROLL_CALL: Duration = Duration::from_secs(1);
/// Attempts that may be given out for each slot: some wait at the door, so that a worker that
/// has a slot free need not wait for a pass.
const AHEAD: usize = 2;

/// The workers of other processes, as the engine knows them.
pub(super) struct Remote {
    store: Arc<dyn DispatchStore>,
    workers: BTreeMap<i64, WorkerRecord>,
    /// Live attempts that are theirs, with the queue and the worker.
    live: BTreeMap<Attempt, (String, i64)>,
    /// Of these, those that wait without their slots.
    waiting: BTreeSet<Attempt>,
    has_rung: bool,
    asked: Instant,
    called: Instant,
}

impl Remote {
    pub(super) fn new(store: Arc<dyn DispatchStore>) -> Remote {
        let long_ago = Instant::now()
            .checked_sub(Duration::from_secs(3600))
            .unwrap_or_else(Instant::now);
        Remote {
            store,
            workers: BTreeMap::new(),
            live: BTreeMap::new(),
            waiting: BTreeSet::new(),
            has_rung: true,
            asked: long_ago,
            called: long_ago,
        }
    }

    /// How many attempts have a slot of theirs, or wait for one.
    pub(super) fn n_live(&self) -> usize {
        self.live.len() - self.waiting.len()
    }

    fn serves(&self, queue: &str) -> impl Iterator<Item = &WorkerRecord> {
        let queue = queue.to_string();
        let workers = self.workers.values();
        workers.filter(move |worker| !worker.is_draining && worker.queues.contains(&queue))
    }

    fn n_slots(&self, queue: &str) -> usize {
        self.serves(queue).map(|worker| worker.slots as usize).sum()
    }

    fn n_draining(&self, queue: &str) -> usize {
        let drains = |worker: &&WorkerRecord| {
            worker.is_draining && worker.queues.iter().any(|one| one == queue)
        };
        self.workers.values().filter(drains).count()
    }

    /// May one more attempt of this queue be given out?
    fn has_room(&self, queue: &str) -> bool {
        let n_slots = self.n_slots(queue);
        let has_slot = |attempt: &Attempt| !self.waiting.contains(attempt);
        let live = self.live.iter();
        let n_live = live
            .filter(|(attempt, (of, _))| of == queue && has_slot(attempt))
            .count();
        n_live < n_slots * AHEAD
    }
}

/// Who serves a queue, and what they have.
pub(super) struct Served {
    /// The workers' numbers, with that of this process's own.
    pub(super) workers: BTreeSet<i64>,
    /// Their slots.
    pub(super) n_slots: usize,
    /// Those of the slots that attempts have, of whatever queue.
    pub(super) n_taken: usize,
    /// Attempts of the queue that are given out and that nobody has claimed.
    pub(super) n_unclaimed: usize,
    /// Workers that serve it and take nothing more.
    pub(super) n_draining: usize,
}

impl Engine {
    /// Who serves a queue; `None` where there are no workers of other processes, so that every
    /// slot is this process's own.
    pub(super) fn served(&self, queue: &str) -> Option<Served> {
        let remote = self.remote.as_ref()?;
        let mut workers: BTreeSet<i64> = remote.serves(queue).map(|one| one.worker).collect();
        let has_slot = |attempt: &Attempt| !remote.waiting.contains(attempt);
        let live = || remote.live.iter().filter(|(attempt, _)| has_slot(attempt));
        let mut served = Served {
            n_slots: remote.n_slots(queue),
            n_taken: live().filter(|(_, (_, of))| workers.contains(of)).count(),
            n_unclaimed: live()
                .filter(|(_, (of, worker))| of == queue && *worker == UNCLAIMED)
                .count(),
            n_draining: remote.n_draining(queue),
            workers: BTreeSet::new(),
        };
        if self.serves_here(queue) {
            workers.insert(self.worker_no);
            served.n_slots += self.options.slots as usize;
            served.n_taken += self.n_live_here();
        }
        served.workers = workers;
        Some(served)
    }

    /// Does this process's own worker serve a queue?
    fn serves_here(&self, queue: &str) -> bool {
        let is_named = match &self.options.queues {
            Some(queues) => queues.iter().any(|one| one == queue),
            None => true,
        };
        is_named && self.options.slots > 0
    }

    /// Something may have come in.
    pub(super) fn hear_bell(&mut self) {
        if let Some(remote) = &mut self.remote {
            remote.has_rung = true;
        }
    }

    /// The longest wait, so that what no bell tells is found.
    pub(super) fn remote_wait_max(&self) -> Duration {
        match &self.remote {
            Some(remote) if remote.has_rung => Duration::ZERO,
            Some(_) => FLOOR,
            None => Duration::MAX,
        }
    }

    /// Live attempts of this process's own worker.
    pub(super) fn n_live_here(&self) -> usize {
        let remote = self.remote.as_ref().map_or(0, Remote::n_live);
        let elsewhere = remote + self.elsewhere.len();
        (self.admission.n_live() as usize).saturating_sub(elsewhere)
    }

    /// Would so many more attempts of this queue fit this process's own worker?
    fn fit_here(&self, queue: &str, n_more: usize) -> bool {
        self.serves_here(queue) && self.n_live_here() + n_more <= self.options.slots as usize
    }

    /// Tells the admission which queues have room, before it gives slots away.
    pub(super) fn open_queues(&mut self) {
        if self.remote.is_none() {
            return;
        }
        let queues: Vec<String> = self.admission.queues().map(str::to_string).collect();
        for queue in queues {
            self.open_queue(&queue);
        }
    }

    pub(super) fn open_queue(&mut self, queue: &str) {
        let Some(remote) = &self.remote else { return };
        let has_room = self.fit_here(queue, 1) || remote.has_room(queue);
        self.admission.set_room(queue, has_room);
    }

    /// Should an attempt of this queue, which the admission has counted in, go to this process's
    /// own worker?
    pub(super) fn goes_here(&self, queue: &str) -> bool {
        self.remote.is_none() || self.fit_here(queue, 0)
    }

    /// Leaves an attempt to whichever worker claims it.
    pub(super) fn give_out(&mut self, attempt: Attempt, dispatch: Dispatch) {
        if let Some(remote) = &mut self.remote {
            let entry = (dispatch.queue.clone(), UNCLAIMED);
            remote.live.insert(attempt, entry);
            self.draft.rows.dispatches.push(dispatch);
        }
    }

    /// An attempt is over, wherever it was.
    fn forget_attempt(&mut self, attempt: Attempt) {
        if let Some(remote) = &mut self.remote {
            remote.live.remove(&attempt);
            remote.waiting.remove(&attempt);
        }
    }

    /// The kills of a pass that workers elsewhere must hear of.
    pub(super) fn kills_elsewhere(&self, kills: &[(Attempt, Reason)]) -> Vec<Kill> {
        let Some(remote) = &self.remote else {
            return Vec::new();
        };
        let known = kills.iter().filter_map(|(attempt, reason)| {
            let (_, worker) = remote.live.get(attempt)?;
            Some(Kill {
                attempt: *attempt,
                worker: *worker,
                reason: *reason,
            })
        });
        known.collect()
    }

    /// Takes in what workers have said, and who is gone.
    pub(super) fn take_remote(&mut self) {
        let Some(remote) = &mut self.remote else {
            return;
        };
        if !std::mem::replace(&mut remote.has_rung, false) && remote.asked.elapsed() < FLOOR {
            return;
        }
        remote.asked = Instant::now();
        let must_call = remote.called.elapsed() >= ROLL_CALL;
        let store = Arc::clone(&remote.store);
        let arrived = self.wait_for(store.arrivals(ARRIVALS_PER_PASS_MAX));
        match arrived {
            Ok(arrivals) => self.take_arrivals(arrivals),
            Err(err) => return self.remote_is_away(&err),
        }
        if must_call {
            self.call_the_roll(&store);
        }
    }

    fn take_arrivals(&mut self, arrivals: Arrivals) {
        let is_full = arrivals.claims.len().max(arrivals.reports.len()) as u32;
        if is_full >= ARRIVALS_PER_PASS_MAX {
            self.hear_bell();
        }
        for (attempt, worker) in arrivals.claims {
            self.take_claim(attempt, worker);
        }
        for mut report in arrivals.reports {
            self.draft.rows.settled.push(report.attempt);
            let waits = report.outcome.verdict == Verdict::Deferred;
            if waits {
                report.attempt = while_it_waits(report.attempt);
                self.waits_elsewhere(report.attempt);
            }
            let event = Event::AttemptEnded {
                attempt: report.attempt,
                outcome: Box::new(report.outcome),
            };
            self.step(report.attempt.run, event);
            if !waits {
                self.forget_attempt(report.attempt);
            }
        }
        for attempt in arrivals.withdrawn {
            self.lose(attempt);
            self.forget_attempt(attempt);
            self.draft.rows.settled.push(attempt);
        }
    }

    /// An attempt gives its slot back, and stays with its worker.
    fn waits_elsewhere(&mut self, attempt: Attempt) {
        if let Some(remote) = &mut self.remote
            && remote.live.contains_key(&attempt)
        {
            remote.waiting.insert(attempt);
        }
    }

    fn take_claim(&mut self, attempt: Attempt, worker: i64) {
        self.step(attempt.run, Event::Claimed { attempt, worker });
        self.draft.rows.claimed.push(attempt);
        let state = self.runs.get(&attempt.run).and_then(|run| {
            let at = run.place_of(attempt)?;
            Some(run.tasks[at.at()].state)
        });
        if let Some(remote) = &mut self.remote
            && let Some((_, holder)) = remote.live.get_mut(&attempt)
        {
            *holder = worker;
        }
        // It was cleared, marked or cancelled while it waited: whoever has it now must hear so.
        if state != Some(TaskState::Running) {
            self.draft.rows.kills.push(Kill {
                attempt,
                worker,
                reason: Reason::Cancelled,
            });
        }
    }

    fn call_the_roll(&mut self, store: &Arc<dyn DispatchStore>) {
        let called = self.wait_for(async {
            let expired = store.expire_workers().await?;
            Ok::<_, StoreError>((expired, store.workers().await?))
        });
        let workers = match called {
            Ok((expired, workers)) => {
                for worker in expired {
                    tracing::warn!(
                        worker,
                        "A worker has not renewed its lease; its tasks are lost"
                    );
                }
                workers
            }
            Err(err) => return self.remote_is_away(&err),
        };
        let Some(remote) = &mut self.remote else {
            return;
        };
        remote.called = Instant::now();
        remote.workers = workers
            .into_iter()
            .map(|worker| (worker.worker, worker))
            .collect();
        // Also those that left, and those that were gone before this scheduler began.
        let is_gone = |worker: i64| worker > UNCLAIMED && !remote.workers.contains_key(&worker);
        let live = remote.live.iter();
        let lost = live.filter(|(_, (_, worker))| is_gone(*worker));
        let lost: Vec<Attempt> = lost.map(|(attempt, _)| *attempt).collect();
        for attempt in lost {
            let blame = true;
            self.step(attempt.run, Event::AttemptLost { attempt, blame });
            self.forget_attempt(attempt);
            self.draft.rows.settled.push(attempt);
        }
    }

    fn remote_is_away(&mut self, err: &StoreError) {
        tracing::warn!(error = %chain(err), "Cannot ask what workers have said; it is tried again");
    }

    /// Is a live attempt with a worker elsewhere, or waiting for one? Then it goes on, whoever
    /// the scheduler is.
    pub(super) fn resume_attempt(&mut self, run: &Run, attempt: Attempt) -> bool {
        let Some((remote, at)) = self.remote.as_mut().zip(run.place_of(attempt)) else {
            return false;
        };
        match run.tasks[at.at()].worker {
            Some(worker) if worker >= UNCLAIMED => {
                let queue = run.task(at).queue.clone();
                remote.live.insert(attempt, (queue, worker));
                if run.tasks[at.at()].state == TaskState::Deferred {
                    remote.waiting.insert(attempt);
                }
                true
            }
            _ => false,
        }
    }

    /// Holds what waits for workers against what the rows say, once all runs are in memory.
    pub(super) fn check_dispatched(&mut self) {
        let Some(remote) = &self.remote else { return };
        let store = Arc::clone(&remote.store);
        let dispatched = match self.insist("Reading what waits for workers", || store.dispatched())
        {
            Ok(dispatched) => dispatched,
            Err(err) => return self.remote_is_away(&err),
        };
        let dispatched: BTreeSet<Attempt> = dispatched.into_iter().map(|one| one.0).collect();
        let Some(remote) = &self.remote else { return };
        let waits = |worker: i64| worker == UNCLAIMED;
        let live = remote.live.iter();
        let nowhere =
            live.filter(|(attempt, (_, worker))| waits(*worker) && !dispatched.contains(attempt));
        let nowhere: Vec<Attempt> = nowhere.map(|(attempt, _)| *attempt).collect();
        let unknown = dispatched
            .iter()
            .filter(|one| !remote.live.contains_key(one));
        self.draft.rows.settled.extend(unknown.copied());
        for attempt in nowhere {
            self.lose(attempt);
            self.forget_attempt(attempt);
        }
    }
}

/// What a worker is told of an attempt.
pub(super) fn dispatch_of(run: &Run, attempt: Attempt) -> Option<Dispatch> {
    let at = run.place_of(attempt)?;
    let task = run.task(at);
    Some(Dispatch {
        attempt,
        queue: task.queue.clone(),
        priority: task.total_weight,
        version: run.row.version,
        try_number: run.tasks[at.at()].try_number,
        sealed: None,
    })
}

/// The number by which this process's own worker is known: below zero, so that it is nobody's
/// who has entered.
pub const fn own_worker(term: i64) -> i64 {
    -term
}

//! A worker in a process of its own: it claims attempts from the shared store, runs them, and
//! reports how they ended. It writes no run and no task instance.
//!
//! Like the engine it is one thread that waits in `poll(2)` for its supervisor, its log thread and
//! its bell. What runs here runs under the worker's lease: should it not be renewed in time, this
//! thread ends everything, and should this thread be frozen, the supervisor does.

mod claims;
mod lease;
pub mod log_door;
mod spool;
mod told;

pub use lease::WorkerLease;
pub use spool::Spool;

use crate::daemon::clock;
use crate::daemon::definition::{self, Definition, TaskNames};
use crate::daemon::engine::log_path;
use crate::daemon::facts;
use crate::daemon::home::Home;
use crate::daemon::outputs;
use crate::daemon::outside;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};
use tidemill_connection::Places;
use tidemill_executor::{AttemptSpec, Worker};
use tidemill_model::attempt::Verdict;
use tidemill_model::{Attempt, Outcome, Reason, TaskIndex};
use tidemill_store::{
    Claim, NewWorker, StoreError, StreamStore, WorkerReport, WorkerStore, while_it_waits,
};

/// Without a bell, the store is asked so often.
pub const FLOOR: Duration = Duration::from_secs(1);

/// What others tell the worker's thread. Cheap to clone.
#[derive(Clone)]
pub struct Bell {
    wake: Arc<OwnedFd>,
    rung: Arc<AtomicBool>,
    /// 0: go on. 1: finish what runs. 2: end what runs.
    stop: Arc<AtomicU8>,
}

impl Bell {
    /// A bell that nobody has rung.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn new() -> std::io::Result<Bell> {
        let flags = rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK;
        Ok(Bell {
            wake: Arc::new(rustix::event::eventfd(0, flags)?),
            rung: Arc::new(AtomicBool::new(true)),
            stop: Arc::new(AtomicU8::new(0)),
        })
    }

    /// There may be something to claim or to end.
    pub fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        self.wake();
    }

    /// Claim nothing more; the thread ends when nothing runs.
    pub fn stop(&self) {
        self.stop.fetch_max(1, Ordering::AcqRel);
        self.wake();
    }

    /// End what runs, too.
    pub fn stop_now(&self) {
        self.stop.store(2, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

/// Rings whenever the database says that there is something to claim or to end.
#[cfg(feature = "postgres")]
pub async fn ring_for_work(store: Arc<tidemill_store_postgres::PostgresStore>, bell: Bell) {
    use tidemill_store_postgres::{Listener, Rings};
    let mut listener = Listener::new(store, Rings::Work);
    loop {
        listener.wait(FLOOR).await;
        bell.ring();
    }
}

/// The worker. [`RemoteWorker::run`] is its thread.
pub struct RemoteWorker<S> {
    store: Arc<S>,
    runtime: tokio::runtime::Handle,
    worker: Worker,
    identity: NewWorker,
    number: i64,
    lease: WorkerLease,
    beaten: Option<Duration>,
    bell: Bell,
    home: Home,
    places: Places,
    names: TaskNames,
    definitions: HashMap<tidemill_model::VersionNo, Definition>,
    holds: HashSet<Attempt>,
    /// Of these, those that wait for something and have given their slots back.
    waiting: HashSet<Attempt>,
    unsent: Vec<WorkerReport>,
    spool: Spool,
    next_try: Instant,
    asked: Instant,
    /// Until then the store may turn out to have given this worker what it does not know of.
    doubts_claims: Option<Instant>,
}

impl<S: WorkerStore + StreamStore + 'static> RemoteWorker<S> {
    /// Enters the store as a new worker. Results that an earlier process could not deliver are
    /// delivered first.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub fn new(
        store: Arc<S>,
        runtime: tokio::runtime::Handle,
        worker: Worker,
        identity: NewWorker,
        home: Home,
        bell: Bell,
    ) -> Result<RemoteWorker<S>, StoreError> {
        let spool = Spool::open(home.spool()).map_err(|err| StoreError::Unavailable {
            what: home.spool().display().to_string(),
            err: Box::new(err),
        })?;
        let number = runtime.block_on(store.enter(&identity))?;
        let lease = WorkerLease::keep(
            &runtime,
            Arc::clone(&store),
            number,
            identity.lease,
            Arc::clone(&bell.wake),
        );
        tracing::info!(worker = number, queues = ?identity.queues, slots = identity.slots, "Worker entered");
        Ok(RemoteWorker {
            unsent: spool.left(),
            store,
            runtime,
            worker,
            identity,
            number,
            lease,
            beaten: None,
            bell,
            home,
            places: Places::of_process(),
            names: HashMap::new(),
            definitions: HashMap::new(),
            holds: HashSet::new(),
            waiting: HashSet::new(),
            spool,
            next_try: Instant::now(),
            asked: Instant::now(),
            doubts_claims: None,
        })
    }

    /// The thread: until it is told to stop, and nothing runs and nothing waits to be told.
    pub fn run(mut self) {
        let mut interrupted = false;
        loop {
            let mut buffer = [0u8; 8];
            let _ = rustix::io::read(&self.bell.wake, &mut buffer);
            self.take_ended();
            self.deliver();
            if !self.lease.holds() {
                self.come_back();
            }
            self.beat();
            let stop = self.bell.stop.load(Ordering::Acquire);
            if stop > 0 {
                self.end_waits();
            }
            if stop == 2 && !std::mem::replace(&mut interrupted, true) {
                self.interrupt();
            }
            if stop > 0 && self.holds.is_empty() && (self.unsent.is_empty() || stop == 2) {
                let _ = self.runtime.block_on(self.store.leave(self.number)); // else its lease ends
                return;
            }
            self.ask(stop > 0);
            self.wait();
        }
    }

    fn take_ended(&mut self) {
        for ended in self.worker.ended() {
            let mut attempt = ended.attempt;
            if ended.outcome.verdict == Verdict::Deferred {
                self.waiting.insert(attempt);
                attempt = while_it_waits(attempt);
            } else {
                self.holds.remove(&attempt);
                self.waiting.remove(&attempt);
            }
            self.unsent.push(WorkerReport {
                attempt,
                worker: self.number,
                outcome: ended.outcome,
            });
            // Its slot is free: there may be somebody for it.
            self.bell.rung.store(true, Ordering::Release);
        }
    }

    /// Tells what has ended. What cannot be told waits on the disk, for this process or the next.
    fn deliver(&mut self) {
        if self.unsent.is_empty() || Instant::now() < self.next_try {
            return;
        }
        match self.runtime.block_on(self.store.report(&self.unsent)) {
            Ok(()) => {
                for report in self.unsent.drain(..) {
                    self.spool.forget(report.attempt);
                }
            }
            Err(err) => {
                tracing::warn!(error = %crate::exit::chain(&err), n_results = self.unsent.len(),
                    "Cannot deliver results; they wait on the disk");
                for report in &self.unsent {
                    if let Err(err) = self.spool.keep(report) {
                        tracing::error!(attempt = %report.attempt, %err, "Cannot keep a result");
                    }
                }
                self.next_try = Instant::now() + FLOOR;
            }
        }
    }

    /// The lease is over, or nearly: what runs is ended before anybody else may start it again,
    /// and the worker comes back under a new number.
    fn come_back(&mut self) {
        if !self.holds.is_empty() {
            tracing::error!(
                worker = self.number,
                n_attempts = self.holds.len(),
                "The lease could not be renewed; everything that runs here is ended"
            );
            self.worker.kill_all_now();
            self.holds.clear(); // their ends are told as they come, and change nothing
            self.waiting.clear();
        }
        if Instant::now() < self.next_try {
            return;
        }
        self.next_try = Instant::now() + FLOOR;
        match self.runtime.block_on(self.store.enter(&self.identity)) {
            Ok(number) => {
                tracing::info!(
                    worker = number,
                    before = self.number,
                    "Worker entered again"
                );
                self.number = number;
                self.doubts_claims = None; // what the old number has is lost with its lease
                self.beaten = None;
                let (store, wake) = (Arc::clone(&self.store), Arc::clone(&self.bell.wake));
                let lease = self.identity.lease;
                self.lease = WorkerLease::keep(&self.runtime, store, number, lease, wake);
            }
            Err(err) => {
                tracing::warn!(error = %crate::exit::chain(&err), "Cannot enter the store; it is tried again");
            }
        }
    }

    /// Each renewal, and nothing else, is a sign of life for the supervisor.
    fn beat(&mut self) {
        if let Some(mark) = self.lease.fresh_mark()
            && self.beaten != Some(mark)
        {
            self.worker.beat();
            self.beaten = Some(mark);
        }
    }

    /// What only waits is not waited for: another worker waits on.
    fn end_waits(&mut self) {
        for attempt in &self.waiting {
            self.worker.kill(*attempt, Reason::Interrupted);
        }
    }

    fn interrupt(&mut self) {
        for attempt in &self.holds {
            self.worker.kill(*attempt, Reason::Interrupted);
        }
    }

    /// Asks what to end and what to start, if the bell was rung or has been silent for long.
    fn ask(&mut self, is_stopping: bool) {
        if !self.bell.rung.swap(false, Ordering::AcqRel) && self.asked.elapsed() < FLOOR {
            return;
        }
        self.asked = Instant::now();
        if !self.holds.is_empty() {
            match self.runtime.block_on(self.store.kills(self.number)) {
                Ok(kills) => {
                    for (attempt, reason) in kills {
                        self.worker.kill(attempt, reason);
                    }
                }
                Err(err) => {
                    tracing::warn!(error = %crate::exit::chain(&err), "Cannot ask what to end");
                    return;
                }
            }
        }
        if !self.lease.holds() || !self.settle_claims() {
            return;
        }
        let n_running = self.holds.len() - self.waiting.len();
        let n_free = self.identity.slots.saturating_sub(n_running as u32);
        if is_stopping || n_free == 0 || self.lease.is_draining() {
            return;
        }
        match self.runtime.block_on(self.store.claim(self.number, n_free)) {
            Ok(claims) => claims.into_iter().for_each(|claim| self.launch(claim)),
            Err(err) => {
                tracing::warn!(error = %crate::exit::chain(&err), "Cannot claim");
                self.doubts_claims = Some(Instant::now() + claims::SETTLED);
            }
        }
    }

    fn launch(&mut self, claim: Claim) {
        let attempt = claim.attempt;
        self.holds.insert(attempt);
        match self.spec(&claim) {
            Ok(spec) => self.worker.launch(spec),
            Err(why) => {
                tracing::error!(%attempt, why, "Cannot start an attempt");
                self.holds.remove(&attempt);
                self.unsent.push(WorkerReport {
                    attempt,
                    worker: self.number,
                    outcome: Outcome::without_process(Verdict::Failed, Reason::CouldNotStart, why),
                });
            }
        }
    }

    fn spec(&mut self, claim: &Claim) -> Result<AttemptSpec, String> {
        let run = &claim.run;
        let attempt = claim.attempt;
        let known = self.definition(claim.version, run.dag)?;
        let at = known.task_nos.iter().position(|no| *no == attempt.task_no);
        let at = at.ok_or("the task is not in this version of its DAG")?;
        let at = TaskIndex(at as u32);
        let item = claim.map_item.as_ref();
        let place = facts::Place {
            try_number: claim.try_number,
            map_index: attempt.map_index.0,
            map: item.map(|item| item.values.clone()).unwrap_or_default(),
        };
        let run_dir = self.home.runs().join(run.run.to_string());
        let (upstream, own) = self.upstream(&known, at, run)?;
        let uses = &known.dag.task(at).uses;
        let keys = || outside::keys_of_worker(&self.home);
        let sealed = claim.sealed.as_deref();
        let found = outside::of_worker(uses, &self.places, attempt, sealed, keys);
        let kept = self.kept(&known, at, claim)?;
        let looked_up = self.looked_up(&known, at, claim)?;
        let mut facts = facts::of_attempt(run, &known.dag, at, place, &run_dir, upstream, found);
        facts.asset_events = facts::asset_events(&own);
        facts.looked_up = looked_up;
        facts.trigger = match facts::of_happening(&own) {
            Some(told) => Some(told),
            None => self.trigger_facts(run)?,
        };
        let task_no = |at: TaskIndex| known.task_nos[at.at()];
        outputs::add(&mut facts, &known.dag, at, task_no, |task_no, indexes| {
            self.instance_values(run.run, task_no, indexes)
        })?;
        let versions = self.home.versions();
        let has_files = definition::folder(&versions, claim.version, true).is_dir();
        Ok(AttemptSpec {
            attempt,
            now: clock::now(),
            run_started_at: run.started_at.unwrap_or_else(clock::now),
            facts,
            dag: known.dag,
            task: at,
            kept,
            log: log_path(&self.home.logs(), attempt, claim.try_number),
            dag_dir: definition::folder(&versions, claim.version, has_files),
            run_dir,
        })
    }

    fn definition(
        &mut self,
        version: tidemill_model::VersionNo,
        dag: tidemill_model::DagNo,
    ) -> Result<Definition, String> {
        if let Some(known) = self.definitions.get(&version) {
            return Ok(known.clone());
        }
        let away = |err: StoreError| crate::exit::chain(&err);
        let read = self.runtime.block_on(self.store.definition(version));
        let record = read
            .map_err(away)?
            .ok_or("its definition is not in the database")?;
        let numbers = self.runtime.block_on(self.store.task_numbers(dag));
        let numbers = numbers.map_err(away)?.into_iter();
        self.names
            .insert(dag, numbers.map(|(no, name)| (name, no)).collect());
        definition::lay_out(&self.home.versions(), version, &record.files)
            .map_err(|err| format!("the files of its version cannot be laid out: {err}"))?;
        let known = definition::from_version(&record, &self.names)
            .ok_or("this program cannot read its definition; is it older than the scheduler's?")?;
        self.definitions.insert(version, known.clone());
        Ok(known)
    }

    fn wait(&self) {
        if self.bell.rung.load(Ordering::Acquire) {
            return;
        }
        let wait = FLOOR.saturating_sub(self.asked.elapsed());
        let timeout = Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let mut fds = vec![PollFd::new(&self.bell.wake, PollFlags::IN)];
        let worker_fds = self.worker.wake_fds();
        fds.extend(
            worker_fds
                .iter()
                .map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)),
        );
        let _ = poll(&mut fds, Some(&timeout)); // an interrupted wait is a short one
    }
}

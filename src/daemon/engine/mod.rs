//! The engine: one thread that drains, steps, commits, hands over, and waits.
//!
//! It is the only writer of runs and task instances. Nothing is stepped on uncommitted state and
//! nothing is started, killed or answered before the commit that says so.

mod alert;
mod assets;
mod backfill;
mod children;
mod commands;
mod deadline;
mod elsewhere;
mod failing;
mod forget;
mod hand_over;
mod happened;
mod lanes;
mod options;
mod pass;
mod past;
mod people;
mod pools;
mod rejects;
mod remote;
mod repin;
mod schedule;
mod state;
mod streams;
mod turns;
mod watch;
mod why;
mod why_dag;
mod why_elsewhere;
mod why_task;

use crate::daemon::clock;
use crate::daemon::database::Database;
use crate::daemon::metrics::Metrics;
pub use assets::{RUN_ITSELF, TRIGGERING_EVENTS};
use backfill::Backfill;
pub use elsewhere::EarlierWorkers;
use forget::ToForget;
pub use hand_over::log_path;
pub use happened::HAPPENING;
pub use options::EngineOptions;
use pass::PassDraft;
pub use pools::open_pool;
use remote::Remote;
pub use remote::own_worker;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use state::{DagState, Timer};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
pub use streams::{StreamRun, WantedStreams};
use tidemill_executor::Worker;
use tidemill_model::{Attempt, BackfillNo, Dag, DagNo, Reason, RunNo, Ts, VersionNo};
use tidemill_scheduler::{Admission, Event, Run, step};
use tidemill_store::{
    Answer, BatchRecord, Change, Command, CommandDoor, EngineStore, PageStore, PoolRecord, Refusal,
    StoreError, StoredVersion,
};
use tokio::sync::watch as watched;
use tokio::sync::{broadcast, oneshot};

use crate::daemon::definition::{Definition, TaskNames};

/// Inputs that one pass takes in; more wait for the next.
const INPUTS_PER_PASS_MAX: usize = 256;
/// While nothing happens, the clock is looked at so often: it may have been set.
const IDLE_WAIT_MAX: Duration = Duration::from_secs(10);
/// The pause before a failed commit is tried again.
const COMMIT_RETRY: Duration = Duration::from_secs(1);

/// What reaches the engine from outside.
pub enum Input {
    /// A person's wish.
    Command(Box<Command>, oneshot::Sender<Result<Answer, Refusal>>),
    /// DAGs have new current versions.
    Dags(Vec<(StoredVersion, Arc<Dag>)>),
    /// The files of these DAGs are gone.
    Stale(Vec<DagNo>),
    /// The DAG folder has been read: whose file is broken goes on as it was.
    FolderRead,
    /// Start nothing more; wait for what runs, at most so long; then interrupt it and end.
    Stop(Duration),
    /// Streams have made these runs: they are stored.
    StreamRuns(Vec<StreamRun>),
    /// Workers elsewhere may have said something.
    Arrivals,
    /// The configuration file declares these pools now.
    Pools(Vec<PoolRecord>),
    /// End everything now.
    StopNow,
}

/// The way in. Cheap to clone.
#[derive(Clone)]
pub struct EngineDoor {
    inputs: mpsc::Sender<Input>,
    wake: Arc<OwnedFd>,
    /// Set with the last word: an engine that waits for its database waits no longer.
    must_end: Arc<AtomicBool>,
    run_numbers: Arc<AtomicI64>,
    streams: watched::Receiver<Vec<WantedStreams>>,
}

impl EngineDoor {
    /// The last number that was given to a run: whoever makes a run raises it.
    pub fn run_numbers(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.run_numbers)
    }

    /// The streams that are to be read.
    pub fn streams(&self) -> watched::Receiver<Vec<WantedStreams>> {
        self.streams.clone()
    }

    /// Gives the engine an input and wakes it. An engine that is gone takes nothing.
    pub fn send(&self, input: Input) {
        if matches!(input, Input::StopNow) {
            self.must_end.store(true, Ordering::Release);
        }
        if self.inputs.send(input).is_ok() {
            let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        }
    }

    /// Asks for something and waits for the answer.
    ///
    /// # Errors
    /// The engine's refusal, or that it is gone.
    pub async fn ask(&self, command: Command) -> Result<Answer, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.send(Input::Command(Box::new(command), reply));
        answer.await.unwrap_or_else(|_| {
            Err(Refusal::Unavailable {
                what: "the scheduler has stopped".to_string(),
            })
        })
    }

    /// The same as a door.
    pub fn commands(&self) -> CommandDoor {
        let door = self.clone();
        Arc::new(move |command| {
            let door = door.clone();
            Box::pin(async move { door.ask(command).await })
        })
    }
}

/// The engine. [`Engine::run`] is its thread.
pub struct Engine {
    options: EngineOptions,
    database: Database,
    store: Arc<dyn EngineStore>,
    pages: Arc<dyn PageStore>,
    runtime: tokio::runtime::Handle,
    worker: Worker,
    worker_no: i64,
    term: i64,
    inputs: mpsc::Receiver<Input>,
    wake: Arc<OwnedFd>,
    changes: broadcast::Sender<Arc<Change>>,
    dags: HashMap<DagNo, DagState>,
    dag_ids: HashMap<String, DagNo>,
    names: TaskNames,
    definitions: HashMap<VersionNo, Definition>,
    runs: HashMap<RunNo, Run>,
    admission: Admission,
    pools: BTreeMap<String, PoolRecord>,
    timers: BinaryHeap<Reverse<(Ts, Timer)>>,
    assets: assets::Assets,
    past: past::Past,
    watches: watch::Watches,
    backfills: BTreeMap<BackfillNo, Backfill>,
    /// The backfill of each of its runs that is not over.
    backfill_of: HashMap<RunNo, BackfillNo>,
    last_backfill: i64,
    /// For which time of being queued the deadlines of a run are set.
    deadlines: HashMap<RunNo, Ts>,
    /// Shared with the streams, which make runs too.
    last_run: Arc<AtomicI64>,
    /// What runs of streams were made of, as far as it was asked for.
    batches: HashMap<RunNo, BatchRecord>,
    streams_of_runs: lanes::StreamsOfRuns,
    streams: watched::Sender<Vec<WantedStreams>>,
    streams_changed: bool,
    is_folder_read: bool,
    last_seq: i64,
    draft: PassDraft,
    /// Runs to be forgotten, once what is being made of them is written.
    forgetting: Vec<ToForget>,
    metrics: Arc<Metrics>,
    stopping: Option<Instant>,
    interrupted: bool,
    must_end: Arc<AtomicBool>,
    /// Workers of other processes, where the database is shared.
    remote: Option<Remote>,
    /// Live attempts of another process's own worker.
    elsewhere: Vec<Attempt>,
    last_held: Instant,
    is_fenced: bool,
}

impl Engine {
    /// An engine and the door to it. Reads what is active; attempts of an earlier process of this
    /// home are gone with it, so they count as lost.
    ///
    /// # Errors
    /// When the store or the wake-up descriptor cannot be had.
    pub fn new(
        options: EngineOptions,
        database: Database,
        term: i64,
        runtime: tokio::runtime::Handle,
        worker: Worker,
        changes: broadcast::Sender<Arc<Change>>,
    ) -> Result<(Engine, EngineDoor), StoreError> {
        let (sender, inputs) = mpsc::channel();
        let wake = rustix::event::eventfd(
            0,
            rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK,
        )
        .map_err(|err| StoreError::Unavailable {
            what: "eventfd".to_string(),
            err: Box::new(err),
        })?;
        let wake = Arc::new(wake);
        let loaded = runtime.block_on(database.engine.load())?;
        let (streams, wanted) = watched::channel(Vec::new());
        let door = EngineDoor {
            inputs: sender,
            wake: Arc::clone(&wake),
            must_end: Arc::default(),
            run_numbers: Arc::new(AtomicI64::new(loaded.last_run)),
            streams: wanted,
        };
        let remote = database.dispatch.clone().map(Remote::new);
        // With workers elsewhere each queue has a number of its own, see `open_queues`.
        let slots = remote.as_ref().map_or(options.slots, |_| u32::MAX);
        let admission = Admission::new(slots);
        let metrics = Arc::clone(&options.metrics);
        let mut engine = Engine {
            options,
            pages: Arc::clone(&database.pages),
            store: Arc::clone(&database.engine),
            database,
            runtime,
            worker,
            worker_no: own_worker(term),
            term,
            inputs,
            wake,
            changes,
            dags: HashMap::new(),
            dag_ids: HashMap::new(),
            names: HashMap::new(),
            definitions: HashMap::new(),
            runs: HashMap::new(),
            admission,
            pools: BTreeMap::new(),
            timers: BinaryHeap::new(),
            assets: assets::Assets::default(),
            past: past::Past::default(),
            watches: watch::Watches::default(),
            backfills: BTreeMap::new(),
            backfill_of: HashMap::new(),
            deadlines: HashMap::new(),
            last_backfill: loaded.last_backfill,
            last_run: door.run_numbers(),
            batches: HashMap::new(),
            streams_of_runs: lanes::StreamsOfRuns::default(),
            streams,
            streams_changed: false,
            is_folder_read: false,
            last_seq: loaded.last_seq,
            draft: PassDraft::default(),
            forgetting: Vec::new(),
            metrics,
            stopping: None,
            interrupted: false,
            must_end: Arc::clone(&door.must_end),
            remote,
            elsewhere: Vec::new(),
            last_held: Instant::now(),
            is_fenced: false,
        };
        engine.resume(loaded);
        Ok((engine, door))
    }

    /// The thread: until it is told to stop, or its term is over.
    ///
    /// # Errors
    /// [`StoreError::TermLost`] when another process has become the scheduler.
    pub fn run(mut self) -> Result<(), StoreError> {
        let mut last_beat = Instant::now();
        loop {
            self.metrics.went_round();
            self.take_inputs();
            self.take_ended();
            self.take_remote();
            self.take_timers();
            self.take_past();
            self.take_assets();
            self.take_watches();
            self.admit();
            self.commit()?;
            self.forget_runs()?;
            self.tell_streams();
            if self.is_done() {
                return Ok(());
            }
            if last_beat.elapsed() >= Duration::from_secs(5) {
                self.stay_alive();
                last_beat = Instant::now();
            }
            self.wait();
        }
    }

    fn take_inputs(&mut self) {
        let mut buffer = [0u8; 8];
        let _ = rustix::io::read(&self.wake, &mut buffer);
        for taken in 1..=INPUTS_PER_PASS_MAX {
            match self.inputs.try_recv() {
                Ok(Input::Command(command, reply)) => self.command(*command, reply),
                Ok(Input::Dags(dags)) => {
                    for (stored, dag) in dags {
                        self.take_dag(stored, dag);
                    }
                }
                Ok(Input::Stale(dags)) => self.take_stale(&dags),
                Ok(Input::Arrivals) => self.hear_bell(),
                Ok(Input::Pools(pools)) => self.declare_pools(pools),
                Ok(Input::FolderRead) => {
                    self.is_folder_read = true;
                    self.streams_changed = true;
                    self.tick_unarmed();
                }
                Ok(Input::StreamRuns(runs)) => self.adopt(runs),
                Ok(Input::Stop(grace)) => self.stopping = Some(Instant::now() + grace),
                Ok(Input::StopNow) => {
                    self.stopping = Some(Instant::now());
                    self.interrupt();
                    self.worker.kill_all_now();
                }
                Err(_) => return,
            }
            if taken == INPUTS_PER_PASS_MAX {
                let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
            }
        }
    }

    fn take_ended(&mut self) {
        for ended in self.worker.ended() {
            let event = Event::AttemptEnded {
                attempt: ended.attempt,
                outcome: Box::new(ended.outcome),
            };
            self.step(ended.attempt.run, event);
        }
    }

    fn take_timers(&mut self) {
        let now = clock::now();
        let mut due = Vec::new();
        while let Some(Reverse((at, timer))) = self.timers.peek().copied()
            && at <= now
        {
            self.timers.pop();
            due.push((at, timer));
        }
        // A timer that one of these sets is for the next pass, so that a pass has an end.
        for (at, timer) in due {
            match timer {
                Timer::Task(run, at) => self.step(run, Event::TimerDue(at)),
                Timer::Begin(run) => self.queue_due(run),
                Timer::RunTimeout(run) => self.step(run, Event::RunTimedOut),
                Timer::Schedule(dag) if self.is_armed(dag, at) => self.tick(dag),
                Timer::Schedule(_) => {}
                Timer::GoneElsewhere => self.lose_attempts_elsewhere(),
                Timer::Backfill(backfill) => self.advance_backfill(backfill),
                Timer::Deadline(run, queued, place) => {
                    self.deadline_has_come(run, queued, place, at);
                }
            }
        }
        if self.stopping.is_some_and(|until| until <= Instant::now()) {
            self.interrupt();
        }
    }

    /// The number of a run that is made now.
    fn next_run(&self) -> RunNo {
        RunNo(self.last_run.fetch_add(1, Ordering::AcqRel) + 1)
    }

    /// Moves one run and takes in what follows. The counts of its DAG follow its state here.
    fn step(&mut self, run_no: RunNo, event: Event) {
        let now = clock::now();
        let Some(run) = self.runs.get_mut(&run_no) else {
            self.metrics.stale_report();
            return;
        };
        if matches!(event, Event::AttemptLost { .. }) {
            self.metrics.lost();
        }
        let before = run.row.state;
        let effects = step(run, event, now);
        let after = run.row.state;
        self.take_effects(run_no, effects, now);
        if before != after {
            self.count_end(run_no);
            self.follow_run(run_no, now);
        }
    }

    fn count_end(&self, run_no: RunNo) {
        if let Some(run) = self.runs.get(&run_no)
            && run.row.state.is_terminal()
        {
            self.metrics.run_ended(&run.dag.id, &run.row);
        }
    }

    fn wait(&mut self) {
        if self.draft.has_work() {
            return;
        }
        let now = clock::now();
        let mut wait = IDLE_WAIT_MAX.min(self.remote_wait_max());
        if let Some(Reverse((due, _))) = self.timers.peek() {
            wait = wait.min(due.since(now));
        }
        if let Some(until) = self.stopping {
            let left = until.saturating_duration_since(Instant::now());
            wait = wait.min(if self.interrupted {
                Duration::from_secs(1)
            } else {
                left
            });
        }
        let timeout = Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let mut fds = vec![PollFd::new(&self.wake, PollFlags::IN)];
        let worker_fds = self.worker.wake_fds();
        fds.extend(
            worker_fds
                .iter()
                .map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)),
        );
        let _ = poll(&mut fds, Some(&timeout)); // an interrupted wait is a short one
    }

    fn interrupt(&mut self) {
        if std::mem::replace(&mut self.interrupted, true) {
            return;
        }
        for run in self.runs.values() {
            for (at, task) in run.tasks.iter().enumerate() {
                if task.is_live() {
                    let attempt = run.attempt(tidemill_model::TaskIndex(at as u32));
                    self.worker.kill(attempt, Reason::Interrupted);
                }
            }
        }
    }

    fn is_done(&self) -> bool {
        self.stopping.is_some() && self.n_live_here() == 0 && !self.draft.has_work()
    }
}

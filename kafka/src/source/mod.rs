//! A source: one thread that reads the partitions of one trigger and makes runs of them.
//!
//! One thread for each client, with `assign` at explicit offsets: no group, no rebalance, nothing
//! that another reader could take away. What it knows is the store's; it holds only what it has
//! read since the last commit, and forgets that whenever a commit finds its cursor elsewhere.

pub(crate) mod begin;
mod commit;
pub(crate) mod control;
mod look;
pub(crate) mod reading;
pub(crate) mod runs;
mod session;
mod show;
pub(crate) mod start;

use crate::client::Login;
use crate::letters::Letters;
use crate::status::{State, Status};
use control::Control;
use serde_json::Value;
use session::{Ended, Session, Trouble};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tidemill_model::{DagNo, Trigger, Ts, VersionNo};
use tidemill_store::{NewStreamRun, StreamStore};

/// What a source reads, and for whom.
#[derive(Clone, Debug)]
pub struct SourceSpec {
    /// The DAG.
    pub dag: DagNo,
    /// Its name.
    pub dag_id: String,
    /// The version that its runs are pinned to.
    pub version: VersionNo,
    /// The trigger, as that version has it.
    pub trigger: Arc<Trigger>,
    /// Has its DAG other triggers? Then the names of runs say which.
    pub is_one_of_many: bool,
    /// [`tidemill_store::LIVE`], or the replay.
    pub replay: i64,
    /// The term that fences what it writes.
    pub term: i64,
    /// It reads nothing more while so many of its runs are not over …
    pub open_runs_high: i64,
    /// … until so few are.
    pub open_runs_low: i64,
}

impl SourceSpec {
    pub(crate) fn is_replay(&self) -> bool {
        self.replay != tidemill_store::LIVE
    }
}

/// Names a run from what templates see as `trigger`, where the trigger says how.
pub type NameOf = dyn Fn(&Value) -> Option<String> + Send + Sync;

/// What a source needs of the process around it.
pub struct Ports {
    /// The memory.
    pub store: Arc<dyn StreamStore>,
    /// Where calls of the store run.
    pub runtime: tokio::runtime::Handle,
    /// The last number that was given to a run; shared with whoever else makes runs.
    pub run_numbers: Arc<AtomicI64>,
    /// The parameters of a run, from what templates see as `trigger`.
    pub conf: Box<dyn Fn(&Value) -> Value + Send + Sync>,
    /// What a run is called, from the same; `None` where the trigger does not say.
    pub name: Box<NameOf>,
    /// Takes runs that are committed.
    pub made: Box<dyn Fn(Vec<NewStreamRun>) + Send + Sync>,
    /// Where the brokers are and how one is let in, or why that is not known. Asked anew whenever
    /// reading begins.
    pub login: Arc<dyn Fn() -> Result<Login, String> + Send + Sync>,
    /// The clock.
    pub now: fn() -> Ts,
}

/// A running source. It ends with the value.
pub struct Source {
    control: Arc<Control>,
    letters: Arc<Control>,
    status: Arc<Mutex<Status>>,
    threads: Vec<JoinHandle<()>>,
}

/// The first wait after something outside has failed; doubled up to the longest.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LONGEST: Duration = Duration::from_secs(15);

impl Source {
    /// Starts it.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(spec: SourceSpec, ports: Ports, is_paused: bool) -> std::io::Result<Source> {
        let control = Arc::new(Control::new(is_paused));
        let status = Arc::new(Mutex::new(Status::default()));
        let letters = Arc::new(Control::new(false));
        let worker = Worker {
            spec,
            ports,
            control: Arc::clone(&control),
            letters: Arc::clone(&letters),
            ids: begin::IdsPause::default(),
            was_paused: AtomicBool::new(false),
            status: Arc::clone(&status),
        };
        let mut source = Source {
            control,
            letters,
            status,
            threads: Vec::new(),
        };
        if let Some(letters) = worker.letters() {
            let thread = std::thread::Builder::new().name("dead letters".to_string());
            source.threads.push(thread.spawn(move || letters.run())?);
        }
        let thread = std::thread::Builder::new().name("stream".to_string());
        source.threads.push(thread.spawn(move || worker.run())?);
        Ok(source)
    }

    /// Stops or resumes reading. What was read and is not committed is forgotten.
    pub fn pause(&self, is_paused: bool) {
        self.control.pause(is_paused);
    }

    /// Cursors were moved: begin anew with them.
    pub fn reopen(&self) {
        self.control.reopen();
    }

    /// What it does.
    pub fn status(&self) -> Status {
        self.status
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.control.stop();
        self.letters.stop();
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // a thread that has panicked has ended too
        }
    }
}

/// What the thread has.
pub(crate) struct Worker {
    pub(crate) spec: SourceSpec,
    pub(crate) ports: Ports,
    pub(crate) control: Arc<Control>,
    pub(crate) letters: Arc<Control>,
    ids: begin::IdsPause,
    /// Has it been paused since it last read?
    was_paused: AtomicBool,
    status: Arc<Mutex<Status>>,
}

impl Worker {
    /// The copier of dead letters, where the trigger has a topic for them.
    fn letters(&self) -> Option<Letters> {
        let (spec, ports) = (&self.spec, &self.ports);
        if spec.is_replay() {
            return None; // the live source sends the letters of all readings
        }
        let topic = spec.trigger.kafka.dead_letter_topic.clone()?;
        let record = ports
            .store
            .put_trigger(spec.dag, &spec.trigger.name, (ports.now)());
        let record = ports.runtime.block_on(record).ok()?;
        Some(Letters {
            login: Arc::clone(&ports.login),
            topic,
            dag_id: spec.dag_id.clone(),
            trigger_name: spec.trigger.name.clone(),
            trigger: record.trigger,
            store: Arc::clone(&ports.store),
            runtime: ports.runtime.clone(),
            control: Arc::clone(&self.letters),
            now: ports.now,
        })
    }

    fn run(self) {
        let mut wait = RETRY_FIRST;
        while !self.control.is_stopped() {
            if self.control.is_paused() {
                self.was_paused.store(true, Ordering::Release);
                self.tell(|status| status.state = State::Paused);
                self.control.wait(Duration::from_secs(3_600));
                continue;
            }
            match Session::open(&self).and_then(|mut session| session.read()) {
                Ok(Ended::Asked) => wait = RETRY_FIRST,
                Ok(Ended::Finished) => match self.finish() {
                    Ok(()) | Err(Trouble::TermLost) => break,
                    Err(Trouble::Outside(why)) => {
                        self.tell(|status| status.state = State::Waiting(why));
                        self.control.wait(RETRY_LONGEST);
                    }
                },
                Ok(Ended::Fenced) => self.tell(|status| status.n_fenced += 1),
                Err(Trouble::TermLost) => break,
                Err(Trouble::Outside(why)) => {
                    let dag = &self.spec.dag_id;
                    let trigger = &self.spec.trigger.name;
                    tracing::warn!(dag.id = %dag, trigger, why, "A stream waits");
                    self.tell(|status| status.state = State::Waiting(why));
                    self.control.wait(wait);
                    wait = (wait * 2).min(RETRY_LONGEST);
                }
            }
        }
        self.tell(|status| status.state = State::Ended);
    }

    /// A replay is over.
    fn finish(&self) -> Result<(), Trouble> {
        let (spec, ports) = (&self.spec, &self.ports);
        let ended = ports
            .store
            .end_replay(spec.term, spec.replay, "done", (ports.now)());
        ports.runtime.block_on(ended)?;
        Ok(())
    }

    /// Was it paused since this was last asked?
    pub(crate) fn was_paused(&self) -> bool {
        self.was_paused.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn tell(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

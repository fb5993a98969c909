//! The worker inside this process.

use crate::here::{Here, News, Over};
use crate::live::{Live, Process};
use crate::lock::take_lock;
use crate::log::sink::{Captured, LogPlan};
use crate::log::thread::Logs;
use crate::operator::shell::{self, Fate, Machine, Prepared, Traces};
use crate::operator::{Job, flow, python};
use crate::render::{conditions, could_not_start};
use crate::slot::{Slot, Slots};
use crate::supervisor::client::Client;
use crate::supervisor::message::{Order, Received, Report, memory_file};
use crate::{AttemptSpec, Ended, WorkerError, WorkerOptions, expand, masked, user};
use serde_json::Value;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tidemill_model::attempt::Verdict;
use tidemill_model::dag::{InProcess, ShellOutput};
use tidemill_model::{Attempt, MapIndex, Operator, Outcome, Reason};

/// How long the end of a worker waits for the end of its tasks.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// The worker inside this process: a supervisor process that owns the tasks, a thread that owns
/// their output, and a few threads for operators that need no process.
pub struct Worker {
    options: WorkerOptions,
    machine: Machine,
    /// Shared with the supervisor, which holds it until its tasks are gone.
    lock: File,
    client: Option<Client>,
    logs: Logs,
    here: Here,
    slots: Slots,
    live: HashMap<u64, Live>,
    by_attempt: HashMap<Attempt, u64>,
    next_id: u64,
    ended: Vec<Ended>,
}

impl Worker {
    /// Starts the supervisor and the log thread. Waits until the supervisor of an earlier
    /// process in the same home has killed what it held (at most `wait`).
    ///
    /// # Errors
    /// When that wait is over, or the supervisor cannot be started.
    pub fn start(options: WorkerOptions, wait: Duration) -> Result<Worker, WorkerError> {
        let failed = |what: &str| {
            let what = what.to_string();
            move |err| WorkerError::System { what, err }
        };
        std::fs::create_dir_all(&options.home).map_err(failed(&format!(
            "cannot make the folder {}",
            options.home.display()
        )))?;
        // Tasks are told absolute paths, whatever folder they start in.
        let mut options = options;
        options.home = options
            .home
            .canonicalize()
            .map_err(failed("cannot find the home folder"))?;
        let lock = take_lock(options.home.join("worker.lock"), wait)?;
        let slots = Slots::open(&options.home).map_err(failed(&format!(
            "cannot use the folders in {}",
            options.home.display()
        )))?;
        let machine = Machine::look(); // it may move this process, so before the supervisor
        let client =
            start_supervisor(&options, &lock).map_err(failed("cannot start the supervisor"))?;
        let logs = Logs::start().map_err(failed("cannot start the log thread"))?;
        Ok(Worker {
            options,
            machine,
            lock,
            client: Some(client),
            here: Here::new(logs.ringer()),
            logs,
            slots,
            live: HashMap::new(),
            by_attempt: HashMap::new(),
            next_id: 1,
            ended: Vec::new(),
        })
    }

    /// Readable whenever [`Worker::ended`] has something to say. They change when the supervisor
    /// had to be replaced, so ask again before each wait.
    pub fn wake_fds(&self) -> Vec<BorrowedFd<'_>> {
        let supervisor = self.client.as_ref().map(Client::fd);
        supervisor.into_iter().chain([self.logs.bell()]).collect()
    }

    /// Starts an attempt. An attempt that cannot be started ends at once, by [`Worker::ended`].
    pub fn launch(&mut self, spec: AttemptSpec) {
        let attempt = spec.attempt;
        if self.by_attempt.contains_key(&attempt) {
            tracing::error!(%attempt, "asked to start an attempt that is running; ignored");
            return;
        }
        let (log, found) = (spec.log.clone(), Arc::clone(&spec.facts.found));
        if let Err(mut outcome) = self.try_launch(spec) {
            masked::outcome(&found.masker(), &mut outcome);
            if let (Verdict::Failed, Some(message)) = (outcome.verdict, &outcome.message)
                && let Err(err) = tidemill_log::append_note(&log, message)
            {
                tracing::warn!(%err, log = %log.display(), "cannot write a task's log");
            }
            self.ended.push(Ended {
                attempt,
                outcome: *outcome,
            });
            self.logs.ring();
        }
    }

    fn try_launch(&mut self, mut spec: AttemptSpec) -> Result<(), Box<Outcome>> {
        // The task starts in another folder than ours.
        for path in [&mut spec.dag_dir, &mut spec.run_dir] {
            if let Ok(absolute) = std::path::absolute(&*path) {
                *path = absolute;
            }
        }
        let refuse = |message: String| Box::new(could_not_start(message));
        let dag = Arc::clone(&spec.dag);
        let task = dag.task(spec.task);
        if let Some(mapping) = &task.mapping
            && spec.attempt.map_index == MapIndex::NONE
        {
            return Err(Box::new(expand::outcome(mapping, &spec)));
        }
        let lacks = spec.facts.found.trouble();
        match (conditions(task, &spec.facts), lacks) {
            // A task that is not to run may lack what it would need.
            (Some(outcome), None) => return Err(Box::new(outcome)),
            (Some(outcome), _) if outcome.verdict == Verdict::Skipped => {
                return Err(Box::new(outcome));
            }
            (_, Some(what)) => return Err(refuse(what)),
            (None, None) => {}
        }
        if let Operator::InProcess(work) = &task.operator
            && work.kind != python::KIND
        {
            return self.start_here(spec, work).map_err(refuse);
        }
        let Some(shell) = shell::shell_of(task) else {
            return Err(Box::new(flow::outcome(&spec)));
        };
        let user = task
            .run_as_user
            .as_deref()
            .map(user::find)
            .transpose()
            .map_err(refuse)?;
        let ids = user.as_ref().map(|user| user.ids.clone());
        let mut slot = self
            .slots
            .take(ids.as_ref())
            .map_err(|err| refuse(format!("cannot make the task's folder: {err}")))?;
        let (options, machine) = (&self.options, &self.machine);
        match shell::prepare(&spec, &shell, &mut slot, user, options, machine) {
            Ok(prepared) => {
                let keep_stdout = !task.outputs.is_empty()
                    || matches!(shell.output, ShellOutput::Stdout | ShellOutput::Json);
                self.hand_over(spec, slot, prepared, keep_stdout && task.do_xcom_push)
            }
            Err(message) => {
                self.slots.give_back(slot);
                Err(refuse(message))
            }
        }
    }

    /// Starts an attempt inside this process.
    fn start_here(&mut self, spec: AttemptSpec, work: &InProcess) -> Result<(), String> {
        let run = self.options.operators.find(work.kind).ok_or_else(|| {
            format!(
                "this worker cannot run the operator `{}`: is its program as new as the scheduler's?",
                work.kind
            )
        })?;
        let attempt = spec.attempt;
        let timeout = spec.dag.task(spec.task).execution_timeout;
        let id = self.next_id;
        self.next_id += 1;
        let plan = LogPlan {
            path: spec.log.clone(),
            masker: Arc::new(spec.facts.found.masker()),
            bytes_max: self.options.log_bytes_max,
            keep_stdout: false,
            keeper: self.options.keeper.clone(),
        };
        let log = self.logs.open_here(id, plan);
        let job = Job::new(spec, log, self.here.deferral(id));
        let handle = match self.here.start(id, run, job, timeout) {
            Ok(handle) => handle,
            Err(err) => {
                self.logs.ended(id, None);
                return Err(format!("cannot start the threads of operators: {err}"));
            }
        };
        self.by_attempt.insert(attempt, id);
        let live = Live::Here {
            attempt,
            handle,
            outcome: None,
        };
        self.live.insert(id, live);
        Ok(())
    }

    /// Gives an attempt to the supervisor; to a new one if the old one turns out to be dead.
    fn hand_over(
        &mut self,
        spec: AttemptSpec,
        slot: Slot,
        prepared: Prepared,
        keep_stdout: bool,
    ) -> Result<(), Box<Outcome>> {
        let Prepared {
            mut start,
            stdin,
            masker,
            lacks,
        } = prepared;
        let id = self.next_id;
        self.next_id += 1;
        start.id = id;
        let masker = Arc::new(masker);
        let plan = LogPlan {
            path: spec.log.clone(),
            masker: Arc::clone(&masker),
            bytes_max: self.options.log_bytes_max,
            keep_stdout,
            keeper: self.options.keeper.clone(),
        };
        let order = Order::Start(Box::new(start));
        let sent = self.logs.open(id, plan).and_then(|pipes| {
            if let Some(lacks) = &lacks {
                self.logs.note(id, lacks);
            }
            let stdin = stdin.map(|text| stdin_file(&text)).transpose()?;
            let mut fds = vec![pipes.stdout.as_fd(), pipes.stderr.as_fd()];
            fds.extend(stdin.as_ref().map(AsFd::as_fd));
            if self
                .client
                .as_ref()
                .is_some_and(|client| client.send(&order, &fds).is_ok())
            {
                return Ok(());
            }
            self.replace_supervisor();
            let none = || io::Error::other("the worker has no supervisor");
            self.client.as_ref().ok_or_else(none)?.send(&order, &fds)
        });
        if let Err(err) = sent {
            self.logs.ended(id, None);
            self.slots.give_back(slot);
            return Err(Box::new(could_not_start(format!(
                "cannot hand the task over: {err}"
            ))));
        }
        self.by_attempt.insert(spec.attempt, id);
        let process = Process {
            spec,
            slot,
            masker,
            pid: None,
            killed: None,
            fate: None,
        };
        self.live.insert(id, Live::Process(Box::new(process)));
        Ok(())
    }

    /// Ends an attempt's whole tree: TERM, grace, KILL. Its end is reported with `reason`.
    pub fn kill(&mut self, attempt: Attempt, reason: Reason) {
        let Some(id) = self.by_attempt.get(&attempt).copied() else {
            return;
        };
        match self.live.get_mut(&id) {
            Some(Live::Process(process)) => {
                process.killed.get_or_insert(reason);
                self.tell(&Order::Kill { id });
            }
            Some(Live::Here { handle, .. }) => handle.kill(reason),
            None => {}
        }
    }

    /// Kills every tree at once; used at a second SIGTERM.
    pub fn kill_all_now(&mut self) {
        for live in self.live.values_mut() {
            match live {
                Live::Process(process) => {
                    process.killed.get_or_insert(Reason::Interrupted);
                }
                Live::Here { handle, .. } => handle.kill(Reason::Interrupted),
            }
        }
        self.tell(&Order::KillAll);
    }

    /// Attempts that have ended since the last call. Never blocks.
    pub fn ended(&mut self) -> Vec<Ended> {
        self.logs.hush();
        while let Some(client) = &mut self.client {
            match client.receive() {
                Ok(Received::Message(report, _)) => self.take(report),
                Ok(Received::Empty) => break,
                Ok(Received::Closed) => self.replace_supervisor(),
                Err(err) => {
                    tracing::error!(%err, "cannot understand the supervisor");
                    self.replace_supervisor();
                }
            }
        }
        for (id, news) in self.here.news() {
            match news {
                News::Deferred(values) => self.defer(id, values),
                News::Over(over) => self.settle_here(id, over),
            }
        }
        for (id, captured) in self.logs.finished() {
            self.complete(id, captured);
        }
        std::mem::take(&mut self.ended)
    }

    /// Tells the supervisor that this process is alive; due at least every third of the lease.
    pub fn beat(&mut self) {
        self.tell(&Order::Beat);
    }

    /// A failure here means that the supervisor is dead, which [`Worker::ended`] finds too.
    fn tell(&mut self, order: &Order) {
        if self
            .client
            .as_ref()
            .is_some_and(|client| client.send(order, &[]).is_err())
        {
            self.replace_supervisor();
        }
    }

    fn take(&mut self, report: Report) {
        match report {
            Report::Started { id, pid } => {
                if let Some(process) = self.live.get_mut(&id).and_then(Live::process) {
                    process.pid = Some(pid);
                }
            }
            Report::Ended(ending) => self.settle(ending.id, Fate::Ended(ending)),
            Report::Refused { id, step, errno } => {
                let err = io::Error::from_raw_os_error(errno);
                let process = self.live.get_mut(&id).and_then(Live::process);
                let place = process.map(|it| it.place()).unwrap_or_default();
                self.settle(
                    id,
                    Fate::Refused(format!("could not start: {step}{place}: {err}")),
                );
            }
        }
    }

    /// The process is over; the attempt is when its log is complete too.
    fn settle(&mut self, id: u64, fate: Fate) {
        let Some(process) = self.live.get_mut(&id).and_then(Live::process) else {
            return;
        };
        let timeout = process.spec.dag.task(process.spec.task).execution_timeout;
        let note = shell::note(&fate, process.killed, timeout);
        process.fate = Some(fate);
        if let Some(captured) = self.logs.ended(id, note) {
            self.complete(id, captured);
        }
    }

    /// The attempt waits without its slot: news that is told as an end is, though none follows.
    fn defer(&mut self, id: u64, values: Vec<(String, Value)>) {
        if let Some(Live::Here { attempt, .. }) = self.live.get(&id) {
            self.ended.push(Ended {
                attempt: *attempt,
                outcome: Outcome {
                    verdict: Verdict::Deferred,
                    values,
                    ..Outcome::success()
                },
            });
        }
    }

    /// The work inside this process is over.
    fn settle_here(&mut self, id: u64, over: Over) {
        if let Some(Live::Here { outcome, .. }) = self.live.get_mut(&id) {
            *outcome = Some(Box::new(over.outcome));
            if let Some(captured) = self.logs.ended(id, over.note) {
                self.complete(id, captured);
            }
        }
    }

    fn complete(&mut self, id: u64, captured: Captured) {
        let ended = match self.live.remove(&id) {
            Some(Live::Process(process)) => self.end_of(*process, captured),
            Some(Live::Here {
                attempt, outcome, ..
            }) => Ended {
                attempt,
                outcome: outcome
                    .map_or_else(|| could_not_start("its end was lost"), |outcome| *outcome),
            },
            None => return,
        };
        self.by_attempt.remove(&ended.attempt);
        self.ended.push(ended);
    }

    fn end_of(&mut self, mut process: Process, captured: Captured) -> Ended {
        let traces = Traces {
            captured,
            masker: &process.masker,
            output: &process.slot.output,
            rejects: &process.slot.rejects,
        };
        let fate = process.fate.take().unwrap_or(Fate::Lost);
        let mut outcome = shell::of(fate, process.killed, &mut process.spec, traces);
        masked::outcome(&process.masker, &mut outcome);
        self.slots.give_back(process.slot);
        Ended {
            attempt: process.spec.attempt,
            outcome,
        }
    }

    /// Attempts whose process has not ended.
    fn running(&self) -> impl Iterator<Item = (u64, &Process)> {
        self.live.iter().filter_map(|(id, live)| match live {
            Live::Process(process) if process.fate.is_none() => Some((*id, &**process)),
            Live::Process(_) | Live::Here { .. } => None,
        })
    }

    /// The supervisor is dead: what it held is killed and lost; a new one takes over.
    fn replace_supervisor(&mut self) {
        if let Some(client) = self.client.take() {
            tracing::error!("the supervisor died; its tasks are lost, a new one is started");
            let running = || self.running().map(|(_, process)| process);
            let groups: Vec<i32> = running().filter_map(|process| process.pid).collect();
            let attempts = running().map(|process| process.spec.attempt.to_string());
            client.bury(&groups, &attempts.collect());
        }
        for id in self.running().map(|(id, _)| id).collect::<Vec<_>>() {
            self.settle(id, Fate::Lost);
        }
        match start_supervisor(&self.options, &self.lock) {
            Ok(client) => self.client = Some(client),
            Err(err) => tracing::error!(%err, "cannot start a new supervisor; tasks cannot start"),
        }
        self.logs.ring();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            client.close(CLOSE_WAIT);
        }
    }
}

fn start_supervisor(options: &WorkerOptions, lock: &File) -> io::Result<Client> {
    let this_program = PathBuf::from("/proc/self/exe");
    let program = options.supervisor_program.as_ref().unwrap_or(&this_program);
    Client::start(program, lock, options.lease)
}

fn stdin_file(text: &str) -> io::Result<File> {
    let mut file = memory_file(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

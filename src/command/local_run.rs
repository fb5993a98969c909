//! `run`: a DAG once, here, with the engine of the server over a store in memory.

use super::client::Where;
use super::instance::Instance;
use super::local_record::LocalRecord;
use super::local_summary::Summary;
use super::print::{Printer, json, line};
use super::{file, run_outside, values};
use crate::args;
use crate::daemon::dag_files::ReadFile;
use crate::daemon::database::Database;
use crate::daemon::definition;
use crate::daemon::engine::{EarlierWorkers, EngineDoor, EngineOptions, Input};
use crate::daemon::home::Home;
use crate::daemon::outside::Keeper;
use crate::daemon::server::{spawn_engine, store_failure, unexpected, worker_failure};
use crate::daemon::worker_settings::worker_options;
use crate::daemon::{clock, engine, stand_by};
use crate::exit::{Exit, Failure};
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tidemill_connection::Places;
use tidemill_executor::Worker;
use tidemill_model::{Dag, Operator, RunNo, RunRow, RunState, RunType, Task, TaskRow, TaskState};
use tidemill_store::memory::MemoryStore;
use tidemill_store::{
    Answer, Change, Command, EngineStore, NewVersion, PageStore, Refusal, StoredVersion,
};
use tokio::sync::broadcast;

/// Tasks get so long between TERM and KILL.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// Runs a DAG here and now.
pub fn run(printer: &Printer, at: &Where, options: args::Run) -> Result<Exit, Failure> {
    let (dag, file) = file::open(printer, &options.file)?;
    let dag = Arc::new(dag);
    let conf = conf_of(&dag, &options.params)?;
    let logical_date = values::logical_date(options.date.as_deref(), &zone_of(&dag))?;
    if options.dry_run {
        return Ok(show_plan(printer, &dag));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.map_err(unexpected)?;
    let ended = runtime.block_on(async {
        let record = LocalRecord::create(&at.home, &dag.id)?;
        let places = Places::of_process();
        let keeper = run_outside::keeper(at, &dag, &places).await;
        let running = Running::start(&record, &options, dag, file, (places, keeper)).await?;
        running.finish(printer, record, conf, logical_date).await
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

fn zone_of(dag: &Dag) -> jiff::tz::TimeZone {
    jiff::tz::TimeZone::get(&dag.timezone).unwrap_or(jiff::tz::TimeZone::UTC)
}

fn conf_of(dag: &Dag, params: &[String]) -> Result<Map<String, Value>, Failure> {
    let is_text = |name: &str| {
        dag.params
            .iter()
            .any(|param| param.name == name && param.schema["type"] == "string")
    };
    let conf = values::conf(None, params, is_text)?;
    if let Some(name) = conf
        .keys()
        .find(|name| !dag.params.iter().any(|param| param.name == **name))
    {
        let known: Vec<&str> = dag.params.iter().map(|param| param.name.as_str()).collect();
        return Err(Failure::new(
            Exit::Usage,
            format!("DAG {} has no parameter `{name}`", dag.id),
        )
        .hint(format!(
            "it has: {}",
            if known.is_empty() {
                "none".to_string()
            } else {
                known.join(", ")
            }
        )));
    }
    dag.check_conf(&conf)
        .map_err(|what| Failure::new(Exit::Usage, what))?;
    Ok(conf)
}

fn show_plan(printer: &Printer, dag: &Dag) -> Exit {
    let rows: Vec<Vec<String>> = dag
        .graph
        .order()
        .iter()
        .map(|&at| {
            let task = dag.task(at);
            let up: Vec<&str> = dag
                .graph
                .upstream(at)
                .iter()
                .map(|up| dag.task(*up).id.as_str())
                .collect();
            let body = match &task.operator {
                Operator::Empty | Operator::LatestOnly | Operator::Branch(_) => String::new(),
                Operator::ShortCircuit(gate) => gate.condition.clone(),
                Operator::TimeSensor(_) => String::new(),
                Operator::ExternalTaskSensor(sensor) => sensor.dag_id.clone(),
                Operator::TriggerDagRun(trigger) => trigger.dag_id.clone(),
                Operator::Shell(shell) => match &shell.body {
                    tidemill_model::dag::ShellBody::Command(text) => {
                        text.lines().next().unwrap_or("").to_string()
                    }
                    tidemill_model::dag::ShellBody::Script(path) => path.clone(),
                },
                Operator::InProcess(_) => String::new(),
            };
            vec![
                task.id.clone(),
                task.operator.name().to_string(),
                up.join(","),
                task.retry.retries.to_string(),
                body,
            ]
        })
        .collect();
    let whole: Vec<Value> = rows
        .iter()
        .map(|row| json!({"task_id": row[0], "operator": row[1], "upstream": row[2], "retries": row[3], "command": row[4]}))
        .collect();
    printer.list(
        &["task", "operator", "after", "retries", "runs"],
        rows,
        &json!({"dag_id": dag.id, "plan": whole}),
    );
    Exit::Ok
}

/// An engine in this process and the one DAG that it knows.
struct Running {
    store: Arc<MemoryStore>,
    door: EngineDoor,
    end: tokio::sync::oneshot::Receiver<Result<(), tidemill_store::StoreError>>,
    changes: broadcast::Receiver<Arc<Change>>,
    dag: Arc<Dag>,
    stored: StoredVersion,
    logs: PathBuf,
}

impl Running {
    async fn start(
        record: &LocalRecord,
        options: &args::Run,
        dag: Arc<Dag>,
        file: ReadFile,
        (places, keeper): (Places, Option<Arc<Keeper>>),
    ) -> Result<Running, Failure> {
        let home = Home::at(&record.folder);
        let passthrough = std::env::var("TIDEMILL_ENV_PASSTHROUGH").unwrap_or_default();
        let passthrough = passthrough
            .split(',')
            .filter(|name| !name.is_empty())
            .map(str::to_string)
            .collect();
        let store = Arc::new(MemoryStore::new());
        let database = Database::from(Arc::clone(&store));
        let worker_options =
            worker_options(&home, options.jobs, KILL_GRACE, passthrough, &database);
        let worker = Worker::start(worker_options, Duration::ZERO).map_err(worker_failure)?;
        let (sender, changes) = broadcast::channel(4096);
        // Nobody else asks for slots here, so a pool of the file is one without limit.
        let pools: BTreeSet<&str> = dag.tasks.iter().map(|task| task.pool.as_str()).collect();
        let engine_options = EngineOptions {
            pools: pools.into_iter().map(engine::open_pool).collect(),
            slots: options.jobs,
            queues: None,
            logs: home.logs(),
            versions: home.versions(),
            runs: home.runs(),
            no_retry: options.no_retry,
            at_once: true,
            places,
            keeper,
            alert_bell: Arc::default(), // a run without a server tells nobody
            earlier: EarlierWorkers::AllGone,
            metrics: Arc::default(),
        };
        let term = stand_by::take_term(&*store).await.map_err(store_failure)?;
        let (end, door) = spawn_engine(engine_options, database, term, worker, sender)
            .await
            .map_err(store_failure)?;
        let version = NewVersion {
            dag_id: dag.id.clone(),
            file: file.name,
            hash: file.hash,
            source: file.source,
            files: file.files,
            task_ids: dag.tasks.iter().map(|task| task.id.clone()).collect(),
            paused_if_new: false,
            now: clock::now(),
        };
        let stored = store.put_version(&version).await.map_err(store_failure)?;
        definition::lay_out(&home.versions(), stored.version, &version.files)
            .map_err(unexpected)?;
        // No schedule here: one run, and that is all.
        let mut alone = (*dag).clone();
        alone
            .allowed_run_types
            .retain(|one| *one == RunType::Manual);
        door.send(Input::Dags(vec![(stored.clone(), Arc::new(alone))]));
        Ok(Running {
            store,
            door,
            end,
            changes,
            dag,
            stored,
            logs: home.logs(),
        })
    }

    async fn finish(
        mut self,
        printer: &Printer,
        record: LocalRecord,
        conf: Map<String, Value>,
        logical_date: Option<tidemill_model::Ts>,
    ) -> Result<Exit, Failure> {
        let command = Command::Trigger {
            dag_id: self.dag.id.clone(),
            run_id: None,
            logical_date,
            data_interval: None,
            run_after: None,
            conf,
            note: None,
            idempotency_key: None,
            triggered_by: "cli".to_string(),
        };
        let row = match self.door.ask(command).await {
            Ok(Answer::Run(row)) => *row,
            Ok(_) => return Err(Failure::new(Exit::Error, "the run was not made")),
            Err(refusal) => return Err(refused(&refusal)),
        };
        if !printer.is_json() {
            line(&format!("{}  {}", self.dag.id, row.run_id));
        }
        let signalled = self.follow(printer, &row).await;
        self.door.send(Input::Stop(KILL_GRACE));
        let _ = (&mut self.end).await;
        let (row, tasks) = self.rows(row.run).await?;
        let result = self.result(&row, &tasks).await?;
        record.keep(&result);
        if printer.is_json() {
            json(&result);
        } else {
            let summary = Summary {
                dag: &self.dag,
                task_nos: &self.stored.task_nos,
                logs: &self.logs,
                row: &row,
                tasks: &tasks,
            };
            summary.print(printer);
        }
        Ok(match (signalled, row.state, row.reason) {
            (Some(exit), ..) => exit,
            (None, RunState::Success, _) => Exit::Ok,
            (None, _, Some(tidemill_model::Reason::Cancelled)) => Exit::RunCancelled,
            (None, ..) => Exit::RunFailed,
        })
    }

    /// Prints what changes until the run is over. A signal cancels the run, a second one kills it.
    async fn follow(&mut self, printer: &Printer, row: &RunRow) -> Option<Exit> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt()).ok()?;
        let mut terminate = signal(SignalKind::terminate()).ok()?;
        let mut signalled = None;
        let mut shown: HashMap<String, (String, i64)> = HashMap::new();
        loop {
            let exit = tokio::select! {
                change = self.changes.recv() => {
                    let is_over = match change {
                        Ok(change) => {
                            if !printer.is_json() {
                                self.show(printer, &change, &mut shown);
                            }
                            matches!(change.body["run_state"].as_str(), Some("success" | "failed"))
                        }
                        Err(broadcast::error::RecvError::Lagged(_)) => self.is_over(row.run).await,
                        Err(broadcast::error::RecvError::Closed) => true,
                    };
                    if is_over {
                        return signalled;
                    }
                    continue;
                }
                _ = interrupt.recv() => Exit::Interrupted,
                _ = terminate.recv() => Exit::Terminated,
            };
            if signalled.is_some() {
                self.door.send(Input::StopNow);
                return signalled;
            }
            signalled = Some(exit);
            eprintln!("cancelling: running tasks are being ended; a second signal kills them");
            let (dag_id, run_id) = (self.dag.id.clone(), row.run_id.clone());
            let _ = self.door.ask(Command::Cancel { dag_id, run_id }).await;
        }
    }

    async fn is_over(&self, run: RunNo) -> bool {
        self.store
            .run_by_no(run)
            .await
            .ok()
            .flatten()
            .is_some_and(|run| run.row.state.is_terminal())
    }

    fn show(&self, printer: &Printer, change: &Change, shown: &mut HashMap<String, (String, i64)>) {
        for task in change.body["tasks"].as_array().into_iter().flatten() {
            let state = task["state"].as_str().unwrap_or("");
            let name = Instance::of(task).to_string();
            let now = (state.to_string(), task["try_number"].as_i64().unwrap_or(0));
            let is_worth_a_line = !matches!(state, "none" | "scheduled" | "queued");
            if !is_worth_a_line
                || shown.get(&name) == Some(&now)
                || (state == "running" && !printer.is_terminal)
            {
                continue;
            }
            line(&format!("  {:<16} {name}", printer.state(state)));
            shown.insert(name, now);
        }
    }

    async fn rows(&self, run: RunNo) -> Result<(RunRow, Vec<TaskRow>), Failure> {
        let found = self
            .store
            .run_with_tasks(run)
            .await
            .map_err(store_failure)?;
        found.ok_or_else(|| Failure::new(Exit::Error, "the run has no record"))
    }

    /// The one object that `-o json` prints, by Airflow's names.
    async fn result(&self, row: &RunRow, tasks: &[TaskRow]) -> Result<Value, Failure> {
        let values = self
            .store
            .run_values(row.run)
            .await
            .map_err(store_failure)?;
        let seconds = |from: Option<tidemill_model::Ts>, to: Option<tidemill_model::Ts>| {
            from.zip(to).map(|(from, to)| to.since(from).as_secs_f64())
        };
        let instance = |task: &Task, found: &TaskRow| {
            let output = values.iter().find(|value| {
                value.task_no == found.task_no
                    && value.map_index == found.map_index
                    && value.key == "return_value"
            });
            let label = found.map_item.as_ref().and_then(|item| item.label.clone());
            json!({
                "task_id": task.id, "map_index": found.map_index, "rendered_map_index": label,
                "state": (found.state != TaskState::None).then_some(found.state),
                "try_number": found.try_number, "max_tries": found.max_tries,
                "start_date": found.started_at, "end_date": found.ended_at,
                "duration": seconds(found.started_at, found.ended_at),
                "operator": task.operator.name(), "output": output.map(|value| &value.value),
            })
        };
        let mut instances = Vec::new();
        for (task, &task_no) in self.dag.tasks.iter().zip(&self.stored.task_nos) {
            let of_task: Vec<&TaskRow> =
                tasks.iter().filter(|row| row.task_no == task_no).collect();
            if of_task.is_empty() {
                let none = tidemill_model::MapIndex::NONE;
                let blank = TaskRow::new(row.run, task_no, none, task.retry.retries);
                instances.push(instance(task, &blank));
            }
            instances.extend(of_task.into_iter().map(|found| instance(task, found)));
        }
        Ok(json!({
            "dag_id": self.dag.id, "dag_run_id": row.run_id, "run_type": row.run_type, "state": row.state,
            "logical_date": row.logical_date, "start_date": row.started_at, "end_date": row.ended_at,
            "duration": seconds(row.started_at, row.ended_at), "task_instances": instances,
        }))
    }
}

fn refused(refusal: &Refusal) -> Failure {
    let exit = match refusal {
        Refusal::NotFound { .. } => Exit::NotFound,
        Refusal::Conflict { .. } => Exit::Conflict,
        Refusal::Invalid { .. } => Exit::Usage,
        Refusal::Unavailable { .. } => Exit::Unreachable,
    };
    Failure::new(exit, refusal.to_string())
}

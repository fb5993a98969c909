//! Definitions and options, also for the program of the tests.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared by tests, which may panic"
)]

use rustix::event::{PollFd, PollFlags, Timespec};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tidemill_connection::{Found, Places};
use tidemill_executor::operator::{Allowed, Operators};
use tidemill_executor::{AttemptSpec, Worker, WorkerOptions};
use tidemill_model::dag::{InProcess, OnLost, RetryPolicy, Shell, ShellBody, ShellOutput};
use tidemill_model::schedule::Schedule;
use tidemill_model::{
    Attempt, Dag, Epoch, Graph, MapIndex, Operator, RunNo, Task, TaskIndex, TaskNo, TriggerRule, Ts,
};
use tidemill_template::Facts;

pub fn options(home: &Path) -> WorkerOptions {
    WorkerOptions {
        home: home.to_path_buf(),
        slots: 16,
        env_passthrough: Vec::new(),
        kill_grace: Duration::from_millis(200),
        lease: Duration::from_secs(60),
        log_bytes_max: 64 * 1024 * 1024,
        keeper: None,
        operators: Operators::built_in(home, Allowed::parse("127.0.0.0/8").unwrap()),
        supervisor_program: None,
    }
}

pub fn wait_for_news(worker: &Worker, at_most: Duration) {
    let fds = worker.wake_fds();
    let mut polled: Vec<_> = fds
        .iter()
        .map(|fd| PollFd::new(fd, PollFlags::IN))
        .collect();
    let timeout = Timespec::try_from(at_most).unwrap();
    let _ = rustix::event::poll(&mut polled, Some(&timeout));
}

/// A shell task of the file format's defaults.
pub fn shell(command: &str) -> Task {
    task(Operator::Shell(Shell {
        body: ShellBody::Command(command.to_string()),
        interpreter: None,
        args: Vec::new(),
        stdin: None,
        skip_on_exit_code: vec![99],
        success_exit_codes: vec![0],
        output: ShellOutput::LastLine,
    }))
}

/// Changes the shell settings of a task.
pub fn shell_with(command: &str, change: impl FnOnce(&mut Shell)) -> Task {
    let mut task = shell(command);
    if let Operator::Shell(shell) = &mut task.operator {
        change(shell);
    }
    task
}

/// A task of an operator that runs inside the worker, with these settings.
pub fn in_process(kind: &'static str, settings: serde_json::Value) -> Task {
    let serde_json::Value::Object(settings) = settings else {
        panic!("settings are an object");
    };
    task(Operator::InProcess(InProcess {
        kind,
        only_looks: false,
        keeps: false,
        settings,
    }))
}

pub fn task(operator: Operator) -> Task {
    Task {
        id: "the_task".to_string(),
        display_name: None,
        doc_md: None,
        owner: "someone".to_string(),
        group: None,
        operator,
        role: tidemill_model::dag::Role::Work,
        trigger_rule: TriggerRule::AllSuccess,
        past: None,
        run_if: None,
        skip_if: None,
        retry: RetryPolicy {
            retries: 0,
            delay: Duration::ZERO,
            multiplier: 1.0,
            max_delay: None,
            jitter: false,
            rules: Vec::new(),
        },
        execution_timeout: None,
        pool: "default_pool".to_string(),
        pool_slots: 1,
        priority_weight: 1,
        weight_rule: tidemill_model::WeightRule::Downstream,
        total_weight: 1,
        max_active_tis_per_dag: None,
        max_active_tis_per_dagrun: None,
        queue: "default".to_string(),
        cwd: None,
        env: Vec::new(),
        inherit_env: true,
        secrets: Vec::new(),
        run_as_user: None,
        resources: Default::default(),
        inlets: Vec::new(),
        outlets: Vec::new(),
        outputs: Vec::new(),
        do_xcom_push: true,
        on_lost: OnLost::Fail,
        mapping: None,
        reads: Vec::new(),
        reads_files: Vec::new(),
        uses: tidemill_model::Uses::default(),
        alerts: Vec::new(),
        line: 1,
    }
}

/// What the environment of these tests has of the connections and variables that a task uses.
fn found(task: &Task) -> Found {
    let vars = [("TIDEMILL_VAR_TOKEN".to_string(), "s3cr3t-value".to_string())];
    let places = Places::of(vars.into_iter());
    let (mut found, open) = Found::look(&task.uses, &places);
    found.close(&open, &places);
    found
}

/// An attempt of a DAG with one task; no other attempt on this machine has its number.
pub fn spec(folder: &Path, task: Task) -> AttemptSpec {
    static NEXT: AtomicI64 = AtomicI64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed) + (i64::from(std::process::id()) << 20);
    let run_dir = folder.join("run");
    let found = found(&task);
    let facts = Facts {
        dag_id: "the_dag".to_string(),
        timezone: "UTC".to_string(),
        run_id: "manual__1".to_string(),
        run_type: "manual".to_string(),
        logical_date: Some(Ts(1_763_719_200_000_000)),
        data_interval_start: Some(Ts(1_763_719_200_000_000)),
        data_interval_end: None,
        run_after: None,
        run_started_at: None,
        params: serde_json::from_str(r#"{"region": "eu", "n-rows": 7, "none": null}"#).unwrap(),
        conf: serde_json::Map::new(),
        task_id: task.id.clone(),
        try_number: 2,
        map_index: -1,
        map: serde_json::Map::new(),
        tasks: BTreeMap::new(),
        trigger: None,
        run_dir: run_dir.display().to_string(),
        result: None,
        asset_events: serde_json::Map::new(),
        looked_up: Default::default(),
        own: Default::default(),
        found: Arc::new(found),
    };
    let attempt = Attempt {
        run: RunNo(number),
        task_no: TaskNo(0),
        map_index: MapIndex::NONE,
        epoch: Epoch(3),
    };
    AttemptSpec {
        attempt,
        dag: Arc::new(dag(task)),
        task: TaskIndex(0),
        kept: BTreeMap::new(),
        now: Ts(1_763_719_200_000_000),
        run_started_at: Ts(1_763_719_200_000_000),
        facts,
        log: folder.join(format!("logs/{number}.log")),
        dag_dir: folder.join("dag"),
        run_dir,
    }
}

fn dag(task: Task) -> Dag {
    Dag {
        id: "the_dag".to_string(),
        display_name: None,
        description: None,
        doc_md: None,
        owner: "someone".to_string(),
        tags: Vec::new(),
        schedule: Schedule::MANUAL,
        asset_schedule: None,
        assets: Vec::new(),
        schedule_text: String::new(),
        timezone: "UTC".to_string(),
        start_date: None,
        end_date: None,
        catchup: false,
        is_paused_upon_creation: false,
        allowed_run_types: Vec::new(),
        max_active_runs: 16,
        max_active_tasks: 16,
        concurrency: None,
        dagrun_timeout: None,
        fail_fast: false,
        retry: tidemill_model::dag::RunRetry {
            retries: 0,
            delay: Duration::ZERO,
            scope: tidemill_model::dag::RetryScope::Failed,
        },
        rerun_with_latest_version: None,
        max_consecutive_failed_runs: 0,
        triggers: Vec::new(),
        event_triggers: Vec::new(),
        alerts: Vec::new(),
        deadlines: Vec::new(),
        params: Vec::new(),
        groups: Vec::new(),
        tasks: vec![task],
        graph: Graph::default(),
        scopes: tidemill_model::scope::Scopes::default(),
    }
}

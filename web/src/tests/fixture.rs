//! A small installation: one DAG, runs in every state, a log with hostile lines.

use crate::definitions::Definitions;
use crate::{App, Doors, Logins, Web};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;
use tidemill_connection::Variable;
use tidemill_model::dag::{OnLost, Operator, Param, RetryPolicy, Shell, ShellBody, ShellOutput};
use tidemill_model::schedule::Schedule;
use tidemill_model::*;
use tidemill_store::memory::MemoryStore;
use tidemill_store::*;

/// A text that would run in a page that trusted it.
pub(crate) const HOSTILE: &str = "<script>alert(1)</script>\"'&";

pub(crate) struct Fixture {
    pub(crate) web: Web,
    pub(crate) asked: Arc<Mutex<Vec<Command>>>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) logs: tempfile::TempDir,
}

const DAY: i64 = 1_763_700_000_000_000;

fn task(id: &str) -> Task {
    Task {
        id: id.to_string(),
        display_name: None,
        doc_md: None,
        owner: "ana".to_string(),
        group: None,
        operator: Operator::Shell(Shell {
            body: ShellBody::Command("echo".to_string()),
            interpreter: None,
            args: Vec::new(),
            stdin: None,
            skip_on_exit_code: vec![99],
            success_exit_codes: vec![0],
            output: ShellOutput::LastLine,
        }),
        role: tidemill_model::dag::Role::Work,
        trigger_rule: TriggerRule::AllSuccess,
        past: None,
        run_if: None,
        skip_if: None,
        retry: RetryPolicy {
            retries: 1,
            delay: Duration::from_secs(300),
            multiplier: 1.0,
            max_delay: None,
            jitter: false,
            rules: Vec::new(),
        },
        execution_timeout: Some(Duration::from_secs(90)),
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
        inherit_env: false,
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
        line: 4,
    }
}

/// A DAG of tasks and edges.
pub(crate) fn dag(id: &str, tasks: &[&str], edges: Vec<(u32, u32)>) -> Dag {
    let param = |name: &str, default: serde_json::Value, schema: serde_json::Value| Param {
        name: name.to_string(),
        default,
        schema,
    };
    Dag {
        id: id.to_string(),
        display_name: None,
        description: Some(format!("Says hello {HOSTILE}")),
        doc_md: None,
        owner: "ana".to_string(),
        tags: vec!["demo".to_string()],
        schedule: Schedule::MANUAL,
        asset_schedule: None,
        assets: Vec::new(),
        schedule_text: "0 6 * * *".to_string(),
        timezone: "Europe/Paris".to_string(),
        start_date: None,
        end_date: None,
        catchup: false,
        is_paused_upon_creation: false,
        allowed_run_types: RunType::ALL.to_vec(),
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
        params: vec![
            param(
                "currency",
                "EUR".into(),
                serde_json::json!({ "enum": ["EUR", "USD"], "title": "Currency" }),
            ),
            param(
                "days",
                7.into(),
                serde_json::json!({ "type": "integer", "minimum": 1, "description": HOSTILE }),
            ),
            param(
                "full",
                false.into(),
                serde_json::json!({ "type": "boolean" }),
            ),
        ],
        groups: Vec::new(),
        tasks: tasks.iter().map(|id| task(id)).collect(),
        scopes: tidemill_model::scope::Scopes::default(),
        graph: Graph::new(tasks.len(), edges).unwrap(),
    }
}

pub(crate) fn run_row(stored: &StoredVersion, no: i64, run_id: &str, state: RunState) -> RunRow {
    let at = Ts(DAY + no * 3_600_000_000);
    RunRow {
        run: RunNo(no),
        dag: stored.dag.dag,
        run_id: run_id.to_string(),
        run_type: if no % 2 == 0 {
            RunType::Scheduled
        } else {
            RunType::Manual
        },
        state,
        version: stored.version,
        cause: None,
        logical_date: Some(at),
        data_interval_start: Some(at),
        data_interval_end: Some(at),
        run_after: at,
        queued_at: at,
        started_at: (state != RunState::Queued).then_some(at),
        ended_at: state
            .is_terminal()
            .then_some(at.after(Duration::from_secs(30 + 7 * (no as u64 % 9)))),
        conf: serde_json::json!({}),
        triggered_by: Some("cli".to_string()),
        note: None,
        reason: (state == RunState::Failed).then_some(Reason::TaskFailed),
        retries_used: 0,
    }
}

pub(crate) fn task_row(run: &RunRow, no: TaskNo, state: TaskState) -> TaskRow {
    let started = run
        .started_at
        .filter(|_| !matches!(state, TaskState::None | TaskState::UpstreamFailed));
    TaskRow {
        run: run.run,
        task_no: no,
        map_index: MapIndex::NONE,
        state,
        try_number: i32::from(started.is_some()),
        max_tries: 1,
        epoch: Epoch(1),
        worker: None,
        losses: 0,
        scheduled_at: started,
        queued_at: started,
        started_at: started.map(|at| at.after(Duration::from_secs(4 * no.0 as u64))),
        ended_at: started
            .filter(|_| state.is_terminal())
            .map(|at| at.after(Duration::from_secs(4 * no.0 as u64 + 11))),
        not_before: None,
        reason: (state == TaskState::Failed).then_some(Reason::ExitStatus),
        message: (state == TaskState::Failed).then(|| format!("command not found {HOSTILE}")),
        exit_code: match state {
            TaskState::Failed => Some(127),
            TaskState::Success => Some(0),
            _ => None,
        },
        followed: None,
        map_item: None,
        clears: 0,
    }
}

/// Stores a version with its definition.
pub(crate) async fn add_dag(
    store: &MemoryStore,
    definitions: &Definitions,
    dag: Dag,
) -> StoredVersion {
    let version = NewVersion {
        dag_id: dag.id.clone(),
        file: format!("{}.toml", dag.id),
        hash: format!("{:0>64}", dag.id),
        source: format!("[dag]\ndescription = \"{HOSTILE}\"\n"),
        files: Vec::new(),
        task_ids: dag.tasks.iter().map(|task| task.id.clone()).collect(),
        paused_if_new: false,
        now: Ts(DAY),
    };
    let stored = store.put_version(&version).await.unwrap();
    definitions.keep(stored.version, Some(Arc::new(dag)));
    stored
}

pub(crate) async fn fixture() -> Fixture {
    let store = Arc::new(MemoryStore::new());
    let definitions = Definitions::default();
    let logs = tempfile::tempdir().unwrap();
    let mut hello = dag("hello", &["greet", "wave", "join"], vec![(0, 2), (1, 2)]);
    let edge = (TaskIndex(0), TaskIndex(2));
    let labels = [(edge, format!("if {HOSTILE}").into())].into();
    hello.graph = hello.graph.with_labels(labels);
    let stored = add_dag(&store, &definitions, hello).await;
    let term = store.take_term("test", Ts(DAY)).await.unwrap();
    let states = |no: i64| match no {
        1 => [
            TaskState::Failed,
            TaskState::Success,
            TaskState::UpstreamFailed,
        ],
        30 => [TaskState::Success, TaskState::Running, TaskState::None],
        _ => [TaskState::Success; 3],
    };
    let mut pass = Pass {
        term,
        now: Some(Ts(DAY)),
        ..Pass::default()
    };
    let runs = [
        (1, "one", RunState::Failed),
        (2, "two", RunState::Success),
        (30, "thirty", RunState::Running),
    ];
    for (no, name, state) in runs {
        let run = run_row(&stored, no, name, state);
        for (at, state) in states(no).into_iter().enumerate() {
            pass.tasks.push(task_row(&run, stored.task_nos[at], state));
        }
        pass.new_runs.push(run);
    }
    pass.new_runs
        .push(run_row(&stored, 31, "queued", RunState::Queued));
    pass.values.push(ValueRow {
        run: RunNo(2),
        task_no: stored.task_nos[0],
        map_index: MapIndex::NONE,
        key: "return_value".to_string(),
        value: serde_json::json!(HOSTILE),
    });
    store.commit_pass(&pass).await.unwrap();
    let folder = logs.path().join("1");
    std::fs::create_dir(&folder).unwrap();
    let lines = format!(
        "2026-11-21T06:04:10.000000Z O connecting\n2026-11-21T06:04:12.000000Z E \u{1b}[31m{HOSTILE}\u{1b}[0m\n2026-11-21T06:04:12.000000Z T ended with 127\n"
    );
    std::fs::write(folder.join(format!("{}.-1.1", stored.task_nos[0])), lines).unwrap();
    store
        .put_import_errors("broken.toml", &[mistake()], Ts(DAY))
        .await
        .unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let doors = doors(store.clone(), logs.path().to_path_buf(), asked.clone());
    Fixture {
        web: Arc::new(App {
            doors,
            definitions,
            searches: crate::searches(),
        }),
        asked,
        store,
        logs,
    }
}

fn mistake() -> ImportError {
    ImportError {
        code: "TM0104".to_string(),
        severity: "error".to_string(),
        file: "broken.toml".to_string(),
        line: 3,
        column: 1,
        end_line: 3,
        end_column: 6,
        message: format!("unknown key {HOSTILE}"),
        help: Some("did you mean `shell`?".to_string()),
    }
}

/// Doors whose engine remembers what it was asked and answers as if it had done it.
fn doors(
    store: Arc<MemoryStore>,
    logs: std::path::PathBuf,
    asked: Arc<Mutex<Vec<Command>>>,
) -> Doors {
    let known = store.clone();
    Doors {
        streams: store.clone(),
        stream_door: None,
        hooks: None,
        pages: store,
        commands: Arc::new(move |command| {
            asked.lock().unwrap().push(command.clone());
            let known = known.clone();
            Box::pin(async move { answer(&known, command).await })
        }),
        changes: tokio::sync::broadcast::channel(16).0,
        logs,
        elsewhere: None,
        metrics: Some(Arc::new(|| {
            Box::pin(async { Ok("tidemill_stale_reports_total 3\n# EOF\n".to_string()) })
        })),
        workers: None,
        home_url: Arc::new(RwLock::new("http://127.0.0.1:8080".to_string())),
        ready: Arc::new(|| true),
        logins: Arc::new(Logins::new()),
        version: "0.1.0",
    }
}

fn connection() -> ConnectionRecord {
    ConnectionRecord {
        id: "dw".to_string(),
        conn_type: "postgres".to_string(),
        description: None,
        host: Some("db.<b>example</b>".to_string()),
        port: Some(5432),
        login: Some("me".to_string()),
        schema: None,
        password: Some(b"sealed-bytes".to_vec()),
        extra: None,
        updated_at: tidemill_model::Ts(0),
    }
}

fn variables() -> Vec<Variable> {
    let secret = Variable::new("api_token", "");
    vec![secret, Variable::new("region", "eu<w>est")]
}

fn answer_outside(wish: &OutsideWish) -> Answer {
    match wish {
        OutsideWish::Connections | OutsideWish::SetConnection { .. } => {
            Answer::Connections(vec![connection()])
        }
        OutsideWish::Variables | OutsideWish::SetVariable { .. } => Answer::Variables(variables()),
        OutsideWish::Test { .. } => Answer::Tested {
            is_reached: false,
            told: "nobody there".to_string(),
        },
        OutsideWish::Export => Answer::Export(Vec::new(), variables()),
        OutsideWish::Rotate => Answer::Rotated {
            n_sealed: 2,
            key: "0123".to_string(),
        },
        OutsideWish::DeleteConnection { .. } | OutsideWish::DeleteVariable { .. } => Answer::Done,
    }
}

async fn answer(store: &MemoryStore, command: Command) -> Result<Answer, Refusal> {
    match command {
        Command::Outside(wish) => Ok(answer_outside(&wish)),
        Command::Trigger {
            run_id: Some(run_id),
            ..
        } if run_id == "one" => Err(Refusal::Conflict {
            what: "there is a run `one` already".to_string(),
        }),
        Command::Trigger { dag_id, .. } => Ok(Answer::Run(Box::new(
            store.run(&dag_id, "two").await.unwrap().unwrap().row,
        ))),
        Command::Clear { .. } => Ok(Answer::Tasks(vec![
            touched("greet", TaskState::Failed),
            touched("join", TaskState::UpstreamFailed),
        ])),
        Command::MarkTasks { .. } => Ok(Answer::Tasks(vec![touched("greet", TaskState::Failed)])),
        Command::Pools => Ok(Answer::Pools(vec![full_pool()])),
        Command::Why(_) => Ok(Answer::Why(vec![blocked()])),
        _ => Ok(Answer::Done),
    }
}

fn touched(task_id: &str, state: TaskState) -> Touched {
    Touched {
        run_id: "one".to_string(),
        task_id: task_id.to_string(),
        map_index: MapIndex::NONE,
        state,
    }
}

fn holder() -> Holder {
    Holder {
        dag_id: "hello".to_string(),
        run_id: "one".to_string(),
        task_id: Some("greet".to_string()),
        map_index: MapIndex::NONE,
        slots: Some(2),
    }
}

/// A pool of two slots that one task holds.
fn full_pool() -> PoolState {
    let pool = PoolRecord {
        name: "default_pool".to_string(),
        slots: 2,
        description: HOSTILE.to_string(),
        include_deferred: false,
        from_file: false,
    };
    PoolState {
        n_running: 2,
        n_occupied: 2,
        n_waiting: 5,
        holders: vec![(holder(), TaskState::Running)],
        more: 3,
        ..PoolState::unused(pool)
    }
}

fn blocked() -> Condition {
    Condition {
        condition: "pool_slots".into(),
        ok: false,
        detail: format!("2 of 2 slots are taken {HOSTILE}"),
        holders: vec![holder()],
        more: 3,
    }
}

/// An answer that has arrived whole.
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) text: String,
}

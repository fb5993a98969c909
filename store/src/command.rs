//! What people ask of the engine, and what it answers. The one door back.

use crate::answer::{AssetState, Condition, PoolState, Touched};
use crate::asset::AssetEventRow;
use crate::backfill::{BackfillRow, BackfillWish};
use crate::forget::Forgotten;
use crate::outside::ConnectionRecord;
use crate::record::RunRow;
use serde::{Deserialize, Serialize};
use tidemill_connection::{Connection, Secret, Variable};
use tidemill_model::{AssetNo, BackfillNo, MapIndex, RunNo, RunState, TaskState, Ts};

/// A wish of a person or an API call. The engine answers after its commit.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Command {
    /// Make a run.
    Trigger {
        /// The DAG.
        dag_id: String,
        /// The run's name; one is made up when absent.
        run_id: Option<String>,
        /// The instant it is about.
        logical_date: Option<Ts>,
        /// The data it is about; the logical date when absent.
        data_interval: Option<(Ts, Ts)>,
        /// It does not begin before; nor before the instant that it is about.
        run_after: Option<Ts>,
        /// Values of parameters, an object.
        conf: serde_json::Map<String, serde_json::Value>,
        /// A person's note.
        note: Option<String>,
        /// The same key makes the same run.
        idempotency_key: Option<String>,
        /// By whom, for people: `cli`, `ui`, `api`.
        triggered_by: String,
    },
    /// Make a run of what has happened outside, unless the same has made one. It has no form in JSON:
    /// only who has looked at the signature says so.
    #[serde(skip)]
    Happened(Box<Happening>),
    /// Stop or resume a DAG's schedule.
    SetPaused {
        /// The DAG.
        dag_id: String,
        /// Stop it?
        paused: bool,
    },
    /// Make the runs of past dates.
    CreateBackfill(BackfillWish),
    /// Say for which dates runs would be made, and make none.
    PlanBackfill(BackfillWish),
    /// Stop or resume a backfill.
    PauseBackfill {
        /// Which.
        backfill: BackfillNo,
        /// Stop it?
        paused: bool,
    },
    /// End a backfill; what runs goes on.
    CancelBackfill {
        /// Which.
        backfill: BackfillNo,
    },
    /// Tell every asset, with who writes it and who waits for it.
    Assets,
    /// Say that an asset has been written.
    EmitAsset {
        /// Its name.
        name: String,
        /// What is said about it, an object.
        extra: serde_json::Map<String, serde_json::Value>,
        /// By whom, for people: `cli`, `ui`, `api`.
        emitted_by: String,
    },
    /// Forget events that wait for a DAG's next run.
    DropAssetEvents {
        /// Of this DAG; of all when absent.
        dag_id: Option<String>,
        /// Of this asset; of all when absent.
        asset: Option<AssetNo>,
    },
    /// Run task instances again.
    Clear {
        /// The DAG.
        dag_id: String,
        /// Which of its runs, and which instances.
        reach: Reach,
        /// Only those that failed or were blocked by a failure.
        only_failed: bool,
        /// Only those that are running.
        only_running: bool,
        /// By the current version of the DAG, for runs that are over; as the DAG says when absent.
        on_latest_version: Option<bool>,
        /// A note on the runs.
        note: Option<String>,
        /// Say which, and change nothing.
        dry_run: bool,
    },
    /// Say that task instances have ended so.
    MarkTasks {
        /// The DAG.
        dag_id: String,
        /// Which of its runs, and which instances.
        reach: Reach,
        /// `success`, `failed` or `skipped`.
        state: TaskState,
        /// Say which, and change nothing.
        dry_run: bool,
    },
    /// Keep a person's note on a run or a task instance; an empty one forgets it.
    SetNote {
        /// The DAG.
        dag_id: String,
        /// The run.
        run_id: String,
        /// The task instance; the run itself when absent.
        task: Option<(String, MapIndex)>,
        /// The note.
        note: String,
    },
    /// Say that a run has ended so; its open tasks are ended with it.
    MarkRun {
        /// The DAG.
        dag_id: String,
        /// The run.
        run_id: String,
        /// `success` or `failed`.
        state: RunState,
    },
    /// Go on in a lane of a stream that a failed run holds up.
    UnblockLane {
        /// The DAG.
        dag_id: String,
        /// The trigger.
        trigger: String,
        /// The lane, as the stream shows it.
        lane: String,
        /// Try the run again (`true`), or pass over it?
        retry: bool,
    },
    /// Make or change a pool.
    SetPool {
        /// Its name.
        name: String,
        /// What is to be changed.
        change: PoolChange,
        /// Must it be new (`true`), or there already (`false`)?
        is_new: Option<bool>,
    },
    /// Forget a pool. Tasks in it wait, and say so.
    DeletePool {
        /// Its name.
        name: String,
    },
    /// Tell how the pools are used.
    Pools,
    /// Connections and variables of the database. It has no form in JSON.
    #[serde(skip)]
    Outside(OutsideWish),
    /// Tell every condition of something that may not have happened.
    Why(WhyOf),
    /// Tell, of those DAGs that are paused, why they may be so without anybody's doing, and what
    /// they owe.
    WhyPaused {
        /// Which.
        dag_ids: Vec<String>,
    },
    /// Forget runs that are over, with all that belongs to them, a bounded piece at a time.
    ForgetRuns {
        /// Which.
        runs: Vec<RunNo>,
    },
    /// End a run: its running tasks are killed.
    Cancel {
        /// The DAG.
        dag_id: String,
        /// The run.
        run_id: String,
    },
}

/// Which runs of a DAG, and which instances in each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// The run; every run between the dates when absent.
    pub run_id: Option<String>,
    /// Names of tasks or groups; every task when empty.
    pub tasks: Vec<(String, MapIndex)>,
    /// And all that wait for them.
    pub downstream: bool,
    /// And all that they wait for.
    pub upstream: bool,
    /// And the same in all runs with an earlier logical date.
    pub past: bool,
    /// And the same in all runs with a later one.
    pub future: bool,
    /// Without a run: only runs with a logical date from here on.
    pub from: Option<Ts>,
    /// Without a run: only runs with a logical date up to here.
    pub until: Option<Ts>,
}

impl Reach {
    /// Some instances of one run.
    pub fn of_run(run_id: impl Into<String>, tasks: Vec<(String, MapIndex)>) -> Reach {
        Reach {
            run_id: Some(run_id.into()),
            tasks,
            ..Reach::default()
        }
    }
}

/// What of a pool is to be changed; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolChange {
    /// Its slots; -1 is no limit.
    pub slots: Option<i64>,
    /// What it is for.
    pub description: Option<String>,
    /// Do deferred tasks keep their slots?
    pub include_deferred: Option<bool>,
}

/// Of what the conditions are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum WhyOf {
    /// Why a task instance does not run.
    Task {
        /// The DAG.
        dag_id: String,
        /// The run.
        run_id: String,
        /// The task.
        task_id: String,
        /// Its place in a mapped task.
        map_index: MapIndex,
    },
    /// Why a run does not begin, or does not end.
    Run {
        /// The DAG.
        dag_id: String,
        /// The run.
        run_id: String,
    },
    /// Why a DAG has no run.
    Dag {
        /// The DAG.
        dag_id: String,
        /// For which instant; the next one when absent.
        at: Option<Ts>,
    },
}

/// What the engine did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Nothing more to say.
    Done,
    /// A run was made, or had been made by the same key.
    Run(Box<RunRow>),
    /// The pools, by name.
    Pools(Vec<PoolState>),
    /// Conditions, in the order in which they are asked.
    Why(Vec<Condition>),
    /// Conditions of DAGs that are paused, by name; those without any are left out.
    WhyPaused(Vec<(String, Vec<Condition>)>),
    /// This backfill, as it is now.
    Backfill(Box<BackfillRow>),
    /// The assets, by name.
    Assets(Vec<AssetState>),
    /// This event was made.
    AssetEvent(Box<AssetEventRow>),
    /// These dates.
    Dates(Vec<Ts>),
    /// These task instances, as they were before.
    Tasks(Vec<Touched>),
    /// What became of runs that were to be forgotten.
    Forgotten(Forgotten),
    /// These connections, sealed.
    #[serde(skip)]
    Connections(Vec<ConnectionRecord>),
    /// These variables; those that are secret without their value.
    #[serde(skip)]
    Variables(Vec<Variable>),
    /// All connections and variables, with their values.
    #[serde(skip)]
    Export(Vec<Connection>, Vec<Variable>),
    /// What came of reaching for the other end.
    #[serde(skip)]
    Tested {
        /// Was it reached?
        is_reached: bool,
        /// What happened, for people.
        told: String,
    },
    /// Everything is sealed anew.
    #[serde(skip)]
    Rotated {
        /// How many connections and variables.
        n_sealed: usize,
        /// The public name of the key that seals now.
        key: String,
    },
}

/// Why the engine did not do it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// There is no such thing.
    #[error("{what}")]
    NotFound {
        /// Which, and what is near.
        what: String,
    },
    /// It is there already, or its state forbids it.
    #[error("{what}")]
    Conflict {
        /// Why.
        what: String,
    },
    /// The request itself is wrong.
    #[error("{what}")]
    Invalid {
        /// Why.
        what: String,
    },
    /// The engine is stopping or its store is away.
    #[error("{what}")]
    Unavailable {
        /// Why.
        what: String,
    },
}

/// What a webhook or a file of `[triggers]` has noticed.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// The DAG.
    pub dag_id: String,
    /// The trigger.
    pub trigger: String,
    /// What makes it unique: the same key makes one run.
    pub key: String,
    /// Has it made a run before? Then it makes none, though that one may be forgotten.
    pub is_known: bool,
    /// What templates see as `trigger`.
    pub facts: serde_json::Map<String, serde_json::Value>,
}

/// A sender of commands; cheap to clone. The answer comes after the commit.
pub type CommandDoor = std::sync::Arc<
    dyn Fn(Command) -> std::pin::Pin<Box<dyn Future<Output = Result<Answer, Refusal>> + Send>>
        + Send
        + Sync,
>;

/// What of a connection is to be changed; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionChange {
    /// What is at the other end.
    pub conn_type: Option<String>,
    /// What it is for.
    pub description: Option<Option<String>>,
    /// The host.
    pub host: Option<Option<String>>,
    /// The port.
    pub port: Option<Option<u16>>,
    /// The user there.
    pub login: Option<Option<String>>,
    /// The user's password.
    pub password: Option<Option<Secret>>,
    /// The database, or what the type makes of it.
    pub schema: Option<Option<String>>,
    /// More settings.
    pub extra: Option<Option<Secret>>,
}

impl ConnectionChange {
    /// Everything, as it is in this connection.
    pub fn all_of(connection: Connection) -> ConnectionChange {
        ConnectionChange {
            conn_type: Some(connection.conn_type),
            description: Some(connection.description),
            host: Some(connection.host),
            port: Some(connection.port),
            login: Some(connection.login),
            password: Some(connection.password),
            schema: Some(connection.schema),
            extra: Some(connection.extra),
        }
    }

    /// Changes a connection.
    pub fn apply_to(self, connection: &mut Connection) {
        fn set<T>(place: &mut T, wish: Option<T>) {
            if let Some(value) = wish {
                *place = value;
            }
        }
        set(&mut connection.conn_type, self.conn_type);
        set(&mut connection.description, self.description);
        set(&mut connection.host, self.host);
        set(&mut connection.port, self.port);
        set(&mut connection.login, self.login);
        set(&mut connection.password, self.password);
        set(&mut connection.schema, self.schema);
        set(&mut connection.extra, self.extra);
    }
}

/// What of a variable is to be changed; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VariableChange {
    /// Its value.
    pub value: Option<Secret>,
    /// What it is for.
    pub description: Option<Option<String>>,
    /// Is it secret, whatever its name is?
    pub is_marked: Option<bool>,
}

/// A wish about connections and variables of the database.
#[derive(Clone, Debug)]
pub enum OutsideWish {
    /// Tell the connections, sealed.
    Connections,
    /// Tell the variables; those that are secret without their value.
    Variables,
    /// Tell everything with its value.
    Export,
    /// Make or change a connection.
    SetConnection {
        /// Its name.
        id: String,
        /// What is to be changed.
        change: Box<ConnectionChange>,
        /// Must it be new (`true`), or there already (`false`)?
        is_new: Option<bool>,
    },
    /// Forget a connection.
    DeleteConnection {
        /// Its name.
        id: String,
    },
    /// Make or change a variable.
    SetVariable {
        /// Its name.
        key: String,
        /// What is to be changed.
        change: VariableChange,
        /// Must it be new (`true`), or there already (`false`)?
        is_new: Option<bool>,
    },
    /// Forget a variable.
    DeleteVariable {
        /// Its name.
        key: String,
    },
    /// Try to reach the other end of a connection.
    Test {
        /// Its name.
        id: String,
        /// As if this were changed.
        change: Box<ConnectionChange>,
    },
    /// Seal everything anew.
    Rotate,
}

impl OutsideWish {
    /// Does it change anything?
    pub const fn changes(&self) -> bool {
        match self {
            OutsideWish::Connections
            | OutsideWish::Variables
            | OutsideWish::Export
            | OutsideWish::Test { .. } => false,
            OutsideWish::SetConnection { .. }
            | OutsideWish::DeleteConnection { .. }
            | OutsideWish::SetVariable { .. }
            | OutsideWish::DeleteVariable { .. }
            | OutsideWish::Rotate => true,
        }
    }
}

//! A DAG that cannot be wrong: only the file format's resolver builds one.

use crate::graph::{Graph, TaskIndex};
use crate::schedule::Schedule;
use crate::scope::Scopes;
use crate::state::{RunType, TriggerRule};
use crate::time::Ts;
use crate::weight::WeightRule;
use std::time::Duration;

/// A resolved definition. Names are unique, edges acyclic, templates compile.
#[derive(Clone, Debug)]
pub struct Dag {
    /// Its name in the installation.
    pub id: String,
    /// What pages call it.
    pub display_name: Option<String>,
    /// One line about it.
    pub description: Option<String>,
    /// More about it, in Markdown.
    pub doc_md: Option<String>,
    /// Who answers for it.
    pub owner: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// When it runs by itself.
    pub schedule: Schedule,
    /// Its schedule as the file says it, for people; empty when there is none.
    pub schedule_text: String,
    /// The IANA name of its time zone.
    pub timezone: String,
    /// No run for an instant before this.
    pub start_date: Option<Ts>,
    /// No run for an instant after this.
    pub end_date: Option<Ts>,
    /// Make up for every missed tick, or only for the latest?
    pub catchup: bool,
    /// Start paused?
    pub is_paused_upon_creation: bool,
    /// Which causes may make runs.
    pub allowed_run_types: Vec<RunType>,
    /// How many runs may be running at once.
    pub max_active_runs: u32,
    /// How many tasks of one run may be live at once.
    pub max_active_tasks: u32,
    /// Runs with the same key share a limit of their own.
    pub concurrency: Option<Concurrency>,
    /// How long a run may take.
    pub dagrun_timeout: Option<Duration>,
    /// End the run at the first failed task?
    pub fail_fast: bool,
    /// The declared parameters, in the order of the file.
    pub params: Vec<Param>,
    /// The groups, in the order of the file.
    pub groups: Vec<Group>,
    /// The tasks, in the order of the file.
    pub tasks: Vec<Task>,
    /// Who waits for whom.
    pub graph: Graph,
    /// What setup and teardown tasks add to it.
    pub scopes: Scopes,
}

impl Dag {
    /// The task at a place.
    pub fn task(&self, index: TaskIndex) -> &Task {
        &self.tasks[index.at()]
    }

    /// The place of a task by name.
    pub fn index_of(&self, task_id: &str) -> Option<TaskIndex> {
        self.tasks
            .iter()
            .position(|task| task.id == task_id)
            .map(|at| TaskIndex(at as u32))
    }
}

/// A limit on runs with the same key, beside `max_active_runs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// What is compared, as a template; the empty text is one key for the whole DAG.
    pub key: String,
    /// How many runs with one key may be running at once.
    pub limit: u32,
    /// What becomes of one more.
    pub policy: ConcurrencyPolicy,
}

crate::state::named!(
    /// What becomes of a run whose key has no room.
    ConcurrencyPolicy, "policy" {
        /// It waits.
        Queue = "queue",
        /// It is not made.
        Skip = "skip",
        /// It takes the place of the oldest: those are ended.
        Replace = "replace",
    }
);

/// The name of the pool that every installation has.
pub const DEFAULT_POOL: &str = "default_pool";

/// Can this be the name of a pool?
pub fn is_pool_name(name: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    !name.is_empty() && name.len() <= 250 && name.bytes().all(is_good)
}

/// The slots of [`DEFAULT_POOL`] unless somebody says otherwise, as in Airflow.
pub const DEFAULT_POOL_SLOTS: i64 = 128;

impl Dag {
    /// The tasks that a name means where a branch names what follows: the task of that name, or
    /// the first tasks of the group of that name.
    pub fn named(&self, name: &str) -> Vec<TaskIndex> {
        if let Some(at) = self.index_of(name) {
            return vec![at];
        }
        let Some(group) = self.groups.iter().position(|group| group.id == name) else {
            return Vec::new();
        };
        let is_inside = |at: TaskIndex| self.is_in_group(at, group);
        let inside = self
            .graph
            .order()
            .iter()
            .copied()
            .filter(|at| is_inside(*at));
        inside
            .filter(|at| !self.graph.upstream(*at).iter().any(|up| is_inside(*up)))
            .collect()
    }

    /// Is a task in a group, or in a group inside it?
    pub fn is_in_group(&self, at: TaskIndex, group: usize) -> bool {
        let mut around = self.task(at).group;
        while let Some(one) = around {
            if one == group {
                return true;
            }
            around = self.groups[one].parent;
        }
        false
    }
}

/// A parameter: a name, a default and a JSON Schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its value when a run says nothing; JSON null when there is none.
    pub default: serde_json::Value,
    /// The JSON Schema that values must satisfy, with `type`, `enum`, `title` and the like.
    pub schema: serde_json::Value,
}

impl Dag {
    /// Do the values of a run fit the declared parameters? Values of names that are not declared
    /// are let through, as Airflow lets them.
    ///
    /// # Errors
    /// One sentence about the first value that does not fit.
    pub fn check_conf(
        &self,
        conf: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<(), String> {
        self.params.iter().try_for_each(|param| {
            let value = conf.get(&param.name).unwrap_or(&param.default);
            param
                .accepts(value)
                .map_err(|why| format!("parameter `{}` {why}", param.name))
        })
    }
}

impl Param {
    /// Does a value fit? Of JSON Schema, `type`, `enum`, `minimum`, `maximum`, `minLength` and
    /// `maxLength` are looked at.
    ///
    /// # Errors
    /// What is wrong, to be read after the parameter's name.
    pub fn accepts(&self, value: &serde_json::Value) -> Result<(), String> {
        let types: Vec<&str> = match self.schema.get("type") {
            Some(serde_json::Value::String(one)) => vec![one],
            Some(serde_json::Value::Array(several)) => {
                several.iter().filter_map(|one| one.as_str()).collect()
            }
            _ => Vec::new(),
        };
        if !types.is_empty() && !types.iter().any(|one| is_of_type(value, one)) {
            if value.is_null() {
                return Err("needs a value".to_string());
            }
            return Err(format!("must be {}, not {value}", types.join(" or ")));
        }
        if let Some(choices) = self
            .schema
            .get("enum")
            .and_then(|choices| choices.as_array())
            && !choices.contains(value)
        {
            return Err(format!(
                "must be one of {}, not {value}",
                serde_json::Value::from(choices.clone())
            ));
        }
        let bound = |key: &str| self.schema.get(key).and_then(serde_json::Value::as_f64);
        let sizes = [
            (value.as_f64(), "minimum", "maximum"),
            (
                value.as_str().map(|text| text.chars().count() as f64),
                "minLength",
                "maxLength",
            ),
        ];
        for (size, low, high) in sizes {
            let Some(size) = size else { continue };
            if let Some(low) = bound(low).filter(|low| size < *low) {
                return Err(format!("is below its minimum of {low}"));
            }
            if let Some(high) = bound(high).filter(|high| size > *high) {
                return Err(format!("is above its maximum of {high}"));
            }
        }
        Ok(())
    }
}

/// JSON Schema's types; an integer may be written as `2.0`.
fn is_of_type(value: &serde_json::Value, name: &str) -> bool {
    match name {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    }
}

/// A group of tasks, for pages and for `depends_on`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub id: String,
    /// What pages call it.
    pub display_name: Option<String>,
    /// More about it.
    pub doc_md: Option<String>,
    /// The group around it, as a place in [`Dag::groups`].
    pub parent: Option<usize>,
}

/// One task.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its name.
    pub id: String,
    /// What pages call it.
    pub display_name: Option<String>,
    /// More about it.
    pub doc_md: Option<String>,
    /// Who answers for it.
    pub owner: String,
    /// Its group, as a place in [`Dag::groups`].
    pub group: Option<usize>,
    /// What it does.
    pub operator: Operator,
    /// Does it prepare or clean up for others?
    pub role: Role,
    /// When it may run.
    pub trigger_rule: TriggerRule,
    /// Skipped unless this template is true.
    pub run_if: Option<String>,
    /// Skipped when this template is true.
    pub skip_if: Option<String>,
    /// How it is tried again.
    pub retry: RetryPolicy,
    /// How long one attempt may take.
    pub execution_timeout: Option<Duration>,
    /// The pool that its slots come from.
    pub pool: String,
    /// How many slots it takes.
    pub pool_slots: u32,
    /// How much it matters among waiting tasks, by itself.
    pub priority_weight: i64,
    /// Which other tasks' weights count for it.
    pub weight_rule: WeightRule,
    /// What its weight adds up to by that rule: the place in the queue.
    pub total_weight: i64,
    /// How many instances of it may be live over all runs of the DAG.
    pub max_active_tis_per_dag: Option<u32>,
    /// How many instances of it may be live in one run.
    pub max_active_tis_per_dagrun: Option<u32>,
    /// The workers that may run it.
    pub queue: String,
    /// Where it runs, relative to the DAG's folder; its own empty folder when absent.
    pub cwd: Option<String>,
    /// Environment, as templates.
    pub env: Vec<(String, String)>,
    /// Give it the worker's allow-list of variables?
    pub inherit_env: bool,
    /// Secrets by environment name.
    pub secrets: Vec<Secret>,
    /// The user it runs as.
    pub run_as_user: Option<String>,
    /// Values to keep after success, as templates by key.
    pub outputs: Vec<(String, String)>,
    /// Keep its output at all?
    pub do_xcom_push: bool,
    /// What a loss means.
    pub on_lost: OnLost,
    /// Upstream tasks whose values its templates name; found by static analysis.
    pub reads: Vec<TaskIndex>,
    /// The line of its header in the file, from 1.
    pub line: u32,
}

/// What a task is to the tasks around it (Airflow's `is_setup` and `is_teardown`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It does its own work.
    Work,
    /// It prepares something: what needs it does not run without its success.
    Setup,
    /// It cleans up: it runs when its setup task has succeeded, whatever else has failed.
    Teardown {
        /// Does its failure fail the run (`on_failure_fail_dagrun`)?
        fails_run: bool,
    },
}

impl Role {
    /// Does it clean up?
    pub const fn is_teardown(self) -> bool {
        matches!(self, Role::Teardown { .. })
    }
}

/// What a task does. The words of the file and of `operator_name` in the API.
#[derive(Clone, Debug, PartialEq)]
pub enum Operator {
    /// Nothing; it joins other tasks.
    Empty,
    /// A command.
    Shell(Shell),
    /// Chooses which tasks below it are followed.
    Branch(Branch),
    /// Lets nothing below it run unless a condition holds.
    ShortCircuit(Gate),
    /// Lets nothing below it run unless its run is the newest that the schedule has made.
    LatestOnly,
}

impl Operator {
    /// Its word.
    pub const fn name(&self) -> &'static str {
        match self {
            Operator::Empty => "empty",
            Operator::Shell(_) => "shell",
            Operator::Branch(_) => "branch",
            Operator::ShortCircuit(_) => "short_circuit",
            Operator::LatestOnly => "latest_only",
        }
    }

    /// May it say that tasks below it are not followed?
    pub const fn decides(&self) -> bool {
        matches!(
            self,
            Operator::Branch(_) | Operator::ShortCircuit(_) | Operator::LatestOnly
        )
    }

    /// Does it start something of the user's? What does not may be done again at any time.
    pub const fn is_command(&self) -> bool {
        matches!(self, Operator::Shell(_))
    }
}

/// The settings of a gate (Airflow's ShortCircuitOperator).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// A template that must be true or false.
    pub condition: String,
    /// Does a closed gate skip everything below it, whatever their rules say, or only what is
    /// directly below (Airflow's `ignore_downstream_trigger_rules`)?
    pub ignores_rules: bool,
}

/// The settings of a branch.
#[derive(Clone, Debug, PartialEq)]
pub enum Branch {
    /// A template that gives one name or a list of names of tasks or groups.
    Names(String),
    /// The first case that holds says which tasks follow.
    Cases {
        /// The cases, in the order of the file.
        cases: Vec<Case>,
        /// Which instant the cases about days and times look at.
        look_at: BranchClock,
    },
}

/// One way that a branch can go.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// When it is taken.
    pub when: When,
    /// The tasks that follow; none when empty.
    pub then: Vec<String>,
}

/// When a case of a branch is taken.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// A template that must be true or false.
    If(String),
    /// On these days of the week, 0 for Sunday (Airflow's BranchDayOfWeekOperator).
    Days(Vec<u8>),
    /// From one time of day to another, in seconds since midnight, the second excluded; over
    /// midnight when the first is later (Airflow's BranchDateTimeOperator).
    Between(u32, u32),
    /// In any other case.
    Else,
}

crate::state::named!(
    /// Which instant a branch on days or times looks at.
    BranchClock, "instant" {
        /// The present.
        Now = "now",
        /// The instant that the run is about.
        LogicalDate = "logical_date",
    }
);

/// The settings of a shell task.
#[derive(Clone, Debug, PartialEq)]
pub struct Shell {
    /// What is run.
    pub body: ShellBody,
    /// The interpreter and its flags; the body is its last argument. `None` is the default:
    /// `bash -euo pipefail -c`, or `sh -eu -c` where there is no bash.
    pub interpreter: Option<Vec<String>>,
    /// Arguments as templates, `$1` and on.
    pub args: Vec<String>,
    /// What the command reads, as a template.
    pub stdin: Option<String>,
    /// Exit statuses that mean skipped.
    pub skip_on_exit_code: Vec<i32>,
    /// Exit statuses that mean success.
    pub success_exit_codes: Vec<i32>,
    /// What becomes the output.
    pub output: ShellOutput,
}

/// What a shell task runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShellBody {
    /// A command text, as a template.
    Command(String),
    /// A file in the DAG's folder.
    Script(String),
}

crate::state::named!(
    /// What of a shell task's standard output becomes its `return_value`.
    ShellOutput, "output mode" {
        /// Its last line (Airflow's BashOperator).
        LastLine = "last_line",
        /// All of it.
        Stdout = "stdout",
        /// All of it, read as JSON.
        Json = "json",
        /// Nothing.
        None = "none",
    }
);

/// How often and when a task is tried again (Airflow's `next_retry_datetime`).
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Tries after the first.
    pub retries: u32,
    /// The wait before the second try.
    pub delay: Duration,
    /// Each wait is this many times the one before; below 1 the wait is constant.
    pub multiplier: f64,
    /// No wait is longer.
    pub max_delay: Option<Duration>,
    /// Spread the waits?
    pub jitter: bool,
}

crate::state::named!(
    /// What happens to a task whose attempt was lost.
    OnLost, "on_lost" {
        /// It fails, with the reason `lost`.
        Fail = "fail",
        /// It is tried again.
        Retry = "retry",
    }
);

/// A secret that a task gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The environment variable that carries it, or the path of the file that holds it.
    pub env: String,
    /// Where it comes from: `conn.NAME.FIELD` or `var.NAME`.
    pub from: String,
    /// Give it as a file of mode 0600 and the variable as its path?
    pub as_file: bool,
}

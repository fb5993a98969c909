//! What a task does, and how it becomes many.

pub use crate::wait::*;

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
    /// Work that a worker does itself, without a process of its own.
    InProcess(InProcess),
    /// Waits for an instant.
    TimeSensor(TimeSensor),
    /// Waits for a task or a run of another DAG.
    ExternalTaskSensor(Box<ExternalTask>),
    /// Starts a run of another DAG, and may wait for its end.
    TriggerDagRun(Box<TriggerDagRun>),
}

/// An operator that runs inside the worker. What its settings mean stands in its own folder of the
/// executor; the file format knows which keys there are and of what kind.
#[derive(Clone, Debug, PartialEq)]
pub struct InProcess {
    /// Its key in the file.
    pub kind: &'static str,
    /// Does it only look at things? Then it may be done again at any time.
    pub only_looks: bool,
    /// Does it keep something while it waits, for the next attempt should this one be lost?
    pub keeps: bool,
    /// Its table in the file over the defaults: durations in milliseconds, sizes in bytes,
    /// templates as they were written.
    pub settings: serde_json::Map<String, serde_json::Value>,
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
            Operator::InProcess(work) => work.kind,
            Operator::TimeSensor(_) => "time_sensor",
            Operator::ExternalTaskSensor(_) => "external_task_sensor",
            Operator::TriggerDagRun(_) => "trigger_dag_run",
        }
    }

    /// The connections that its settings name.
    pub fn connections(&self) -> Vec<&str> {
        match self {
            Operator::InProcess(work) => {
                let named = work
                    .settings
                    .get("connection")
                    .and_then(|name| name.as_str());
                named.into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Does it keep something while it waits, for the next attempt should this one be lost?
    pub const fn keeps(&self) -> bool {
        matches!(self, Operator::InProcess(work) if work.keeps)
    }

    /// May it say that tasks below it are not followed?
    pub const fn decides(&self) -> bool {
        matches!(
            self,
            Operator::Branch(_) | Operator::ShortCircuit(_) | Operator::LatestOnly
        )
    }

    /// Does it only wait, for something that the scheduler itself hears of?
    pub const fn is_wait(&self) -> bool {
        matches!(
            self,
            Operator::TimeSensor(_) | Operator::ExternalTaskSensor(_)
        )
    }

    /// Does it start or change something of the user's? What does not may be done again at any
    /// time.
    pub const fn is_command(&self) -> bool {
        match self {
            Operator::Shell(_) => true,
            Operator::InProcess(work) => !work.only_looks,
            Operator::Empty
            | Operator::Branch(_)
            | Operator::ShortCircuit(_)
            | Operator::LatestOnly
            | Operator::TimeSensor(_)
            | Operator::ExternalTaskSensor(_)
            | Operator::TriggerDagRun(_) => false,
        }
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

/// The most instances of one mapped task.
pub const INSTANCES_MAX: usize = 100_000;

/// How a task becomes one instance for each of many values (Airflow's `expand`).
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    /// The values.
    pub over: Over,
    /// What an instance is called, as a template (`map_index_template`).
    pub label: Option<String>,
    /// What it means when there are none.
    pub on_empty: OnEmpty,
}

/// The values of a mapped task.
#[derive(Clone, Debug, PartialEq)]
pub enum Over {
    /// Each combination of one value from each list; the last list changes fastest.
    Product(Vec<(String, Values)>),
    /// Each object of one list.
    Objects(Values),
    /// The instances of another mapped task, one by one: `each`.
    Each {
        /// The name of the value.
        name: String,
        /// The other task, which is directly above.
        task: String,
    },
}

impl Mapping {
    /// The name of its value and the task that it goes in step with, instance by instance.
    pub fn each(&self) -> Option<(&str, &str)> {
        match &self.over {
            Over::Each { name, task } => Some((name, task)),
            Over::Product(_) | Over::Objects(_) => None,
        }
    }
}

/// A list of values.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// A template that gives a list.
    Template(String),
    /// The list itself; its texts may be templates.
    List(Vec<serde_json::Value>),
}

crate::state::named!(
    /// What a mapped task becomes when there is nothing to map over.
    OnEmpty, "on_empty" {
        /// It is skipped, as in Airflow.
        Skip = "skip",
        /// It has succeeded.
        Continue = "continue",
        /// It has failed.
        Fail = "fail",
    }
);

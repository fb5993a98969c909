//! A DAG that cannot be wrong: only the file format's resolver builds one.

pub use crate::asset::*;
pub use crate::limit::*;
pub use crate::operator::*;
pub use crate::param::Param;
pub use crate::resources::Resources;
pub use crate::retry::*;

use crate::alert::{Alert, Deadline};
use crate::event::EventTrigger;
use crate::graph::{Graph, TaskIndex};
use crate::schedule::Schedule;
use crate::scope::Scopes;
use crate::state::{RunType, TriggerRule};
use crate::time::Ts;
use crate::trigger::Trigger;
use crate::uses::Uses;
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
    /// The assets whose events make runs, beside the schedule or alone.
    pub asset_schedule: Option<AssetCondition>,
    /// The assets that it declares or names, by name.
    pub assets: Vec<Asset>,
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
    /// So many runs that fail one after the other pause it; 0 is never
    /// (`max_consecutive_failed_dag_runs`).
    pub max_consecutive_failed_runs: u32,
    /// How many tasks of one run may be live at once.
    pub max_active_tasks: u32,
    /// Runs with the same key share a limit of their own.
    pub concurrency: Option<Concurrency>,
    /// How long a run may take.
    pub dagrun_timeout: Option<Duration>,
    /// End the run at the first failed task?
    pub fail_fast: bool,
    /// How a failed run is tried again.
    pub retry: RunRetry,
    /// Does a cleared run go on by the current version? Where nothing is said it does not, but for
    /// the dates that a backfill runs again.
    pub rerun_with_latest_version: Option<bool>,
    /// Streams that make runs of it, in the order of the file.
    pub triggers: Vec<Trigger>,
    /// Webhooks and files that make runs of it, in the order of the file.
    pub event_triggers: Vec<EventTrigger>,
    /// Whom to tell what becomes of its runs.
    pub alerts: Vec<Alert>,
    /// Whom to tell when one of its runs is late.
    pub deadlines: Vec<Deadline>,
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

impl Dag {
    /// Does any of its tasks wait for the run before?
    pub fn looks_back(&self) -> bool {
        self.tasks.iter().any(|task| task.past.is_some())
    }

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
            let given = conf.get(&param.name);
            given
                .map_or_else(|| param.accepts_silence(), |value| param.accepts(value))
                .map_err(|why| format!("parameter `{}` {why}", param.name))
        })
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
    /// What it waits for in the run before; nothing when absent (`depends_on_past`).
    pub past: Option<PastRule>,
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
    /// What its processes may use.
    pub resources: Resources,
    /// The assets that it reads, by name.
    pub inlets: Vec<String>,
    /// The assets that it writes: its success is an event of each.
    pub outlets: Vec<String>,
    /// Values to keep after success, as templates by key; one that begins with `@` belongs to the
    /// event of the outlet that it names (`@ASSET.KEY`).
    pub outputs: Vec<(String, String)>,
    /// Keep its output at all?
    pub do_xcom_push: bool,
    /// What a loss means.
    pub on_lost: OnLost,
    /// How it becomes one instance for each of many values.
    pub mapping: Option<Mapping>,
    /// Upstream tasks whose values its templates name; found by static analysis.
    pub reads: Vec<TaskIndex>,
    /// Mapped tasks above it whose outputs its templates want as a file.
    pub reads_files: Vec<TaskIndex>,
    /// The connections and variables that it names; found by static analysis.
    pub uses: Uses,
    /// Whom to tell what becomes of it.
    pub alerts: Vec<Alert>,
    /// The line of its header in the file, from 1.
    pub line: u32,
}

/// What a task waits for in the run before its own: at least that the same task has succeeded or
/// was skipped there (Airflow's `depends_on_past`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastRule {
    /// And the tasks directly below it as well (`wait_for_downstream`)?
    pub with_downstream: bool,
    /// May it go when it is new in its DAG, so that no run had it before
    /// (`ignore_first_depends_on_past`)?
    pub passes_when_new: bool,
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

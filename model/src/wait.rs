//! Operators that wait for, or make, something outside of their run. None of them holds a slot.

use crate::state::{RunState, TaskState};
use crate::time::Ts;
use std::time::Duration;

/// How long a sensor waits when the file does not say (Airflow's `default_timeout`).
pub const SENSOR_TIMEOUT: Duration = Duration::from_secs(7 * 86_400);

/// What every sensor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// So long it waits in one try.
    pub timeout: Duration,
    /// Is it skipped, where it would fail?
    pub soft_fail: bool,
}

/// The settings of a task that waits for an instant (Airflow's TimeSensor).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeSensor {
    /// The instant.
    pub target: TimeTarget,
    /// How long.
    pub patience: Patience,
}

/// The instant that a [`TimeSensor`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeTarget {
    /// A time of day in the DAG's time zone, in seconds since midnight, on the day on which the
    /// wait begins.
    Daily(u32),
    /// An instant.
    At(Ts),
    /// So long after the end of the run's data interval.
    After(Duration),
}

/// The settings of a task that waits for another DAG (Airflow's ExternalTaskSensor).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalTask {
    /// That DAG.
    pub dag_id: String,
    /// What of its run.
    pub what: External,
    /// Which of its runs.
    pub matching: Match,
    /// Runs are looked for by the logical date so long before this run's.
    pub delta: Duration,
    /// It ends well when all are in one of these states.
    pub allowed: Vec<TaskState>,
    /// It is skipped when one is in one of these.
    pub skipped: Vec<TaskState>,
    /// It fails when one is in one of these.
    pub failed: Vec<TaskState>,
    /// Fail at once when there is no such DAG, task or group?
    pub check_existence: bool,
    /// How long.
    pub patience: Patience,
}

/// What of another DAG's run is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum External {
    /// Its end.
    Run,
    /// These tasks.
    Tasks(Vec<String>),
    /// All tasks of a group.
    Group(String),
}

crate::state::named!(
    /// Which run of another DAG is meant.
    Match, "match" {
        /// The one with the same logical date (Airflow).
        Same = "same",
        /// The newest one up to this run's logical date, but after that of this DAG's run before.
        Latest = "latest",
        /// The newest one whose logical date lies in this run's data interval.
        Interval = "interval",
    }
);

/// The settings of a task that starts a run of another DAG (Airflow's TriggerDagRunOperator). Its
/// texts are templates.
#[derive(Clone, Debug, PartialEq)]
pub struct TriggerDagRun {
    /// That DAG.
    pub dag_id: String,
    /// What the run is called; a name is made up when absent.
    pub run_id: Option<String>,
    /// The parameters of the run: a template that gives an object, or an object.
    pub conf: Option<serde_json::Value>,
    /// The instant it is about; the present when absent, none when it renders to nothing.
    pub logical_date: Option<String>,
    /// A note on the run.
    pub note: Option<String>,
    /// Wait for its end?
    pub waits: bool,
    /// The task ends well when the run is in one of these states.
    pub allowed: Vec<RunState>,
    /// It fails when the run is in one of these.
    pub failed: Vec<RunState>,
    /// Is a run that is there already run again?
    pub resets: bool,
    /// Is the task skipped when there is such a run already?
    pub skips_existing: bool,
    /// Does the task fail when the DAG is paused?
    pub fails_when_paused: bool,
}

//! One attempt of one task instance, and the ways in which it can end.

use crate::{Epoch, MapIndex, RunNo, TaskNo};
use serde::{Deserialize, Serialize};

/// The identity of an attempt. Whoever reports its end must name it whole; a report whose epoch
/// is not the current one changes no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// Its run.
    pub run: RunNo,
    /// Its task.
    pub task_no: TaskNo,
    /// Its place in a mapped task.
    pub map_index: MapIndex,
    /// Its fencing number.
    pub epoch: Epoch,
}

impl std::fmt::Display for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}.{}.{}.{}",
            self.run, self.task_no, self.map_index, self.epoch
        )
    }
}

crate::state::named!(
    /// Why a task instance or a run is in its state, where the state alone does not say it.
    Reason, "reason" {
        /// The command ended with a status that is no success.
        ExitStatus = "exit_status",
        /// A signal that was not ours ended it.
        Signal = "signal",
        /// `execution_timeout` or `dagrun_timeout` ran out.
        TimedOut = "timed_out",
        /// A person ended its run.
        Cancelled = "cancelled",
        /// The server was stopped while it ran.
        Interrupted = "interrupted",
        /// Its worker is gone, and nobody knows how it ended.
        Lost = "lost",
        /// The command could not be started, or its templates could not be rendered.
        CouldNotStart = "could_not_start",
        /// Its own exit status, or `skip_if`, asked for it.
        SkippedItself = "skipped_itself",
        /// A person marked it.
        Marked = "marked",
        /// Its output broke a limit or was not what the file promises.
        BadOutput = "bad_output",
        /// A newer run with the same key took its place.
        Replaced = "replaced",
        /// A task of the run failed.
        TaskFailed = "task_failed",
        /// No task of the run can move any more.
        Deadlock = "deadlock",
        /// A branch went another way, or a gate was closed.
        NotFollowed = "not_followed",
        /// What it waited for outside of its run has failed, or will never be there.
        ElsewhereFailed = "elsewhere_failed",
        /// The definition that the run is pinned to can no longer be read.
        DefinitionLost = "definition_lost",
        /// What it asked for was refused or did not come: an answer, a statement, a condition.
        Refused = "refused",
        /// It used all instructions that it was given.
        OutOfFuel = "out_of_fuel",
        /// It wanted more memory than it may have.
        OutOfMemory = "out_of_memory",
        /// It wanted larger tables than it may have.
        TableLimit = "table_limit",
        /// Its calls were deeper than its stack.
        StackOverflow = "stack_overflow",
        /// It did what no module may do: an instruction that traps.
        Trap = "trap",
    }
);

/// How an attempt ended, as its worker saw it. Whether there is another try is not its question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What the attempt's end means for the task.
    pub verdict: Verdict,
    /// Why, for a verdict that needs it.
    pub reason: Option<Reason>,
    /// One line for people: the error, or why it was skipped.
    pub message: Option<String>,
    /// The exit status of the command, where it had one.
    pub exit_code: Option<i32>,
    /// Values to keep, by key; `return_value` is the task's output.
    pub values: Vec<(String, serde_json::Value)>,
    /// The process, while there was one.
    pub pid: Option<i32>,
    /// For a branch: the tasks or groups that follow, by name; `None` where all do.
    pub follows: Option<Vec<String>>,
    /// For the expansion of a mapped task: what its instances are about.
    pub items: Option<Vec<crate::row::MapItem>>,
    /// For a task that starts a run: which.
    pub child: Option<Box<ChildWish>>,
    /// Processor time it used, in microseconds.
    pub cpu_us: i64,
    /// The most memory it held, in KiB.
    pub max_rss_kib: i64,
    /// The status of the answer that made it fail, for rules about retries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// What is known about trying again, unless a rule of the file says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Again>,
    /// Records of the run that are well formed and wrong, as its task says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejects: Vec<Reject>,
}

/// A record that a task rejects: a line of `$TIDEMILL_REJECTS`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// Its topic; that of the run when absent.
    #[serde(default)]
    pub topic: Option<String>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Why, for people.
    #[serde(default)]
    pub reason: String,
}

/// What whoever was asked said about asking again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Again {
    /// It cannot help.
    Never,
    /// Not before so many seconds.
    AfterSeconds(u32),
}

/// A run of another DAG that a task wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChildWish {
    /// The DAG.
    pub dag_id: String,
    /// What the run is called; a name is made up when absent.
    pub run_id: Option<String>,
    /// The instant it is about.
    pub date: ChildDate,
    /// Its parameters.
    pub conf: crate::JsonObject,
    /// A note on it.
    pub note: Option<String>,
}

/// The instant that a run is about which a task wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChildDate {
    /// The one at which it is made.
    Present,
    /// None.
    None,
    /// This one.
    At(crate::Ts),
}

/// What an attempt's end means for the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It ended well.
    Success,
    /// It failed; another try may help.
    Failed,
    /// It asked to be skipped.
    Skipped,
    /// Nobody knows how it ended.
    Lost,
    /// It has not ended: it waits for something, and its worker goes on without its slot.
    Deferred,
}

impl Outcome {
    /// An end without a process: refused, lost or skipped before it began.
    pub fn without_process(
        verdict: Verdict,
        reason: Reason,
        message: impl Into<String>,
    ) -> Outcome {
        Outcome {
            verdict,
            reason: Some(reason),
            message: Some(message.into()),
            ..Outcome::success()
        }
    }

    /// A plain success, as an operator without a process has it.
    pub fn success() -> Outcome {
        Outcome {
            verdict: Verdict::Success,
            reason: None,
            message: None,
            exit_code: None,
            values: Vec::new(),
            pid: None,
            follows: None,
            items: None,
            child: None,
            cpu_us: 0,
            max_rss_kib: 0,
            http_status: None,
            again: None,
            rejects: Vec::new(),
        }
    }
}

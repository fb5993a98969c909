//! The states of runs and task instances, by Airflow's names (`airflow/utils/state.py`), and the
//! one table that says which event leads from which state to which.

macro_rules! named {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Every one of them, in the order of their declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The name that files, rows, pages and the API use.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }

            /// The one of that name.
            pub fn from_name(text: &str) -> Option<$name> {
                match text { $($text => Some($name::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}
pub(crate) use named;

named!(
    /// The state of a task instance.
    TaskState, "task state" {
        /// Not looked at yet, or waiting for its upstream tasks.
        None = "none",
        /// Its upstream tasks allow it; it waits for a slot.
        Scheduled = "scheduled",
        /// It has a slot and waits for a worker.
        Queued = "queued",
        /// A worker has it.
        Running = "running",
        /// It ended well.
        Success = "success",
        /// It ended badly and will not be tried again.
        Failed = "failed",
        /// It will not run because an upstream task failed.
        UpstreamFailed = "upstream_failed",
        /// It will not run, or it said so itself by its exit status.
        Skipped = "skipped",
        /// It failed and waits for its next try.
        UpForRetry = "up_for_retry",
        /// A sensor that waits for its next poke.
        UpForReschedule = "up_for_reschedule",
        /// It waits for an event and holds no slot.
        Deferred = "deferred",
        /// It was cleared while it ran: its attempt is being ended.
        Restarting = "restarting",
        /// Its task is no longer in the DAG.
        Removed = "removed",
    }
);

named!(
    /// The state of a run.
    RunState, "run state" {
        /// It waits for its turn under `max_active_runs`.
        Queued = "queued",
        /// Its tasks are being run.
        Running = "running",
        /// It ended well.
        Success = "success",
        /// It ended badly; the reason says how.
        Failed = "failed",
    }
);

named!(
    /// What caused a run (Airflow's `DagRunType`).
    RunType, "run type" {
        /// A person or an API call.
        Manual = "manual",
        /// A schedule's tick.
        Scheduled = "scheduled",
        /// A backfill.
        Backfill = "backfill",
        /// An asset event or a batch of a stream.
        AssetTriggered = "asset_triggered",
    }
);

named!(
    /// What a backfill does with dates that have a run (Airflow's `ReprocessBehavior`).
    Reprocess, "reprocess behaviour" {
        /// It leaves them alone.
        None = "none",
        /// It runs those again that failed.
        Failed = "failed",
        /// It runs all of them again that are over.
        Completed = "completed",
    }
);

named!(
    /// Why a backfill makes no run for a date (Airflow's `BackfillDagRunExceptionReason`).
    SkipReason, "skip reason" {
        /// There is a run, and it is to be left alone.
        AlreadyExists = "already exists",
        /// There is a run that is not over.
        InFlight = "in flight",
    }
);

named!(
    /// When a task may run, by the states of its direct upstream tasks
    /// (Airflow's `task/trigger_rule.py`).
    TriggerRule, "trigger rule" {
        /// All succeeded.
        AllSuccess = "all_success",
        /// All failed or upstream_failed.
        AllFailed = "all_failed",
        /// All are over.
        AllDone = "all_done",
        /// All are over and one succeeded.
        AllDoneMinOneSuccess = "all_done_min_one_success",
        /// All are over and the setup tasks among them succeeded.
        AllDoneSetupSuccess = "all_done_setup_success",
        /// All were skipped.
        AllSkipped = "all_skipped",
        /// One succeeded; the others need not be over.
        OneSuccess = "one_success",
        /// One failed; the others need not be over.
        OneFailed = "one_failed",
        /// One succeeded or failed.
        OneDone = "one_done",
        /// All are over, none failed.
        NoneFailed = "none_failed",
        /// All are over, none failed, one succeeded.
        NoneFailedMinOneSuccess = "none_failed_min_one_success",
        /// All are over, none was skipped.
        NoneSkipped = "none_skipped",
        /// At once.
        Always = "always",
    }
);

impl TaskState {
    /// Is it over, for good unless a person clears it?
    pub const fn is_terminal(self) -> bool {
        match self {
            TaskState::Success
            | TaskState::Failed
            | TaskState::UpstreamFailed
            | TaskState::Skipped
            | TaskState::Removed => true,
            TaskState::None
            | TaskState::Scheduled
            | TaskState::Queued
            | TaskState::Running
            | TaskState::UpForRetry
            | TaskState::UpForReschedule
            | TaskState::Deferred
            | TaskState::Restarting => false,
        }
    }

    /// Did it fail, itself or through an upstream task?
    pub const fn is_failure(self) -> bool {
        matches!(self, TaskState::Failed | TaskState::UpstreamFailed)
    }

    /// The glyph that stands beside the colour, so that colour is never alone.
    pub const fn glyph(self) -> &'static str {
        match self {
            TaskState::None => "·",
            TaskState::Scheduled => "◷",
            TaskState::Queued => "◔",
            TaskState::Running => "▶",
            TaskState::Success => "✓",
            TaskState::Failed => "✗",
            TaskState::UpstreamFailed => "⊘",
            TaskState::Skipped => "»",
            TaskState::UpForRetry => "↻",
            TaskState::UpForReschedule => "⏲",
            TaskState::Deferred => "⏸",
            TaskState::Restarting => "⟲",
            TaskState::Removed => "−",
        }
    }
}

impl RunState {
    /// Is it over, for good unless a person clears it?
    pub const fn is_terminal(self) -> bool {
        matches!(self, RunState::Success | RunState::Failed)
    }

    /// The glyph that stands beside the colour.
    pub const fn glyph(self) -> &'static str {
        match self {
            RunState::Queued => "◔",
            RunState::Running => "▶",
            RunState::Success => "✓",
            RunState::Failed => "✗",
        }
    }
}

named!(
    /// What can happen to a task instance.
    TaskEvent, "task event" {
        /// Its trigger rule is met.
        Schedule = "schedule",
        /// It was given a slot.
        Queue = "queue",
        /// A worker took it, or takes it up again.
        Start = "start",
        /// Its attempt ended well.
        Succeed = "succeed",
        /// Its attempt failed and no try is left.
        Fail = "fail",
        /// Its attempt failed and another try follows.
        Retry = "retry",
        /// It is skipped, by rule or by its own word.
        Skip = "skip",
        /// An upstream task failed and its rule forbids it.
        BlockByUpstream = "block_by_upstream",
        /// Its wait for the next try or poke is over.
        WaitOver = "wait_over",
        /// It gives its slot back, or takes none, until an event comes.
        Defer = "defer",
        /// It gives its slot back until the next poke.
        Reschedule = "reschedule",
        /// A person wants it to run again.
        Clear = "clear",
        /// Its attempt is gone and nobody knows how it ended, but it may be tried again.
        Lose = "lose",
        /// A person says that it succeeded.
        MarkSuccess = "mark_success",
        /// A person says that it failed, or cancels its run.
        MarkFailed = "mark_failed",
        /// A person says that it need not run.
        MarkSkipped = "mark_skipped",
        /// Its task left the DAG.
        Remove = "remove",
    }
);

/// An event cannot happen in this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a task that is {state} cannot {event}")]
pub struct IllegalTransition {
    /// The state it was in.
    pub state: TaskState,
    /// What was to happen.
    pub event: TaskEvent,
}

impl TaskState {
    /// The state after `event`. The whole law of a task instance's life stands here; the test
    /// beside it holds the full table as text, so that a change of the law is seen in review.
    ///
    /// # Errors
    /// When the event cannot happen in this state.
    pub fn next(self, event: TaskEvent) -> Result<TaskState, IllegalTransition> {
        use TaskEvent as E;
        use TaskState as S;
        let next = match event {
            E::Schedule => match self {
                S::None => Some(S::Scheduled),
                _ => None,
            },
            E::Queue => match self {
                S::Scheduled => Some(S::Queued),
                _ => None,
            },
            E::Start => match self {
                S::Queued | S::Deferred => Some(S::Running),
                _ => None,
            },
            E::Succeed => live(self).then_some(S::Success),
            E::Fail => (live(self) || self == S::Restarting).then_some(S::Failed),
            E::Retry => live(self).then_some(S::UpForRetry),
            E::Skip => (live(self) || matches!(self, S::None | S::Scheduled)).then_some(S::Skipped),
            E::BlockByUpstream => match self {
                S::None | S::Scheduled => Some(S::UpstreamFailed),
                _ => None,
            },
            E::WaitOver => match self {
                S::UpForRetry | S::UpForReschedule | S::Deferred => Some(S::Scheduled),
                _ => None,
            },
            E::Defer => matches!(self, S::Scheduled | S::Running).then_some(S::Deferred),
            E::Reschedule => (self == S::Running).then_some(S::UpForReschedule),
            E::Clear => match self {
                S::Queued | S::Running => Some(S::Restarting),
                S::Restarting => None,
                _ => Some(S::None),
            },
            E::Lose => match self {
                S::Queued | S::Running => Some(S::Scheduled),
                S::Restarting => Some(S::None),
                _ => None,
            },
            E::MarkSuccess => (self != S::Removed).then_some(S::Success),
            E::MarkFailed => (self != S::Removed).then_some(S::Failed),
            E::MarkSkipped => (self != S::Removed).then_some(S::Skipped),
            E::Remove => Some(S::Removed),
        };
        next.ok_or(IllegalTransition { state: self, event })
    }
}

/// Does a worker have it, or is it about to?
const fn live(state: TaskState) -> bool {
    matches!(
        state,
        TaskState::Queued | TaskState::Running | TaskState::Deferred
    )
}

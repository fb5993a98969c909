//! What people do with runs, tasks and pools of a server.

use clap::{Args as ClapArgs, Subcommand};

/// `runs`.
#[derive(Subcommand, Debug)]
pub enum Runs {
    /// Runs, newest first.
    List {
        /// Only of this DAG.
        #[arg(long)]
        dag: Option<String>,
        /// Only in these states.
        #[arg(long, value_delimiter = ',')]
        state: Vec<String>,
        /// At most this many.
        #[arg(short = 'n', long, default_value_t = 25)]
        limit: u32,
    },
    /// A run and its tasks.
    Show {
        /// The run.
        run: String,
    },
    /// Wait for the end of a run and exit with its status.
    Wait {
        /// The run.
        run: String,
        /// Give up after so long, e.g. 30m.
        #[arg(long, value_name = "DURATION")]
        timeout: Option<String>,
    },
    /// The logs of all tasks of a run.
    Logs {
        /// The run.
        run: String,
        /// Only the last lines of each task.
        #[arg(long, value_name = "LINES")]
        tail: Option<usize>,
    },
    /// What it waits for: every condition, met or not.
    Why {
        /// The run.
        run: String,
    },
    /// Run a run again: its tasks, or only those that failed.
    Clear {
        /// The run.
        run: String,
        /// Only those that failed or were blocked by a failure.
        #[arg(long)]
        only_failed: bool,
        /// By the current version of the file; the run must be over.
        #[arg(long)]
        latest_version: bool,
        /// Print the list and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// Say how a run has ended; its open tasks are ended with it.
    Mark {
        /// The run.
        run: String,
        /// How.
        #[arg(value_parser = ["success", "failed"])]
        state: String,
    },
    /// Keep a note on a run; an empty one forgets it.
    Note {
        /// The run.
        run: String,
        /// The note.
        note: String,
    },
    /// End a run; its running tasks are killed.
    Cancel {
        /// The run.
        run: String,
    },
    /// Forget a run that is over, with its tasks, values and logs.
    #[command(
        after_help = "Old runs go by themselves: `[retention]` in tidemill.toml says when.\n\nExamples:\n  tidemill runs delete hello@latest\n  tidemill runs delete orders@manual__2026-11-20T08:00:00Z --yes"
    )]
    Delete {
        /// The run.
        run: String,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
}

/// `pools`.
#[derive(Subcommand, Debug)]
pub enum Pools {
    /// All pools and how they are used.
    List,
    /// One pool.
    Get {
        /// Its name.
        pool: String,
    },
    /// Make a pool or change it. What is not given stays.
    #[command(
        after_help = "Examples:\n  tidemill pools set warehouse --slots 8 --description 'loads into the warehouse'\n  tidemill pools set warehouse --slots -1    no limit"
    )]
    Set {
        /// Its name.
        pool: String,
        /// Its slots; -1 is no limit. A new pool has one.
        #[arg(long, value_name = "N", allow_negative_numbers = true)]
        slots: Option<i64>,
        /// What it is for.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// Do deferred tasks keep their slots?
        #[arg(long, value_name = "true|false")]
        include_deferred: Option<bool>,
    },
    /// Forget a pool. Tasks in it wait, and say so.
    Delete {
        /// Its name.
        pool: String,
    },
}

/// Tasks that a wish for some of them is about too.
#[derive(ClapArgs, Debug)]
pub struct OtherTasks {
    /// And all that wait for them.
    #[arg(long)]
    pub downstream: bool,
    /// And all that they wait for.
    #[arg(long)]
    pub upstream: bool,
    /// And the same in all runs with an earlier logical date.
    #[arg(long)]
    pub past: bool,
    /// And the same in all runs with a later one.
    #[arg(long)]
    pub future: bool,
}

/// `tasks`.
#[derive(Subcommand, Debug)]
pub enum Tasks {
    /// The task instances of a run.
    List {
        /// The run.
        run: String,
    },
    /// The log of a task.
    #[command(
        after_help = "Examples:\n  tidemill tasks logs etl@latest load -f\n  tidemill tasks logs etl@latest 'resize[3]'    (the fourth instance of a mapped task)"
    )]
    Logs {
        /// The run.
        run: String,
        /// The task; NAME[INDEX] for one instance of a mapped task.
        task: String,
        /// Follow it until its task has ended.
        #[arg(short, long)]
        follow: bool,
        /// Which try; the last when absent.
        #[arg(long = "try", value_name = "N")]
        try_number: Option<i32>,
        /// Only lines that match a regular expression; the server looks through the whole log.
        #[arg(long, value_name = "RE", conflicts_with = "follow")]
        grep: Option<String>,
        /// Print terminal escapes as the task wrote them.
        #[arg(long)]
        raw: bool,
    },
    /// Why a task does not run: every condition, met or not, with numbers and who holds what.
    #[command(after_help = "Example:\n  tidemill tasks why etl@latest load")]
    Why {
        /// The run.
        run: String,
        /// The task; NAME[INDEX] for one instance of a mapped task.
        task: String,
        /// Its place in a mapped task.
        #[arg(long, value_name = "N")]
        map_index: Option<u32>,
    },
    /// Say how tasks have ended; a running attempt is ended.
    #[command(
        after_help = "Examples:\n  tidemill tasks mark etl@latest success extract\n  tidemill tasks mark etl@latest skipped publish --downstream    (publish may be a group)"
    )]
    Mark {
        /// The run.
        run: String,
        /// How.
        #[arg(value_parser = ["success", "failed", "skipped"])]
        state: String,
        /// Which tasks or groups; NAME[INDEX] for one instance of a mapped task.
        #[arg(required = true)]
        tasks: Vec<String>,
        /// And which others.
        #[command(flatten)]
        others: OtherTasks,
        /// Print the list and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Keep a note on a task; an empty one forgets it.
    Note {
        /// The run.
        run: String,
        /// The task; NAME[INDEX] for one instance of a mapped task.
        task: String,
        /// The note.
        note: String,
    },
    /// Run task instances again.
    #[command(
        after_help = "Examples:\n  tidemill tasks clear etl@latest --only-failed --downstream\n  tidemill tasks clear etl@latest load -y"
    )]
    Clear {
        /// The run.
        run: String,
        /// Which tasks; all when none is named. NAME[INDEX] for one instance of a mapped task.
        tasks: Vec<String>,
        /// Only those that failed or were blocked by a failure.
        #[arg(long)]
        only_failed: bool,
        /// And which others.
        #[command(flatten)]
        others: OtherTasks,
        /// By the current version of the file; the runs must be over.
        #[arg(long)]
        latest_version: bool,
        /// Print the list and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
}

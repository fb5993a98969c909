//! What `worker` and `workers` are told, and the parts of a server.

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// A part of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Decides and serves pages; workers of other processes run the tasks.
    Scheduler,
    /// Serves pages and never decides.
    Api,
}

/// What a process is told that runs tasks.
#[derive(ClapArgs, Debug)]
pub struct WorkArgs {
    /// The folder that holds the runs' folders, which the tasks of a run share. Workers on several
    /// machines need one that all see, named alike for each and for the server; in the home when
    /// absent, so that each machine has its own.
    #[arg(long, env = "TIDEMILL_RUNS", value_name = "DIR")]
    pub runs: Option<PathBuf>,
    /// Tasks at once.
    #[arg(long, env = "TIDEMILL_SLOTS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub slots: u32,
    /// Seconds that running tasks may go on after SIGTERM.
    #[arg(
        long,
        env = "TIDEMILL_SHUTDOWN_TIMEOUT",
        default_value_t = 30,
        value_name = "SECONDS"
    )]
    pub shutdown_timeout: u64,
    /// Seconds between TERM and KILL of a task.
    #[arg(
        long,
        env = "TIDEMILL_KILL_GRACE",
        default_value_t = 10,
        value_name = "SECONDS"
    )]
    pub kill_grace: u64,
    /// Variables that tasks inherit besides PATH HOME USER LANG LC_* TZ TMPDIR.
    #[arg(
        long,
        env = "TIDEMILL_ENV_PASSTHROUGH",
        value_delimiter = ',',
        value_name = "NAMES"
    )]
    pub env_passthrough: Vec<String>,
}

/// `worker`.
#[derive(ClapArgs, Debug)]
pub struct Worker {
    /// The queues that it serves.
    #[arg(
        long,
        env = "TIDEMILL_QUEUES",
        default_value = "default",
        value_delimiter = ',',
        value_name = "NAMES"
    )]
    pub queues: Vec<String>,
    /// The tasks that it runs.
    #[command(flatten)]
    pub work: WorkArgs,
    /// Where others read its logs while they grow; port 0 takes a free one.
    #[arg(
        long,
        env = "TIDEMILL_LOG_LISTEN",
        default_value = "127.0.0.1:0",
        value_name = "ADDRESS"
    )]
    pub log_listen: SocketAddr,
    /// The address of that for other machines, where it is not the one above.
    #[arg(long, env = "TIDEMILL_LOG_URL", value_name = "URL")]
    pub log_url: Option<String>,
    /// Keep nothing in a session of the database, and ask once a second instead of being told:
    /// for a pooler that gives each transaction another session (PgBouncer's transaction mode).
    #[arg(long, env = "TIDEMILL_NO_NOTIFY")]
    pub no_notify: bool,
    /// Seconds without a word to the database after which its tasks are others'.
    #[arg(long, env = "TIDEMILL_WORKER_LEASE", default_value_t = 60, value_parser = clap::value_parser!(u64).range(2..=3600), value_name = "SECONDS")]
    pub lease: u64,
}

/// `workers`.
#[derive(Subcommand, Debug)]
pub enum Workers {
    /// Those that live.
    List,
    /// Let one finish what it has and take nothing more.
    Drain {
        /// Its number.
        worker: i64,
        /// Let it take tasks again.
        #[arg(long)]
        undo: bool,
    },
}

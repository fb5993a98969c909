//! The command line. What it prints and how it exits are part of the interface.

mod assets;
mod backfills;
mod import;
mod operate;
mod outside;
mod triggers;

#[cfg(feature = "wasm")]
mod wasm;
mod worker;

pub use assets::Assets;
pub use backfills::{Backfills, CreateBackfill};
pub use import::{Import, ImportCrontab};
pub use operate::*;
pub use outside::*;
pub use triggers::{Quarantine, Replay, Seek, Triggers, Unblock};
#[cfg(feature = "wasm")]
pub use wasm::Wasm;
pub use worker::{Part, WorkArgs, Worker, Workers};

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Tidemill: batch DAGs and streams in one binary.
#[derive(Parser, Debug)]
#[command(
    name = "tidemill",
    version,
    about = "A workflow orchestrator in one binary: cron, graphs and streams joined",
    after_help = "Examples:\n  tidemill serve                      server, worker and pages on http://127.0.0.1:8080\n  tidemill run dags/hello.toml        one DAG, once, here, without a server\n  tidemill validate dags/             everything that is wrong with the files\n  tidemill dags trigger hello --wait  one run on the server"
)]
pub struct Args {
    /// The state folder of the server.
    #[arg(
        long,
        global = true,
        env = "TIDEMILL_HOME",
        default_value = ".tidemill",
        value_name = "DIR"
    )]
    pub home: PathBuf,
    /// Where the memory is.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// How to print.
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT")]
    pub output: Option<Output>,
    /// When to colour.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        value_name = "WHEN"
    )]
    pub color: Color,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where the memory is. An address in the environment is not shown: it may hold a password.
#[derive(ClapArgs, Clone)]
pub struct DatabaseArgs {
    /// A PostgreSQL database, postgres://user@host:port/name?sslmode=…; a file in the home when absent.
    #[arg(
        long,
        global = true,
        env = "TIDEMILL_DATABASE",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database: Option<String>,
    /// A file with the database's password; PGPASSFILE and ~/.pgpass are read too.
    #[arg(
        long,
        global = true,
        env = "TIDEMILL_DATABASE_PASSWORD_FILE",
        value_name = "FILE"
    )]
    pub database_password_file: Option<PathBuf>,
}

impl std::fmt::Debug for DatabaseArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DatabaseArgs")
    }
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Columns for people.
    Table,
    /// JSON for programs.
    Json,
    /// Names only, a line each.
    Name,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Start scheduler, worker and pages in one process.
    #[command(
        after_help = "Examples:\n  tidemill serve\n  tidemill serve --dags /srv/dags --home /var/lib/tidemill --listen 127.0.0.1:9000\n  tidemill serve --database postgres://tidemill@db.example/tidemill --database-password-file /run/secrets/db"
    )]
    Serve(Serve),
    /// Run tasks for a scheduler that keeps its memory on PostgreSQL.
    #[command(
        after_help = "Examples:\n  tidemill worker --database postgres://tidemill@db/tidemill --slots 32\n  tidemill worker --queues gpu --home /var/lib/tidemill-gpu"
    )]
    Worker(Worker),
    /// Workers in processes of their own.
    #[command(subcommand)]
    Workers(Workers),
    /// Run a DAG once, here, without a server.
    #[command(
        after_help = "Examples:\n  tidemill run dags/hello.toml\n  tidemill run etl.toml --param region=eu --date 2026-11-20 -o json\n  tidemill run etl.toml --dry-run"
    )]
    Run(Run),
    /// Say everything that is wrong with DAG files.
    #[command(
        after_help = "Examples:\n  tidemill validate\n  tidemill validate dags/orders.toml -o json"
    )]
    Validate {
        /// Files or folders.
        #[arg(default_value = "dags", value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Explain a code, e.g. `tidemill explain TM0104`.
    Explain {
        /// The code.
        code: String,
    },
    /// Print a JSON Schema for editors.
    #[command(after_help = "Example:\n  tidemill schema dag > dags/tidemill.schema.json")]
    Schema {
        /// Of what.
        #[arg(value_enum)]
        what: SchemaOf,
    },
    /// Turn what another tool has into DAG files.
    #[command(subcommand)]
    Import(Import),
    /// DAGs on the server.
    #[command(subcommand, alias = "dag")]
    Dags(Dags),
    /// Runs on the server. A run is DAG/RUN_ID, DAG@latest, DAG@latest:failed or its short id.
    #[command(subcommand)]
    Runs(Runs),
    /// Task instances on the server.
    #[command(subcommand, alias = "task")]
    Tasks(Tasks),
    /// Assets: data that tasks write and runs wait for.
    #[command(subcommand, alias = "asset")]
    Assets(Assets),
    /// Pools: slots that tasks of all DAGs share.
    #[command(subcommand, alias = "pool")]
    Pools(Pools),
    /// Connections: how other systems are reached.
    #[command(subcommand, alias = "connection")]
    Connections(Connections),
    /// Variables: named values that tasks read.
    #[command(subcommand, alias = "variable")]
    Variables(Variables),
    /// The key that seals connections and variables in the database.
    #[command(subcommand, alias = "secret")]
    Secrets(Secrets),
    /// Streams that make runs. A trigger is DAG/TRIGGER.
    #[command(subcommand, alias = "trigger")]
    Triggers(Triggers),
    /// The runs of past dates.
    #[command(subcommand, alias = "backfill")]
    Backfills(Backfills),
    /// The database: a file in the home, or PostgreSQL with --database.
    #[command(
        subcommand,
        after_help = "Examples:\n  tidemill db check\n  tidemill db migrate --database postgres://tidemill@db.example/tidemill?sslmode=verify-full\n  tidemill db export > everything.jsonl"
    )]
    Db(Db),
    /// WebAssembly modules.
    #[cfg(feature = "wasm")]
    #[command(subcommand)]
    Wasm(Wasm),
    /// Print a fresh one-time login link for the pages.
    LoginLink,
    /// Print what the exit statuses mean.
    ExitCodes,
}

/// `db`.
#[derive(Subcommand, Debug)]
pub enum Db {
    /// Bring its schema up to this program's; make it where there is none.
    #[command(visible_alias = "init")]
    Migrate,
    /// Say whether it answers and has this program's schema.
    Check,
    /// Print what it holds as lines of JSON: DAGs with their text, runs, tasks with their values,
    /// pools, backfills, assets, connections, variables.
    ///
    /// Each line is a record as the API gives it, with its `kind`. What is secret is printed as
    /// `***`. Not in it are logs, earlier tries, earlier versions of DAGs, the events of assets,
    /// and streams with their offsets and quarantine.
    Export,
    /// Print the SQL that makes the database roles of workers and of `serve --only api`: each
    /// may do what it needs, and nothing else.
    #[command(
        after_help = "Example:\n  tidemill db roles | psql -h db.example -U tidemill tidemill"
    )]
    Roles {
        /// The role of workers.
        #[arg(long, default_value = "tidemill_worker", value_name = "NAME")]
        worker: String,
        /// The role of processes that only serve pages and pass on what they are asked.
        #[arg(long, default_value = "tidemill_api", value_name = "NAME")]
        api: String,
    },
}

/// What a schema is of.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SchemaOf {
    /// DAG files.
    Dag,
}

/// `serve`.
#[derive(ClapArgs, Debug)]
pub struct Serve {
    /// The DAG folder.
    #[arg(
        long,
        env = "TIDEMILL_DAGS",
        default_value = "dags",
        value_name = "DIR"
    )]
    pub dags: PathBuf,
    /// Where pages are served; port 0 takes a free one.
    #[arg(
        long,
        env = "TIDEMILL_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,
    /// Only a part: the scheduler without a worker, or the pages without either. Needs a
    /// database that processes share.
    #[arg(long, value_enum, value_name = "PART")]
    pub only: Option<Part>,
    /// The queues that its own worker serves; all when absent, and `default` on PostgreSQL.
    #[arg(
        long,
        env = "TIDEMILL_QUEUES",
        value_delimiter = ',',
        value_name = "NAMES"
    )]
    pub queues: Vec<String>,
    /// The tasks that it runs.
    #[command(flatten)]
    pub work: WorkArgs,
}

/// `run`.
#[derive(ClapArgs, Debug)]
pub struct Run {
    /// The DAG file, or a folder with a dag.toml.
    pub file: PathBuf,
    /// A parameter; JSON where its type asks for it.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// The logical date: a date or an instant; now when absent, `none` for none.
    #[arg(long, visible_alias = "logical-date", value_name = "DATE")]
    pub date: Option<String>,
    /// Tasks at once.
    #[arg(short, long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024), value_name = "N")]
    pub jobs: u32,
    /// Fail at the first failure of a task.
    #[arg(long)]
    pub no_retry: bool,
    /// Print the plan and run nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// `dags`.
#[derive(Subcommand, Debug)]
pub enum Dags {
    /// All DAGs.
    List,
    /// One DAG.
    Show {
        /// Its name.
        dag: String,
    },
    /// Stop its schedule.
    Pause {
        /// Its name.
        dag: String,
    },
    /// Resume its schedule.
    Unpause {
        /// Its name.
        dag: String,
    },
    /// Why it has no new run, or none for an instant: every condition, met or not.
    #[command(
        after_help = "Examples:\n  tidemill dags why etl\n  tidemill dags why etl --at 2026-11-20T06:00:00Z"
    )]
    Why {
        /// Its name.
        dag: String,
        /// The instant that a run should have been for, in the DAG's time zone.
        #[arg(long, value_name = "INSTANT")]
        at: Option<String>,
    },
    /// Make a run.
    #[command(
        after_help = "Examples:\n  tidemill dags trigger hello\n  tidemill dags trigger etl --param region=eu --wait\n  tidemill dags trigger etl --run-after 2026-12-01T22:00:00Z"
    )]
    Trigger(Trigger),
    /// When it will run, and what those runs will be about.
    #[command(
        after_help = "Examples:\n  tidemill dags next etl\n  tidemill dags next dags/etl.toml -n 5 --after 2027-03-13 -o json"
    )]
    Next(Next),
}

/// `dags next`.
#[derive(ClapArgs, Debug)]
pub struct Next {
    /// A DAG file, for which no server is needed, or the name of a DAG on the server.
    #[arg(value_name = "FILE|DAG")]
    pub dag: String,
    /// How many runs.
    #[arg(short = 'n', long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// Runs after this date or instant, in the time zone of the schedule; now when absent.
    #[arg(long, value_name = "INSTANT")]
    pub after: Option<String>,
}

/// `dags trigger`.
#[derive(ClapArgs, Debug)]
pub struct Trigger {
    /// The DAG's name.
    pub dag: String,
    /// A parameter; JSON where its type asks for it.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// All values as one JSON object.
    #[arg(long, value_name = "JSON")]
    pub conf: Option<String>,
    /// The logical date, in the DAG's time zone: now when absent, `none` for none.
    #[arg(long, value_name = "DATE")]
    pub logical_date: Option<String>,
    /// It waits until this date or instant, in the DAG's time zone. For a logical date to come it
    /// waits anyway.
    #[arg(long, value_name = "INSTANT")]
    pub run_after: Option<String>,
    /// The run's name.
    #[arg(long)]
    pub run_id: Option<String>,
    /// A note on the run.
    #[arg(long)]
    pub note: Option<String>,
    /// The same key makes the same run, however often it is sent.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Wait for the end of the run and exit with its status.
    #[arg(long)]
    pub wait: bool,
}

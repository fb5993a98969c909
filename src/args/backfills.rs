//! `backfills`.

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

/// `backfills`.
#[derive(Subcommand, Debug)]
pub enum Backfills {
    /// Make the runs of past dates.
    #[command(
        after_help = "Examples:\n  tidemill backfills create etl --from 2026-11-01 --to 2026-11-20 --dry-run\n  tidemill backfills create etl --from 2026-11-01 --to 2026-11-20 --reprocess failed --run-backwards"
    )]
    Create(CreateBackfill),
    /// All backfills, newest first.
    List {
        /// Only of this DAG.
        #[arg(long)]
        dag: Option<String>,
        /// Only those that are not over.
        #[arg(long)]
        active: bool,
    },
    /// A backfill and what became of each date.
    Show {
        /// Its number.
        backfill: String,
    },
    /// Make no new runs; what runs goes on.
    Pause {
        /// Its number.
        backfill: String,
    },
    /// Go on.
    Unpause {
        /// Its number.
        backfill: String,
    },
    /// End it; what runs goes on, what waits is ended.
    Cancel {
        /// Its number.
        backfill: String,
    },
}

/// `backfills create`.
#[derive(ClapArgs, Debug)]
pub struct CreateBackfill {
    /// The DAG.
    pub dag: String,
    /// The first logical date: a date or an instant, in the DAG's time zone.
    #[arg(long, value_name = "DATE")]
    pub from: String,
    /// The last logical date. A date is its midnight.
    #[arg(long, value_name = "DATE")]
    pub to: String,
    /// How many of its runs may be active at once.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "N")]
    pub max_active_runs: u32,
    /// The latest date first.
    #[arg(long)]
    pub run_backwards: bool,
    /// What happens with dates that have a run: it is left alone, run again if it failed, or run
    /// again.
    #[arg(
        long,
        visible_alias = "reprocess-behavior",
        value_enum,
        default_value = "none",
        value_name = "WHICH"
    )]
    pub reprocess: ReprocessArg,
    /// Do dates that run again go on by the current version of the file? As the DAG says when
    /// absent, and else by the current one.
    #[arg(long, value_name = "true|false")]
    pub run_on_latest_version: Option<bool>,
    /// A parameter of its runs; JSON where its type asks for it.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// All values as one JSON object.
    #[arg(long, value_name = "JSON")]
    pub conf: Option<String>,
    /// Print the dates that would get a run, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// What happens with dates that have a run.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ReprocessArg {
    /// They are left alone.
    None,
    /// Failed ones run again.
    Failed,
    /// All that are over run again.
    Completed,
}

impl ReprocessArg {
    /// The API's word.
    pub const fn name(self) -> &'static str {
        match self {
            ReprocessArg::None => "none",
            ReprocessArg::Failed => "failed",
            ReprocessArg::Completed => "completed",
        }
    }
}

//! `assets`.

use clap::Subcommand;

/// `assets`.
#[derive(Subcommand, Debug)]
pub enum Assets {
    /// All assets: when each was last written, by whom, and whose runs it makes.
    List,
    /// One asset.
    Show {
        /// Its name.
        asset: String,
    },
    /// Events, newest first, and the runs that they made.
    Events {
        /// Only of this asset.
        asset: Option<String>,
        /// So many.
        #[arg(short = 'n', long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
    },
    /// Say that an asset has been written: runs that wait for it may begin.
    #[command(
        after_help = "Examples:\n  tidemill assets emit raw_orders\n  tidemill assets emit raw_orders --extra rows=120 --extra day=2026-11-20"
    )]
    Emit {
        /// Its name.
        asset: String,
        /// What is said about it, KEY=VALUE; a value that is JSON is taken as such.
        #[arg(long)]
        extra: Vec<String>,
    },
    /// Make a run of the DAG that writes an asset.
    #[command(
        after_help = "Examples:\n  tidemill assets materialize raw_orders\n  tidemill assets materialize raw_orders --param region=eu --wait"
    )]
    Materialize {
        /// Its name.
        asset: String,
        /// A parameter of the run, KEY=VALUE; may be given several times.
        #[arg(short, long = "param", value_name = "KEY=VALUE")]
        params: Vec<String>,
        /// A note on the run.
        #[arg(long)]
        note: Option<String>,
        /// Wait for its end.
        #[arg(long)]
        wait: bool,
    },
}

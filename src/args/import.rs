//! `import`.

use clap::{Args as ClapArgs, Subcommand};
use std::path::PathBuf;

/// `import`.
#[derive(Subcommand, Debug)]
pub enum Import {
    /// A crontab: a DAG file for each line, and the times of both side by side.
    #[command(
        after_help = "Examples:\n  crontab -l | tidemill import crontab - --out dags\n  tidemill import crontab -u www-data --check\n  tidemill import crontab /etc/crontab --system --timezone Europe/Paris"
    )]
    Crontab(ImportCrontab),
}

/// `import crontab`.
#[derive(ClapArgs, Debug)]
pub struct ImportCrontab {
    /// The crontab, or `-` for standard input.
    #[arg(required_unless_present = "user", conflicts_with = "user")]
    pub file: Option<PathBuf>,
    /// The crontab of this user, as `crontab -l -u USER` shows it.
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
    /// Write nothing; exit with 10 where a line's times would not be the same.
    #[arg(long, conflicts_with = "out")]
    pub check: bool,
    /// Write the files here; none that is there is overwritten. Without it they are only shown.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// One file for all lines with the same times, with a task for each.
    #[arg(long)]
    pub group: bool,
    /// Each line names a user before its command, as in /etc/crontab.
    #[arg(long)]
    pub system: bool,
    /// Where the times of lines without CRON_TZ are read; the machine's time zone when absent.
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// How many times of each line are shown.
    #[arg(short = 'n', long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub limit: u32,
    /// Times after this date or instant; now when absent.
    #[arg(long, value_name = "INSTANT")]
    pub after: Option<String>,
}

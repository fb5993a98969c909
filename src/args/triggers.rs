//! `triggers`.

use clap::Subcommand;

/// `triggers`.
#[derive(Subcommand, Debug)]
pub enum Triggers {
    /// All triggers: what each does, and how far it is.
    List {
        /// Only of this DAG.
        #[arg(long)]
        dag: Option<String>,
    },
    /// A trigger with its partitions, its last batches and its quarantine.
    Show {
        /// DAG/TRIGGER.
        trigger: String,
    },
    /// Read nothing more; what is there stays to be read.
    Pause {
        /// DAG/TRIGGER.
        trigger: String,
    },
    /// Go on where it stood.
    Resume {
        /// DAG/TRIGGER.
        trigger: String,
    },
    /// How far each partition is read, and what became of its records.
    Offsets {
        /// DAG/TRIGGER.
        trigger: String,
    },
    /// Go on elsewhere. The trigger must be paused, or the partition halted.
    #[command(
        after_help = "Examples:\n  tidemill triggers seek orders/in --earliest --dry-run\n  tidemill triggers seek orders/in --to-offset p0=120,p1=88\n  tidemill triggers seek orders/in --to-time 2026-11-20T06:00:00Z"
    )]
    Seek(Seek),
    /// Records that no run was made of.
    #[command(subcommand)]
    Quarantine(Quarantine),
}

/// `triggers seek`.
#[derive(clap::Args, Debug)]
pub struct Seek {
    /// DAG/TRIGGER.
    pub trigger: String,
    /// The first record that is not older than this instant.
    #[arg(long, value_name = "INSTANT", group = "to")]
    pub to_time: Option<String>,
    /// Offsets by partition: p0=120,p1=88.
    #[arg(long, value_name = "OFFSETS", group = "to")]
    pub to_offset: Option<String>,
    /// The oldest record that is there.
    #[arg(long, group = "to")]
    pub earliest: bool,
    /// What is written from now on.
    #[arg(long, group = "to")]
    pub latest: bool,
    /// Say how many records would be read again or passed over, and move nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// `triggers quarantine`.
#[derive(Subcommand, Debug)]
pub enum Quarantine {
    /// The newest ones.
    List {
        /// DAG/TRIGGER.
        trigger: String,
    },
    /// Forget one.
    Drop {
        /// DAG/TRIGGER.
        trigger: String,
        /// Its number, as `list` tells it.
        id: i64,
    },
}

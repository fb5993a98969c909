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
    /// Read a range again: new runs of the same records, beside the live reading.
    #[command(
        after_help = "Examples:\n  tidemill triggers replay orders/in --from 100 --to 200 --partition 0 --dry-run\n  tidemill triggers replay orders/in --from 2026-11-20T06:00:00Z --to latest\n  tidemill triggers replay orders/in kafka__orders__0__17-42"
    )]
    Replay(Replay),
    /// End a replay; its runs go on.
    CancelReplay {
        /// DAG/TRIGGER.
        trigger: String,
        /// Its number, as `triggers show` has it.
        replay: i64,
    },
    /// Go on in a lane that a failed run holds up.
    #[command(
        after_help = "Examples:\n  tidemill triggers unblock orders/in orders/0 --retry\n  tidemill triggers unblock orders/in orders/0 --skip"
    )]
    Unblock(Unblock),
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
    /// Offsets by partition: p0=120,p1=88; orders/0=120 where there are several topics.
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

/// `triggers replay`.
#[derive(clap::Args, Debug)]
pub struct Replay {
    /// DAG/TRIGGER.
    pub trigger: String,
    /// The run whose records are read again.
    #[arg(conflicts_with_all = ["from", "to"])]
    pub run: Option<String>,
    /// The first record: an offset, p0=120,p1=88, orders/0=120, an instant, or `earliest`.
    #[arg(long, value_name = "PLACE")]
    pub from: Option<String>,
    /// What comes after the last record: an offset, p0=120,p1=88, orders/0=120, an instant, or
    /// `latest`.
    #[arg(long, value_name = "PLACE")]
    pub to: Option<String>,
    /// Only of these partitions.
    #[arg(long, value_name = "NUMBER")]
    pub partition: Vec<i32>,
    /// Begin with what is there where the beginning of the range is gone.
    #[arg(long)]
    pub allow_gap: bool,
    /// Say how many records would be read again, and read none.
    #[arg(long)]
    pub dry_run: bool,
}

/// `triggers unblock`.
#[derive(clap::Args, Debug)]
pub struct Unblock {
    /// DAG/TRIGGER.
    pub trigger: String,
    /// The lane, as `triggers show` has it.
    pub lane: String,
    /// Try the failed run again; those behind it wait for that.
    #[arg(long, conflicts_with = "skip", required_unless_present = "skip")]
    pub retry: bool,
    /// Pass over the failed run.
    #[arg(long)]
    pub skip: bool,
}

/// `triggers quarantine`.
#[derive(Subcommand, Debug)]
pub enum Quarantine {
    /// The newest ones.
    List {
        /// DAG/TRIGGER.
        trigger: String,
        /// So many, 1000 at most.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// One with its key, its value and its headers, as JSON.
    Show {
        /// DAG/TRIGGER.
        trigger: String,
        /// Its number, as `list` tells it.
        id: i64,
    },
    /// Make a run of one, by the rules of the DAG as it is now.
    Retry {
        /// DAG/TRIGGER.
        trigger: String,
        /// Its number.
        id: i64,
    },
    /// Forget one.
    Drop {
        /// DAG/TRIGGER.
        trigger: String,
        /// Its number, as `list` tells it.
        id: i64,
    },
}

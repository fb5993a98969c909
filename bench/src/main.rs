//! Measures Tidemill against `make` and `ninja` on the same graphs of no-op tasks, in one run.
//!
//! Nothing here judges a time: it prints what it saw and the ratios. A run in which the no-op
//! was not executed once per task is void and says so.

mod commit;
mod contest;
mod counted;
mod graph;
mod home;
mod kafka;
mod logs;
mod modules;
mod operators;
mod postgres;
mod procfs;
mod report;
mod schedules;
mod single;
mod spawn;
mod wide;

use anyhow::{Context, Result, bail};
use report::Report;
use std::path::{Path, PathBuf};

const USAGE: &str = "usage: tidemill-bench [--json] [--rounds N] [--idle SECONDS] [--held SECONDS] [--log-gib N] [--spawn-gib N] [--tasks N] [--rows N] [--records N] [--shrink N] [--tidemill PATH] [WHAT…]
WHAT: chain fan1000 fan10000 diamonds (contests), counts, commit, cold, load, validate, idle, cli, wide, due, idle10k, catchup, postgres, workers, failover (all three on PostgreSQL), wasm, log (of --log-gib, 10 unless said otherwise), spawn (beside --spawn-gib in memory), operators (--tasks of HTTP and SQL, a load of --rows), kafka (with --records, 1,000,000 unless said otherwise); all of these when none is given; held (a snapshot held open for --held SECONDS) only when named; --shrink makes the crowds of wide, due, idle10k and catchup so many times smaller, for a rehearsal";

/// What to measure and how often.
pub struct Options {
    /// The program under test.
    pub tidemill: PathBuf,
    /// Rounds of each contest; the median is told.
    pub rounds: usize,
    /// How long idling is watched, in seconds.
    pub idle_seconds: u64,
    /// How long a snapshot is held open, in seconds.
    pub held_seconds: u64,
    /// How large the large log is, in GiB.
    pub log_gib: u64,
    /// How much smaller crowds are than they should be, for a rehearsal.
    pub shrink: usize,
    /// How much memory the process holds from which tasks are started, in GiB.
    pub spawn_gib: u64,
    /// How many HTTP and SQL tasks.
    pub tasks: usize,
    /// How many rows are loaded.
    pub rows: usize,
    /// How many records the large measurements of streams have.
    pub records: u64,
    json: bool,
    what: Vec<String>,
}

impl Options {
    fn wants(&self, what: &str) -> bool {
        self.what.is_empty() || self.what.iter().any(|one| one == what)
    }
}

const ALL: &[&str] = &[
    "chain",
    "fan1000",
    "fan10000",
    "diamonds",
    "counts",
    "commit",
    "cold",
    "load",
    "validate",
    "idle",
    "cli",
    "wide",
    "due",
    "idle10k",
    "catchup",
    "postgres",
    "workers",
    "failover",
    "held",
    "wasm",
    "log",
    "spawn",
    "operators",
    "kafka",
];

fn options() -> Result<Options> {
    let here = std::env::current_exe()?;
    let beside = here
        .parent()
        .map(|folder| folder.join("tidemill"))
        .unwrap_or_default();
    let mut options = Options {
        tidemill: beside,
        rounds: 3,
        idle_seconds: 20,
        held_seconds: 600,
        log_gib: 10,
        shrink: 1,
        spawn_gib: 10,
        tasks: 1600,
        rows: 1_000_000,
        records: 1_000_000,
        json: false,
        what: Vec::new(),
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || {
            args.next()
                .with_context(|| format!("{arg} needs a value\n{USAGE}"))
        };
        match arg.as_str() {
            "--json" => options.json = true,
            "--rounds" => {
                options.rounds = value()?
                    .parse::<usize>()
                    .context("--rounds takes a number")?
                    .clamp(1, 100)
            }
            "--idle" => {
                options.idle_seconds = value()?
                    .parse::<u64>()
                    .context("--idle takes seconds")?
                    .clamp(1, 3600)
            }
            "--held" => {
                options.held_seconds = value()?
                    .parse::<u64>()
                    .context("--held takes seconds")?
                    .clamp(8, 7200)
            }
            "--log-gib" => {
                options.log_gib = value()?
                    .parse::<u64>()
                    .context("--log-gib takes a number")?
                    .clamp(1, 1000)
            }
            "--shrink" => {
                options.shrink = value()?
                    .parse::<usize>()
                    .context("--shrink takes a number")?
                    .clamp(1, 1000)
            }
            "--spawn-gib" => options.spawn_gib = number(&value()?, 1, 1000)? as u64,
            "--tasks" => options.tasks = number(&value()?, 16, 100_000)?,
            "--rows" => options.rows = number(&value()?, 1, 100_000_000)?,
            "--records" => {
                options.records = value()?
                    .parse::<u64>()
                    .context("--records takes a number")?
                    .clamp(100, 100_000_000)
            }
            "--tidemill" => options.tidemill = PathBuf::from(value()?),
            "-h" | "--help" => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            what if ALL.contains(&what) => options.what.push(what.to_string()),
            other => bail!("`{other}` is nothing that can be measured\n{USAGE}"),
        }
    }
    if !options.tidemill.exists() {
        bail!(
            "{} is not there; build it with `cargo build --release`",
            options.tidemill.display()
        );
    }
    Ok(options)
}

fn number(text: &str, low: usize, high: usize) -> Result<usize> {
    let number: usize = text
        .parse()
        .with_context(|| format!("`{text}` is no number"))?;
    Ok(number.clamp(low, high))
}

fn main() -> std::process::ExitCode {
    match measure() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(err) => {
            // Without the stack: what went wrong is in the sentence.
            eprintln!("tidemill-bench: {err:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<()> {
    let options = options()?;
    let mut report = Report::new(options.json);
    let scratch = tempfile::Builder::new()
        .prefix("tidemill-bench-")
        .tempdir()?;
    let folder: &Path = scratch.path();
    machine(&mut report);
    let needs_commit = ["commit", "chain", "wide", "due", "catchup"];
    let commit_ms = if needs_commit.iter().any(|what| options.wants(what)) {
        Some(commit::measure(folder, &mut report)?)
    } else {
        None
    };
    let noop = graph::build_noop(folder)?;
    for shape in graph::SHAPES {
        if options.wants(shape.name) {
            let done = contest::run(&options, folder, &noop, shape, commit_ms, None, &mut report);
            report.keep(shape.name, done);
        }
    }
    if options.wants("counts") {
        let done = counted::run(&options, folder, &noop, &mut report);
        report.keep("counts", done);
    }
    single::run(&options, folder, &mut report);
    if options.wants("wide") {
        let done = wide::run(&options, folder, commit_ms, &mut report);
        report.keep("wide", done);
    }
    if options.wants("due") {
        let done = schedules::due(&options, folder, commit_ms, &mut report);
        report.keep("due", done);
    }
    if options.wants("idle10k") {
        let done = schedules::idle(&options, folder, commit_ms, &mut report);
        report.keep("idle10k", done);
    }
    if options.wants("catchup") {
        let done = schedules::catch_up(&options, folder, commit_ms, &mut report);
        report.keep("catchup", done);
    }
    if options.wants("postgres") {
        let done = postgres::run(&options, folder, &noop, &mut report);
        report.keep("postgres", done);
    }
    if options.wants("workers") {
        let done = postgres::workers(&options, folder, &noop, &mut report);
        report.keep("workers", done);
    }
    if options.wants("failover") {
        let done = postgres::fail_over(&options, folder, &mut report);
        report.keep("fail-over", done);
    }
    if options.what.iter().any(|one| one == "held") {
        let done = postgres::held(&options, folder, &mut report);
        report.keep("held", done);
    }
    if options.wants("wasm") {
        let done = modules::run(&options, folder, &mut report);
        report.keep("wasm", done);
    }
    if options.wants("log") {
        let done = logs::run(&options, folder, &mut report);
        report.keep("log", done);
    }
    if options.wants("spawn") {
        let done = spawn::run(&options, folder, &mut report);
        report.keep("spawn", done);
    }
    if options.wants("operators") {
        let done = operators::run(&options, folder, &mut report);
        report.keep("operators", done);
    }
    if options.wants("kafka") {
        let done = kafka::run(&options, folder, &mut report);
        report.keep("kafka", done);
    }
    report.end()
}

fn machine(report: &mut Report) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    report.section("machine");
    report.row("cores", cores as f64, "");
    report.note(&format!("kernel {}", kernel.trim()));
}

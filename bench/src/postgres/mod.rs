//! The same on PostgreSQLs of the bench's own, durable as a real one is: the graphs, in-process
//! tasks against Graphile Worker, several workers, a fail-over, and a snapshot that somebody holds.

mod graphile;
mod workers;

use crate::Options;
use crate::contest;
use crate::graph::{self, SHAPES};
use crate::home::{Home, Server};
use crate::report::Report;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tidemill_store_conformance::server::Server as Private;

/// No-op tasks without a process, in diamonds of five.
const EMPTY_TASKS: usize = 20_000;

/// A private server.
pub struct Postgres {
    server: Private,
}

/// What a database has done so far.
#[derive(Clone, Copy)]
pub struct Done {
    commits: f64,
    inserted: f64,
    updated: f64,
    deleted: f64,
    wal: f64,
}

impl Postgres {
    fn start() -> Postgres {
        Postgres {
            server: Private::start(),
        }
    }

    /// A new, empty database.
    pub fn database(&self) -> String {
        self.server.new_database()
    }

    /// Its counts; `url` is its address.
    fn done(&self, url: &str) -> Result<Done> {
        let name = name_of(url)?;
        let text = "select xact_commit, tup_inserted, tup_updated, tup_deleted,
                           pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')
                    from pg_stat_database where datname = current_database()";
        let line = self.server.sql(name, text);
        let mut numbers = line.split('|').map(str::parse::<f64>);
        let mut next = || {
            numbers
                .next()
                .context("a count is missing")?
                .context("a count")
        };
        Ok(Done {
            commits: next()?,
            inserted: next()?,
            updated: next()?,
            deleted: next()?,
            wal: next()?,
        })
    }
}

fn name_of(url: &str) -> Result<&str> {
    url.split(['/', '?'])
        .nth(3)
        .context("an address without a database")
}

/// Everything on PostgreSQL.
pub fn run(options: &Options, scratch: &Path, noop: &Path, report: &mut Report) -> Result<()> {
    let postgres = Postgres::start();
    let commit_ms = latency(&postgres, scratch, report)?;
    for shape in SHAPES {
        let done = contest::run(
            options,
            scratch,
            noop,
            shape,
            Some(commit_ms),
            Some(&postgres),
            report,
        );
        report.keep(&format!("{} on PostgreSQL", shape.name), done);
    }
    let counted = rows(options, scratch, noop, &postgres, report);
    report.keep("rows", counted);
    let empties = empties(options, scratch, &postgres, report);
    report.keep("in-process tasks", empties);
    Ok(())
}

/// Several workers in processes of their own.
pub fn workers(options: &Options, scratch: &Path, noop: &Path, report: &mut Report) -> Result<()> {
    workers::several(options, scratch, noop, &Postgres::start(), report)
}

/// A stand-by that takes over.
pub fn fail_over(options: &Options, scratch: &Path, report: &mut Report) -> Result<()> {
    workers::fail_over(options, scratch, &Postgres::start(), report)
}

/// A snapshot that is held open under load, by itself: it takes long.
pub fn held(options: &Options, scratch: &Path, report: &mut Report) -> Result<()> {
    workers::held(options, scratch, &Postgres::start(), report)
}

/// One durable single-row update, by pgbench, with pauses of 0.5 ms.
fn latency(postgres: &Postgres, scratch: &Path, report: &mut Report) -> Result<f64> {
    let url = postgres.database();
    let name = name_of(&url)?;
    postgres.server.sql(
        name,
        "create table one (id integer primary key, n integer); insert into one values (1, 0)",
    );
    let script = scratch.join("one.sql");
    std::fs::write(
        &script,
        "update one set n = n + 1 where id = 1;\n\\sleep 500 us\n",
    )?;
    let ran = Command::new(postgres.server.program("pgbench"))
        .args([
            "-n", "-M", "prepared", "-T", "5", "-r", "-U", "postgres", "-h",
        ])
        .arg(postgres.server.folder())
        .arg("-f")
        .arg(&script)
        .arg(name)
        .output()
        .context("pgbench is needed: install postgresql")?;
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let line = text.lines().find(|line| line.contains("update one"));
    let milliseconds = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    let milliseconds: f64 = milliseconds.with_context(|| format!("pgbench said: {text}"))?;
    report.section("one durable single-row commit (PostgreSQL, pgbench, pauses of 0.5 ms)");
    report.row("mean", milliseconds, "ms");
    Ok(milliseconds)
}

/// A run of a DAG on a server of this database: its seconds, and what the database did for it.
fn lap(
    options: &Options,
    scratch: &Path,
    postgres: &Postgres,
    (name, text): (&str, &str),
) -> Result<(f64, Done)> {
    let url = postgres.database();
    let home = Home::on(&options.tidemill, scratch, Some(url.clone()))?;
    std::fs::write(home.dags().join(format!("{name}.toml")), text)?;
    let server = home.serve(&[])?;
    server.wait_for_dag(name)?;
    let before = postgres.done(&url)?;
    let seconds = run_of(&home, &server, name)?;
    server.stop()?; // its sessions tell their counts when they end
    let after = postgres.done(&url)?;
    let done = Done {
        commits: after.commits - before.commits,
        inserted: after.inserted - before.inserted,
        updated: after.updated - before.updated,
        deleted: after.deleted - before.deleted,
        wal: after.wal - before.wal,
    };
    Ok((seconds, done))
}

/// Triggers a DAG and waits for the run's end: its seconds by its own times.
fn run_of(home: &Home, server: &Server, dag: &str) -> Result<f64> {
    let answer = home.call(&["dags", "trigger", dag, "-o", "json"])?;
    let answer: serde_json::Value = serde_json::from_slice(&answer.stdout)?;
    let run = answer["dag_run_id"].as_str().context("no dag_run_id")?;
    let path = format!("/api/v2/dags/{dag}/dagRuns/{}", run.replace(':', "%3A"));
    let ended = server.wait("the run", Duration::from_millis(20), |server| {
        let run = server.get(&path)?;
        Ok(matches!(run["state"].as_str(), Some("success" | "failed")).then_some(run))
    })?;
    if ended["state"] != "success" {
        bail!("void: the run of {dag} ended in {}", ended["state"]);
    }
    ended["duration"]
        .as_f64()
        .context("the run has no duration")
}

fn tell(report: &mut Report, tasks: usize, done: &Done) {
    let tasks = tasks as f64;
    report.row("commits", done.commits / tasks, "/task");
    report.row("rows inserted", done.inserted / tasks, "/task");
    report.row("rows updated", done.updated / tasks, "/task");
    report.row("rows deleted", done.deleted / tasks, "/task");
    report.row("write-ahead log", done.wal / tasks, "bytes/task");
}

/// What a shell task costs the database.
fn rows(
    options: &Options,
    scratch: &Path,
    noop: &Path,
    postgres: &Postgres,
    report: &mut Report,
) -> Result<()> {
    for shape in SHAPES.iter().filter(|shape| shape.tasks <= 1000) {
        let (_, done) = lap(options, scratch, postgres, (shape.name, &shape.dag(noop)))?;
        report.section(&format!(
            "what a shell task costs PostgreSQL: {}",
            shape.name
        ));
        tell(report, shape.tasks, &done);
    }
    Ok(())
}

/// Tasks without a process against Graphile Worker's no-op jobs, which know no dependencies.
fn empties(
    options: &Options,
    scratch: &Path,
    postgres: &Postgres,
    report: &mut Report,
) -> Result<()> {
    let text = graph::empty_diamonds(EMPTY_TASKS);
    let mut laps = Vec::new();
    let mut last = None;
    for _ in 0..options.rounds {
        let (seconds, done) = lap(options, scratch, postgres, ("empties", &text))?;
        laps.push(seconds);
        last = Some(done);
    }
    let ours = EMPTY_TASKS as f64 / contest::middle(laps);
    report.section(&format!(
        "{EMPTY_TASKS} no-op tasks without a process, 16 at once, in diamonds of five"
    ));
    report.row("tidemill", ours, "tasks/s");
    if let Some(done) = last {
        tell(report, EMPTY_TASKS, &done);
    }
    match graphile::rates(options, scratch, postgres, EMPTY_TASKS) {
        Ok(rates) => {
            report.row(
                "Graphile Worker, as it is by default",
                rates.plain,
                "jobs/s",
            );
            report.row(
                "Graphile Worker, local queue 500, completions batched",
                rates.batched,
                "jobs/s",
            );
            report.row(
                "tidemill / Graphile Worker by default",
                ours / rates.plain,
                "x",
            );
            report.row(
                "tidemill / Graphile Worker batched",
                ours / rates.batched,
                "x",
            );
        }
        Err(err) => report.note(&format!("Graphile Worker was not measured: {err:#}")),
    }
    Ok(())
}

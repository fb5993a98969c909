//! The same graph with `make -j16`, `ninja -j16` and Tidemill, one after another in each round.

use crate::Options;
use crate::graph::Shape;
use crate::home::{Home, Server};
use crate::postgres::Postgres;
use crate::procfs;
use crate::report::Report;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What one competitor did in one round.
#[derive(Clone, Copy, Default)]
struct Lap {
    /// From the first moment to the last, in seconds.
    seconds: f64,
    /// Processor time in seconds.
    cpu: f64,
    /// Bytes written by the program itself.
    written: u64,
    /// From the trigger's answer to the news of the end, in seconds.
    wall: f64,
    /// Of a chain: the median from a task's start to its end as the rows say it, in milliseconds.
    inside_ms: f64,
    /// Of a chain: the median from a task's end to the start of the next, in milliseconds.
    between_ms: f64,
}

/// Runs all rounds and tells the medians.
pub fn run(
    options: &Options,
    scratch: &Path,
    noop: &Path,
    shape: &Shape,
    commit_ms: Option<f64>,
    postgres: Option<&Postgres>,
    report: &mut Report,
) -> Result<()> {
    let has_ninja = Command::new("ninja")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    let (mut make, mut ninja, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        make.push(build_tool(scratch, noop, shape, "make")?);
        if has_ninja {
            ninja.push(build_tool(scratch, noop, shape, "ninja")?);
        }
        ours.push(tidemill(options, scratch, noop, shape, postgres)?);
    }
    let make = median(make);
    let ours = median(ours);
    let per_task = 1000.0 / shape.tasks as f64;
    report.section(&format!(
        "{}: {} no-op shell tasks, 16 at once{}",
        shape.name,
        shape.tasks,
        postgres.map_or("", |_| ", on PostgreSQL")
    ));
    report.row("make", make.seconds * per_task, "ms/task");
    if has_ninja {
        report.row("ninja", median(ninja.clone()).seconds * per_task, "ms/task");
    } else {
        report.note("ninja is not installed");
    }
    report.row("tidemill", ours.seconds * per_task, "ms/task");
    report.row(
        "tidemill, told from outside",
        ours.wall * per_task,
        "ms/task",
    );
    report.row("tidemill / make", ours.seconds / make.seconds, "x");
    if has_ninja {
        report.row(
            "tidemill / ninja",
            ours.seconds / median(ninja).seconds,
            "x",
        );
    }
    report.row("CPU make", make.cpu * per_task, "ms/task");
    report.row(
        "CPU tidemill, tasks included",
        ours.cpu * per_task,
        "ms/task",
    );
    report.row(
        "written by tidemill",
        ours.written as f64 / shape.tasks as f64,
        "bytes/task",
    );
    if let (Some(hops), Some(commit_ms)) = (shape.hops, commit_ms) {
        report.row("of a hop: start_date to end_date", ours.inside_ms, "ms");
        report.row(
            "of a hop: end_date to the next start_date",
            ours.between_ms,
            "ms",
        );
        let hop = |lap: Lap| lap.seconds * 1000.0 / hops as f64;
        report.row("one hop above make's", hop(ours) - hop(make), "ms");
        report.row(
            "the same in single-row commits",
            (hop(ours) - hop(make)) / commit_ms,
            "commits",
        );
    }
    Ok(())
}

fn median(mut laps: Vec<Lap>) -> Lap {
    laps.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    laps.get(laps.len() / 2).copied().unwrap_or_default()
}

fn build_tool(scratch: &Path, noop: &Path, shape: &Shape, tool: &str) -> Result<Lap> {
    let folder = tempfile::Builder::new().prefix(tool).tempdir_in(scratch)?;
    let (file, text) = if tool == "make" {
        ("Makefile", shape.makefile(noop))
    } else {
        ("build.ninja", shape.ninja(noop))
    };
    std::fs::write(folder.path().join(file), text)?;
    let log = folder.path().join("log");
    let mut command = Command::new(tool);
    command
        .arg("-j16")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&log)?);
    if tool == "ninja" {
        command.arg("--quiet");
    }
    let cpu = procfs::children_cpu_seconds();
    let begin = Instant::now();
    let status = command
        .status()
        .with_context(|| format!("{tool} is needed for the comparison"))?;
    let seconds = begin.elapsed().as_secs_f64();
    let executed = std::fs::read(&log)?
        .iter()
        .filter(|byte| **byte == b'x')
        .count();
    if !status.success() || executed != shape.tasks {
        bail!(
            "void: {tool} ended with {status} after {executed} of {} tasks",
            shape.tasks
        );
    }
    Ok(Lap {
        seconds,
        cpu: procfs::children_cpu_seconds() - cpu,
        wall: seconds,
        ..Lap::default()
    })
}

fn tidemill(
    options: &Options,
    scratch: &Path,
    noop: &Path,
    shape: &Shape,
    postgres: Option<&Postgres>,
) -> Result<Lap> {
    let database = postgres.map(Postgres::database);
    let home = Home::on(&options.tidemill, scratch, database)?;
    std::fs::write(
        home.dags().join(format!("{}.toml", shape.name)),
        shape.dag(noop),
    )?;
    let server = home.serve(&[])?;
    server.wait_for_dag(shape.name)?;
    let before = procfs::usage(server.pid);
    let answer = home.call(&["dags", "trigger", shape.name, "-o", "json"])?;
    let begin = Instant::now();
    let answer: serde_json::Value =
        serde_json::from_slice(&answer.stdout).context("the trigger's answer")?;
    let run = answer["dag_run_id"]
        .as_str()
        .context("no dag_run_id")?
        .replace(':', "%3A")
        .replace('+', "%2B");
    let path = format!("/api/v2/dags/{}/dagRuns/{run}", shape.name);
    let ended = server.wait("the run", Duration::from_millis(20), |server| {
        let run = server.get(&path)?;
        Ok(matches!(run["state"].as_str(), Some("success" | "failed")).then_some(run))
    })?;
    let wall = begin.elapsed().as_secs_f64();
    let used = procfs::usage(server.pid).since(before);
    let (inside_ms, between_ms) = match shape.hops {
        Some(_) => hop(&server, &path, shape.tasks)?,
        None => (0.0, 0.0),
    };
    server.stop()?;
    let executed = home.executions();
    if ended["state"] != "success" || executed != shape.tasks as u64 {
        bail!(
            "void: the run ended in {} after {executed} of {} tasks",
            ended["state"],
            shape.tasks
        );
    }
    let seconds = ended["duration"]
        .as_f64()
        .context("the run has no duration")?;
    Ok(Lap {
        seconds,
        cpu: used.cpu_seconds,
        written: used.written,
        wall,
        inside_ms,
        between_ms,
    })
}

/// Where the time of a hop goes: inside the task, and between two tasks.
fn hop(server: &Server, run: &str, tasks: usize) -> Result<(f64, f64)> {
    let mut spans = Vec::with_capacity(tasks);
    while spans.len() < tasks {
        let page = server.get(&format!(
            "{run}/taskInstances?limit=100&offset={}",
            spans.len()
        ))?;
        let found = page["task_instances"]
            .as_array()
            .context("no task_instances")?;
        if found.is_empty() {
            bail!("the API shows {} of {tasks} tasks", spans.len());
        }
        for task in found {
            let at = |key: &str| {
                task[key]
                    .as_str()
                    .and_then(seconds_of_day)
                    .context("a task without its times")
            };
            spans.push((at("start_date")?, at("end_date")?));
        }
    }
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let inside = spans
        .iter()
        .map(|(start, end)| (end - start) * 1000.0)
        .collect();
    let between = spans
        .windows(2)
        .map(|pair| (pair[1].0 - pair[0].1) * 1000.0)
        .collect();
    Ok((middle(inside), middle(between)))
}

/// The time of `2026-11-21T10:20:30.123456Z` within its day; a run over midnight is measured again.
fn seconds_of_day(text: &str) -> Option<f64> {
    let time = text.split_once('T')?.1.trim_end_matches('Z');
    let mut parts = time.split(':').map(|part| part.parse::<f64>().ok());
    Some(parts.next()?? * 3600.0 + parts.next()?? * 60.0 + parts.next()??)
}

/// The median.
pub fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

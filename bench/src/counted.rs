//! System calls per task, counted from outside by strace in a run that is not timed.

use crate::Options;
use crate::graph::SHAPES;
use crate::home::Home;
use crate::report::Report;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Counts for the chain and the smaller fan, less what starting and stopping alone costs.
pub fn run(options: &Options, scratch: &Path, noop: &Path, report: &mut Report) -> Result<()> {
    if !Command::new("strace")
        .arg("-V")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        report.section("system calls per task");
        report.note("strace is not installed: nothing was counted");
        return Ok(());
    }
    for shape in SHAPES.iter().filter(|shape| shape.tasks <= 1000) {
        let file = (shape.name, shape.dag(noop));
        let idle = count(options, scratch, &file, 0)?;
        let busy = count(options, scratch, &file, shape.tasks)?;
        report.section(&format!(
            "system calls per task, counted from outside: {}",
            shape.name
        ));
        let per_task = |names: &[&str]| -> f64 {
            let sum = |counts: &BTreeMap<String, f64>| {
                names
                    .iter()
                    .filter_map(|name| counts.get(*name))
                    .sum::<f64>()
            };
            (sum(&busy) - sum(&idle)) / shape.tasks as f64
        };
        report.row(
            "execs (the shell and the no-op)",
            per_task(&["execve"]),
            "/task",
        );
        report.row(
            "forks",
            per_task(&["clone", "clone3", "vfork", "fork"]),
            "/task",
        );
        report.row(
            "syncs, one a commit",
            per_task(&["fdatasync", "fsync"]),
            "/task",
        );
        report.row("writes at an offset", per_task(&["pwrite64"]), "/task");
        let execs = per_task(&["execve"]);
        if (execs - 2.0).abs() > 0.05 {
            report.note(&format!("void: a task should cost one exec of the shell and one of the no-op, and {execs:.2} were seen"));
        }
    }
    Ok(())
}

fn count(
    options: &Options,
    scratch: &Path,
    file: &(&str, String),
    tasks: usize,
) -> Result<BTreeMap<String, f64>> {
    let home = Home::new(&options.tidemill, scratch)?;
    let (name, text) = file;
    std::fs::write(home.dags().join(format!("{name}.toml")), text)?;
    let counts = home.dags().join(".counts");
    let counts_text = counts.display().to_string();
    let calls = "trace=execve,clone,clone3,vfork,fork,fdatasync,fsync,pwrite64";
    let server = home.serve(&["strace", "-f", "-c", "-e", calls, "-o", &counts_text])?;
    server.wait_for_dag(name)?;
    if tasks > 0 {
        home.call(&["dags", "trigger", name])?;
        server.wait("the run", Duration::from_millis(50), |server| {
            let ended = server.get(&format!(
                "/api/v2/dags/{name}/dagRuns?state=success&limit=1"
            ))?;
            Ok((ended["total_entries"] == 1).then_some(()))
        })?;
    }
    server.stop()?;
    let table = std::fs::read_to_string(counts).context("what strace counted")?;
    // % time, seconds, usecs/call, calls, [errors], name
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some((words.last()?.to_string(), words.get(3)?.parse().ok()?))
    };
    Ok(table.lines().filter_map(row).collect())
}

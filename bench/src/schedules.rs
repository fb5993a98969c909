//! Schedules in numbers: a thousand that are due in the same second, ten thousand that are not,
//! and a hundred thousand ticks that were missed.

use crate::Options;
use crate::contest::middle;
use crate::home::{Home, Server};
use crate::report::Report;
use crate::single::{NOT_DUE, watch_idle, write_dags};
use crate::wide::{second_of, single};
use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use std::path::Path;
use std::time::{Duration, Instant};

/// DAGs that are due together.
const DUE: usize = 1000;
/// DAGs that wait.
const IDLE: usize = 10_000;
/// Ticks that were missed.
const MISSED: i64 = 100_000;
/// How long a catch-up is watched.
const WATCHED: Duration = Duration::from_secs(20);

/// A thousand schedules due in the same second, beside one alone.
pub fn due(
    options: &Options,
    scratch: &Path,
    commit_ms: Option<f64>,
    report: &mut Report,
) -> Result<()> {
    let dags = (DUE / options.shrink).max(1);
    let alone = one_tick(options, scratch, 1)?;
    let together = one_tick(options, scratch, dags)?;
    report.section("schedules that are due in the same second: from the tick");
    report.row(
        "one DAG alone, until its run has begun",
        middle(alone.begun.clone()),
        "ms",
    );
    for (name, times) in [
        ("until a run has begun", &together.begun),
        ("until a run is over", &together.over),
    ] {
        report.row(
            &format!("{dags} DAGs, {name}: median"),
            middle(times.clone()),
            "ms",
        );
        let last = times.iter().copied().fold(0.0, f64::max);
        report.row(&format!("{dags} DAGs, {name}: the last"), last, "ms");
        if let Some(commit_ms) = commit_ms {
            let per_run = last / dags as f64 / commit_ms;
            report.row(&format!("{dags} DAGs, {name}: a run"), per_run, "commits");
        }
    }
    let (many, one) = (middle(together.begun), middle(alone.begun));
    report.ratios("the median until a run has begun", many, one, commit_ms);
    Ok(())
}

/// Milliseconds after a tick.
struct Latencies {
    begun: Vec<f64>,
    over: Vec<f64>,
}

/// The runs of the next full minute, of so many DAGs that run every minute.
fn one_tick(options: &Options, scratch: &Path, dags: usize) -> Result<Latencies> {
    let home = Home::new(&options.tidemill, scratch)?;
    for number in 0..dags {
        let text = "[dag]\nschedule = '* * * * *'\n[tasks]\nt = { operator = 'empty' }\n";
        std::fs::write(home.dags().join(format!("due{number:04}.toml")), text)?;
    }
    let server = home.serve(&[])?;
    server.wait("all DAGs", Duration::from_millis(20), |server| {
        Ok((server.get("/api/v2/dags?limit=1")?["total_entries"] == dags).then_some(()))
    })?;
    let now = Timestamp::now().as_second();
    let tick = Timestamp::from_second((now + 3).div_euclid(60) * 60 + 60)?;
    let path = format!(
        "/api/v2/dags/~/dagRuns?logical_date_gte={tick}&logical_date_lte={tick}&state=success"
    );
    server.wait(
        "the runs of one tick",
        Duration::from_millis(500),
        |server| {
            let found = server.get(&format!("{path}&limit=1"))?;
            Ok((found["total_entries"] == dags).then_some(()))
        },
    )?;
    let found = latencies(&server, &path, tick, dags);
    server.stop()?;
    found
}

fn latencies(server: &Server, path: &str, tick: Timestamp, dags: usize) -> Result<Latencies> {
    let tick_s = tick.as_second().rem_euclid(86_400) as f64;
    let (mut begun, mut over) = (Vec::new(), Vec::new());
    for offset in (0..dags).step_by(100) {
        let page = server.get(&format!("{path}&limit=100&offset={offset}"))?;
        for run in page["dag_runs"].as_array().into_iter().flatten() {
            let after = |key: &str| {
                let second = second_of(run, key).context("a run without its times")?;
                anyhow::Ok((second - tick_s).rem_euclid(86_400.0) * 1000.0)
            };
            begun.push(after("start_date")?);
            over.push(after("end_date")?);
        }
    }
    Ok(Latencies { begun, over })
}

/// Ten thousand DAGs with nothing to do, beside none.
pub fn idle(
    options: &Options,
    scratch: &Path,
    commit_ms: Option<f64>,
    report: &mut Report,
) -> Result<()> {
    let dags = IDLE / options.shrink;
    let nothing = watch_idle(options, scratch, 0)?;
    let many = watch_idle(options, scratch, dags)?;
    report.section(&format!("idle with {dags} DAGs, beside none"));
    let percent = |cpu_seconds: f64| cpu_seconds * 100.0 / options.idle_seconds as f64;
    report.row(
        "CPU without DAGs",
        percent(nothing.cpu_seconds),
        "% of one core",
    );
    report.row("CPU", percent(many.cpu_seconds), "% of one core");
    let mib = |kib: u64| kib as f64 / 1024.0;
    report.row(
        "resident memory without DAGs",
        mib(nothing.resident_kib),
        "MiB",
    );
    report.row("resident memory", mib(many.resident_kib), "MiB");
    let alone = beside_idle(options, scratch, 0, report)?;
    let beside = beside_idle(options, scratch, dags, report)?;
    report.ratios("that", beside, alone, commit_ms);
    Ok(())
}

/// From the trigger of a DAG of one task to the end of its run, beside DAGs that are not due.
fn beside_idle(options: &Options, scratch: &Path, dags: usize, report: &mut Report) -> Result<f64> {
    let home = Home::new(&options.tidemill, scratch)?;
    write_dags(&home.dags(), dags, NOT_DUE)?;
    std::fs::write(home.dags().join("single.toml"), "[tasks]\nt = 'true'\n")?;
    let server = home.serve(&[])?;
    server.wait("all DAGs", Duration::from_millis(20), |server| {
        let found = server.get("/api/v2/dags?limit=1")?;
        Ok((found["total_entries"] == dags + 1).then_some(()))
    })?;
    let when = format!("beside {dags} idle DAGs");
    let took = single(&home, &server, options, report, &when)?;
    server.stop()?;
    Ok(took)
}

/// A hundred thousand missed ticks: without catch-up one run, with it all of them, beside others.
pub fn catch_up(
    options: &Options,
    scratch: &Path,
    commit_ms: Option<f64>,
    report: &mut Report,
) -> Result<()> {
    let missed = MISSED / options.shrink as i64;
    report.section(&format!("{missed} missed ticks"));
    let few = latest_only(options, scratch, 10)?;
    let many = latest_only(options, scratch, missed)?;
    report.row("catchup = false, 10 missed: unpaused to run", few, "ms");
    report.row("catchup = false, all missed: the same", many, "ms");
    report.row("all beside 10", many / few, "times");
    all_of_them(options, scratch, missed, commit_ms, report)
}

fn write_missed(home: &Home, missed: i64, catchup: bool) -> Result<()> {
    let start = Timestamp::now() - SignedDuration::from_mins(missed);
    let start = Timestamp::from_second(start.as_second().div_euclid(60) * 60)?;
    let text = format!(
        "[dag]\nschedule = '* * * * *'\nstart_date = {start}\ncatchup = {catchup}\nis_paused_upon_creation = true\n[tasks]\nt = {{ operator = 'empty' }}\n"
    );
    std::fs::write(home.dags().join("missed.toml"), text)?;
    Ok(())
}

/// From the end of the pause to the one run that makes up for everything, in milliseconds.
fn latest_only(options: &Options, scratch: &Path, missed: i64) -> Result<f64> {
    let home = Home::new(&options.tidemill, scratch)?;
    write_missed(&home, missed, false)?;
    let server = home.serve(&[])?;
    server.wait_for_dag("missed")?;
    let begin = Instant::now();
    home.call(&["dags", "unpause", "missed"])?;
    n_over(&server, 1)?;
    let took = begin.elapsed().as_secs_f64() * 1000.0;
    server.stop()?;
    Ok(took)
}

/// Waits until so many runs are over.
fn n_over(server: &Server, n: u64) -> Result<u64> {
    server.wait("runs", Duration::from_millis(2), |server| {
        let found = server.get("/api/v2/dags/missed/dagRuns?state=success&limit=1")?;
        Ok(found["total_entries"].as_u64().filter(|found| *found >= n))
    })
}

fn all_of_them(
    options: &Options,
    scratch: &Path,
    missed: i64,
    commit_ms: Option<f64>,
    report: &mut Report,
) -> Result<()> {
    let home = Home::new(&options.tidemill, scratch)?;
    std::fs::write(home.dags().join("single.toml"), "[tasks]\nt = 'true'\n")?;
    write_missed(&home, missed, true)?;
    let server = home.serve(&[])?;
    server.wait_for_dag("single")?;
    server.wait_for_dag("missed")?;
    let quiet = single(&home, &server, options, report, "with nothing else")?;
    home.call(&["dags", "unpause", "missed"])?;
    let (before, begin) = (n_over(&server, 1)?, Instant::now());
    let when = "while all ticks are caught up";
    let beside = single(&home, &server, options, report, when)?;
    report.ratios(when, beside, quiet, commit_ms);
    std::thread::sleep(WATCHED);
    let made = n_over(&server, 1)? - before;
    report.row(
        "runs caught up",
        made as f64 / begin.elapsed().as_secs_f64(),
        "/s",
    );
    server.stop()
}

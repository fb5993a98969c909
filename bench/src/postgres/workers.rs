//! Workers in processes of their own, a fail-over, and a snapshot that somebody holds.

use super::{Postgres, name_of, run_of};
use crate::Options;
use crate::contest::middle;
use crate::graph::{self, SHAPES};
use crate::home::{Home, Process};
use crate::report::Report;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Sixteen slots over one, two and four workers, beside a scheduler that runs nothing itself.
pub fn several(
    options: &Options,
    scratch: &Path,
    noop: &Path,
    postgres: &Postgres,
    report: &mut Report,
) -> Result<()> {
    report.section("workers in processes of their own, 16 slots together, 10,000 tasks");
    let shell = SHAPES.iter().find(|shape| shape.name == "fan10000");
    let shell = shell.context("no such graph")?;
    let empty = graph::empty_diamonds(shell.tasks);
    for (what, name, text) in [
        ("shell tasks", shell.name, shell.dag(noop)),
        ("tasks without a process", "empties", empty),
    ] {
        for n in [1, 2, 4] {
            let mut rates = Vec::new();
            for _ in 0..options.rounds {
                let scene = Scene::new(options, scratch, postgres, n, (name, &text))?;
                rates.push(shell.tasks as f64 / run_of(&scene.home, &scene.server, name)?);
                scene.server.stop()?;
            }
            report.row(&format!("{what}, {n} workers"), middle(rates), "tasks/s");
        }
    }
    Ok(())
}

/// A scheduler with workers beside it.
struct Scene {
    home: Home,
    server: crate::home::Server,
    _workers: Vec<(Home, Process)>,
}

impl Scene {
    fn new(
        options: &Options,
        scratch: &Path,
        postgres: &Postgres,
        n: usize,
        (name, text): (&str, &str),
    ) -> Result<Scene> {
        let url = postgres.database();
        let home = Home::on(&options.tidemill, scratch, Some(url.clone()))?;
        std::fs::write(home.dags().join(format!("{name}.toml")), text)?;
        let server = home.serve_as(&[], &["--only", "scheduler"])?;
        server.wait_for_dag(name)?;
        let slots = (16 / n).to_string();
        let mut workers = Vec::new();
        for _ in 0..n {
            let home = Home::on(&options.tidemill, scratch, Some(url.clone()))?;
            let worker = home.spawn(&["worker", "--slots", &slots])?;
            workers.push((home, worker));
        }
        server.wait("the workers", Duration::from_millis(20), |server| {
            let found = server.get("/api/tidemill/v1/workers")?;
            Ok((found["workers"].as_array().map_or(0, Vec::len) == n).then_some(()))
        })?;
        Ok(Scene {
            home,
            server,
            _workers: workers,
        })
    }
}

/// From kill -9 of the scheduler to the first task that its stand-by has run.
pub fn fail_over(
    options: &Options,
    scratch: &Path,
    postgres: &Postgres,
    report: &mut Report,
) -> Result<()> {
    let (mut leads, mut runs) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds.max(5) {
        let url = postgres.database();
        let first = Home::on(&options.tidemill, scratch, Some(url.clone()))?;
        let second = Home::on(&options.tidemill, scratch, Some(url))?;
        for home in [&first, &second] {
            std::fs::write(home.dags().join("hello.toml"), "[tasks]\nhello = 'true'\n")?;
        }
        let leader = first.serve(&[])?;
        leader.wait_for_dag("hello")?;
        let other = second.serve(&[])?;
        let begin = Instant::now();
        drop(leader); // by kill -9
        other.wait("the stand-by", Duration::from_millis(1), |server| {
            Ok((server.ask("/readyz")?.0 == 200).then_some(()))
        })?;
        leads.push(begin.elapsed().as_secs_f64());
        run_of(&second, &other, "hello")?;
        runs.push(begin.elapsed().as_secs_f64());
        other.stop()?;
    }
    report.section("fail-over: kill -9 of the scheduler, a stand-by beside it (lease 5 s)");
    report.row("until the stand-by leads", middle(leads), "s");
    report.row("until it has run a task", middle(runs), "s");
    Ok(())
}

/// A load of workers elsewhere, first without and then with a snapshot that is held open.
pub fn held(
    options: &Options,
    scratch: &Path,
    postgres: &Postgres,
    report: &mut Report,
) -> Result<()> {
    let name = "empties";
    let tasks = 5_000;
    let scene = Scene::new(
        options,
        scratch,
        postgres,
        2,
        (name, &graph::empty_diamonds(tasks)),
    )?;
    let rate = |seconds: u64| -> Result<f64> {
        let begin = Instant::now();
        let (mut n, mut busy) = (0, 0.0);
        while begin.elapsed() < Duration::from_secs(seconds) || n == 0 {
            busy += run_of(&scene.home, &scene.server, name)?;
            n += 1;
        }
        Ok((n * tasks) as f64 / busy)
    };
    let url = scene.home.database().context("no database")?.to_string();
    let minutes = options.held_seconds;
    rate(5)?; // the first runs fill caches
    let without = rate(minutes / 4)?;
    let mut holder = Command::new(postgres.server.program("psql"))
        .args(["-X", "-q", "-U", "postgres", "-h"])
        .arg(postgres.server.folder())
        .args(["-d", name_of(&url)?])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    use std::io::Write;
    let mut say = holder.stdin.take().context("no way to psql")?;
    say.write_all(b"begin isolation level repeatable read; select count(*) from dag_run;\n")?;
    say.flush()?;
    rate(minutes.saturating_sub(minutes / 4))?;
    let with = rate(minutes / 4)?;
    let dead = "select sum(n_dead_tup) from pg_stat_user_tables where relname in ('dispatch', 'report', 'task_instance')";
    let dead: f64 = postgres
        .server
        .sql(name_of(&url)?, dead)
        .parse()
        .unwrap_or(0.0);
    drop(say);
    holder.wait()?;
    report.section(&format!(
        "a snapshot held open for {minutes} s under load, 2 workers, tasks without a process"
    ));
    report.row("before", without, "tasks/s");
    report.row("with it, at its end", with, "tasks/s");
    report.row("with / before", with / without, "x");
    report.row("dead rows in the queues and instances then", dead, "rows");
    scene.server.stop()
}

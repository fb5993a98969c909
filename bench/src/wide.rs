//! A run of 100,000 tasks: how fast its pages answer, and what it costs another DAG.

use crate::Options;
use crate::contest::middle;
use crate::home::{Home, Server, answer};
use crate::report::Report;
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

const TASKS: usize = 100_000;

/// Pages and the single task, while everything waits and when it is over.
pub fn run(
    options: &Options,
    scratch: &Path,
    commit_ms: Option<f64>,
    report: &mut Report,
) -> Result<()> {
    let n_tasks = TASKS / options.shrink;
    let home = Home::new(&options.tidemill, scratch)?;
    let mut text = "[default_args]\npool = 'held'\n[tasks]\n".to_string();
    for number in 0..n_tasks {
        let _ = writeln!(text, "t{number} = {{ operator = 'empty' }}");
    }
    std::fs::write(home.dags().join("wide.toml"), text)?;
    std::fs::write(home.dags().join("single.toml"), "[tasks]\nt = 'true'\n")?;
    let server = home.serve(&[])?;
    server.wait_for_dag("wide")?;
    server.wait_for_dag("single")?;
    home.call(&["pools", "set", "held", "--slots", "0"])?;

    report.section(&format!(
        "a run of {n_tasks} ready tasks beside a DAG of one task"
    ));
    let idle = single(&home, &server, options, report, "with nothing else")?;
    home.call(&["dags", "trigger", "wide", "--run-id", "wide"])?;
    let when = "right after all became ready";
    let ms = single(&home, &server, options, report, when)?;
    report.ratios(when, ms, idle, commit_ms);
    wait_for_rows(&server, n_tasks)?;
    pages(&server, options, report, "while all of them wait")?;
    home.call(&["pools", "set", "held", "--slots", "16"])?;
    let when = "while they run, 16 at a time";
    let ms = single(&home, &server, options, report, when)?;
    report.ratios(when, ms, idle, commit_ms);
    server.wait("the wide run", Duration::from_millis(200), |server| {
        let run = server.get("/api/v2/dags/wide/dagRuns/wide")?;
        Ok((run["state"] == "success").then_some(()))
    })?;
    pages(&server, options, report, "when all of them are over")?;
    server.stop()
}

/// Until every waiting task has its row.
fn wait_for_rows(server: &Server, n_tasks: usize) -> Result<()> {
    server.wait("all rows", Duration::from_millis(500), |server| {
        let path = "/api/v2/dags/wide/dagRuns/wide/taskInstances?limit=1&state=scheduled";
        Ok((server.get(path)?["total_entries"] == n_tasks).then_some(()))
    })
}

/// From the trigger of the single task to the end of its run, as the API tells it.
pub fn single(
    home: &Home,
    server: &Server,
    options: &Options,
    report: &mut Report,
    when: &str,
) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..options.rounds.max(5) {
        let run = home.call(&["dags", "trigger", "single", "-o", "name"])?;
        let run = String::from_utf8_lossy(&run.stdout).trim().to_string();
        let path = format!("/api/v2/dags/single/dagRuns/{}", run.replace('+', "%2B"));
        let body = server.wait("the single run", Duration::from_millis(2), |server| {
            let run = server.get(&path)?;
            Ok((run["state"] == "success").then_some(run))
        })?;
        times.push(took(&body).context("a run without its times")? * 1000.0);
    }
    let typical = middle(times);
    report.row(&format!("the single run, {when}"), typical, "ms");
    Ok(typical)
}

/// Seconds from the wish to the end of a run.
fn took(run: &serde_json::Value) -> Option<f64> {
    let took = second_of(run, "end_date")? - second_of(run, "queued_at")?;
    Some(took.rem_euclid(86_400.0))
}

/// The second of the day of one of a run's instants.
pub fn second_of(run: &serde_json::Value, key: &str) -> Option<f64> {
    let (_, time) = run[key].as_str()?.split_once('T')?;
    let mut parts = time.trim_end_matches('Z').split(':');
    let mut next = || parts.next()?.parse::<f64>().ok();
    Some(next()? * 3600.0 + next()? * 60.0 + next()?)
}

fn pages(server: &Server, options: &Options, report: &mut Report, when: &str) -> Result<()> {
    let (address, cookie) = log_in(server)?;
    report.section(&format!("pages of the wide run, {when}"));
    for (name, path) in [
        ("the run", "/dags/wide/runs/wide"),
        (
            "the run, only successes",
            "/dags/wide/runs/wide?state=success",
        ),
        ("the grid", "/dags/wide"),
        ("the graph", "/dags/wide/graph"),
        ("a task", "/dags/wide/runs/wide/tasks/t9"),
        ("why of a task", "/dags/wide/runs/wide/tasks/t9/why"),
        ("the pools", "/admin/pools"),
        (
            "API: a page of instances",
            "/api/v2/dags/wide/dagRuns/wide/taskInstances?limit=100",
        ),
        (
            "API: an instance",
            "/api/v2/dags/wide/dagRuns/wide/taskInstances/t9",
        ),
    ] {
        let mut times = Vec::new();
        for _ in 0..options.rounds.max(5) {
            let begin = Instant::now();
            let mut stream = TcpStream::connect(&address)?;
            write!(
                stream,
                "GET {path} HTTP/1.0\r\nhost: {address}\r\ncookie: {cookie}\r\n\r\n"
            )?;
            let (status, body) = answer(&mut stream)?;
            times.push(begin.elapsed().as_secs_f64() * 1000.0);
            if status != 200 || body.is_empty() {
                bail!("GET {path}: {status}");
            }
        }
        report.row(name, middle(times), "ms");
    }
    Ok(())
}

/// The address for browsers, and a session.
fn log_in(server: &Server) -> Result<(String, String)> {
    let url = server.ready()["url"]
        .as_str()
        .context("no url in server.json")?;
    let address = url
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_string();
    let link = server.post("/api/tidemill/v1/login-links")?;
    let path = link["path"].as_str().context("no path in the login link")?;
    let mut stream = TcpStream::connect(&address)?;
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut bytes)?;
    let head = String::from_utf8_lossy(&bytes).to_lowercase();
    let cookie = head
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "))
        .and_then(|cookie| cookie.split(';').next())
        .context("the login link gave no cookie")?;
    // A cookie's value keeps its case, which the copy above has lost.
    let at = head.find(cookie).context("the cookie has gone")?;
    let cookie = String::from_utf8_lossy(&bytes[at..at + cookie.len()]).into_owned();
    Ok((address, cookie))
}

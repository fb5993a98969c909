//! HTTP and SQL tasks against the bare clients, and a load against `psql \copy`.

use crate::Options;
use crate::contest::middle;
use crate::home::{Home, Server};
use crate::report::Report;
use anyhow::{Context, Result, bail};
use sqlx::{Connection, PgConnection};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};
use tidemill_store_conformance::server::Server as Postgres;

/// At once, of tasks and of bare calls.
const AT_ONCE: usize = 16;

/// All of it.
pub fn run(options: &Options, scratch: &Path, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let n = options.tasks;
    let address = answering()?;
    report.section(&format!("{n} HTTP requests, {AT_ONCE} at once"));
    let bare = median(options.rounds, || runtime.block_on(requests(address, n)))?;
    let http = format!("http = 'http://{address}/'");
    let tasks = fan(options, scratch, n, &http)?;
    tell(report, "reqwest, one client", bare, tasks, n);

    let postgres = Postgres::start();
    let url = postgres.new_database();
    report.section(&format!("{n} times `select 1`, {AT_ONCE} at once"));
    let bare = median(options.rounds, || runtime.block_on(selects(&url, n)))?;
    let sql = format!("sql = {{ url = '{url}', sql = 'select 1' }}");
    let tasks = fan(options, scratch, n, &sql)?;
    tell(report, "sqlx, a connection each", bare, tasks, n);

    load(options, scratch, &postgres, report)
}

fn tell(report: &mut Report, name: &str, bare: f64, tasks: f64, n: usize) {
    let each = 1000.0 / n as f64;
    report.row(name, bare * each, "ms each");
    report.row("tidemill, amortised", tasks * each, "ms/task");
    report.row("tidemill / bare", tasks / bare, "x");
    report.row("what a task adds", (tasks - bare) * each, "ms");
}

fn median(rounds: usize, mut measure: impl FnMut() -> Result<f64>) -> Result<f64> {
    let times: Result<Vec<f64>> = (0..rounds).map(|_| measure()).collect();
    Ok(middle(times?))
}

/// A server that answers everything at once, on connections that stay.
fn answering() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    Ok(address)
}

fn serve(stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{\"n\": 7}")
                .ok()?;
        }
    }
}

/// Seconds of so many requests with nothing around them.
async fn requests(address: SocketAddr, n: usize) -> Result<f64> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build()?;
    let begin = Instant::now();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let (client, url) = (client.clone(), format!("http://{address}/"));
        all.spawn(async move {
            for _ in 0..n / AT_ONCE {
                client.get(&url).send().await?.text().await?;
            }
            Ok::<(), reqwest::Error>(())
        });
    }
    while let Some(done) = all.join_next().await {
        done??;
    }
    Ok(begin.elapsed().as_secs_f64())
}

/// The same of statements, each on a connection of its own as tasks have it.
async fn selects(url: &str, n: usize) -> Result<f64> {
    let begin = Instant::now();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let url = url.to_string();
        all.spawn(async move {
            for _ in 0..n / AT_ONCE {
                let mut connection = PgConnection::connect(&url).await?;
                sqlx::query("select 1").fetch_one(&mut connection).await?;
                connection.close().await?;
            }
            Ok::<(), sqlx::Error>(())
        });
    }
    while let Some(done) = all.join_next().await {
        done??;
    }
    Ok(begin.elapsed().as_secs_f64())
}

/// The median makespan of so many tasks side by side, in seconds.
fn fan(options: &Options, scratch: &Path, n: usize, what: &str) -> Result<f64> {
    let mut text = format!("[dag]\nmax_active_tasks = {AT_ONCE}\n[tasks]\n");
    for at in 0..n {
        let _ = writeln!(text, "t{at:05} = {{ {what} }}");
    }
    let home = Home::new(&options.tidemill, scratch)?;
    std::fs::write(home.dags().join("bench.toml"), text)?;
    let server = home.serve(&[])?;
    server.wait_for_dag("bench")?;
    let mut round = 0;
    let time = median(options.rounds, || {
        round += 1;
        makespan(&home, &server, round)
    })?;
    server.stop()?;
    Ok(time)
}

fn makespan(home: &Home, server: &Server, round: usize) -> Result<f64> {
    let run = format!("round{round}");
    home.call(&["dags", "trigger", "bench", "--run-id", &run])?;
    let path = format!("/api/v2/dags/bench/dagRuns/{run}");
    let ended = server.wait("the run", Duration::from_millis(5), |server| {
        let run = server.get(&path)?;
        Ok(matches!(run["state"].as_str(), Some("success" | "failed")).then_some(run))
    })?;
    if ended["state"] != "success" {
        bail!("void: a run ended in {}", ended["state"]);
    }
    ended["duration"]
        .as_f64()
        .context("the run has no duration")
}

/// A CSV into a table, by `psql` and by a task.
fn load(options: &Options, scratch: &Path, postgres: &Postgres, report: &mut Report) -> Result<()> {
    let n = options.rows;
    let file = scratch.join("rows.csv");
    let mut text = std::io::BufWriter::new(std::fs::File::create(&file)?);
    writeln!(text, "id,day,region,amount")?;
    for id in 0..n {
        writeln!(text, "{id},2026-11-21,region {},{}.5", id % 10, id % 1000)?;
    }
    text.flush()?;
    let url = postgres.new_database();
    // The address of the socket's folder behind the `?` has slashes of its own.
    let name = url.split('?').next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default().to_string();
    let make = "drop table if exists orders; create table orders (id bigint, day date, region text, amount numeric)";
    report.section(&format!("{n} rows into PostgreSQL"));
    let copy = format!("\\copy orders from '{}' csv header", file.display());
    let psql = median(options.rounds, || {
        postgres.sql(&name, make);
        let begin = Instant::now();
        let done = std::process::Command::new(postgres.program("psql"))
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &url, "-c", &copy])
            .status()?;
        if !done.success() {
            bail!("void: psql failed");
        }
        Ok(begin.elapsed().as_secs_f64())
    })?;
    let home = Home::new(&options.tidemill, scratch)?;
    let dag = format!(
        "[tasks.load.sql]\nurl = '{url}'\nload = {{ file = '{}', table = 'orders' }}\n",
        file.display()
    );
    std::fs::write(home.dags().join("bench.toml"), dag)?;
    let server = home.serve(&[])?;
    server.wait_for_dag("bench")?;
    let mut round = 0;
    let task = median(options.rounds, || {
        round += 1;
        postgres.sql(&name, make);
        makespan(&home, &server, round)
    })?;
    server.stop()?;
    if postgres.sql(&name, "select count(*) from orders").trim() != n.to_string() {
        bail!("void: the rows are not all there");
    }
    report.row("psql \\copy", psql, "s");
    report.row("tidemill, a run of one `load`", task, "s");
    report.row("tidemill / psql", task / psql, "x");
    Ok(())
}

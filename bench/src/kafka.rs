//! Streams against a bare consumer on the same broker, in the same run: records through a filter,
//! the way from a record to its task, the memory of a burst, and runs of single records.

use crate::Options;
use crate::commit::Database;
use crate::home::{Home, Server};
use crate::procfs;
use crate::report::Report;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tidemill_kafka_rig::{Bare, Broker, Producer, Wish};

const PARTITIONS: i32 = 4;
/// A second of the measurement of latencies has so many records.
const PER_SECOND: u64 = 100;
const MAX_BYTES: u64 = 8 << 20;

/// Measures and tells.
pub fn run(options: &Options, scratch: &Path, report: &mut Report) -> Result<()> {
    let broker = Broker::start();
    let done = filter(options, scratch, &broker, report);
    report.keep("kafka filter", done);
    let done = latency(options, scratch, &broker, report);
    report.keep("kafka latency", done);
    let done = burst(options, scratch, &broker, report);
    report.keep("kafka burst", done);
    let done = records(options, scratch, &broker, report);
    report.keep("kafka records", done);
    Ok(())
}

/// Fills a topic with small JSON records.
fn fill(broker: &Broker, word: &str, n: u64) -> String {
    let topic = broker.new_topic(word, PARTITIONS);
    let producer = Producer::new(broker);
    let numbers: Vec<u64> = (0..n).collect();
    for part in numbers.chunks(20_000) {
        let wishes: Vec<Wish> = part
            .iter()
            .map(|at| {
                let partition = (at % PARTITIONS as u64) as i32;
                Wish::value(
                    partition,
                    format!("{{\"n\": {at}, \"name\": \"some order or other\"}}"),
                )
            })
            .collect();
        producer.send(&topic, &wishes);
    }
    topic
}

fn dag(broker: &Broker, topic: &str, stream: &str, rest: &str) -> String {
    format!(
        "[dag]\nmax_active_runs = 16\n[triggers.in.kafka]\nbrokers = ['{}']\ntopics = ['{topic}']\n\
         start = 'earliest'\n{stream}\n{rest}\n",
        broker.address()
    )
}

/// What became of the records that were read, by the API's names.
fn counted(server: &Server, keys: &[&str]) -> Result<u64> {
    let (status, body) = server.ask("/api/tidemill/v1/dags/s/triggers/in")?;
    if status != 200 {
        return Ok(0);
    }
    let body: Value = serde_json::from_str(&body)?;
    Ok(keys.iter().filter_map(|key| body[key].as_u64()).sum())
}

fn filter(options: &Options, scratch: &Path, broker: &Broker, report: &mut Report) -> Result<()> {
    let n = options.records;
    let topic = fill(broker, "filter", n);
    let begin = Instant::now();
    Bare::new(broker, &topic, PARTITIONS).count(n);
    let bare = n as f64 / begin.elapsed().as_secs_f64();
    let home = Home::new(&options.tidemill, scratch)?;
    let stream = "filter = '{{ record.value.n < 0 }}'";
    let text = dag(broker, &topic, stream, "[tasks.t]\noperator = 'empty'");
    std::fs::write(home.dags().join("s.toml"), text)?;
    let server = home.serve(&[])?;
    let first = server.wait("the first records", Duration::from_millis(2), |server| {
        let n = counted(server, &["filtered"])?;
        Ok((n > 0).then(|| (Instant::now(), n)))
    })?;
    server.wait_longer("all records", Duration::from_millis(5), |server| {
        Ok((counted(server, &["filtered"])? >= n).then_some(()))
    })?;
    if first.1 > n / 2 {
        bail!("void: the first commit holds {} of {n} records", first.1);
    }
    // From the first commit on: until then the server starts.
    let rate = (n - first.1) as f64 / first.0.elapsed().as_secs_f64();
    report.section(&format!(
        "{n} records through a filter of JSON that lets none pass"
    ));
    report.row("bare consumer", bare, "records/s");
    report.row("Tidemill", rate, "records/s");
    report.row("Tidemill / bare", rate / bare, "");
    server.stop()
}

fn micros() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_micros() as u64
}

/// Sends a record every so often, each with the moment at which it was sent.
fn send_evenly(broker: &Broker, topic: &str, n: u64) {
    let producer = Producer::new(broker);
    let begin = Instant::now();
    for at in 0..n {
        let due = Duration::from_micros(at * 1_000_000 / PER_SECOND);
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
        producer.send(topic, &[Wish::value(0, micros().to_string())]);
    }
}

fn latency(options: &Options, scratch: &Path, broker: &Broker, report: &mut Report) -> Result<()> {
    let n = (options.records / 100).clamp(20, 10_000);
    let topic = broker.new_topic("bare", 1);
    let database = Database::prepared(&scratch.join("bare.db"))?;
    let consumer = Bare::new(broker, &topic, 1);
    let mut bare = Vec::new();
    let is_sent = AtomicBool::new(false);
    std::thread::scope(|scope| -> Result<()> {
        scope.spawn(|| {
            send_evenly(broker, &topic, n);
            is_sent.store(true, Ordering::Release);
        });
        while (bare.len() as u64) < n {
            let Some(value) = consumer.next() else {
                continue;
            };
            database.commit()?;
            let sent: u64 = String::from_utf8_lossy(&value).parse()?;
            bare.push(micros().saturating_sub(sent) as f64 / 1_000.0);
        }
        Ok(())
    })?;
    let home = Home::new(&options.tidemill, scratch)?;
    let topic = broker.new_topic("latency", 1);
    let stream = "mode = 'record'\nordering = 'none'\nvalue_format = 'string'";
    let task = "[params]\nat = ''\n[triggers.in]\nparams = { at = '{{ trigger.first.value }}' }\n[tasks.t]\nshell = { command = ':', interpreter = ['sh', '-c'] }";
    std::fs::write(
        home.dags().join("s.toml"),
        dag(broker, &topic, stream, task),
    )?;
    let server = home.serve(&[])?;
    server.wait_for_dag("s")?;
    server.wait("reading", Duration::from_millis(5), |server| {
        let (status, body) = server.ask("/api/tidemill/v1/dags/s/triggers/in")?;
        Ok((status == 200 && body.contains("\"reading\"")).then_some(()))
    })?;
    send_evenly(broker, &topic, n);
    server.wait("all runs", Duration::from_millis(50), |server| {
        let runs = server.get("/api/v2/dags/s/dagRuns?state=success&limit=1")?;
        Ok((runs["total_entries"].as_u64() >= Some(n)).then_some(()))
    })?;
    let mut ours = starts(&server, n)?;
    report.section(&format!(
        "from a record to its task, {PER_SECOND} a second, {n} records, mode = \"record\""
    ));
    for (name, times) in [
        ("bare consumer + one commit", &mut bare),
        ("Tidemill, to the start of the task", &mut ours),
    ] {
        times.sort_by(f64::total_cmp);
        report.row(&format!("{name}, half below"), times[times.len() / 2], "ms");
        report.row(
            &format!("{name}, 99 of 100 below"),
            times[times.len() * 99 / 100],
            "ms",
        );
    }
    server.stop()
}

/// From the moment that stands in each record to the start of its task, in milliseconds.
fn starts(server: &Server, n: u64) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for offset in (0..n).step_by(100) {
        let path = format!("/api/v2/dags/s/dagRuns?limit=100&offset={offset}&order_by=run_after");
        let runs = server.get(&path)?;
        for run in runs["dag_runs"].as_array().into_iter().flatten() {
            let at = run["conf"]["at"]
                .to_string()
                .replace('"', "")
                .parse::<u64>();
            let at = at.with_context(|| format!("no moment in {run}"))?;
            let id = run["dag_run_id"].as_str().context("a run has no name")?;
            let task = server.get(&format!("/api/v2/dags/s/dagRuns/{id}/taskInstances/t"))?;
            let started = instant(&task["start_date"])?;
            times.push(started.saturating_sub(at) as f64 / 1_000.0);
        }
    }
    match times.len() as u64 == n {
        true => Ok(times),
        false => bail!("{} of {n} runs are there", times.len()),
    }
}

/// Microseconds of `2026-11-20T06:00:00.123456Z`; days are counted from an arbitrary one.
fn instant(value: &Value) -> Result<u64> {
    let text = value.as_str().context("a task has no start")?;
    let number =
        |range: std::ops::Range<usize>| text.get(range).and_then(|part| part.parse::<i64>().ok());
    let part = |range| number(range).with_context(|| format!("`{text}` is no instant"));
    let (year, month, day) = (part(0..4)?, part(5..7)?, part(8..10)?);
    // Days since 1970 by the calendar that begins its years in March.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 719_469;
    let seconds = days * 86_400 + part(11..13)? * 3_600 + part(14..16)? * 60 + part(17..19)?;
    let fraction: String = text[19..]
        .chars()
        .filter(char::is_ascii_digit)
        .take(6)
        .collect();
    let micros: i64 = format!("{fraction:0<6}").parse().unwrap_or(0);
    Ok(u64::try_from(seconds * 1_000_000 + micros).unwrap_or(0))
}

fn burst(options: &Options, scratch: &Path, broker: &Broker, report: &mut Report) -> Result<()> {
    let n = options.records;
    let topic = fill(broker, "burst", n);
    let home = Home::new(&options.tidemill, scratch)?;
    let stream = format!("max_messages = 5000\nmax_bytes = {MAX_BYTES}\nwindow = '1s'");
    let text = dag(broker, &topic, &stream, "[tasks.t]\noperator = 'empty'");
    std::fs::write(home.dags().join("s.toml"), text)?;
    let server = home.serve(&[])?;
    let begin = Instant::now();
    server.wait_longer("all records", Duration::from_millis(50), |server| {
        Ok((counted(server, &["taken"])? >= n).then_some(()))
    })?;
    let seconds = begin.elapsed().as_secs_f64();
    let bound =
        (200 << 10) + u64::from(PARTITIONS.unsigned_abs()) * (4 << 10) + 2 * (MAX_BYTES >> 10);
    report.section(&format!("a burst of {n} records in batches of up to 5,000"));
    report.row("taken", n as f64 / seconds, "records/s");
    report.row(
        "most memory",
        procfs::peak_kib(server.pid) as f64 / 1_024.0,
        "MiB",
    );
    report.row("the bound", bound as f64 / 1_024.0, "MiB");
    server.stop()
}

fn records(options: &Options, scratch: &Path, broker: &Broker, report: &mut Report) -> Result<()> {
    let n = (options.records / 50).clamp(20, 20_000);
    let topic = fill(broker, "records", n);
    let database = Database::prepared(&scratch.join("records.db"))?;
    let begin = Instant::now();
    for _ in 0..1_000 {
        database.commit()?;
    }
    let commits = 1_000.0 / begin.elapsed().as_secs_f64();
    let home = Home::new(&options.tidemill, scratch)?;
    let stream = "mode = 'record'\nordering = 'none'";
    let text = dag(broker, &topic, stream, "[tasks.t]\noperator = 'empty'");
    std::fs::write(home.dags().join("s.toml"), text)?;
    let server = home.serve(&[])?;
    let begin = Instant::now();
    server.wait_longer("all runs", Duration::from_millis(20), |server| {
        let (status, body) = server.ask("/api/v2/dags/s/dagRuns?state=success&limit=1")?;
        if status != 200 {
            return Ok(None);
        }
        let body: Value = serde_json::from_str(&body)?;
        Ok((body["total_entries"].as_u64() >= Some(n)).then_some(()))
    })?;
    let rate = n as f64 / begin.elapsed().as_secs_f64();
    report.section(&format!("{n} runs of one record each, with one empty task"));
    report.row("runs", rate, "/s");
    report.row(
        "single-row commits of the store, one after another",
        commits,
        "/s",
    );
    report.row("runs / commits", rate / commits, "");
    server.stop()
}

//! A very large log: writing it against `cat > file`, and opening it at its beginning, middle and
//! end, while it is plain and when it is stored.

use crate::Options;
use crate::contest::middle;
use crate::home::{Home, Server};
use crate::procfs;
use crate::report::Report;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What is written: lines of a hundred bytes that differ, as fast as they come. `head` ends `seq`,
/// which is no failure here.
const GENERATE: &str = "set +o pipefail; seq -f 'line %.0f of a log that nobody wanted to be so long, but here it is in all its length and more' 1 1000000000 | head -c";

/// Writes and opens.
pub fn run(options: &Options, scratch: &Path, report: &mut Report) -> Result<()> {
    let bytes = options.log_gib << 30;
    let home = Home::new(&options.tidemill, scratch)?;
    let config = "[logs]\nmax_try_bytes = \"1TiB\"\n";
    std::fs::create_dir_all(home.state())?;
    std::fs::write(home.state().join("tidemill.toml"), config)?;
    let dag = format!("[tasks]\nlong = \"{GENERATE} {bytes}\"\n");
    std::fs::write(home.dags().join("long.toml"), dag)?;
    let cat = cat(scratch, bytes)?;
    let server = home.serve(&[])?;
    server.wait_for_dag("long")?;
    let before = procfs::peak_kib(server.pid);
    home.call(&["dags", "trigger", "long", "--run-id", "one"])?;
    let path = "/api/v2/dags/long/dagRuns/one";
    let ended = server.wait_longer("the long task", Duration::from_millis(200), |server| {
        let run = server.get(path)?;
        Ok(matches!(run["state"].as_str(), Some("success" | "failed")).then_some(run))
    })?;
    if ended["state"] != "success" {
        bail!("void: the long task ended in {}", ended["state"]);
    }
    let seconds = ended["duration"].as_f64().context("no duration")?;
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    report.section(&format!("a log of {} GiB", options.log_gib));
    report.row("generator > file", mebibytes / cat, "MiB/s");
    report.row(
        "generator as a task, masked and stamped",
        mebibytes / seconds,
        "MiB/s",
    );
    report.row("task / file", cat / seconds, "x");
    let more = procfs::peak_kib(server.pid).saturating_sub(before);
    report.row(
        "more memory of the server at its peak",
        more as f64 / 1024.0,
        "MiB",
    );
    open(options, &server, report)?;
    server.stop()
}

/// The generator into a file, in seconds.
fn cat(scratch: &Path, bytes: u64) -> Result<f64> {
    let file = scratch.join("cat");
    let begin = Instant::now();
    let done = Command::new("bash")
        .args([
            "-c",
            &format!("{GENERATE} {bytes} | cat > {}", file.display()),
        ])
        .stdin(Stdio::null())
        .status()?;
    let seconds = begin.elapsed().as_secs_f64();
    std::fs::remove_file(file)?;
    if !done.success() {
        bail!("`cat > file` ended with {done}");
    }
    Ok(seconds)
}

fn open(options: &Options, server: &Server, report: &mut Report) -> Result<()> {
    let stored = server.logs();
    server.wait_longer("the stored log", Duration::from_millis(200), |_| {
        Ok(find_stored(&stored).then_some(()))
    })?;
    let log = "/api/v2/dags/long/dagRuns/one/taskInstances/long/logs/1";
    let search = log.replacen("/v2/", "/tidemill/v1/", 1);
    let size = server.get(&format!(
        "{search}/search?q=no-such-words&from=18446744073709551615"
    ))?;
    let size = size["size"].as_u64().context("no size")?;
    let before = procfs::peak_kib(server.pid);
    for (name, place) in [
        ("beginning", 0),
        ("middle", size / 2),
        ("end", size - 1_000_000),
    ] {
        let mut times = Vec::new();
        for _ in 0..options.rounds.max(5) {
            let begin = Instant::now();
            let (status, body) = server.ask(&format!("{log}?token={place}"))?;
            times.push(begin.elapsed().as_secs_f64() * 1000.0);
            if status != 200 || body.len() < 500_000 {
                bail!("void: {status} and {} bytes at the {name}", body.len());
            }
        }
        report.row(
            &format!("a mebibyte at its {name}, stored"),
            middle(times),
            "ms",
        );
    }
    let begin = Instant::now();
    let found = server.get(&format!("{search}/search?q=no-such-words"))?;
    let looked = found["next"].as_u64().unwrap_or(0) as f64 / f64::from(1 << 20);
    report.row("search", looked / begin.elapsed().as_secs_f64(), "MiB/s");
    let more = procfs::peak_kib(server.pid).saturating_sub(before);
    report.row(
        "more memory of the server for all that",
        more as f64 / 1024.0,
        "MiB",
    );
    Ok(())
}

fn find_stored(logs: &Path) -> bool {
    let runs = std::fs::read_dir(logs).into_iter().flatten().flatten();
    let mut files = runs.flat_map(|run| std::fs::read_dir(run.path()).into_iter().flatten());
    files.any(|file| file.is_ok_and(|file| file.path().extension().is_some_and(|end| end == "zst")))
}

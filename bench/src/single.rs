//! What is measured without a rival: start, load, validation, idling, the command line.

use crate::Options;
use crate::contest::middle;
use crate::home::{Home, answer};
use crate::procfs;
use crate::report::Report;
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

type Measure = fn(&Options, &Path, &mut Report) -> Result<()>;

/// Everything of it that is wanted.
pub fn run(options: &Options, scratch: &Path, report: &mut Report) {
    let all: [(&str, Measure); 5] = [
        ("cold", cold),
        ("load", load),
        ("validate", validate),
        ("idle", idle),
        ("cli", cli),
    ];
    for (name, measure) in all {
        if options.wants(name) {
            let done = measure(options, scratch, report);
            report.keep(name, done);
        }
    }
}

/// From the start of `serve` in a fresh folder to the first 200 of `/livez`.
fn cold(options: &Options, scratch: &Path, report: &mut Report) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..options.rounds.max(5) {
        let home = Home::new(&options.tidemill, scratch)?;
        write_dags(&home.dags(), 6, "")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let begin = Instant::now();
        let mut command = home.tidemill(&["serve", "--listen", &address, "--dags"]);
        let mut child = command
            .arg(home.dags())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        while !lives(&address) {
            if begin.elapsed() > Duration::from_secs(60) || child.try_wait()?.is_some() {
                let _ = child.kill();
                bail!("the server did not answer /livez");
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&child),
            rustix::process::Signal::TERM,
        )?;
        child.wait()?;
    }
    report.section("cold start, migrations included");
    report.row("serve to the first 200 of /livez", middle(times), "ms");
    Ok(())
}

fn lives(address: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return false;
    };
    let asked = write!(stream, "GET /livez HTTP/1.0\r\nhost: {address}\r\n\r\n");
    asked.is_ok() && answer(&mut stream).is_ok_and(|(status, _)| status == 200)
}

/// Small files, each different.
pub fn write_dags(folder: &Path, count: usize, schedule: &str) -> Result<()> {
    for number in 0..count {
        let text = format!(
            "[dag]\ndescription = \"number {number}\"\n{schedule}[default_args]\nretries = 2\nretry_delay = \"30s\"\n\n[tasks]\nextract = \"echo {number}\"\n\n[tasks.transform]\ndepends_on = [\"extract\"]\nenv = {{ DAY = \"{{{{ ds }}}}\" }}\nshell = 'echo \"$DAY\"'\n\n[tasks.load]\ndepends_on = [\"transform\"]\nshell = \"echo done\"\n"
        );
        std::fs::write(folder.join(format!("dag{number:05}.toml")), text)?;
    }
    Ok(())
}

/// 10,000 files from cold: until the API knows them all, and one changed file.
fn load(options: &Options, scratch: &Path, report: &mut Report) -> Result<()> {
    const FILES: usize = 10_000;
    let home = Home::new(&options.tidemill, scratch)?;
    write_dags(&home.dags(), FILES, "")?;
    let dags = home.dags().display().to_string();
    let begin = Instant::now();
    home.call(&["validate", &dags])?;
    let validated = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    let server = home.serve(&[])?;
    server.wait("all files", Duration::from_millis(10), |server| {
        Ok((server.get("/api/v2/dags?limit=1")?["total_entries"] == FILES).then_some(()))
    })?;
    let loaded = begin.elapsed().as_secs_f64();
    let changed = home.dags().join("dag00077.toml");
    std::fs::write(
        home.dags().join(".new"),
        "[dag]\ndescription = \"changed\"\n[tasks]\none = \"true\"\n",
    )?;
    let begin = Instant::now();
    std::fs::rename(home.dags().join(".new"), changed)?;
    server.wait("the changed file", Duration::from_millis(2), |server| {
        Ok((server.get("/api/v2/dags/dag00077")?["description"] == "changed").then_some(()))
    })?;
    let live = begin.elapsed().as_secs_f64();
    server.stop()?;
    report.section("10,000 DAG files of three tasks");
    report.row("tidemill validate", validated, "s");
    report.row("serve, from cold until the API has them all", loaded, "s");
    report.row("one changed file live", live * 1000.0, "ms");
    Ok(())
}

/// Wide and deep files.
fn validate(options: &Options, scratch: &Path, report: &mut Report) -> Result<()> {
    let home = Home::new(&options.tidemill, scratch)?;
    let mut chain = "[tasks]\n".to_string();
    for number in 0..100_000 {
        let upstream = if number == 0 {
            String::new()
        } else {
            format!("'t{}'", number - 1)
        };
        let _ = writeln!(
            chain,
            "t{number} = {{ depends_on = [{upstream}], shell = 'true' }}"
        );
    }
    let mut fan = "[tasks]\nfirst = 'true'\n".to_string();
    let mut all = Vec::new();
    for number in 0..10_000 {
        let _ = writeln!(
            fan,
            "t{number} = {{ depends_on = ['first'], shell = 'true' }}"
        );
        all.push(format!("'t{number}'"));
    }
    let _ = writeln!(
        fan,
        "last = {{ depends_on = [{}], shell = 'true' }}",
        all.join(", ")
    );
    report.section("large files: tidemill validate, start of the process included");
    for (name, text) in [
        ("a chain of 100,000 tasks", chain),
        ("a fan of 10,000 with a join", fan),
    ] {
        let file = home.dags().join("large.toml");
        std::fs::write(&file, text)?;
        let file = file.display().to_string();
        let mut times = Vec::new();
        for _ in 0..options.rounds {
            let begin = Instant::now();
            home.call(&["validate", &file])?;
            times.push(begin.elapsed().as_secs_f64());
        }
        report.row(name, middle(times), "s");
    }
    Ok(())
}

/// A server with 1,000 scheduled DAGs and nothing to do.
fn idle(options: &Options, scratch: &Path, report: &mut Report) -> Result<()> {
    let used = watch_idle(options, scratch, 1000)?;
    report.section(&format!(
        "idle with 1,000 DAGs, watched for {} s",
        options.idle_seconds
    ));
    report.row(
        "CPU",
        used.cpu_seconds * 100.0 / options.idle_seconds as f64,
        "% of one core",
    );
    report.row("resident memory", used.resident_kib as f64 / 1024.0, "MiB");
    report.row(
        "written",
        used.written as f64 / options.idle_seconds as f64,
        "bytes/s",
    );
    Ok(())
}

/// The keys of a DAG with a schedule that has long to go.
pub const NOT_DUE: &str = "schedule = \"0 0 1 1 *\"\n";

/// What a server with so many scheduled DAGs uses while nothing is to be done.
pub fn watch_idle(options: &Options, scratch: &Path, dags: usize) -> Result<procfs::Usage> {
    let home = Home::new(&options.tidemill, scratch)?;
    write_dags(&home.dags(), dags, NOT_DUE)?;
    let server = home.serve(&[])?;
    server.wait("all DAGs", Duration::from_millis(10), |server| {
        Ok((server.get("/api/v2/dags?limit=1")?["total_entries"] == dags).then_some(()))
    })?;
    std::thread::sleep(Duration::from_secs(options.idle_seconds.min(60)));
    let before = procfs::usage(server.pid);
    std::thread::sleep(Duration::from_secs(options.idle_seconds));
    let used = procfs::usage(server.pid).since(before);
    server.stop()?;
    Ok(used)
}

/// Commands that need no server.
fn cli(options: &Options, scratch: &Path, report: &mut Report) -> Result<()> {
    let home = Home::new(&options.tidemill, scratch)?;
    write_dags(&home.dags(), 1, "")?;
    let file = home.dags().join("dag00000.toml").display().to_string();
    report.section("commands that need no server, median of 21");
    for args in [
        &["--version"][..],
        &["--help"],
        &["validate", &file],
        &["schema", "dag"],
    ] {
        let mut times = Vec::new();
        for _ in 0..21 {
            let begin = Instant::now();
            home.call(args)
                .with_context(|| format!("`tidemill {}`", args.join(" ")))?;
            times.push(begin.elapsed().as_secs_f64() * 1000.0);
        }
        report.row(
            &format!("tidemill {}", args.first().copied().unwrap_or_default()),
            middle(times),
            "ms",
        );
    }
    Ok(())
}

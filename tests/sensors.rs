//! Sensors wait without a slot, write nothing while they wait, and outlive their server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use rustix::process::Signal;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::waiting::wait_for;
use support::worker::WorkerProcess;
use support::{PATIENCE, Place, postgres, told};

/// A server where work can be submitted, and stays undone until `done` is there.
fn shop(done: std::path::PathBuf) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let n_submitted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&n_submitted);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = Vec::new();
            let mut byte = [0u8; 1];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                head.push(byte[0]);
            }
            let body = if head.starts_with(b"POST /jobs") {
                format!(
                    "{{\"id\": \"job-{}\"}}",
                    count.fetch_add(1, Ordering::SeqCst) + 1
                )
            } else {
                let state = if done.exists() { "done" } else { "busy" };
                let asked = String::from_utf8_lossy(&head);
                let path = asked.split(' ').nth(1).unwrap_or("").to_string();
                format!("{{\"state\": \"{state}\", \"path\": \"{path}\"}}")
            };
            let length = body.len();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
    (address, n_submitted)
}

#[test]
fn submitted_work_is_waited_for_after_a_kill_and_not_submitted_again() {
    let place = Place::new();
    let done = place.folder().join("done");
    let (address, n_submitted) = shop(done.clone());
    let text = format!(
        "[tasks.job]\nretries = 1\n[tasks.job.http]\nurl = 'http://{address}/jobs'\nmethod = 'POST'\n\
         response_filter = '{{{{ response.json.path }}}}'\n\
         wait = {{ url = '/jobs/{{{{ submitted }}}}', until = \"{{{{ response.json.state == 'done' }}}}\", interval = '20ms' }}\n"
    );
    place.write_dag("waits.toml", &text);
    let mut server = place.serve();
    server.wait_for_dag("waits");
    let run = place.trigger("waits", &[]);
    server.wait_for_task("waits", &run, "job", "deferred");
    server.signal(Signal::KILL);
    server.wait_until_gone();
    drop(server);
    let server = place.serve();
    wait_for("the second try to wait", PATIENCE, || {
        let job = server.task("waits", &run, "job");
        (job["state"] == "deferred" && job["try_number"] == 2).then_some(())
    });
    std::fs::write(done, "").unwrap();
    assert_eq!(server.wait_for_end("waits", &run)["state"], "success");
    assert_eq!(n_submitted.load(Ordering::SeqCst), 1);
    let path = format!(
        "/api/v2/dags/waits/dagRuns/{}/taskInstances/job/xcomEntries/return_value",
        support::http::escape(&run)
    );
    assert_eq!(server.body(&path)["value"], "/jobs/job-1");
}

#[test]
fn work_elsewhere_has_a_name_of_ones_own_may_fail_and_has_a_time_to_be_done() {
    let place = Place::new();
    let done = place.folder().join("done");
    let job = |address: SocketAddr, filter: &str, wait: &str| {
        let text = format!(
            "[tasks.job]\nretries = 0\n[tasks.job.http]\nurl = 'http://{address}/jobs'\nmethod = 'POST'\n{filter}\n\
             wait = {{ url = '/jobs/{{{{ submitted }}}}', until = \"{{{{ response.json.state == 'done' }}}}\", interval = '5ms', {wait} }}\n"
        );
        let file = place.write_dag("waits.toml", &text);
        told(&place.call(&["run", file.to_str().unwrap()]))
    };
    let (address, _) = shop(done.clone());
    let late = job(address, "", "timeout = '50ms'");
    assert!(
        late.contains("failed job: not there after `timeout`, 50ms"),
        "{late}"
    );
    let fail_when = "fail_when = \"{{ response.json.state == 'busy' }}\"";
    let failed = job(address, "", fail_when);
    assert!(failed.contains("failed job: fail_when is true"), "{failed}");
    std::fs::write(done, "").unwrap();
    // Of an answer that is good nothing fails, and it was asked after by the name that was made.
    let named = format!("id = '{{{{ response.json.id | upper }}}}-x', {fail_when}");
    let check = "response_filter = \"{{ 'asked ' ~ response.json.path }}\"";
    let good = job(address, check, &named);
    assert!(good.contains("1 ok"), "{good}");
    let file = place.dags().join("waits.toml");
    let output = place.call(&["run", file.to_str().unwrap(), "-o", "json"]);
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(task(&run, "job")["output"], "asked /jobs/JOB-4-x", "{run}");
}

fn run(place: &Place, text: &str, more: &[&str]) -> Value {
    let file = place.write_dag("waits.toml", text);
    let mut args = vec!["run", file.to_str().unwrap(), "-o", "json"];
    args.extend(more);
    let output = place.call(&args);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)))
}

fn task<'r>(run: &'r Value, name: &str) -> &'r Value {
    let all = run["task_instances"].as_array().unwrap();
    all.iter().find(|one| one["task_id"] == name).unwrap()
}

#[test]
fn sensors_give_their_slots_to_the_task_that_they_wait_for() {
    let place = Place::new();
    let file = place.folder().join("in.csv");
    let database = place.folder().join("ready.db");
    // Three sensors and one slot: the work can only be done if none of them keeps it.
    let text = format!(
        "[tasks.file.file_sensor]\npath = '{file}'\nsettle = '10ms'\npoke_interval = '20ms'\n\
         [tasks.glob.file_sensor]\npath = '{folder}/in.*'\npoke_interval = '20ms'\n\
         [tasks.rows.sql_sensor]\nurl = 'sqlite://{database}'\nsql = \"select count(*) from sqlite_master where name = :name\"\n\
         parameters = {{ name = 'ready' }}\npoke_interval = '20ms'\n\
         [tasks.work]\nretries = 0\nshell = 'echo a > {file}'\n\
         [tasks.table]\ndepends_on = ['work']\nsql = {{ url = 'sqlite://{database}', sql = 'create table ready (n int)' }}\n",
        file = file.display(),
        folder = place.folder().display(),
        database = database.display(),
    );
    let run = run(&place, &text, &["--jobs", "1"]);
    assert_eq!(run["state"], "success", "{run}");
    let found = &task(&run, "glob")["output"];
    assert_eq!(found["path"], file.display().to_string());
    assert_eq!(found["size"], 2);
    assert_eq!(task(&run, "rows")["output"], 1);
}

#[test]
fn when_the_time_is_up_it_fails_for_good_or_is_skipped() {
    let place = Place::new();
    let text = "[tasks.hard]\nretries = 3\n[tasks.hard.file_sensor]\npath = 'nothing'\npoke_interval = '5ms'\ntimeout = '30ms'\n\
         [tasks.soft.file_sensor]\npath = 'nothing'\npoke_interval = '5ms'\ntimeout = '30ms'\nsoft_fail = true\nexponential_backoff = true\n";
    let run = run(&place, text, &[]);
    let hard = task(&run, "hard");
    assert_eq!(
        (&hard["state"], &hard["try_number"]),
        (&"failed".into(), &1.into()),
        "{run}"
    );
    assert_eq!(task(&run, "soft")["state"], "skipped");
}

#[test]
fn a_sensor_is_deferred_can_be_cancelled_and_waits_on_after_a_kill() {
    let place = Place::new();
    let file = place.folder().join("late");
    let text = format!(
        "[tasks.late.file_sensor]\npath = '{}'\npoke_interval = '20ms'\n",
        file.display()
    );
    place.write_dag("waits.toml", &text);
    let mut server = place.serve();
    server.wait_for_dag("waits");
    let cancelled = place.trigger("waits", &[]);
    server.wait_for_task("waits", &cancelled, "late", "deferred");
    let output = place.call(&["runs", "cancel", &format!("waits/{cancelled}")]);
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(server.wait_for_end("waits", &cancelled)["state"], "failed");

    let run = place.trigger("waits", &[]);
    server.wait_for_task("waits", &run, "late", "deferred");
    let output = place.call(&["tasks", "clear", &format!("waits/{run}"), "late", "-y"]);
    assert!(output.status.success(), "{}", told(&output));
    wait_for("the second try to wait", PATIENCE, || {
        let late = server.task("waits", &run, "late");
        (late["state"] == "deferred" && late["try_number"] == 2).then_some(())
    });
    server.signal(Signal::KILL);
    server.wait_until_gone();
    drop(server);
    let server = place.serve();
    server.wait_for_task("waits", &run, "late", "deferred");
    std::fs::write(&file, "here").unwrap();
    assert_eq!(server.wait_for_end("waits", &run)["state"], "success");
}

/// An instant of an answer, in seconds since 1970.
fn instant(value: &Value) -> f64 {
    let text = value
        .as_str()
        .unwrap_or_else(|| panic!("no instant: {value}"));
    let at: jiff::Timestamp = text.parse().unwrap();
    at.as_microsecond() as f64 / 1e6
}

fn seconds_now() -> f64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

#[test]
fn a_file_that_is_written_in_parts_is_there_when_it_has_settled() {
    const SETTLE: f64 = 2.0;
    let place = Place::new();
    let file = place.folder().join("in.csv");
    let text = format!(
        "[tasks.parts.file_sensor]\npath = '{}'\nsettle = '2s'\npoke_interval = '20ms'\n",
        file.display()
    );
    place.write_dag("waits.toml", &text);
    std::fs::write(&file, "half").unwrap();
    let server = place.serve();
    server.wait_for_dag("waits");
    let run = place.trigger("waits", &[]);
    // It has looked once, and seen a file that may still grow.
    server.wait_for_task("waits", &run, "parts", "deferred");
    let written = seconds_now();
    std::fs::write(&file, "half and half").unwrap();
    assert_eq!(server.wait_for_end("waits", &run)["state"], "success");
    let path = format!(
        "/api/v2/dags/waits/dagRuns/{}/taskInstances/parts/xcomEntries/return_value",
        support::http::escape(&run)
    );
    let output = server.body(&path)["value"].clone();
    let output = match output.as_str() {
        Some(text) => serde_json::from_str(text).unwrap(),
        None => output,
    };
    assert_eq!(output["size"], "half and half".len(), "{output}");
    let ended = instant(&server.task("waits", &run, "parts")["end_date"]);
    assert!(
        ended >= written + SETTLE,
        "{ended} is too soon after {written}"
    );
}

#[test]
fn the_time_of_a_sensor_is_not_begun_anew_by_a_restart() {
    const TIMEOUT: f64 = 6.0;
    let place = Place::new();
    let text = "[tasks.late]\nretries = 0\n[tasks.late.file_sensor]\npath = 'nothing'\npoke_interval = '20ms'\ntimeout = '6s'\n";
    place.write_dag("waits.toml", text);
    let mut server = place.serve();
    server.wait_for_dag("waits");
    let run = place.trigger("waits", &[]);
    server.wait_for_task("waits", &run, "late", "deferred");
    let begun = instant(&server.task("waits", &run, "late")["start_date"]);
    server.signal(Signal::KILL);
    server.wait_until_gone();
    drop(server);
    wait_for("the time to be up", PATIENCE, || {
        (seconds_now() > begun + TIMEOUT).then_some(())
    });
    let server = place.serve();
    assert_eq!(server.wait_for_end("waits", &run)["state"], "failed");
    let late = server.task("waits", &run, "late");
    assert_eq!(late["try_number"], 2, "{late}");
    let second = instant(&late["end_date"]) - instant(&late["start_date"]);
    assert!(second < TIMEOUT, "it waited anew, for {second} s");
}

#[test]
fn sensors_of_workers_elsewhere_hold_no_slot_and_outlive_the_scheduler() {
    let place = Place::at(Some(postgres::Server::shared().new_database()));
    let file = place.folder().join("in.csv");
    let other = place.folder().join("late");
    // Two sensors and one slot of the only worker that may run them and the work.
    let text = format!(
        "[default_args]\nqueue = 'far'\nretries = 0\n\
         [tasks.file]\npriority_weight = 9\n[tasks.file.file_sensor]\npath = '{file}'\npoke_interval = '20ms'\n\
         [tasks.late]\npriority_weight = 9\n[tasks.late.file_sensor]\npath = '{other}'\npoke_interval = '20ms'\n\
         [tasks.work]\nshell = 'echo a > {file}'\n",
        file = file.display(),
        other = other.display(),
    );
    place.write_dag("waits.toml", &text);
    let mut command = place.serve_command();
    command.args(["--queues", "default"]);
    let mut server = place.serve_with(command);
    server.wait_for_dag("waits");
    let _worker = WorkerProcess::start(&place, &["--queues", "far", "--slots", "1"]);
    let run = place.trigger("waits", &[]);
    server.wait_for_task("waits", &run, "file", "success");
    server.wait_for_task("waits", &run, "late", "deferred");
    server.signal(Signal::KILL);
    server.wait_until_gone();
    drop(server);
    let mut command = place.serve_command();
    command.args(["--queues", "default"]);
    let server = place.serve_with(command);
    std::fs::write(&other, "here").unwrap();
    assert_eq!(server.wait_for_end("waits", &run)["state"], "success");
    // Without retries it could not have been begun a second time.
    assert_eq!(server.task("waits", &run, "late")["try_number"], 1);
}

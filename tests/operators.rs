//! Operators that run inside the worker, in every program that has a worker.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use support::waiting::wait_for;
use support::worker::WorkerProcess;
use support::{PATIENCE, Place, postgres, told};

/// A server that gives the same answer to everything, and never one to `/never`.
fn answers(body: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0u8; 1];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                    head.push(byte[0]);
                }
                if head.starts_with(b"GET /never") {
                    let _ = stream.read(&mut byte); // until the other side hangs up
                    return;
                }
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                let _ = stream.write_all((head + body).as_bytes());
            });
        }
    });
    address
}

fn dag(address: SocketAddr, more: &str) -> String {
    format!(
        "[tasks.ask]\n{more}\noutputs = {{ n = '{{{{ response.json.n }}}}' }}\n[tasks.ask.http]\nurl = 'http://{address}/'\n\
         [tasks.after]\ndepends_on = ['ask']\nshell = 'echo n is {{{{ tasks.ask.outputs.n }}}}'\n"
    )
}

#[test]
fn the_file_format_and_the_worker_know_the_same_operators() {
    let of_format: BTreeSet<&str> = tidemill_dagfile::in_process().collect();
    let operators = tidemill_executor::operator::Operators::built_in(
        std::path::Path::new("/nowhere"),
        Default::default(),
    );
    // Python starts a process, as shell does; those of Kafka are added by the program.
    let elsewhere = ["python", "kafka_produce", "kafka_consume", "kafka_wait"];
    let of_worker = operators.kinds().chain(elsewhere);
    assert_eq!(of_format, of_worker.collect());
}

#[test]
fn run_does_the_work_itself_and_shows_it() {
    let place = Place::new();
    let file = place.write_dag("asks.toml", &dag(answers("{\"n\": 42}"), ""));
    let output = place.call(&["run", file.to_str().unwrap(), "-o", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    let task = |name: &str| {
        let all = run["task_instances"].as_array().unwrap();
        all.iter()
            .find(|one| one["task_id"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(task("ask")["operator"], "http");
    assert_eq!(task("after")["output"], "n is 42");
}

#[test]
fn serve_does_it_keeps_its_log_and_ends_it_when_a_person_cancels() {
    let place = Place::new();
    let address = answers("{\"n\": 7}");
    place.write_dag("asks.toml", &dag(address, ""));
    place.write_dag(
        "waits.toml",
        &format!("[tasks.ask]\nhttp = {{ url = 'http://{address}/never', timeout = '1h' }}\n"),
    );
    let server = place.serve();
    server.wait_for_dag("asks");
    server.wait_for_dag("waits");
    let run = place.trigger("asks", &[]);
    assert_eq!(server.wait_for_end("asks", &run)["state"], "success");
    let output = place.call(&["tasks", "logs", &format!("asks/{run}"), "ask"]);
    assert!(told(&output).contains("200 OK"), "{}", told(&output));

    let run = place.trigger("waits", &[]);
    server.wait_for_task("waits", &run, "ask", "running");
    let output = place.call(&["runs", "cancel", &format!("waits/{run}")]);
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(server.wait_for_end("waits", &run)["state"], "failed");
    assert_eq!(server.task("waits", &run, "ask")["state"], "failed");
}

#[test]
fn a_worker_elsewhere_does_it_and_ends_it_when_it_must_stop() {
    let place = Place::at(Some(postgres::Server::shared().new_database()));
    let address = answers("{\"n\": 8}");
    place.write_dag("asks.toml", &dag(address, "queue = 'far'"));
    place.write_dag("waits.toml", &format!("[tasks.ask]\nqueue = 'far'\nhttp = {{ url = 'http://{address}/never', timeout = '1h' }}\n"));
    let server = place.serve();
    server.wait_for_dag("asks");
    server.wait_for_dag("waits");
    let mut worker = WorkerProcess::start(&place, &["--queues", "far", "--shutdown-timeout", "0"]);
    let run = place.trigger("asks", &[]);
    let ended = server.wait_for_end("asks", &run);
    assert_eq!(ended["state"], "success", "{}", worker.log());

    let run = place.trigger("waits", &[]);
    server.wait_for_task("waits", &run, "ask", "running");
    worker.signal(Signal::TERM);
    assert!(worker.wait_until_gone().success(), "{}", worker.log());
    wait_for("the interrupted task to fail", PATIENCE, || {
        (server.task("waits", &run, "ask")["state"] == "failed").then_some(())
    });
}

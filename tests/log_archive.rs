//! Finished logs in storage that speaks S3, by the whole program.

#![cfg(feature = "s3")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::process::Command;
use support::browser::Browser;
use support::{PATIENCE, Place, Server, http, stdout, told, waiting::wait_for};
use tidemill_archive_rig::{BUCKET, KEY, S3, SECRET};

const TALKS: &str = "[tasks]\nlong = 'seq -f \"line %.0f with some words behind it\" 1 50000'\nshort = 'echo a word; echo more >&2'\n";

fn configure(place: &Place, s3: &S3, more: &str) {
    let text = format!(
        "[logs]\n{more}\n[logs.s3]\nbucket = '{BUCKET}'\nprefix = 'mills'\nendpoint = '{}'\nconnection = 'log_store'\n",
        s3.url()
    );
    std::fs::create_dir_all(place.home()).unwrap();
    std::fs::write(place.home().join("tidemill.toml"), text).unwrap();
}

/// A server that finds the login to the storage in its environment.
fn command(place: &Place) -> Command {
    let mut command = place.serve_command();
    let secret = http::escape(SECRET);
    command.env("TIDEMILL_CONN_LOG_STORE", format!("aws://{KEY}:{secret}@"));
    command
}

fn run(place: &Place, server: &Server) -> String {
    server.wait_for_dag("talks");
    let run = place.trigger("talks", &[]);
    assert_eq!(server.wait_for_end("talks", &run)["state"], "success");
    run
}

fn wait_for_objects(s3: &S3, n: usize) {
    wait_for("the objects", PATIENCE, || {
        (s3.objects().len() == n).then_some(())
    });
}

/// Takes away the logs of this home, as another machine or a full disk would.
fn lose_logs(place: &Place) {
    for run in std::fs::read_dir(place.home().join("logs")).unwrap() {
        std::fs::remove_dir_all(run.unwrap().path()).unwrap();
    }
}

#[test]
fn finished_logs_go_to_the_storage_and_everybody_reads_them_there_when_they_are_gone_here() {
    let mut s3 = S3::start();
    let place = Place::new();
    configure(&place, &s3, "");
    place.write_dag("talks.toml", TALKS);
    let server = place.serve_with(command(&place));
    let run = run(&place, &server);
    wait_for_objects(&s3, 2);
    assert!(
        s3.objects()
            .iter()
            .all(|name| name.starts_with("mills/") && name.ends_with(".zst"))
    );
    let call = |more: &[&str]| {
        let run = format!("talks/{run}");
        let args = [&["tasks", "logs", &run], more].concat();
        stdout(&place.call(&args))
    };
    let here = call(&["long"]);
    lose_logs(&place);
    assert!(here.lines().count() == 50_000 && call(&["long"]) == here);
    assert_eq!(call(&["short"]), "a word\nmore\n");
    assert_eq!(
        call(&["long", "--grep", "line 4999[0-9] "]).lines().count(),
        10
    );

    let (browser, _) = Browser::of(&place);
    let task = format!("/dags/talks/runs/{}/tasks/long", http::escape(&run));
    let page = browser.page(&task);
    assert!(
        page.contains("line 1 with") && page.contains("line 50000 with"),
        "{page:.2000}"
    );
    let found = browser.page(&format!("{task}/lines?q=line+31234+with"));
    assert!(found.contains("1 lines") && found.contains("line 31234 with"));

    s3.stop();
    let page = browser.page(&task);
    assert!(
        page.contains("cannot be read now"),
        "the page is there all the same: {page:.3000}"
    );
    let asked = server.get(&format!(
        "/api/v2/dags/talks/dagRuns/{}/taskInstances/long/logs/1",
        http::escape(&run)
    ));
    assert_eq!(asked.0, 503, "{}", asked.1);
    for told in [place.serve_log(), page, asked.1.to_string()] {
        assert!(
            !told.contains(SECRET) && !told.contains(&http::escape(SECRET)),
            "{told}"
        );
    }
}

#[test]
fn a_run_does_not_wait_for_the_storage_and_its_logs_are_sent_when_that_is_back() {
    let mut s3 = S3::start();
    s3.stop();
    let place = Place::new();
    configure(&place, &s3, "");
    place.write_dag("talks.toml", TALKS);
    let server = place.serve_with(command(&place));
    let first = run(&place, &server);
    assert_eq!(
        stdout(&place.call(&["tasks", "logs", &format!("talks/{first}"), "short"])),
        "a word\nmore\n"
    );
    drop(server);
    s3.resume();
    let server = place.serve_with(command(&place));
    wait_for_objects(&s3, 2);
    run(&place, &server);
    wait_for_objects(&s3, 4);
}

#[test]
fn logs_go_from_the_storage_with_their_run_and_stay_when_only_the_disk_forgets_them() {
    let s3 = S3::start();
    let place = Place::new();
    configure(&place, &s3, "max_bytes = '4KiB'");
    place.write_dag("talks.toml", TALKS);
    let server = place.serve_with(command(&place));
    let (first, second) = (run(&place, &server), run(&place, &server));
    wait_for_objects(&s3, 4);
    drop(server);
    // It looks around when it starts.
    let server = place.serve_with(command(&place));
    let local = || {
        std::fs::read_dir(place.home().join("logs"))
            .unwrap()
            .count()
    };
    wait_for("the disk to forget", PATIENCE, || {
        (local() == 0).then_some(())
    });
    assert_eq!(s3.objects().len(), 4);
    let deleted = place.call(&["runs", "delete", &format!("talks/{first}"), "--yes"]);
    assert!(deleted.status.success(), "{}", told(&deleted));
    drop(server);
    let _server = place.serve_with(command(&place));
    wait_for_objects(&s3, 2);
    let left = place.call(&["tasks", "logs", &format!("talks/{second}"), "short"]);
    assert_eq!(stdout(&left), "a word\nmore\n");
}

#[test]
fn a_file_that_holds_a_login_or_names_no_bucket_is_refused() {
    let place = Place::new();
    std::fs::create_dir_all(place.home()).unwrap();
    for (text, part) in [
        ("bucket = 'b'\nsecret_key = 'w0rd'", "unknown field"),
        (
            "bucket = 'b'\nendpoint = 'https://me:w0rd@s3.example'",
            "connection",
        ),
        ("prefix = 'x'", "bucket"),
    ] {
        let text = format!("[logs.s3]\n{text}\n");
        std::fs::write(place.home().join("tidemill.toml"), text).unwrap();
        let refused = place.serve_command().output().unwrap();
        assert_eq!(refused.status.code(), Some(2));
        let log = place.serve_log();
        assert!(log.contains(part) && !log.contains("w0rd"), "{log}");
    }
}

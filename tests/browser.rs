//! The pages in a real browser: headless Chromium logs in by the one-time link and reads.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::path::Path;
use std::process::Command;
use support::{Place, http, stdout, told};

const FAILS: &str = "[tasks]\nbreaks = 'echo the mill has stopped >&2; exit 3'\n\
                     [tasks.after]\ndepends_on = ['breaks']\nshell = 'true'\n";

/// The document as Chromium holds it after its scripts have run.
fn page(profile: &Path, url: &str) -> String {
    let program = ["chromium", "google-chrome"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok())
        .expect("this test needs Chromium: apt-get install chromium");
    let shown = Command::new(program)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(["--dump-dom", url])
        .output()
        .unwrap();
    assert!(shown.status.success(), "{}", told(&shown));
    stdout(&shown)
}

#[test]
fn a_browser_logs_in_by_the_link_and_finds_the_last_lines_of_a_failed_task() {
    let place = Place::new();
    place.write_dag("mill.toml", FAILS);
    let server = place.serve();
    server.wait_for_dag("mill");
    let run = place.trigger("mill", &[]);
    assert_eq!(server.wait_for_end("mill", &run)["state"], "failed");

    let profile = place.folder().join("chromium");
    let link = stdout(&place.call(&["login-link"])).trim().to_string();
    let dags = page(&profile, &link);
    assert!(dags.contains("/dags/mill") && dags.contains('✗'), "{dags}");

    let base = link.split("/login").next().unwrap().to_string();
    let found = page(
        &profile,
        &format!("{base}/dags/mill/runs/{}", http::escape(&run)),
    );
    assert!(found.contains("the mill has stopped"), "{found}");
    assert!(found.contains("upstream_failed"), "{found}");
}

#[test]
fn a_browser_without_the_link_sees_no_page() {
    let place = Place::new();
    place.write_dag("mill.toml", FAILS);
    let server = place.serve();
    server.wait_for_dag("mill");
    let link = stdout(&place.call(&["login-link"])).trim().to_string();
    let base = link.split("/login").next().unwrap().to_string();
    let shown = page(&place.folder().join("chromium"), &format!("{base}/dags"));
    assert!(
        shown.contains("login-link") && !shown.contains("mill.toml"),
        "{shown}"
    );
}

//! Workers in processes of their own, on a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "workers/queues.rs"]
mod queues;
mod support;

use rustix::process::Signal;
use support::pooler::PgBouncer;
use support::waiting::wait_for;
use support::worker::WorkerProcess;
use support::{PATIENCE, Place, Server, postgres, processes, stdout, told};
use tidemill_store_conformance::proxy::{Cut, Proxy};

/// A server of a shared database.
fn place() -> Place {
    Place::at(Some(postgres::Server::shared().new_database()))
}

fn workers(place: &Place) -> Vec<serde_json::Value> {
    let found = place.call_json(&["workers", "list", "-o", "json"]);
    found["workers"].as_array().unwrap().clone()
}

fn wait_for_workers(place: &Place, n: usize) -> Vec<serde_json::Value> {
    wait_for("the workers to be there", PATIENCE, || {
        Some(workers(place)).filter(|found| found.len() == n)
    })
}

fn wait_for_file(path: &std::path::Path) -> String {
    wait_for("a file of a task", PATIENCE, || {
        std::fs::read_to_string(path)
            .ok()
            .filter(|text| text.contains('\n'))
    })
}

/// A task of the queue `far` that says where it is and then waits for a file.
fn waiting_dag(place: &Place, more: &str) -> (std::path::PathBuf, std::path::PathBuf) {
    let journal = place.folder().join("journal");
    let go = place.folder().join("go");
    place.write_dag(
        "far.toml",
        &format!(
            "[tasks.near]\nshell = 'echo {{{{ params.word }}}}'\n\n[tasks.far]\nqueue = 'far'\n{more}\ndepends_on = ['near']\n\
             shell = '''\necho \"begun $TIDEMILL_EPOCH $$\" >> {0}\necho \"hello {{{{ tasks.near.output }}}}\"\nwhile ! [ -e {1} ]; do echo \"still $TIDEMILL_EPOCH\" >> {0}; sleep 0.05; done\necho done\n'''\n\n[params]\nword = 'sea'\n",
            journal.display(),
            go.display()
        ),
    );
    (journal, go)
}

fn log_of(server: &Server, run: &str, task: &str, number: u32) -> String {
    let path = format!(
        "/api/v2/dags/far/dagRuns/{}/taskInstances/{task}/logs/{number}",
        support::http::escape(run)
    );
    server.body(&path).to_string()
}

#[test]
fn a_queue_is_served_by_a_worker_elsewhere_and_its_log_is_read_while_it_grows() {
    let place = place();
    let (journal, go) = waiting_dag(&place, "");
    let server = place.serve();
    server.wait_for_dag("far");
    let run = place.trigger("far", &[]);
    server.wait_for_task("far", &run, "near", "success");
    server.wait_for_task("far", &run, "far", "scheduled");

    let mut worker = WorkerProcess::start(&place, &["--queues", "far,other", "--slots", "2"]);
    server.wait_for_task("far", &run, "far", "running");
    wait_for_file(&journal);
    wait_for("its log", PATIENCE, || {
        log_of(&server, &run, "far", 1)
            .contains("hello sea")
            .then_some(())
    });
    assert!(
        !server_has_log(&place),
        "the log is not on the server's disk"
    );
    let shown = &workers(&place)[0];
    assert_eq!(
        (&shown["slots"], &shown["state"]),
        (&2.into(), &"alive".into())
    );
    std::fs::write(go, "").unwrap();
    let ended = server.wait_for_end("far", &run);
    assert_eq!(ended["state"], "success", "{}", worker.log());
    let output = place.call(&["tasks", "logs", &format!("far/{run}"), "far"]);
    assert!(stdout(&output).contains("done"), "{}", told(&output));

    worker.signal(Signal::TERM);
    assert!(worker.wait_until_gone().success(), "{}", worker.log());
    wait_for_workers(&place, 0);
}

fn server_has_log(place: &Place) -> bool {
    let runs = std::fs::read_dir(place.home().join("logs")).unwrap();
    let files = runs.flat_map(|run| std::fs::read_dir(run.unwrap().path()).unwrap());
    files
        .flatten()
        .any(|file| file.file_name().to_string_lossy().starts_with("2."))
}

#[test]
fn a_drained_worker_takes_nothing_until_it_is_let_again() {
    let place = place();
    let (_, go) = waiting_dag(&place, "");
    std::fs::write(go, "").unwrap();
    let server = place.serve();
    server.wait_for_dag("far");
    let _worker = WorkerProcess::start(&place, &["--queues", "far", "--lease", "3"]);
    let number = wait_for_workers(&place, 1)[0]["worker"].to_string();
    let drained = place.call(&["workers", "drain", &number]);
    assert!(drained.status.success(), "{}", told(&drained));
    assert_eq!(workers(&place)[0]["state"], "draining");
    let missing = place.call(&["workers", "drain", "77777"]);
    assert_eq!(missing.status.code(), Some(3), "{}", told(&missing));
    let run = place.trigger("far", &[]);
    server.wait_for_task("far", &run, "near", "success");
    server.wait_for_task("far", &run, "far", "scheduled");
    let undone = place.call(&["workers", "drain", &number, "--undo"]);
    assert!(undone.status.success(), "{}", told(&undone));
    assert_eq!(server.wait_for_end("far", &run)["state"], "success");
}

#[test]
fn a_cancelled_run_ends_its_task_on_the_other_worker() {
    let place = place();
    let (journal, _) = waiting_dag(&place, "");
    let server = place.serve();
    server.wait_for_dag("far");
    let worker = WorkerProcess::start(&place, &["--queues", "far", "--kill-grace", "1"]);
    let run = place.trigger("far", &[]);
    wait_for_file(&journal);
    let cancelled = place.call(&["runs", "cancel", &format!("far/{run}")]);
    assert!(cancelled.status.success(), "{}", told(&cancelled));
    assert_eq!(server.wait_for_end("far", &run)["state"], "failed");
    wait_for("the task to be gone", PATIENCE, || {
        let shells = processes::naming(worker.place.folder());
        let sleepers = shells.into_iter().filter(|one| {
            let line = std::fs::read(format!("/proc/{}/cmdline", one.pid)).unwrap_or_default();
            String::from_utf8_lossy(&line).contains("still")
        });
        (sleepers.count() == 0).then_some(())
    });
}

#[test]
fn a_killed_scheduler_disturbs_no_task_of_a_worker_elsewhere() {
    let place = place();
    let (journal, go) = waiting_dag(&place, "");
    let mut server = place.serve();
    server.wait_for_dag("far");
    let worker = WorkerProcess::start(&place, &["--queues", "far"]);
    let run = place.trigger("far", &[]);
    server.wait_for_task("far", &run, "far", "running");
    wait_for_file(&journal);
    server.signal(Signal::KILL);
    server.wait_until_gone();
    let server = place.serve();
    assert_eq!(server.task("far", &run, "far")["state"], "running");
    std::fs::write(go, "").unwrap();
    assert_eq!(server.wait_for_end("far", &run)["state"], "success");
    let told = std::fs::read_to_string(&journal).unwrap();
    assert_eq!(told.matches("begun").count(), 1, "{told}\n{}", worker.log());
}

#[test]
fn the_tasks_of_a_killed_worker_are_tried_again_by_another() {
    let place = place();
    let (journal, go) = waiting_dag(&place, "retries = 1");
    let server = place.serve();
    server.wait_for_dag("far");
    let mut first = WorkerProcess::start(&place, &["--queues", "far", "--lease", "3"]);
    let run = place.trigger("far", &[]);
    wait_for_file(&journal);
    first.signal(Signal::KILL);
    first.wait_until_gone();
    std::fs::write(go, "").unwrap();
    let _second = WorkerProcess::start(&place, &["--queues", "far"]);
    assert_eq!(server.wait_for_end("far", &run)["state"], "success");
    let told = std::fs::read_to_string(&journal).unwrap();
    assert_eq!(told.matches("begun").count(), 2, "{told}");
}

#[test]
fn a_frozen_worker_and_its_tasks_are_gone_before_another_attempt_begins() {
    let place = place();
    let (journal, go) = waiting_dag(&place, "retries = 1");
    let server = place.serve();
    server.wait_for_dag("far");
    let mut frozen = WorkerProcess::start(&place, &["--queues", "far", "--lease", "6"]);
    let run = place.trigger("far", &[]);
    wait_for_file(&journal);
    frozen.signal(Signal::STOP);
    let _second = WorkerProcess::start(&place, &["--queues", "far"]);
    wait_for("the second attempt", PATIENCE, || {
        let told = std::fs::read_to_string(&journal).ok()?;
        (told.matches("begun").count() == 2).then_some(())
    });
    let status = wait_for("the frozen worker to be ended", PATIENCE, || {
        frozen.child.try_wait().unwrap()
    });
    assert!(!status.success());
    std::fs::write(go, "").unwrap();
    assert_eq!(server.wait_for_end("far", &run)["state"], "success");
    let told = std::fs::read_to_string(&journal).unwrap();
    let second = told.find("begun 2").unwrap();
    assert!(!told[second..].contains("still 1"), "no overlap: {told}");
}

#[test]
fn results_wait_on_the_disk_while_the_database_is_away() {
    let mut own = postgres::Server::start();
    let place = Place::at(Some(own.new_database()));
    let (journal, go) = waiting_dag(&place, "");
    let server = place.serve();
    server.wait_for_dag("far");
    let worker = WorkerProcess::start(&place, &["--queues", "far"]);
    let run = place.trigger("far", &[]);
    server.wait_for_task("far", &run, "far", "running");
    wait_for_file(&journal);
    own.stop("INT");
    std::fs::write(go, "").unwrap();
    let spool = worker.place.home().join("spool");
    wait_for("the result on the disk", PATIENCE, || {
        let mut kept = std::fs::read_dir(&spool).ok()?.flatten();
        kept.any(|file| file.path().extension().is_some_and(|end| end == "json"))
            .then_some(())
    });
    own.resume();
    assert_eq!(server.wait_for_end("far", &run)["state"], "success");
    let told = std::fs::read_to_string(&journal).unwrap();
    assert_eq!(told.matches("begun").count(), 1, "{told}");
}

#[test]
fn a_worker_that_is_not_told_what_it_has_claimed_asks_and_starts_it() {
    let place = place();
    let (journal, go) = waiting_dag(&place, "");
    std::fs::write(go, "").unwrap();
    let server = place.serve();
    server.wait_for_dag("far");
    let direct = place.database().unwrap();
    let name = direct.split(['/', '?']).nth(3).unwrap();
    let proxy = Proxy::to(postgres::Server::shared().folder());
    proxy.set(Cut::AnswerWithRows, "claimed as (");
    let by_proxy = place.beside_at(Some(proxy.url("postgres", name)));
    let worker = WorkerProcess::start_in(by_proxy, &["--queues", "far"]);
    let run = place.trigger("far", &[]);
    assert_eq!(server.wait_for_end("far", &run)["state"], "success");
    assert!(proxy.has_cut(), "{}", worker.log());
    assert_eq!(server.task("far", &run, "far")["try_number"], 1);
    let told = std::fs::read_to_string(&journal).unwrap();
    assert_eq!(told.matches("begun").count(), 1, "{told}\n{}", worker.log());
}

/// What no report of an attempt that is over may change.
fn rows(database: &str) -> String {
    let text = "select (select string_agg(t::text, ' ' order by run) from dag_run t),
                       (select string_agg(t::text, ' ' order by run, task_no) from task_instance t),
                       (select string_agg(t::text, ' ' order by run, task_no) from task_try t),
                       (select string_agg(t::text, ' ' order by run, task_no) from task_value t),
                       (select string_agg(t::text, ' ' order by seq) from change t)";
    postgres::Server::shared().sql(database, text)
}

#[test]
fn stale_reports_sent_straight_to_the_database_change_nothing_and_are_counted() {
    let place = place();
    let (journal, go) = waiting_dag(&place, "retries = 1");
    let database = place.database().unwrap().split(['/', '?']).nth(3).unwrap();
    let server = place.serve();
    server.wait_for_dag("far");
    let mut first = WorkerProcess::start(&place, &["--queues", "far", "--lease", "3"]);
    let run = place.trigger("far", &[]);
    wait_for_file(&journal);
    first.signal(Signal::KILL);
    first.wait_until_gone();
    let _second = WorkerProcess::start(&place, &["--queues", "far"]);
    wait_for("the second attempt", PATIENCE, || {
        let task = server.task("far", &run, "far");
        (task["state"] == "running" && task["try_number"] == 2).then_some(())
    });
    let before = rows(database);
    let counted = stale_reports(&server);
    // The first attempt, one that never was, one of a run that is not there, and one that nobody
    // can read.
    let success = serde_json::to_string(&tidemill_model::Outcome::success()).unwrap();
    for (run, epoch, outcome) in [
        ("max(run)", 1, success.as_str()),
        ("max(run)", 77, &success),
        ("max(run) + 5", 1, &success),
        ("max(run)", 78, "{"),
    ] {
        let text = format!(
            "insert into report (run, task_no, map_index, epoch, worker, outcome)
             select {run}, (select task_no from task_name where task_id = 'far'), -1, {epoch}, 1,
                    '{outcome}' from dag_run"
        );
        postgres::Server::shared().sql(database, &text);
    }
    wait_for("the reports to be taken", PATIENCE, || {
        let left = postgres::Server::shared().sql(database, "select count(*) from report");
        (left == "0").then_some(())
    });
    assert_eq!(rows(database), before);
    assert_eq!(stale_reports(&server), counted + 4);
    std::fs::write(go, "").unwrap();
    assert_eq!(server.wait_for_end("far", &run)["state"], "success");
}

fn stale_reports(server: &Server) -> u64 {
    let (status, text) = server.get("/metrics");
    assert_eq!(status, 200, "{text}");
    let text = text.as_str().unwrap().to_string();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("tidemill_stale_reports_total "));
    line.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

#[test]
fn a_worker_behind_a_pooler_that_keeps_no_sessions_asks_by_itself() {
    let place = place();
    let (journal, go) = waiting_dag(&place, "");
    let server = place.serve();
    server.wait_for_dag("far");
    let name = place.database().unwrap().split(['/', '?']).nth(3).unwrap();
    let pooler = PgBouncer::start(postgres::Server::shared());
    let url = pooler.url(name);
    // Several, so that their transactions do change sessions.
    let start = || {
        let place = place.beside_at(Some(url.clone()));
        WorkerProcess::start_in(
            place,
            &[
                "--queues",
                "far",
                "--no-notify",
                "--lease",
                "3",
                "--slots",
                "1",
            ],
        )
    };
    let workers = [start(), start(), start()];
    wait_for_workers(&place, 3);
    let runs: Vec<String> = (0..5).map(|_| place.trigger("far", &[])).collect();
    wait_for("three tasks to run", PATIENCE, || {
        let told = std::fs::read_to_string(&journal).ok()?;
        (told.matches("begun").count() == 3).then_some(())
    });
    std::fs::write(go, "").unwrap();
    for run in &runs {
        let ended = server.wait_for_end("far", run);
        assert_eq!(
            ended["state"],
            "success",
            "{}\n{}",
            workers[0].log(),
            pooler.log()
        );
        assert_eq!(server.task("far", run, "far")["try_number"], 1);
    }
    for worker in &workers {
        let log = worker.log();
        assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    }
}

//! Queues: who serves them, and what tasks on different workers share.

use super::support::waiting::wait_for;
use super::support::worker::WorkerProcess;
use super::support::{PATIENCE, Place, Server, http, postgres, told};
use super::{place, wait_for_workers, waiting_dag, workers};
use serde_json::Value;

/// What is said of the workers' slots, for a task of the queue `far`.
fn said_of_slots(place: &Place, run: &str) -> Option<(bool, String)> {
    let run = format!("far/{run}");
    let why = place.call_json(&["tasks", "why", &run, "far", "-o", "json"]);
    let conditions = why["conditions"].as_array().unwrap().clone();
    let slots = conditions
        .iter()
        .find(|one| one["condition"] == "worker_slots")?;
    let detail = slots["detail"].as_str().unwrap().to_string();
    Some((slots["ok"] == true, detail))
}

fn wait_until_said(place: &Place, run: &str, is_ok: bool, words: &str) {
    wait_for(words, PATIENCE, || {
        let (ok, detail) = said_of_slots(place, run)?;
        (ok == is_ok && detail.contains(words)).then_some(())
    });
}

#[test]
fn why_names_the_queue_and_how_many_workers_serve_it_with_which_slots() {
    let place = place();
    let (_, go) = waiting_dag(&place, "");
    let server = place.serve();
    server.wait_for_dag("far");
    let first = place.trigger("far", &[]);
    server.wait_for_task("far", &first, "near", "success");
    wait_until_said(&place, &first, false, "no worker serves its queue far");
    // The server's own worker, and one of another queue, are none that do.
    let _other = WorkerProcess::start(&place, &["--queues", "other"]);
    wait_for_workers(&place, 1);
    wait_until_said(&place, &first, false, "no worker serves its queue far");

    let _one = WorkerProcess::start(&place, &["--queues", "far", "--slots", "1"]);
    server.wait_for_task("far", &first, "far", "running");
    // So many wait for it in vain: one is given out ahead, the other waits in the scheduler.
    let [second, third] = [(), ()].map(|()| {
        let run = place.trigger("far", &[]);
        server.wait_for_task("far", &run, "near", "success");
        run
    });
    let taken = "1 of 1 slots of the worker that serves its queue far are taken";
    for run in [&second, &third] {
        let words = format!("{taken}; given out and not claimed yet: 1");
        wait_until_said(&place, run, false, &words);
    }
    let number = workers(&place)
        .iter()
        .find(|one| one["queues"][0] == "far")
        .unwrap()["worker"]
        .to_string();
    assert!(place.call(&["workers", "drain", &number]).status.success());
    let draining = "every worker that serves its queue far is draining";
    wait_until_said(&place, &third, false, draining);
    let _two = WorkerProcess::start(&place, &["--queues", "far", "--slots", "2"]);
    std::fs::write(go, "").unwrap();
    for run in [&first, &second, &third] {
        assert_eq!(server.wait_for_end("far", run)["state"], "success");
    }
}

fn value(server: &Server, dag: &str, run: &str, task: &str, map_index: i32) -> Value {
    let run = http::escape(run);
    let path = format!(
        "/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value?map_index={map_index}"
    );
    server.body(&path)["value"].clone()
}

#[test]
fn a_mapped_task_is_expanded_and_its_instances_run_on_workers_elsewhere() {
    let place = place();
    let text = "[default_args]\nqueue = 'far'\n[tasks.list]\n\
                shell = { command = 'echo \"[1, 2, 3]\"', output = 'json' }\n\
                [tasks.many]\ndepends_on = ['list']\nexpand = { n = '{{ tasks.list.output }}' }\n\
                shell = 'echo $TIDEMILL_MAP_N of $HUT'\n\
                [tasks.sum]\ndepends_on = ['many']\nshell = \"echo '{{ tasks.many.output | length }}'\"\n";
    place.write_dag("mapped.toml", text);
    let server = place.serve();
    server.wait_for_dag("mapped");
    let more = ["--queues", "far", "--env-passthrough", "HUT"];
    let worker = WorkerProcess::start_with(&place, &more, &[("HUT", "hut")]);
    let run = place.trigger("mapped", &[]);
    let ended = server.wait_for_end("mapped", &run);
    assert_eq!(ended["state"], "success", "{}", worker.log());
    for index in 0..3 {
        let said = value(&server, "mapped", &run, "many", index);
        assert_eq!(said, format!("{} of hut", index + 1));
    }
    assert_eq!(value(&server, "mapped", &run, "sum", -1), "3");
}

#[test]
fn instances_in_step_and_the_file_of_their_outputs_are_made_on_workers_elsewhere() {
    let place = place();
    let go = place.folder().join("go");
    let text = "[default_args]\nqueue = 'far'\n\
                [tasks.convert]\nexpand = { n = [0, 1] }\n\
                shell = 'test $TIDEMILL_MAP_N = 0 || until [ -e GO ]; do sleep 0.05; done; echo made $TIDEMILL_MAP_N'\n\
                [tasks.resize]\nexpand = { r = { each = 'convert' } }\n\
                shell = 'echo resized $TIDEMILL_MAP_R'\n\
                [tasks.all]\ndepends_on = ['resize']\n\
                shell = { command = 'cat {{ tasks.resize.outputs_file }}', output = 'stdout' }\n";
    place.write_dag("steps.toml", &text.replace("GO", go.to_str().unwrap()));
    let server = place.serve();
    server.wait_for_dag("steps");
    let worker = WorkerProcess::start(&place, &["--queues", "far", "--slots", "4"]);
    let run = place.trigger("steps", &[]);
    wait_for("the first instance below", PATIENCE, || {
        let all = server.tasks("steps", &run);
        let is_done = |task: &&Value| {
            task["task_id"] == "resize" && task["map_index"] == 0 && task["state"] == "success"
        };
        all.iter().find(is_done).map(|_| ())
    });
    std::fs::write(go, "").unwrap();
    let ended = server.wait_for_end("steps", &run);
    assert_eq!(ended["state"], "success", "{}", worker.log());
    assert_eq!(value(&server, "steps", &run, "resize", 1), "resized made 1");
    let lines = value(&server, "steps", &run, "all", -1);
    let expect = "{\"return_value\":\"resized made 0\"}\n{\"return_value\":\"resized made 1\"}";
    assert_eq!(lines.as_str().unwrap().trim_end(), expect);
}

/// What lies in a folder that all databases share, of the one that there is.
fn folders_of_runs(shared: &std::path::Path) -> usize {
    let databases = std::fs::read_dir(shared).unwrap().flatten();
    let mut databases = databases.map(|one| std::fs::read_dir(one.path()).unwrap().count());
    let n_runs = databases.next().unwrap();
    assert_eq!(databases.next(), None);
    n_runs
}

#[test]
fn tasks_on_different_workers_share_the_folder_of_their_run_where_one_is_named() {
    let place = place();
    let shared = place.folder().join("shared");
    std::fs::create_dir(&shared).unwrap();
    let text = "[tasks.mill]\nqueue = 'mill'\nshell = 'echo flour > $TIDEMILL_RUN_DIR/sack'\n\
                [tasks.bake]\nqueue = 'bake'\ndepends_on = ['mill']\n\
                shell = 'cat $TIDEMILL_RUN_DIR/sack; echo bread > $TIDEMILL_RUN_DIR/basket'\n\
                [tasks.eat]\ndepends_on = ['bake']\nshell = 'cat $TIDEMILL_RUN_DIR/basket'\n";
    place.write_dag("bread.toml", text);
    let mut command = place.serve_command();
    command.arg("--runs").arg(&shared);
    let server = place.serve_with(command);
    server.wait_for_dag("bread");
    let mill = ["--queues", "mill", "--runs", shared.to_str().unwrap()];
    let mill = WorkerProcess::start(&place, &mill);
    // The other one is told by its configuration.
    let bakery = place.beside();
    std::fs::create_dir(bakery.home()).unwrap();
    let settings = format!("[folders]\nruns = '{}'\n", shared.display());
    std::fs::write(bakery.home().join("tidemill.toml"), settings).unwrap();
    let bakery = WorkerProcess::start_in(bakery, &["--queues", "bake"]);
    let run = place.trigger("bread", &[]);
    let ended = server.wait_for_end("bread", &run);
    assert_eq!(ended["state"], "success", "{}{}", mill.log(), bakery.log());
    assert_eq!(value(&server, "bread", &run, "bake", -1), "flour");
    assert_eq!(value(&server, "bread", &run, "eat", -1), "bread");
    assert_eq!(folders_of_runs(&shared), 1);
    let gone = place.call(&["runs", "delete", &format!("bread/{run}"), "--yes"]);
    assert!(gone.status.success(), "{}", told(&gone));
    wait_for("its folder to be gone", PATIENCE, || {
        (folders_of_runs(&shared) == 0).then_some(())
    });
}

/// Sessions that listen for something.
fn n_listening(place: &Place, word: &str) -> usize {
    let database = place.database().unwrap().split(['/', '?']).nth(3).unwrap();
    let text = format!(
        "select count(*) from pg_stat_activity
         where datname = current_database() and query like 'LISTEN%{word}%'"
    );
    postgres::Server::shared()
        .sql(database, &text)
        .parse()
        .unwrap()
}

#[test]
fn the_server_and_its_workers_listen_but_for_those_that_are_told_not_to() {
    let place = place();
    let text = "[default_args]\nqueue = 'far'\n[tasks]\nhello = 'echo good morning'\n";
    place.write_dag("hello.toml", text);
    let server = place.serve();
    server.wait_for_dag("hello");
    let _silent = WorkerProcess::start(&place, &["--queues", "far", "--no-notify"]);
    let run = place.trigger("hello", &[]);
    assert_eq!(server.wait_for_end("hello", &run)["state"], "success");
    wait_for("the server to listen", PATIENCE, || {
        (n_listening(&place, "tidemill_arrivals") == 1).then_some(())
    });
    assert_eq!(n_listening(&place, "tidemill_work"), 0);
    let _one = WorkerProcess::start(&place, &["--queues", "far"]);
    wait_for("the worker to listen", PATIENCE, || {
        (n_listening(&place, "tidemill_work") == 1).then_some(())
    });
}

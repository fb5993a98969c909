//! Old runs go by themselves or by a person's word, with all that belongs to them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use support::waiting::wait_for;
use support::{PATIENCE, Place, Server, stdout, told};

const DAG: &str = "[tasks.say]\nshell = 'echo hello; touch \"$TIDEMILL_RUN_DIR/mark\"'\n";

/// The names of what a home keeps for its runs.
fn folders(place: &Place, kind: &str) -> Vec<String> {
    let Ok(listed) = std::fs::read_dir(place.home().join(kind)) else {
        return Vec::new();
    };
    let mut names: Vec<String> = listed
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

fn end(mut server: Server) {
    server.signal(rustix::process::Signal::TERM);
    server.wait_until_gone();
}

#[test]
fn runs_older_than_the_configuration_says_go_but_for_the_newest_of_each_dag() {
    let place = Place::new();
    place.write_dag("often.toml", DAG);
    place.write_dag("seldom.toml", DAG);
    let server = place.serve();
    let run = |dag: &str| {
        server.wait_for_dag(dag);
        let run = place.trigger(dag, &[]);
        server.wait_for_end(dag, &run);
        run
    };
    let often: Vec<String> = (0..4).map(|_| run("often")).collect();
    let seldom = run("seldom");
    assert_eq!(folders(&place, "logs").len(), 5);
    end(server);

    std::fs::write(
        place.home().join("tidemill.toml"),
        "[retention]\nruns = '1ms'\nkeep_last = 2\n",
    )
    .unwrap();
    let server = place.serve();
    wait_for("old runs to go", PATIENCE, || {
        (server.runs("often").len() == 2).then_some(())
    });
    let left: Vec<String> = server
        .runs("often")
        .iter()
        .map(|run| run["dag_run_id"].as_str().unwrap().to_string())
        .collect();
    assert!(often[2..].iter().all(|run| left.contains(run)), "{left:?}");
    assert_eq!(server.runs("seldom")[0]["dag_run_id"], seldom);
    for kind in ["logs", "runs"] {
        wait_for("their folders to go", PATIENCE, || {
            (folders(&place, kind).len() == 3).then_some(())
        });
    }
    let (status, _) = server.get(&format!("/api/v2/dags/often/dagRuns/{}", often[0]));
    assert_eq!(status, 404);
}

#[test]
fn a_person_forgets_a_run_that_is_over_and_none_that_runs() {
    let place = Place::new();
    place.write_dag("said.toml", DAG);
    let waits = format!("[tasks.wait]\nshell = '{}'\n", place.until("go"));
    place.write_dag("waits.toml", &waits);
    let server = place.serve();
    server.wait_for_dag("said");
    server.wait_for_dag("waits");
    let run = place.trigger("said", &[]);
    server.wait_for_end("said", &run);
    let name = format!("said/{run}");

    let unasked = place.call(&["runs", "delete", &name]);
    assert_eq!(unasked.status.code(), Some(2), "{}", told(&unasked));
    let gone = place.call(&["runs", "delete", &name, "--yes"]);
    assert!(stdout(&gone).contains("is gone"), "{}", told(&gone));
    let again = place.call(&["runs", "delete", &name, "--yes"]);
    assert_eq!(again.status.code(), Some(3), "{}", told(&again));

    let running = place.trigger("waits", &[]);
    server.wait_for_task("waits", &running, "wait", "running");
    let refused = place.call(&["runs", "delete", &format!("waits/{running}"), "--yes"]);
    assert_eq!(refused.status.code(), Some(5), "{}", told(&refused));
    assert!(
        told(&refused).contains("cancel it first"),
        "{}",
        told(&refused)
    );
    place.open("go");
    assert_eq!(server.wait_for_end("waits", &running)["state"], "success");
}

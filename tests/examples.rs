//! Every example in `dags/`: valid, as the schema says, and running to success.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use serde_json::Value;
use std::path::PathBuf;
use support::{Place, project, stdout, told};

/// All DAG files of the folder, the directory form among them.
fn examples() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(project().join("dags")).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            found.push(path);
        } else if path.join("dag.toml").exists() {
            found.push(path.join("dag.toml"));
        }
    }
    found.sort();
    assert!(found.len() >= 6, "{found:?}");
    found
}

#[test]
fn every_example_is_valid_without_a_warning() {
    let place = Place::new();
    let output = place.call(&[
        "validate",
        project().join("dags").to_str().unwrap(),
        "-o",
        "json",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let list: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(list.is_empty(), "{list:#?}");
}

#[test]
fn every_example_runs_to_success() {
    for file in examples() {
        let place = Place::new();
        let output = place.call(&["run", file.to_str().unwrap(), "-o", "json"]);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}: {}",
            file.display(),
            told(&output)
        );
        let run: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(run["state"], "success", "{}", file.display());
    }
}

#[test]
fn the_example_on_real_input_has_eight_tasks_and_checks_its_numbers() {
    let place = Place::new();
    let file = project().join("dags/package_atlas/dag.toml");
    let output = place.call(&["run", file.to_str().unwrap(), "-o", "json"]);
    let run: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)));
    let tasks = run["task_instances"].as_array().unwrap();
    assert!(tasks.len() >= 8);
    let check = tasks
        .iter()
        .find(|task| task["task_id"] == "check")
        .unwrap();
    assert!(
        check["output"]
            .as_str()
            .unwrap()
            .contains("all numbers agree"),
        "{check}"
    );
    let chart = tasks
        .iter()
        .find(|task| task["task_id"] == "chart")
        .unwrap();
    assert!(
        chart["output"]
            .as_str()
            .unwrap()
            .ends_with("package_atlas.svg"),
        "{chart}"
    );
}

#[test]
fn the_example_server_of_the_readme_knows_every_example() {
    let place = Place::new();
    std::fs::remove_dir(place.dags()).unwrap();
    std::os::unix::fs::symlink(project().join("dags"), place.dags()).unwrap();
    let server = place.serve();
    for dag in [
        "hello",
        "package_atlas",
        "retries",
        "params_and_outputs",
        "groups",
        "skip",
    ] {
        server.wait_for_dag(dag);
    }
    let listed = place.call(&["dags", "list"]);
    assert!(
        stdout(&listed).contains("package_atlas"),
        "{}",
        told(&listed)
    );
}

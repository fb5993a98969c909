//! WebAssembly tasks in the whole program: the example, a server, and `wasm inspect`.

#![cfg(feature = "wasm")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use support::{Place, project, stdout, told};

/// A copy of the example with its modules built from their sources in C and Rust.
fn example(place: &Place) -> PathBuf {
    let folder = place.dags().join("wasm_words");
    std::fs::create_dir(&folder).unwrap();
    for name in ["dag.toml", "words.c", "top.rs", "build"] {
        let from = project().join("examples/wasm_words").join(name);
        std::fs::copy(from, folder.join(name)).unwrap();
    }
    // Through `sh`: a file just written may be open for writing in a child that another test is
    // starting, and could then not be executed itself.
    let built = Command::new("sh")
        .arg(folder.join("build"))
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "needs clang, wasi-libc and a rustc with the target (scripts/install-test-needs): {}",
        told(&built)
    );
    folder
}

#[test]
fn the_example_counts_the_same_in_a_module_and_in_a_pipeline_and_shows_both_times() {
    let place = Place::new();
    let file = example(&place).join("dag.toml");
    let output = place.call(&["run", file.to_str().unwrap(), "-o", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tasks = run["task_instances"].as_array().unwrap();
    let task = |name: &str| tasks.iter().find(|task| task["task_id"] == name).unwrap();
    assert_eq!(task("compare")["output"], "both agree");
    let top = &task("top")["output"];
    assert_eq!(top["top"][0]["word"], "the", "{top}");
    assert!(top["total"].as_u64().unwrap() > 100_000, "{top}");
    for name in ["count_in_wasm", "count_in_shell"] {
        assert!(task(name)["duration"].as_f64().unwrap() > 0.0);
        println!("{name}: {} s", task(name)["duration"]);
    }
}

#[test]
fn a_server_runs_modules_and_a_second_run_finds_them_compiled() {
    let place = Place::new();
    example(&place);
    let server = place.serve();
    server.wait_for_dag("wasm_words");
    for _ in 0..2 {
        let run = place.trigger("wasm_words", &[]);
        assert_eq!(server.wait_for_end("wasm_words", &run)["state"], "success");
        let task = server.task("wasm_words", &run, "count_in_wasm");
        assert_eq!(task["operator"], "wasm", "{task}");
    }
    let cache = std::fs::read_dir(place.home().join("wasm-cache")).unwrap();
    assert_eq!(cache.count(), 3, "a key and two modules");
}

#[test]
fn inspect_says_what_a_module_is_and_needs() {
    let place = Place::new();
    let folder = example(&place);
    let module = folder.join("words.wasm");
    let shown = place.call(&["wasm", "inspect", module.to_str().unwrap()]);
    let text = stdout(&shown);
    assert_eq!(shown.status.code(), Some(0), "{}", told(&shown));
    for part in [
        "preview 1 command",
        "wasi_snapshot_preview1::fd_write",
        "_start",
        "stdin: it reads",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let found = place.call_json(&["wasm", "inspect", module.to_str().unwrap(), "-o", "json"]);
    assert_eq!(
        (&found["kind"], &found["is_command"]),
        (&"module".into(), &true.into())
    );
    let source = folder.join("words.c");
    let refused = place.call(&["wasm", "inspect", source.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(10), "{}", told(&refused));
    let missing = place.call(&["wasm", "inspect", "no.wasm"]);
    assert_eq!(missing.status.code(), Some(3));
}

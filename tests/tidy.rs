//! The house rules that a program can check.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Which of our crates each room may name. A new arrow needs a reason and a line here.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("connection", &["model"]),
    ("template", &["model", "connection"]),
    ("dagfile", &["model", "template"]),
    ("scheduler", &["model"]),
    ("log", &["model"]),
    ("wasm", &[]),
    (
        "executor",
        &["log", "model", "connection", "template", "wasm"],
    ),
    ("store", &["model", "connection"]),
    ("store/sqlite", &["model", "store"]),
    ("store/postgres", &["model", "store", "store-conformance"]),
    (
        "store/conformance",
        &["model", "store", "store-sqlite", "store-postgres"],
    ),
    ("archive", &["log", "model", "connection", "archive-rig"]),
    ("archive/rig", &[]),
    ("web", &["log", "model", "connection", "store", "dagfile"]),
    // It starts tasks by the worker itself, from a process as large as it likes.
    (
        "bench",
        &[
            "dagfile",
            "executor",
            "model",
            "kafka-rig",
            "store-conformance",
            "template",
        ],
    ),
    ("kafka", &["model", "store", "template", "kafka-rig"]),
    ("kafka/rig", &[]),
];

/// What a room must not know, besides our other rooms.
const MAY_NOT_KNOW: &[(&str, &[&str])] = &[
    (
        "model",
        &["tokio", "sqlx", "axum", "async-trait", "getrandom"],
    ),
    (
        "scheduler",
        &["tokio", "sqlx", "axum", "async-trait", "getrandom", "jiff"],
    ),
    ("connection", &["tokio", "sqlx", "axum"]),
    ("template", &["tokio", "sqlx", "axum"]),
    ("dagfile", &["tokio", "sqlx", "axum"]),
    // It speaks to the databases of tasks, never to the memory's.
    ("executor", &["libsqlite3-sys", "axum", "rdkafka"]),
    ("kafka", &["sqlx", "libsqlite3-sys", "axum", "toml"]),
    ("log", &["tokio", "sqlx", "axum", "object_store"]),
    ("archive", &["sqlx", "axum", "toml"]),
    ("wasm", &["sqlx", "axum", "toml"]),
    ("store", &["sqlx", "libsqlite3-sys", "axum", "toml"]),
    ("web", &["sqlx", "libsqlite3-sys", "rdkafka"]),
];

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if name != "target"
                && name != "node_modules"
                && !name.as_encoded_bytes().starts_with(b".")
            {
                files(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn rust_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(top(), &mut found);
    assert!(found.len() > 10);
    found
}

/// Names under `[section]` of a manifest, up to the next header.
fn names(manifest: &str, section: &str) -> BTreeSet<String> {
    let lines = manifest
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != format!("[{section}]"))
        .skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    let name = |line: &str| line.split(['.', '=', ' ']).next().unwrap_or("").to_string();
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(name)
        .collect()
}

#[test]
fn no_source_file_is_longer_than_500_lines() {
    let long: Vec<String> = rust_files()
        .iter()
        .map(|path| (path, std::fs::read_to_string(path).unwrap().lines().count()))
        .filter(|(_, lines)| *lines > 500)
        .map(|(path, lines)| format!("{}: {lines}", path.display()))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn each_room_imports_only_what_the_map_allows() {
    for (room, allowed) in MAY_IMPORT {
        let manifest = std::fs::read_to_string(top().join(room).join("Cargo.toml")).unwrap();
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for name in names(&manifest, section) {
                if let Some(ours) = name.strip_prefix("tidemill-") {
                    assert!(allowed.contains(&ours), "{room} may not import {ours}");
                }
            }
        }
    }
    for (room, forbidden) in MAY_NOT_KNOW {
        let manifest = std::fs::read_to_string(top().join(room).join("Cargo.toml")).unwrap();
        let known = names(&manifest, "dependencies");
        for word in *forbidden {
            assert!(!known.contains(*word), "{room} may not know {word}");
        }
    }
}

#[test]
fn every_room_stands_in_the_map() {
    let manifest = std::fs::read_to_string(top().join("Cargo.toml")).unwrap();
    let line = manifest
        .lines()
        .find(|line| line.starts_with("members"))
        .unwrap();
    let members: BTreeSet<&str> = line.split('"').skip(1).step_by(2).collect();
    let mapped: BTreeSet<&str> = MAY_IMPORT.iter().map(|(room, _)| *room).collect();
    assert_eq!(members, mapped);
}

/// Calls to sleep in a test outside the functions that wait for a condition.
fn sleeping_lines(text: &str) -> Vec<usize> {
    let calls = ["::sleep", " sleep"].map(|name| [name, "("].concat());
    let mut function = "";
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if let Some((_, rest)) = line.split_once("fn ") {
            function = rest;
        }
        let is_waiting = ["wait", "within", "eventually"]
            .iter()
            .any(|name| function.starts_with(name));
        if calls.iter().any(|call| line.contains(call)) && !is_waiting {
            found.push(at + 1);
        }
    }
    found
}

#[test]
fn tests_wait_for_conditions_only() {
    for path in rust_files() {
        let inside = path.strip_prefix(top()).unwrap();
        let is_test = inside.components().any(|part| part.as_os_str() == "tests")
            || inside.ends_with("tests.rs");
        if is_test {
            let lines = sleeping_lines(&std::fs::read_to_string(&path).unwrap());
            assert!(
                lines.is_empty(),
                "{} sleeps at lines {lines:?}",
                inside.display()
            );
        }
    }
}

#[test]
fn nothing_is_left_unfinished() {
    for path in rust_files() {
        let text = std::fs::read_to_string(&path).unwrap();
        for word in [
            ["todo", "!("].concat(),
            ["unimplemented", "!("].concat(),
            ["#[", "ignore"].concat(),
        ] {
            assert!(!text.contains(&word), "{} has {word}", path.display());
        }
    }
}

#[test]
fn sql_stands_in_the_stores_only() {
    for path in rust_files() {
        let inside = path.strip_prefix(top()).unwrap();
        if inside.starts_with("store") || inside.starts_with("tests") || inside.starts_with("bench")
        {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for word in ["INSERT INTO ", "SELECT * FROM", "UPDATE task_instance"] {
            assert!(!text.contains(word), "{} speaks SQL", inside.display());
        }
    }
}

//! The SQLite store passes the suite, and compares with the reference store over restarts.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::cell::Cell;
use std::path::Path;
use tidemill_store_conformance::{exercise, exercise_streams, random_ops};
use tidemill_store_sqlite::SqliteStore;

const STEPS: usize = 150;

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path).await.unwrap()
}

#[tokio::test]
async fn the_sqlite_store_behaves() {
    let folder = tempfile::tempdir().unwrap();
    let n_opened = Cell::new(0);
    let new_store = async || {
        n_opened.set(n_opened.get() + 1);
        open(&folder.path().join(format!("{}.db", n_opened.get()))).await
    };
    Box::pin(exercise(new_store)).await;
}

/// Another seed, or a longer game, by `TIDEMILL_SEED=7 TIDEMILL_STEPS=5000`.
#[tokio::test]
async fn random_operations_match_the_reference_store_over_restarts() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let seeds = number("TIDEMILL_SEED").map_or(1..=4, |seed| seed..=seed);
    let n_steps = number("TIDEMILL_STEPS").map_or(STEPS, |steps| steps as usize);
    for seed in seeds {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tidemill.db");
        let reopen = async |store: SqliteStore| {
            store.close().await.unwrap();
            open(&path).await
        };
        Box::pin(random_ops(
            seed,
            n_steps,
            async || open(&path).await,
            reopen,
        ))
        .await;
    }
}

#[tokio::test]
async fn a_store_that_is_dropped_without_a_close_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidemill.db");
    let reopen = async |store: SqliteStore| {
        drop(store);
        open(&path).await
    };
    Box::pin(random_ops(99, STEPS, async || open(&path).await, reopen)).await;
}

#[tokio::test]
async fn the_sqlite_store_behaves_towards_streams() {
    let folder = tempfile::tempdir().unwrap();
    let n_opened = Cell::new(0);
    let new_store = async || {
        n_opened.set(n_opened.get() + 1);
        open(&folder.path().join(format!("{}.db", n_opened.get()))).await
    };
    Box::pin(exercise_streams(new_store)).await;
}

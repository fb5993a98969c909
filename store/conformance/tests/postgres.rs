//! The PostgreSQL store passes the suite, and compares with the reference store over restarts of
//! the store and of the server.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::cell::RefCell;
use tidemill_store_conformance::server::Server;
use tidemill_store_conformance::{
    exercise, exercise_streams, exercise_wishes, exercise_workers, random_ops,
};
use tidemill_store_postgres::{Address, PostgresStore};

const STEPS: usize = 150;

async fn open(url: &str) -> PostgresStore {
    PostgresStore::open(&Address::parse(url, None).unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn the_postgres_store_behaves() {
    let server = Server::shared();
    let new_store = async || open(&server.new_database()).await;
    Box::pin(exercise(new_store)).await;
}

#[tokio::test]
async fn the_postgres_store_behaves_towards_workers() {
    let server = Server::shared();
    let new_store = async || open(&server.new_database()).await;
    Box::pin(exercise_workers(new_store)).await;
}

/// Another seed, or a longer game, by `TIDEMILL_SEED=7 TIDEMILL_STEPS=5000`.
#[tokio::test]
async fn random_operations_match_the_reference_store_over_restarts() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let seeds = number("TIDEMILL_SEED").map_or(1..=2, |seed| seed..=seed);
    let n_steps = number("TIDEMILL_STEPS").map_or(STEPS, |steps| steps as usize);
    for seed in seeds {
        let url = Server::shared().new_database();
        let reopen = async |store: PostgresStore| {
            store.close().await;
            open(&url).await
        };
        Box::pin(random_ops(seed, n_steps, async || open(&url).await, reopen)).await;
    }
}

#[tokio::test]
async fn a_server_that_is_killed_loses_nothing_and_the_store_reconnects() {
    let server = RefCell::new(Server::start());
    let url = server.borrow().new_database();
    let signals = RefCell::new(["KILL", "INT", "QUIT"].iter().cycle());
    let restart = async |store: PostgresStore| {
        let signal = signals.borrow_mut().next().unwrap();
        server.borrow_mut().restart(signal);
        store
    };
    Box::pin(random_ops(99, STEPS, async || open(&url).await, restart)).await;
}

#[tokio::test]
async fn the_postgres_store_behaves_towards_streams() {
    let server = Server::shared();
    let new_store = async || open(&server.new_database()).await;
    Box::pin(exercise_streams(new_store)).await;
}

#[tokio::test]
async fn the_postgres_store_carries_wishes() {
    let server = Server::shared();
    let new_store = async || open(&server.new_database()).await;
    Box::pin(exercise_wishes(new_store)).await;
}

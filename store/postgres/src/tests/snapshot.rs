//! A snapshot that somebody holds open keeps every dead row on the disk. The queues must not get
//! slower by it: a scan looks at what lives, however much is dead.

use super::*;
use crate::session::{Role, connect};
use sqlx::{ConnectOptions, Connection, Row};
use tidemill_model::Outcome;

const AT_ONCE: usize = 16;

/// One round of a worker: attempts are dispatched, claimed, reported and settled.
async fn round(scene: &Scene, worker: (&PostgresStore, i64), number: i64) {
    let tasks = 0..scene.kept.task_nos.len();
    let attempts: Vec<Attempt> = tasks.map(|task| scene.attempt(task, number)).collect();
    let dispatches = attempts.iter().map(|attempt| scene.dispatch(*attempt));
    let pass = Pass {
        term: scene.term,
        ..Pass::default()
    };
    let dispatched = Pass {
        dispatches: dispatches.collect(),
        ..pass.clone()
    };
    scene.store.commit_pass(&dispatched).await.unwrap();
    let (store, worker) = worker;
    let claims = store.claim(worker, AT_ONCE as u32).await.unwrap();
    assert_eq!(claims.len(), AT_ONCE);
    let arrived = scene.store.arrivals(1_000).await.unwrap();
    assert_eq!(arrived.claims.len(), AT_ONCE);
    let claimed = Pass {
        claimed: attempts.clone(),
        ..pass.clone()
    };
    scene.store.commit_pass(&claimed).await.unwrap();
    let report = |attempt: &Attempt| WorkerReport {
        attempt: *attempt,
        worker,
        outcome: Outcome::success(),
    };
    let reports: Vec<WorkerReport> = attempts.iter().map(report).collect();
    store.report(&reports).await.unwrap();
    let arrived = scene.store.arrivals(1_000).await.unwrap();
    assert_eq!(arrived.reports.len(), AT_ONCE);
    let settled = Pass {
        settled: attempts,
        ..pass
    };
    scene.store.commit_pass(&settled).await.unwrap();
}

/// Pages that a claim with nothing to claim touches.
async fn pages_of_a_claim(url: &str, worker: i64) -> u64 {
    let mut conn = connect(&address(url), Role::Worker).await.unwrap();
    let text = concat!(
        "explain (analyze, buffers) ",
        include_str!("../../sql/worker_claim.sql")
    );
    let query = sqlx::query(text).bind(worker).bind(16_i64).bind(0_i32);
    pages(&query.fetch_all(&mut conn).await.unwrap())
}

/// Pages that a look at arrivals touches, with marks as a scheduler has them.
async fn pages_of_a_look(scene: &Scene) -> u64 {
    let mut writer = scene.store.writer.lock().await;
    let (dispatch, reports) = writer.marks_for_test();
    drop(writer);
    let mut conn = connect(&address(&scene.url), Role::Passes).await.unwrap();
    let text = concat!(
        "explain (analyze, buffers) ",
        include_str!("../../sql/arrivals.sql")
    );
    let query = sqlx::query(text)
        .bind(1_000_i64)
        .bind(dispatch)
        .bind(reports.to_string());
    pages(&query.fetch_all(&mut conn).await.unwrap())
}

fn pages(plan: &[sqlx::postgres::PgRow]) -> u64 {
    let lines: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    let line = lines.iter().find(|line| line.contains("Buffers:")).unwrap();
    let counts = line
        .split([' ', '='])
        .filter_map(|word| word.parse::<u64>().ok());
    counts.sum()
}

#[tokio::test]
async fn with_a_snapshot_held_open_claims_and_looks_touch_what_lives_and_not_what_is_dead() {
    // A server of its own: the snapshot would keep the dead rows of all other tests.
    let server = Server::start();
    let scene = scene_at(server.new_database(), AT_ONCE).await;
    let store = PostgresStore::open_existing(&address(&scene.url))
        .await
        .unwrap();
    let worker = NewWorker {
        host: "mill".to_string(),
        pid: 7,
        slots: AT_ONCE as u32,
        queues: vec!["default".to_string()],
        logs: None,
        lease: Duration::from_secs(600),
    };
    let worker = store.enter(&worker).await.unwrap();
    let mut holding = address(&scene.url).options.connect().await.unwrap();
    let mut held = holding
        .begin_with("begin isolation level repeatable read")
        .await
        .unwrap();
    sqlx::query("select 1").execute(&mut *held).await.unwrap();

    for number in 1..=20 {
        round(&scene, (&store, worker), number).await;
    }
    let few = [
        pages_of_a_claim(&scene.url, worker).await,
        pages_of_a_look(&scene).await,
    ];
    for number in 21..=320 {
        round(&scene, (&store, worker), number).await;
    }
    let many = [
        pages_of_a_claim(&scene.url, worker).await,
        pages_of_a_look(&scene).await,
    ];
    println!("a claim and a look touch {few:?} pages after 20 rounds, {many:?} after 320");
    for pages in many {
        assert!(pages < 1_000, "{few:?} {many:?}");
    }
    // And nothing was swept away meanwhile: each attempt has left two dead rows in `dispatch` and
    // one in `report`, and no more.
    let n_attempts = 320 * AT_ONCE as u64;
    let dead = wait_for("the counts of dead rows", async || {
        let text = "select coalesce(sum(n_dead_tup), 0) from pg_stat_user_tables where relname in ('dispatch', 'report')";
        let dead: u64 = server.sql(database(&scene.url), text).parse().unwrap();
        (dead >= n_attempts).then_some(dead)
    })
    .await;
    assert!(
        dead <= 3 * n_attempts,
        "{dead} dead rows of {n_attempts} attempts"
    );
    held.rollback().await.unwrap();
}

//! What is said in the database is heard by who listens. Nobody looks by himself here, so nothing
//! but the word itself lets these tests go on.

use super::*;
use crate::{Listener, Rings};
use std::sync::Arc;
use tidemill_model::{Outcome, Reason};

/// A floor that no test lives to see.
const NEVER: Duration = Duration::from_secs(86_400);

async fn hear(listener: &mut Listener, what: &str) {
    let heard = tokio::time::timeout(PATIENCE, listener.wait(NEVER)).await;
    assert!(heard.is_ok(), "nobody was told of {what}");
}

#[tokio::test]
async fn workers_hear_of_work_and_of_kills_and_the_scheduler_of_claims_and_reports() {
    let scene = scene(2).await;
    let store = &scene.store;
    let ear = Arc::new(open(&scene.url).await);
    let mut work = Listener::new(Arc::clone(&ear), Rings::Work);
    let mut arrivals = Listener::new(ear, Rings::Arrivals);
    for listener in [&mut work, &mut arrivals] {
        hear(listener, "its own beginning").await;
    }
    let attempt = scene.attempt(0, 1);
    let give_out = Pass {
        dispatches: vec![scene.dispatch(attempt)],
        ..scene.pass(2, TaskState::Queued)
    };
    store.commit_pass(&give_out).await.unwrap();
    hear(&mut work, "an attempt that is given out").await;

    let worker = store.enter(&answers::a_worker()).await.unwrap();
    assert_eq!(store.claim(worker, 1).await.unwrap().len(), 1);
    hear(&mut arrivals, "a claim").await;

    let kill = Pass {
        kills: vec![Kill {
            attempt,
            worker,
            reason: Reason::Cancelled,
        }],
        claimed: vec![attempt],
        ..scene.pass(3, TaskState::Running)
    };
    store.commit_pass(&kill).await.unwrap();
    hear(&mut work, "a kill").await;

    let report = WorkerReport {
        attempt,
        worker,
        outcome: Outcome::success(),
    };
    store.report(&[report]).await.unwrap();
    hear(&mut arrivals, "a report").await;
}

#[tokio::test]
async fn the_scheduler_hears_of_what_other_processes_are_asked() {
    let scene = scene(1).await;
    let ear = Arc::new(open(&scene.url).await);
    let mut wishes = Listener::new(ear, Rings::Wishes);
    hear(&mut wishes, "its own beginning").await;
    scene.store.put_wish("a wish").await.unwrap();
    hear(&mut wishes, "a wish").await;
}

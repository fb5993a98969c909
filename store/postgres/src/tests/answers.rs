//! A commit whose answer is lost is settled by reading.

use super::*;
use tidemill_model::{Outcome, Reason};
use tidemill_store_conformance::proxy::{Cut, Proxy};

/// Stands in the text of a pass alone.
const PASS: &str = "One pass, in one statement";

/// A scene by a way that can be cut.
pub(super) struct Cuttable {
    pub(super) scene: Scene,
    pub(super) proxy: Proxy,
}

pub(super) async fn cuttable() -> Cuttable {
    let server = Server::shared();
    let direct = server.new_database();
    let proxy = Proxy::to(server.folder());
    let mut scene = scene_at(proxy.url("postgres", database(&direct)), 2).await;
    scene.url = direct;
    // The statement is prepared now: from here on a pass is one question.
    scene
        .store
        .commit_pass(&scene.pass(1, TaskState::Scheduled))
        .await
        .unwrap();
    Cuttable { scene, proxy }
}

fn n_changes(scene: &Scene) -> String {
    sql(&scene.url, "select count(*), max(seq) from change")
}

#[tokio::test]
async fn a_pass_whose_answer_is_lost_has_happened_once() {
    let Cuttable { scene, proxy } = cuttable().await;
    proxy.set(Cut::Answer, PASS);
    scene
        .store
        .commit_pass(&scene.pass(2, TaskState::Queued))
        .await
        .unwrap();
    assert!(proxy.has_cut());
    assert_eq!(scene.first_task().await, TaskState::Queued);
    assert_eq!(n_changes(&scene), "2|2");
    scene
        .store
        .commit_pass(&scene.pass(3, TaskState::Running))
        .await
        .unwrap();
    assert_eq!(n_changes(&scene), "3|3");
}

#[tokio::test]
async fn a_pass_that_did_not_reach_the_server_is_written_then() {
    let Cuttable { scene, proxy } = cuttable().await;
    proxy.set(Cut::Question, PASS);
    scene
        .store
        .commit_pass(&scene.pass(2, TaskState::Queued))
        .await
        .unwrap();
    assert!(proxy.has_cut());
    assert_eq!(scene.first_task().await, TaskState::Queued);
    assert_eq!(n_changes(&scene), "2|2");
}

#[tokio::test]
async fn while_the_server_is_away_nothing_is_assumed_and_the_same_pass_settles_it() {
    let Cuttable { scene, proxy } = cuttable().await;
    proxy.set(Cut::AnswerThenAway, PASS);
    let pass = scene.pass(2, TaskState::Queued);
    for _ in 0..2 {
        let lost = scene.store.commit_pass(&pass).await;
        assert!(
            matches!(lost, Err(StoreError::Unavailable { .. })),
            "{lost:?}"
        );
    }
    assert_eq!(n_changes(&scene), "2|2", "it had been written all along");
    proxy.set(Cut::None, PASS);
    scene.store.commit_pass(&pass).await.unwrap();
    assert_eq!(n_changes(&scene), "2|2");
    scene
        .store
        .commit_pass(&scene.pass(3, TaskState::Running))
        .await
        .unwrap();
    assert_eq!(scene.first_task().await, TaskState::Running);
}

#[tokio::test]
async fn a_new_run_whose_answer_is_lost_is_made_once() {
    let Cuttable { scene, proxy } = cuttable().await;
    for (run, cut) in [(2, Cut::Answer), (3, Cut::Question)] {
        proxy.set(cut, PASS);
        let pass = Pass {
            new_runs: vec![a_run(run, &scene.kept)],
            ..scene.pass(run, TaskState::Queued)
        };
        scene.store.commit_pass(&pass).await.unwrap();
        assert!(proxy.has_cut());
        assert_eq!(n_changes(&scene), format!("{run}|{run}"));
    }
    assert_eq!(sql(&scene.url, "select count(*) from dag_run"), "3");
}

#[tokio::test]
async fn a_pass_of_a_term_that_was_lost_meanwhile_is_refused() {
    let Cuttable { scene, proxy } = cuttable().await;
    proxy.set(Cut::Away, PASS);
    let pass = scene.pass(2, TaskState::Queued);
    assert!(scene.store.commit_pass(&pass).await.is_err());
    sql(&scene.url, "update term set term = term + 1");
    proxy.set(Cut::None, PASS);
    let refused = scene.store.commit_pass(&pass).await;
    assert!(matches!(refused, Err(StoreError::TermLost)), "{refused:?}");
    assert_eq!(n_changes(&scene), "1|1");
}

fn a_mistake() -> ImportError {
    ImportError {
        code: "TM0001".to_string(),
        severity: "error".to_string(),
        file: "f.toml".to_string(),
        line: 1,
        column: 1,
        end_line: 1,
        end_column: 2,
        message: "odd".to_string(),
        help: None,
    }
}

/// Versions are known by their hash, mistakes by their file, and staleness by its DAG: whoever
/// was not told asks again, and finds what was written.
#[tokio::test]
async fn the_other_writes_can_be_sent_again_when_their_answer_is_lost() {
    let Cuttable { scene, proxy } = cuttable().await;
    let dag = scene.kept.dag.dag;
    for cut in [Cut::Answer, Cut::Question] {
        let version = a_version(&format!("h-{cut:?}"), 3);
        proxy.set(cut, "COMMIT");
        assert!(scene.store.put_version(&version).await.is_err());
        let kept = scene.store.put_version(&version).await.unwrap();
        assert_eq!(kept.is_new, cut == Cut::Question);
        assert_eq!(kept.task_nos.len(), 3);
        proxy.set(cut, "COMMIT");
        assert!(scene.store.mark_stale(&[dag], Ts(1)).await.is_err());
        scene.store.mark_stale(&[dag], Ts(1)).await.unwrap();
        assert!(scene.store.dag("etl").await.unwrap().unwrap().is_stale);
        for errors in [&[a_mistake()][..], &[]] {
            proxy.set(cut, "COMMIT");
            let put = || scene.store.put_import_errors("f.toml", errors, Ts(1));
            assert!(put().await.is_err());
            assert!(proxy.has_cut());
            put().await.unwrap();
            let found = scene.store.import_errors().await.unwrap();
            assert_eq!(found.len(), errors.len());
        }
    }
    let versions = scene.store.versions(dag).await.unwrap();
    assert_eq!(versions.len(), 3);
}

/// Whoever was not told that it has the term asks again, and nobody has written meanwhile.
#[tokio::test]
async fn a_term_whose_answer_is_lost_is_taken_by_asking_again() {
    let Cuttable { scene, proxy } = cuttable().await;
    scene.store.close().await;
    let url = proxy.url("postgres", database(&scene.url));
    for (cut, raised) in [(Cut::Answer, 2), (Cut::Question, 1)] {
        let before: i64 = sql(&scene.url, "select term from term").parse().unwrap();
        let store = open(&url).await;
        proxy.set(cut, "COMMIT");
        assert!(store.take_term("the second", Ts(2)).await.is_err());
        assert!(proxy.has_cut());
        let term = wait_for("the term", async || {
            store.take_term("the second", Ts(2)).await.ok()
        })
        .await;
        assert_eq!(term, before + raised);
        let pass = Pass {
            term,
            ..scene.pass(10 * term, TaskState::Queued)
        };
        store.commit_pass(&pass).await.unwrap();
        store.close().await;
    }
}

/// A worker with two attempts that wait for it, by a way that can be cut.
async fn at_work() -> (Cuttable, i64, [Attempt; 2]) {
    let cuttable = cuttable().await;
    let scene = &cuttable.scene;
    let attempts = [0, 1].map(|task| scene.attempt(task, 1));
    let dispatches = attempts.map(|attempt| scene.dispatch(attempt));
    let pass = Pass {
        dispatches: dispatches.to_vec(),
        ..scene.pass(2, TaskState::Queued)
    };
    scene.store.commit_pass(&pass).await.unwrap();
    let worker = scene.store.enter(&a_worker()).await.unwrap();
    (cuttable, worker, attempts)
}

pub(super) fn a_worker() -> NewWorker {
    NewWorker {
        host: "mill".to_string(),
        pid: 7,
        slots: 4,
        queues: vec!["default".to_string()],
        logs: None,
        lease: Duration::from_secs(600),
    }
}

#[tokio::test]
async fn a_claim_whose_answer_is_lost_is_found_by_asking_what_is_held() {
    let (Cuttable { scene, proxy }, worker, attempts) = at_work().await;
    let store = &scene.store;
    let told =
        |claims: &[Claim]| -> Vec<Attempt> { claims.iter().map(|claim| claim.attempt).collect() };
    proxy.set(Cut::Question, "claimed as (");
    assert!(store.claim(worker, 1).await.is_err());
    assert_eq!(told(&store.held(worker).await.unwrap()), []);
    proxy.set(Cut::AnswerWithRows, "claimed as (");
    assert!(store.claim(worker, 9).await.is_err());
    assert!(proxy.has_cut());
    assert_eq!(told(&store.claim(worker, 9).await.unwrap()), []);
    let held = store.held(worker).await.unwrap();
    assert_eq!(told(&held), attempts);
    assert_eq!((held[0].dag_id.as_str(), held[0].try_number), ("etl", 1));
    // A pass takes the first claim in: it stands in its instance's row from then on.
    let running = TaskRow {
        worker: Some(worker),
        ..a_task(attempts[0].task_no, TaskState::Running)
    };
    let pass = Pass {
        tasks: vec![running],
        claimed: vec![attempts[0]],
        ..scene.pass(3, TaskState::Running)
    };
    store.commit_pass(&pass).await.unwrap();
    let later = store.held(worker).await.unwrap();
    assert_eq!((told(&later), later[0].try_number), (attempts.to_vec(), 1));
    assert!(held[0].is_whole && !later[0].is_whole && later[1].is_whole);
    // What has been told of is not held any more, although no pass has taken that in.
    let report = WorkerReport {
        attempt: attempts[0],
        worker,
        outcome: Outcome::success(),
    };
    store.report(&[report]).await.unwrap();
    assert_eq!(told(&store.held(worker).await.unwrap()), attempts[1..]);
}

#[tokio::test]
async fn a_worker_s_other_words_can_be_said_again_when_their_answer_is_lost() {
    let (Cuttable { scene, proxy }, worker, attempts) = at_work().await;
    let store = &scene.store;
    assert_eq!(store.claim(worker, 1).await.unwrap().len(), 1);
    let report = [WorkerReport {
        attempt: attempts[0],
        worker,
        outcome: Outcome::success(),
    }];
    let kill = Pass {
        kills: vec![Kill {
            attempt: attempts[1],
            worker: UNCLAIMED,
            reason: Reason::Cancelled,
        }],
        ..scene.pass(3, TaskState::Running)
    };
    store.commit_pass(&kill).await.unwrap();
    for cut in [Cut::Answer, Cut::Question] {
        proxy.set(cut, "insert into report");
        assert!(store.report(&report).await.is_err());
        store.report(&report).await.unwrap();
        proxy.set(cut, "update dispatch set worker = -1");
        assert!(store.arrivals(9).await.is_err());
        assert!(proxy.has_cut());
        let arrived = store.arrivals(9).await.unwrap();
        assert_eq!(arrived.reports, report);
        assert_eq!(arrived.withdrawn, [attempts[1]]);
        proxy.set(cut, "set seen_at");
        assert!(store.renew(worker).await.is_err());
        assert!(store.renew(worker).await.unwrap().is_alive);
        proxy.set(cut, "set is_draining");
        assert!(store.set_draining(worker, true).await.is_err());
        assert!(store.set_draining(worker, true).await.unwrap());
        // A worker that was not told its number enters again; the other's lease ends by itself.
        proxy.set(cut, "insert into worker");
        assert!(store.enter(&a_worker()).await.is_err());
        let again = store.enter(&a_worker()).await.unwrap();
        assert!(again > worker);
        let ended = "update worker set lease = '0', lease_until = clock_timestamp() - interval '1 s' where worker = ";
        sql(&scene.url, &format!("{ended}{again}"));
        proxy.set(cut, "from worker\nwhere lease_until");
        assert!(store.expire_workers().await.is_err());
        assert!(proxy.has_cut());
        store.expire_workers().await.unwrap();
        let living = store.workers().await.unwrap();
        assert!(living.iter().all(|one| one.worker != again), "{living:?}");
        let leaving = store.enter(&a_worker()).await.unwrap();
        proxy.set(cut, "delete from worker where worker");
        assert!(store.leave(leaving).await.is_err());
        store.leave(leaving).await.unwrap();
        assert!(!store.renew(leaving).await.unwrap().is_alive);
    }
}

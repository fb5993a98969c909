//! A commit whose answer is lost is settled by reading.

use super::proxy::{Cut, Proxy};
use super::*;

struct Cuttable {
    scene: Scene,
    proxy: Proxy,
}

async fn cuttable() -> Cuttable {
    let server = Server::shared();
    let direct = server.new_database();
    let proxy = Proxy::to(server.folder().join(".s.PGSQL.5432")).await;
    let name = database(&direct);
    let url = format!(
        "postgres://postgres@127.0.0.1:{}/{name}?sslmode=disable",
        proxy.port
    );
    let mut scene = scene_at(url, 2).await;
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
    proxy.set(Cut::Answer);
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
    proxy.set(Cut::Question);
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
    proxy.set(Cut::AnswerThenAway);
    let pass = scene.pass(2, TaskState::Queued);
    for _ in 0..2 {
        let lost = scene.store.commit_pass(&pass).await;
        assert!(
            matches!(lost, Err(StoreError::Unavailable { .. })),
            "{lost:?}"
        );
    }
    assert_eq!(n_changes(&scene), "2|2", "it had been written all along");
    proxy.set(Cut::None);
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
        proxy.set(cut);
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
    proxy.set(Cut::Away);
    let pass = scene.pass(2, TaskState::Queued);
    assert!(scene.store.commit_pass(&pass).await.is_err());
    sql(&scene.url, "update term set term = term + 1");
    proxy.set(Cut::None);
    let refused = scene.store.commit_pass(&pass).await;
    assert!(matches!(refused, Err(StoreError::TermLost)), "{refused:?}");
    assert_eq!(n_changes(&scene), "1|1");
}

/// Versions are known by their hash, mistakes by their file, and staleness by its DAG: whoever
/// was not told asks again, and finds what was written.
#[tokio::test]
async fn the_other_writes_can_be_sent_again_when_their_answer_is_lost() {
    let Cuttable { scene, proxy } = cuttable().await;
    let dag = scene.kept.dag.dag;
    for cut in [Cut::Answer, Cut::Question] {
        let version = a_version(&format!("h-{cut:?}"), 3);
        proxy.set(cut);
        assert!(scene.store.put_version(&version).await.is_err());
        let kept = scene.store.put_version(&version).await.unwrap();
        assert_eq!(kept.is_new, cut == Cut::Question);
        assert_eq!(kept.task_nos.len(), 3);
        proxy.set(cut);
        assert!(scene.store.mark_stale(&[dag], Ts(1)).await.is_err());
        scene.store.mark_stale(&[dag], Ts(1)).await.unwrap();
        assert!(scene.store.dag("etl").await.unwrap().unwrap().is_stale);
    }
    let versions = scene.store.versions(dag).await.unwrap();
    assert_eq!(versions.len(), 3);
}

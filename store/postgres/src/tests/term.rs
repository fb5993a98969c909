//! Who holds the term, and what those may write who do not.

use super::*;
use tidemill_store_conformance::partition;

const END_LEASE: &str = "update term_lease set until = clock_timestamp() - interval '1 s'";

async fn is_refused(store: &PostgresStore, holder: &str) -> String {
    match store.take_term(holder, Ts(2)).await {
        Err(StoreError::Owned { pid, what }) => format!("{pid} {what}"),
        other => panic!("{other:?}"),
    }
}

/// Takes the term as a stand-by does: asks until nobody holds it.
async fn take(store: &PostgresStore, holder: &str) -> i64 {
    wait_for("the term", async || {
        match store.take_term(holder, Ts(3)).await {
            Ok(term) => Some(term),
            Err(StoreError::Owned { .. }) => None,
            Err(err) => panic!("{err}"),
        }
    })
    .await
}

/// Takes the term of a holder that is only silent, as if it had been stopped: its sessions are
/// there, its renewals are not.
async fn take_from_silent(scene: &Scene, store: &PostgresStore) -> i64 {
    wait_for("the term", async || {
        sql(&scene.url, END_LEASE);
        store.take_term("the second", Ts(2)).await.ok()
    })
    .await
}

#[tokio::test]
async fn a_second_store_is_told_who_holds_the_term() {
    let scene = scene(1).await;
    let second = open(&scene.url).await;
    let told = is_refused(&second, "the second").await;
    assert!(
        told.contains("the first") && told.contains("postgres://"),
        "{told}"
    );
    scene
        .store
        .commit_pass(&scene.pass(1, TaskState::Queued))
        .await
        .unwrap();
}

#[tokio::test]
async fn after_an_orderly_end_the_term_is_free_at_once() {
    let scene = scene(1).await;
    let second = open(&scene.url).await;
    is_refused(&second, "the second").await;
    scene.store.close().await;
    assert_eq!(
        second.take_term("the second", Ts(2)).await.unwrap(),
        scene.term + 1
    );
}

#[tokio::test]
async fn the_term_of_a_holder_that_is_gone_is_free_before_its_lease_is_over() {
    let scene = scene(1).await;
    let second = open(&scene.url).await;
    is_refused(&second, "the second").await;
    // Its sessions end as they do when its process is killed; its lease is as it was.
    drop(scene.store);
    sql(
        &scene.url,
        "update term_lease set until = clock_timestamp() + interval '1 day'",
    );
    assert_eq!(take(&second, "the second").await, scene.term + 1);
}

#[tokio::test]
async fn a_lease_that_is_over_frees_the_term_of_a_holder_that_is_only_silent() {
    let scene = scene(1).await;
    let mut lost = scene.store.term_lost();
    let second = open(&scene.url).await;
    is_refused(&second, "the second").await;
    let later = take_from_silent(&scene, &second).await;
    assert_eq!(later, scene.term + 1);
    lost.wait_for(|lost| *lost).await.unwrap();
}

#[tokio::test]
async fn a_free_lock_says_nothing_of_a_holder_that_never_had_it() {
    let scene = scene(1).await;
    let second = open(&scene.url).await;
    // The first has the lock; the second takes the term without it, when the lease is over.
    take_from_silent(&scene, &second).await;
    drop(scene.store);
    let third = open(&scene.url).await;
    sql(&scene.url, "update term_lease set is_signed = false");
    let told = is_refused(&third, "the third").await;
    assert!(told.contains("the second"), "{told}");
}

#[tokio::test]
async fn a_scheduler_is_heard_of_by_every_store_for_as_long_as_its_lease() {
    let scene = scene(1).await;
    let other = open(&scene.url).await;
    let first = other.heartbeat().await.unwrap();
    assert!(first.is_some());
    let later = wait_for("a renewal", async || {
        let heard = other.heartbeat().await.unwrap();
        (heard != first).then_some(heard)
    });
    assert!(later.await > first);
    scene.store.close().await;
    assert_eq!(other.heartbeat().await.unwrap(), None);
}

#[tokio::test]
async fn a_holder_that_renews_keeps_the_term() {
    let scene = scene(1).await;
    let read = "select until from term_lease";
    let first = sql(&scene.url, read);
    wait_for("a renewal", async || {
        (sql(&scene.url, read) != first).then_some(())
    })
    .await;
    let second = open(&scene.url).await;
    is_refused(&second, "the second").await;
}

#[tokio::test]
async fn no_write_of_a_store_whose_term_is_over_touches_a_row() {
    let scene = scene(2).await;
    let second = open(&scene.url).await;
    sql(&scene.url, END_LEASE);
    let later = take(&second, "the second").await;
    assert!(later > scene.term);
    let rows = "select (select string_agg(t::text, ' ') from dag t),
                       (select string_agg(t::text, ' ') from dag_version t),
                       (select string_agg(t::text, ' ') from dag_run t),
                       (select string_agg(t::text, ' ') from task_instance t),
                       (select string_agg(t::text, ' ') from counter t),
                       (select count(*) from change), (select count(*) from import_error)";
    let before = sql(&scene.url, rows);
    let old = &scene.store;
    let dag = scene.kept.dag.dag;
    let pass = Pass {
        new_runs: vec![a_run(2, &scene.kept)],
        runs: vec![a_run(1, &scene.kept)],
        ..scene.pass(1, TaskState::Running)
    };
    let writes = [
        old.commit_pass(&pass).await,
        old.put_version(&a_version("h2", 3)).await.map(drop),
        old.mark_stale(&[dag], Ts(1)).await,
        old.put_import_errors("f.toml", &[], Ts(1)).await,
    ];
    for write in writes {
        assert!(matches!(write, Err(StoreError::TermLost)), "{write:?}");
    }
    assert_eq!(sql(&scene.url, rows), before);
    let pass = Pass {
        term: later,
        ..pass
    };
    second.commit_pass(&pass).await.unwrap();
    assert_ne!(sql(&scene.url, rows), before);
}

/// A letter in quarantine, of a new trigger.
async fn a_letter(scene: &Scene) -> (TriggerNo, i64) {
    let store = &scene.store;
    let record = store.put_trigger(scene.kept.dag.dag, "in", Ts(1)).await;
    let trigger = record.unwrap().trigger;
    let poison = NewPoison {
        partition: partition(0),
        offset: 3,
        timestamp: None,
        class: "rejected".to_string(),
        message: "odd".to_string(),
        key: None,
        value: None,
        headers: serde_json::json!([]),
    };
    let commit = StreamCommit {
        term: scene.term,
        trigger,
        replay: LIVE,
        now: Ts(1),
        cuts: Vec::new(),
        runs: Vec::new(),
        poison: vec![poison],
        seen: Vec::new(),
        retried: Vec::new(),
    };
    let written = store.commit_stream(&commit).await.unwrap();
    assert_eq!(written, Committed::Done);
    let held = store.quarantine(trigger, 1).await.unwrap();
    (trigger, held[0].poison)
}

#[tokio::test]
async fn what_is_written_of_streams_without_a_number_of_the_term_is_the_holder_s_alone() {
    let scene = scene(1).await;
    let (trigger, poison) = a_letter(&scene).await;
    let dag = scene.kept.dag.dag;
    let write = async |store: &PostgresStore| {
        [
            store.put_trigger(dag, "other", Ts(2)).await.map(drop),
            store.pause_trigger(trigger, true).await,
            store.mark_sent(&[poison], Ts(2)).await,
            store.drop_poison(trigger, poison).await.map(drop),
        ]
    };
    let rows = "select (select string_agg(t::text, ' ') from stream_trigger t),
                       (select string_agg(t::text, ' ') from stream_poison t)";
    let before = sql(&scene.url, rows);
    let second = open(&scene.url).await;
    let assert_is_refused = async |store: &PostgresStore| {
        for written in write(store).await {
            assert!(matches!(written, Err(StoreError::TermLost)), "{written:?}");
        }
        assert_eq!(sql(&scene.url, rows), before);
    };
    assert_is_refused(&second).await; // it stands by
    take_from_silent(&scene, &second).await;
    assert_is_refused(&scene.store).await; // its term is over
    for written in write(&second).await {
        written.unwrap();
    }
    assert_ne!(sql(&scene.url, rows), before);
}

/// A take-over waits for the pass in flight: what the new holder reads is all that there will be.
#[tokio::test]
async fn a_take_over_waits_for_the_pass_in_flight() {
    let scene = scene(1).await;
    let second = open(&scene.url).await;
    // Somebody looks at the task's row, so that the pass comes as far as that and no further.
    let mut conn = second.conn().await.unwrap();
    let mut looking = sqlx::Connection::begin(&mut *conn).await.unwrap();
    sqlx::query("select 1 from task_instance for update")
        .execute(&mut *looking)
        .await
        .unwrap();
    let is_over = std::cell::Cell::new(false);
    let pass = scene.pass(1, TaskState::Running);
    let passing = async {
        scene.store.commit_pass(&pass).await.unwrap();
        is_over.set(true);
    };
    let waiting = |what: &'static str| {
        let text = format!(
            "select count(*) from pg_stat_activity where datname = current_database()
             and wait_event_type = 'Lock' and query like '%{what}%'"
        );
        let url = scene.url.clone();
        async move {
            wait_for(what, async || (sql(&url, &text) == "1").then_some(())).await;
        }
    };
    let taking = async {
        waiting("One pass, in one statement").await;
        sql(&scene.url, END_LEASE);
        let term = take(&second, "the second").await;
        assert!(is_over.get(), "the take-over did not wait for the pass");
        term
    };
    let releasing = async {
        waiting("insert into term ").await;
        looking.rollback().await.unwrap();
    };
    let (term, (), ()) = tokio::join!(taking, passing, releasing);
    assert_eq!(term, scene.term + 1);
    assert_eq!(second.changes_after(0, 9).await.unwrap().len(), 1);
}

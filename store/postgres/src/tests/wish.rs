//! Wishes that are carried by rows: their age, who wins, and the way by a pooler.

use super::answers::cuttable;
use super::*;
use tidemill_store_conformance::proxy::Cut;

async fn put(store: &PostgresStore, asked: &str) -> i64 {
    match store.put_wish(asked).await.unwrap() {
        PutWish::Waits(wish) => wish,
        other => panic!("{other:?}"),
    }
}

fn age(url: &str, wish: i64, age: Duration) {
    let seconds = age.as_secs();
    sql(
        url,
        &format!(
            "update wish set asked_at = asked_at - interval '{seconds} s' where wish = {wish}"
        ),
    );
}

#[tokio::test]
async fn a_wish_whose_asker_is_gone_is_not_taken_and_in_the_end_forgotten() {
    let scene = scene(1).await;
    let (store, term) = (&scene.store, scene.term);
    let old = put(store, "old").await;
    age(&scene.url, old, WISH_TAKEN_WITHIN);
    assert_eq!(store.take_wishes(term, 9).await.unwrap(), []);
    assert_eq!(sql(&scene.url, "select asked from wish"), "old");
    // What is too old to be taken keeps nobody out.
    for n in 1..=WISHES_WAITING_MAX {
        put(store, &n.to_string()).await;
    }
    assert_eq!(store.take_wishes(term, 200).await.unwrap().len(), 100);
    age(&scene.url, old, WISH_KEPT);
    assert_eq!(store.take_wishes(term, 9).await.unwrap(), []);
    let left = sql(
        &scene.url,
        "select count(*) filter (where asked = 'old') from wish",
    );
    assert_eq!(left, "0");
}

#[tokio::test]
async fn of_who_takes_a_wish_and_who_takes_it_back_one_wins() {
    let scene = scene(1).await;
    let asker = open(&scene.url).await;
    let mut n_withdrawn = 0;
    for n in 0..100 {
        let wish = put(&asker, &n.to_string()).await;
        let (withdrawn, taken) = tokio::join!(
            asker.withdraw_wish(wish),
            scene.store.take_wishes(scene.term, 1)
        );
        let (withdrawn, taken) = (withdrawn.unwrap(), taken.unwrap());
        assert_ne!(withdrawn, taken.iter().any(|one| one.wish == wish));
        n_withdrawn += usize::from(withdrawn);
    }
    println!("{n_withdrawn} of 100 were taken back");
}

#[tokio::test]
async fn a_wish_is_asked_by_a_pooler_that_keeps_no_sessions() {
    let scene = scene(1).await;
    let asker = PostgresStore::open(&address(&scene.url).by_pooler()).await;
    let asker = asker.unwrap();
    let wish = put(&asker, "by a pooler").await;
    assert_eq!(
        scene.store.take_wishes(scene.term, 9).await.unwrap().len(),
        1
    );
    assert!(!asker.withdraw_wish(wish).await.unwrap());
    let answered = scene.store.answer_wish(scene.term, wish, "done").await;
    answered.unwrap();
    let done = Some("done".to_string());
    assert_eq!(asker.wish_answer(wish).await.unwrap(), done);
    assert_eq!(asker.forget_wish(wish).await.unwrap(), done);
    assert_eq!(sql(&scene.url, "select count(*) from wish"), "0");
}

#[tokio::test]
async fn a_wish_that_is_certainly_not_written_is_told_from_one_that_may_be() {
    let way = cuttable().await;
    let (scene, asker) = (&way.scene, &way.scene.store);
    sql(&scene.url, "alter table wish add check (asked <> 'no')");
    let refused = asker.put_wish("no").await.unwrap();
    assert!(matches!(&refused, PutWish::Failed(err) if chain(err).contains("check")));
    for (cut, n_written) in [(Cut::Question, "0"), (Cut::Answer, "1")] {
        way.proxy.set(cut, "insert into wish");
        assert!(asker.put_wish("yes").await.is_err());
        assert!(way.proxy.has_cut());
        assert_eq!(sql(&scene.url, "select count(*) from wish"), n_written);
    }
}

#[tokio::test]
async fn a_wish_of_which_nobody_knows_whether_it_was_taken_is_not_taken_again() {
    let way = cuttable().await;
    let (scene, store) = (&way.scene, &way.scene.store);
    let wish = put(store, "one").await;
    // Before the commit nothing has happened.
    way.proxy.set(Cut::Answer, "update wish set taken_by");
    assert!(store.take_wishes(scene.term, 9).await.is_err());
    assert!(way.proxy.has_cut());
    assert_eq!(sql(&scene.url, "select taken_by is null from wish"), "t");
    way.proxy.set(Cut::Answer, "COMMIT");
    assert!(store.take_wishes(scene.term, 9).await.is_err());
    assert!(way.proxy.has_cut());
    assert_eq!(store.take_wishes(scene.term, 9).await.unwrap(), []);
    assert!(!store.withdraw_wish(wish).await.unwrap());
}

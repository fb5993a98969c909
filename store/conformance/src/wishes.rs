//! What is asked of a process that is not the scheduler.

use tidemill_model::Ts;
use tidemill_store::*;

async fn put(store: &impl WishStore, asked: &str) -> i64 {
    match store.put_wish(asked).await.unwrap() {
        PutWish::Waits(wish) => wish,
        other => panic!("{other:?}"),
    }
}

async fn take(store: &impl WishStore, term: i64, limit: u32) -> Vec<(i64, String)> {
    let taken = store.take_wishes(term, limit).await.unwrap().into_iter();
    taken.map(|one| (one.wish, one.asked)).collect()
}

pub(crate) async fn a_wish_is_taken_once_and_its_answer_comes_back<S>(store: S)
where
    S: EngineStore + WishStore,
{
    let term = store.take_term("conformance", Ts(1)).await.unwrap();
    assert_eq!(take(&store, term, 9).await, []);
    let (first, second) = (put(&store, "one \0").await, put(&store, "two").await);
    assert_eq!(store.wish_answer(first).await.unwrap(), None);
    assert_eq!(take(&store, term, 1).await, [(first, "one \0".to_string())]);
    assert_eq!(take(&store, term, 9).await, [(second, "two".to_string())]);
    assert_eq!(take(&store, term, 9).await, []);
    store.answer_wish(term, first, "done \0").await.unwrap();
    let done = Some("done \0".to_string());
    assert_eq!(store.wish_answer(first).await.unwrap(), done);
    assert_eq!(store.wish_answer(second).await.unwrap(), None);
    assert_eq!(store.forget_wish(first).await.unwrap(), done);
    assert_eq!(store.forget_wish(first).await.unwrap(), None);
    // Nobody waits for this one any more.
    assert_eq!(store.forget_wish(second).await.unwrap(), None);
    store.answer_wish(term, second, "done").await.unwrap();
    assert_eq!(store.wish_answer(second).await.unwrap(), None);
}

pub(crate) async fn a_wish_is_taken_back_or_taken<S>(store: S)
where
    S: EngineStore + WishStore,
{
    let term = store.take_term("conformance", Ts(1)).await.unwrap();
    let (first, second) = (put(&store, "one").await, put(&store, "two").await);
    assert!(store.withdraw_wish(first).await.unwrap());
    assert!(!store.withdraw_wish(first).await.unwrap());
    assert_eq!(take(&store, term, 9).await, [(second, "two".to_string())]);
    assert!(!store.withdraw_wish(second).await.unwrap());
    store.answer_wish(term, second, "done").await.unwrap();
    assert!(!store.withdraw_wish(second).await.unwrap());
    let answer = store.wish_answer(second).await.unwrap();
    assert_eq!(answer.as_deref(), Some("done"));
}

pub(crate) async fn a_wish_that_an_earlier_term_took_is_not_done_twice<S>(store: S)
where
    S: EngineStore + WishStore,
{
    let earlier = store.take_term("the first", Ts(1)).await.unwrap();
    let first = put(&store, "one").await;
    assert_eq!(take(&store, earlier, 9).await.len(), 1);
    let second = put(&store, "two").await;
    let term = store.take_term("the second", Ts(2)).await.unwrap();
    for lost in [
        store.take_wishes(earlier, 9).await.map(drop),
        store.answer_wish(earlier, first, "done").await,
    ] {
        assert!(matches!(lost, Err(StoreError::TermLost)), "{lost:?}");
    }
    assert_eq!(take(&store, term, 9).await, [(second, "two".to_string())]);
    // It has nothing to say of what it has not taken.
    store.answer_wish(term, first, "done").await.unwrap();
    assert_eq!(store.wish_answer(first).await.unwrap(), None);
    assert!(!store.withdraw_wish(first).await.unwrap());
}

pub(crate) async fn only_so_many_wishes_wait<S>(store: S)
where
    S: EngineStore + WishStore,
{
    let term = store.take_term("conformance", Ts(1)).await.unwrap();
    for n in 0..WISHES_WAITING_MAX {
        put(&store, &n.to_string()).await;
    }
    let put_more = store.put_wish("more").await.unwrap();
    assert!(matches!(put_more, PutWish::Full), "{put_more:?}");
    let first = &take(&store, term, 1).await[0];
    assert_eq!(first.1, "0");
    put(&store, "more").await;
    let put_more = store.put_wish("still more").await.unwrap();
    assert!(matches!(put_more, PutWish::Full), "{put_more:?}");
}

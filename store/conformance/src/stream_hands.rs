//! Streams: what passes write of them, replays, and records that leave the quarantine.

use crate::streams::*;
use serde_json::json;
use tidemill_model::{RunNo, Ts};
use tidemill_store::*;

fn poison(offset: i64) -> NewPoison {
    NewPoison {
        partition: partition(0),
        offset,
        timestamp: Some(Ts(3)),
        class: "rejected".to_string(),
        message: "w\u{f6}r\0s\u{1}e".to_string(),
        key: Some(Vec::new()),
        value: Some(vec![0, 255, b'"']),
        headers: json!([["a", "1"], ["a", null]]),
    }
}

pub(crate) async fn a_pass_puts_records_into_quarantine_once_and_lanes_are_blocked_until_they_are_not<
    S,
>(
    store: S,
) where
    S: EngineStore + PageStore + StreamStore,
{
    let stream = Stream::new(store).await;
    let (store, trigger) = (&stream.scene.store, stream.trigger);
    let row = |offset: i64| RejectedRow {
        cause: format!("1.2.-1.3: orders/0@{offset}"),
        trigger,
        replay: LIVE,
        poison: poison(offset),
        at: Ts(8),
    };
    let block = LaneBlock {
        run: RunNo(7),
        trigger,
        lane: "in: ord\0ers/0".to_string(),
        at: Ts(8),
    };
    let pass = Pass {
        streams: StreamRows {
            poison: vec![row(10), row(11)],
            blocks: vec![block.clone()],
            unblocked: Vec::new(),
        },
        ..stream.scene.pass()
    };
    assert_eq!(store.blocks().await.unwrap(), []);
    // A pass may be written twice.
    store.commit_pass(&pass).await.unwrap();
    store.commit_pass(&pass).await.unwrap();
    let held = store.quarantine(trigger, 9).await.unwrap();
    let offsets: Vec<i64> = held.iter().map(|one| one.offset).collect();
    assert_eq!(offsets, [11, 10]);
    let one = &held[0];
    assert_eq!(
        (&one.key, &one.value, &one.headers),
        (&poison(11).key, &poison(11).value, &poison(11).headers)
    );
    assert_eq!(
        (one.class.as_str(), one.message.as_str(), one.created_at),
        ("rejected", "w\u{f6}r\0s\u{1}e", Ts(8))
    );
    assert_eq!(
        (one.timestamp, &one.partition),
        (Some(Ts(3)), &partition(0))
    );
    assert_eq!(store.blocks().await.unwrap(), [block]);
    let unblock = Pass {
        streams: StreamRows {
            unblocked: vec![RunNo(7)],
            ..StreamRows::default()
        },
        ..stream.scene.pass()
    };
    store.commit_pass(&unblock).await.unwrap();
    assert_eq!(store.blocks().await.unwrap(), []);
}

pub(crate) async fn a_record_leaves_the_quarantine_once_with_its_run<S>(store: S)
where
    S: EngineStore + PageStore + StreamStore,
{
    let stream = Stream::new(store).await;
    let (store, trigger) = (&stream.scene.store, stream.trigger);
    let commit = StreamCommit {
        poison: vec![poison(10)],
        ..stream.commit(vec![cut(0, 10, 12)], Vec::new())
    };
    assert_eq!(stream.write(commit).await.unwrap(), Committed::Done);
    let number = store.quarantine(trigger, 9).await.unwrap()[0].poison;
    assert!(store.held_poison(trigger, number).await.unwrap().is_some());
    assert_eq!(store.held_poison(trigger, number + 1).await.unwrap(), None);
    let retry = |run: i64| StreamCommit {
        retried: vec![number],
        ..stream.commit(
            Vec::new(),
            vec![new_run(stream.scene.run(run), trigger, run, run + 1)],
        )
    };
    assert_eq!(stream.write(retry(1)).await.unwrap(), Committed::Done);
    assert_eq!(store.quarantine(trigger, 9).await.unwrap(), []);
    assert_eq!(store.held_poison(trigger, number).await.unwrap(), None);
    assert_eq!(stream.write(retry(2)).await.unwrap(), Committed::Fenced);
    assert!(store.run_by_no(RunNo(1)).await.unwrap().is_some());
    assert!(store.run_by_no(RunNo(2)).await.unwrap().is_none());
}

pub(crate) async fn a_replay_has_cursors_of_its_own_and_ends_once<S>(store: S)
where
    S: EngineStore + PageStore + StreamStore,
{
    let stream = Stream::new(store).await;
    let (store, trigger, term) = (&stream.scene.store, stream.trigger, stream.scene.term);
    let begin = Cursor {
        end_offset: Some(9),
        ..cursor(trigger, 0, 3)
    };
    let wish = json!({"from": 3});
    let replay = store
        .begin_replay(term, trigger, &wish, std::slice::from_ref(&begin), Ts(20))
        .await
        .unwrap();
    let expected = Cursor { replay, ..begin };
    assert_eq!(store.cursors(trigger, replay).await.unwrap(), [expected]);
    assert_eq!(stream.offsets().await, [10, 10]);
    // It goes on while the live reading is paused.
    store.pause_trigger(trigger, true).await.unwrap();
    let of_replay = StreamCommit {
        replay,
        ..stream.commit(vec![cut(0, 3, 9)], Vec::new())
    };
    assert_eq!(stream.write(of_replay).await.unwrap(), Committed::Done);
    assert_eq!(stream.offsets().await, [10, 10]);
    let record = ReplayRecord {
        replay,
        trigger,
        wish,
        state: "running".to_string(),
        created_at: Ts(20),
        ended_at: None,
    };
    assert_eq!(
        store.open_replays().await.unwrap(),
        std::slice::from_ref(&record)
    );
    assert!(
        store
            .end_replay(term, replay, "done", Ts(21))
            .await
            .unwrap()
    );
    assert!(
        !store
            .end_replay(term, replay, "cancelled", Ts(22))
            .await
            .unwrap()
    );
    assert_eq!(store.open_replays().await.unwrap(), []);
    let ended = ReplayRecord {
        state: "done".to_string(),
        ended_at: Some(Ts(21)),
        ..record
    };
    assert_eq!(store.replays(trigger, 9).await.unwrap(), [ended]);
    // What is lost is told with the move.
    let gap = Cut {
        gap: Some((10, 12, "retention".to_string())),
        ..cut(0, 10, 12)
    };
    let moved = store.seek(term, trigger, LIVE, &[gap], Ts(23)).await;
    assert_eq!(moved.unwrap(), Committed::Done);
    let gaps = store.gaps(trigger, 9).await.unwrap();
    let told = gaps
        .iter()
        .map(|one| (one.from, one.to, one.why.as_str(), one.seen_at));
    assert_eq!(told.collect::<Vec<_>>(), [(10, 12, "retention", Ts(23))]);
    assert_eq!((&gaps[0].partition, gaps[0].replay), (&partition(0), LIVE));
    store.take_term("another", Ts(70)).await.unwrap();
    let late = store
        .begin_replay(term, trigger, &json!({}), &[], Ts(71))
        .await;
    assert!(matches!(late, Err(StoreError::TermLost)), "{late:?}");
}

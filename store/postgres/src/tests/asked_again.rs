//! Writes that are small and that nobody looks for: whoever was not told whether one was done asks
//! again. What is answered then says how it went, and nothing is there twice.

use super::answers::{Cuttable, cuttable};
use super::*;
use std::fmt::Debug;
use tidemill_store_conformance::proxy::Cut;
use tidemill_store_conformance::{cursor, partition};

const NEXT: [Cut; 2] = [Cut::Answer, Cut::Question];

impl Cuttable {
    /// What is answered when the same is asked again, after a cut at this word.
    async fn again<T: Debug>(
        &self,
        cut: Cut,
        word: &str,
        ask: impl AsyncFn(&PostgresStore) -> Result<T, StoreError>,
    ) -> T {
        self.proxy.set(cut, word);
        let lost = ask(&self.scene.store).await;
        assert!(
            matches!(lost, Err(StoreError::Unavailable { .. })),
            "{lost:?}"
        );
        assert!(self.proxy.has_cut(), "{cut:?} at {word}");
        ask(&self.scene.store).await.unwrap()
    }

    fn count(&self, what: &str) -> String {
        sql(&self.scene.url, &format!("select count(*) from {what}"))
    }

    /// A trigger with a cursor at 10.
    async fn trigger(&self) -> TriggerNo {
        let (store, term) = (&self.scene.store, self.scene.term);
        let record = store.put_trigger(self.scene.kept.dag.dag, "in", Ts(1));
        let trigger = record.await.unwrap().trigger;
        let begun = store.begin_cursors(term, &[cursor(trigger, 0, 10)]).await;
        begun.unwrap();
        trigger
    }
}

fn move_of(expected: i64, end: i64) -> tidemill_store::Cut {
    tidemill_store::Cut {
        partition: partition(0),
        expected,
        end,
        counts: Counts::default(),
        halted: None,
        gap: None,
    }
}

/// One run of the records 10 and 11.
fn commit(scene: &Scene, trigger: TriggerNo) -> StreamCommit {
    let batch = BatchRecord {
        run: RunNo(2),
        trigger,
        replay: LIVE,
        partition: partition(0),
        first_offset: 10,
        end_offset: 12,
        slot: 0,
        lane: None,
        n_records: 2,
        n_bytes: 9,
        sha256: "ab".to_string(),
        facts: serde_json::json!({}),
    };
    StreamCommit {
        term: scene.term,
        trigger,
        replay: LIVE,
        now: Ts(1),
        cuts: vec![move_of(10, 12)],
        runs: vec![NewStreamRun {
            row: a_run(2, &scene.kept),
            batch,
            records: b"{}\n{}\n".to_vec(),
        }],
        poison: Vec::new(),
        seen: Vec::new(),
        retried: Vec::new(),
    }
}

#[tokio::test]
async fn records_make_their_run_once_and_the_cursor_tells_that_they_have() {
    for (cut, told) in NEXT.into_iter().zip([Committed::Fenced, Committed::Done]) {
        let way = cuttable().await;
        let trigger = way.trigger().await;
        let commit = commit(&way.scene, trigger);
        let again = way.again(cut, "COMMIT", async |store| {
            store.commit_stream(&commit).await
        });
        assert_eq!(again.await, told);
        let store = &way.scene.store;
        assert_eq!(store.batches(trigger, 9).await.unwrap().len(), 1);
        assert_eq!(way.count("dag_run where run = 2"), "1");
        let cursors = store.cursors(trigger, LIVE).await.unwrap();
        assert_eq!(cursors[0].next_offset, 12);
    }
}

#[tokio::test]
async fn cursors_begin_and_are_sought_once() {
    for (cut, told) in NEXT.into_iter().zip([Committed::Fenced, Committed::Done]) {
        let way = cuttable().await;
        let (trigger, term) = (way.trigger().await, way.scene.term);
        let more = [cursor(trigger, 0, 70), cursor(trigger, 1, 20)];
        way.again(cut, "COMMIT", async |store| {
            store.begin_cursors(term, &more).await
        })
        .await;
        let cuts = [move_of(10, 5)];
        let again = way.again(cut, "COMMIT", async |store| {
            store.seek(term, trigger, LIVE, &cuts, Ts(2)).await
        });
        assert_eq!(again.await, told);
        let cursors = way.scene.store.cursors(trigger, LIVE).await.unwrap();
        let stand = cursors.iter().map(|one| (one.next_offset, one.generation));
        assert_eq!(stand.collect::<Vec<_>>(), [(5, 1), (20, 0)]);
    }
}

/// A person who was not told that a replay has begun finds it among those that are open.
#[tokio::test]
async fn a_replay_that_has_begun_is_listed_and_ends_once() {
    for (cut, n_begun, has_ended) in [(Cut::Answer, 1, false), (Cut::Question, 0, true)] {
        let way = cuttable().await;
        let (trigger, term) = (way.trigger().await, way.scene.term);
        let (store, wish) = (&way.scene.store, serde_json::json!({}));
        let cursors = [cursor(trigger, 0, 3)];
        let begin = || store.begin_replay(term, trigger, &wish, &cursors, Ts(2));
        way.proxy.set(cut, "COMMIT");
        assert!(begin().await.is_err() && way.proxy.has_cut());
        let open = store.open_replays().await.unwrap();
        assert_eq!(open.len(), n_begun);
        let replay = match open.first() {
            Some(begun) => begun.replay,
            None => begin().await.unwrap(),
        };
        assert_eq!(store.cursors(trigger, replay).await.unwrap().len(), 1);
        let again = way.again(cut, "COMMIT", async |store| {
            store.end_replay(term, replay, "cancelled", Ts(3)).await
        });
        assert_eq!(again.await, has_ended);
        assert_eq!(store.open_replays().await.unwrap(), []);
        assert_eq!(store.replays(trigger, 9).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn secrets_alerts_and_what_is_forgotten_are_the_same_when_they_are_asked_for_again() {
    for (cut, gone) in NEXT.into_iter().zip([0, 1]) {
        let way = cuttable().await;
        let variable = VariableRecord {
            key: "region".to_string(),
            description: None,
            is_marked: false,
            value: vec![7],
            updated_at: Ts(1),
        };
        let change = OutsideChange {
            variables: vec![variable.clone()],
            ..OutsideChange::default()
        };
        let store = &way.scene.store;
        way.again(cut, "COMMIT", async |store| {
            store.change_outside(&change).await
        })
        .await;
        assert_eq!(store.variables().await.unwrap(), [variable]);

        let over = RunRow {
            state: RunState::Success,
            ended_at: Some(Ts(2)),
            ..a_run(1, &way.scene.kept)
        };
        let alert = AlertRow {
            key: "a".to_string(),
            at: Ts(1),
            body: serde_json::json!({}),
        };
        let pass = Pass {
            runs: vec![over],
            alerts: vec![alert],
            ..way.scene.pass(2, TaskState::Success)
        };
        store.commit_pass(&pass).await.unwrap();
        way.again(cut, "COMMIT", async |store| {
            store.settle_alert("a", &AlertEnd::Sent, Ts(2)).await
        })
        .await;
        assert_eq!(store.next_alert().await.unwrap(), None);
        let again = way.again(cut, "COMMIT", async |store| {
            store.forget_runs(&[RunNo(1)], 100).await
        });
        assert_eq!(again.await.gone.len(), gone);
        assert_eq!(way.count("dag_run"), "0");
    }
}

#[tokio::test]
async fn a_span_that_is_fixed_stays_when_it_is_fixed_again() {
    for cut in NEXT {
        let way = cuttable().await;
        let of = SpanOf {
            run: RunNo(1),
            task_no: way.scene.kept.task_nos[0],
            map_index: MapIndex::NONE,
        };
        let span = |of: i32, first: i64, end: Option<i64>| Span {
            partition: partition(of),
            first,
            end,
        };
        let first = [span(0, 5, Some(9)), span(1, 0, None)];
        let fixed = way.again(cut, "insert into task_span", async |store| {
            store.fix_spans(of, &first).await
        });
        assert_eq!(fixed.await, first);
        let other = [span(0, 7, Some(8))];
        assert_eq!(way.scene.store.fix_spans(of, &other).await.unwrap(), first);
    }
}

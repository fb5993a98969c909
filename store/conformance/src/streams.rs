//! Streams: cursors, and commits of runs with what they were made of.

use crate::sample::*;
use serde_json::json;
use tidemill_model::{RunNo, RunState, TriggerNo, Ts};
use tidemill_store::*;

/// A partition of one topic.
pub fn partition(partition: i32) -> Partition {
    Partition {
        topic: "orders".to_string(),
        incarnation: "id1".to_string(),
        partition,
    }
}

pub(crate) fn cut(of: i32, expected: i64, end: i64) -> Cut {
    Cut {
        partition: partition(of),
        expected,
        end,
        counts: Counts {
            taken: end - expected,
            filtered: 1,
            ..Counts::default()
        },
        halted: None,
        gap: None,
    }
}

/// A cursor that nothing has moved yet, in such a partition.
pub fn cursor(trigger: TriggerNo, of: i32, next_offset: i64) -> Cursor {
    Cursor {
        trigger,
        replay: LIVE,
        generation: 0,
        partition: partition(of),
        next_offset,
        end_offset: None,
        halted: None,
        counts: Counts::default(),
        updated_at: Ts(7),
    }
}

/// A run of `first..end` of partition 0, with the records `x`.
pub(crate) fn new_run(row: RunRow, trigger: TriggerNo, first: i64, end: i64) -> NewStreamRun {
    let run = row.run;
    NewStreamRun {
        row: RunRow {
            cause: Some(format!("kaf\0ka:{first}")),
            data_interval_end: Some(Ts(9)),
            ..row
        },
        batch: BatchRecord {
            run,
            trigger,
            replay: LIVE,
            partition: partition(0),
            first_offset: first,
            end_offset: end,
            slot: 0,
            lane: Some("ord\0ers/0".to_string()),
            n_records: end - first,
            n_bytes: 100,
            sha256: "ab".to_string(),
            facts: json!({"topic": "orders", "first": {"value": "w\u{f6}rld"}}),
        },
        records: vec![b'{', 0, 255, b'\n'],
    }
}

pub(crate) struct Stream<S> {
    pub(crate) scene: Scene<S>,
    pub(crate) trigger: TriggerNo,
}

impl<S: EngineStore + PageStore + StreamStore> Stream<S> {
    /// A trigger with cursors at 10 in two partitions.
    pub(crate) async fn new(store: S) -> Stream<S> {
        let scene = Scene::new(store).await;
        let dag = scene.dag();
        let record = scene.store.put_trigger(dag, "in", Ts(6)).await.unwrap();
        assert_eq!((record.dag_id.as_str(), record.is_paused), ("etl", false));
        let again = scene.store.put_trigger(dag, "in", Ts(60)).await.unwrap();
        assert_eq!(again, record);
        let trigger = record.trigger;
        let cursors = [cursor(trigger, 0, 10), cursor(trigger, 1, 10)];
        scene
            .store
            .begin_cursors(scene.term, &cursors)
            .await
            .unwrap();
        Stream { scene, trigger }
    }

    pub(crate) fn commit(&self, cuts: Vec<Cut>, runs: Vec<NewStreamRun>) -> StreamCommit {
        StreamCommit {
            term: self.scene.term,
            trigger: self.trigger,
            replay: LIVE,
            now: Ts(8),
            cuts,
            runs,
            poison: Vec::new(),
            seen: Vec::new(),
            retried: Vec::new(),
        }
    }

    pub(crate) async fn write(&self, commit: StreamCommit) -> Result<Committed, StoreError> {
        self.scene.store.commit_stream(&commit).await
    }

    pub(crate) async fn offsets(&self) -> Vec<i64> {
        let cursors = self.scene.store.cursors(self.trigger, LIVE).await.unwrap();
        cursors.iter().map(|cursor| cursor.next_offset).collect()
    }
}

pub(crate) async fn a_commit_makes_runs_and_moves_cursors_together<S>(store: S)
where
    S: EngineStore + PageStore + StreamStore,
{
    let stream = Stream::new(store).await;
    let store = &stream.scene.store;
    let run = new_run(stream.scene.run(1), stream.trigger, 10, 14);
    let cuts = vec![cut(0, 10, 14), cut(1, 10, 11)];
    let done = stream.write(stream.commit(cuts, vec![run.clone()])).await;
    assert_eq!(done.unwrap(), Committed::Done);
    let cursors = store.cursors(stream.trigger, LIVE).await.unwrap();
    assert_eq!((cursors[0].next_offset, cursors[1].next_offset), (14, 11));
    assert_eq!((cursors[0].counts.taken, cursors[0].updated_at), (4, Ts(8)));
    assert_eq!(cursors[0].counts.filtered, 1);
    let found = store.run_by_no(RunNo(1)).await.unwrap().unwrap();
    assert_eq!(found.row, run.row);
    assert_eq!(
        store.batch(RunNo(1)).await.unwrap(),
        Some(run.batch.clone())
    );
    assert_eq!(
        store.batches(stream.trigger, 5).await.unwrap(),
        std::slice::from_ref(&run.batch)
    );
    assert_eq!(store.records(RunNo(1)).await.unwrap(), Some(run.records));
    assert_eq!(store.records(RunNo(2)).await.unwrap(), None);
    // The engine finds it, and gives its number to no other run.
    let loaded = store.load().await.unwrap();
    assert_eq!((loaded.runs.len(), loaded.last_run), (1, 1));
    assert_eq!(store.open_runs(stream.trigger, LIVE).await.unwrap(), 1);
    assert_eq!(store.open_runs(stream.trigger, 1).await.unwrap(), 0);
    assert_eq!(store.open_batches().await.unwrap(), [run.batch]);
    let over = RunRow {
        state: RunState::Success,
        ..found.row
    };
    let pass = Pass {
        runs: vec![over],
        ..stream.scene.pass()
    };
    store.commit_pass(&pass).await.unwrap();
    assert_eq!(store.open_runs(stream.trigger, LIVE).await.unwrap(), 0);
    assert_eq!(store.open_batches().await.unwrap(), []);
}

pub(crate) async fn a_commit_that_expects_another_offset_writes_nothing<S>(store: S)
where
    S: EngineStore + PageStore + StreamStore,
{
    let stream = Stream::new(store).await;
    let run = |number| new_run(stream.scene.run(number), stream.trigger, 10, 14);
    let first = stream.commit(vec![cut(0, 10, 14)], vec![run(1)]);
    assert_eq!(stream.write(first.clone()).await.unwrap(), Committed::Done);
    // Twice is refused, as is one whose second cut does not fit, or one of an unknown partition.
    let second = stream.commit(vec![cut(0, 10, 14)], vec![run(2)]);
    let half = stream.commit(vec![cut(1, 10, 12), cut(0, 10, 14)], vec![run(2)]);
    let strange = stream.commit(vec![cut(7, 10, 14)], vec![run(2)]);
    for wrong in [first, second, half, strange] {
        assert_eq!(stream.write(wrong).await.unwrap(), Committed::Fenced);
    }
    assert_eq!(stream.offsets().await, [14, 10]);
    assert!(
        stream
            .scene
            .store
            .run_by_no(RunNo(2))
            .await
            .unwrap()
            .is_none()
    );
    // A run with the same cause is refused by its own key, and the cursor stays with it.
    let same_cause = stream.commit(vec![cut(0, 14, 15)], vec![run(2)]);
    assert!(stream.write(same_cause).await.is_err());
    assert_eq!(stream.offsets().await, [14, 10]);
    // An earlier scheduler writes nothing.
    let stale = stream.commit(vec![cut(0, 14, 15)], Vec::new());
    let store = &stream.scene.store;
    store.take_term("another", Ts(70)).await.unwrap();
    let lost = stream.write(stale).await;
    assert!(matches!(lost, Err(StoreError::TermLost)), "{lost:?}");
    let begun = store
        .begin_cursors(stream.scene.term, &[cursor(stream.trigger, 5, 0)])
        .await;
    assert!(matches!(begun, Err(StoreError::TermLost)), "{begun:?}");
    assert_eq!(stream.offsets().await, [14, 10]);
}

pub(crate) async fn a_paused_stream_takes_nothing<S>(store: S)
where
    S: EngineStore + PageStore + StreamStore,
{
    let stream = Stream::new(store).await;
    let store = &stream.scene.store;
    let commit = |end| stream.commit(vec![cut(0, 10, end)], Vec::new());
    let pause_dag = async |is_paused| {
        let patch = DagPatch {
            dag: stream.scene.dag(),
            is_paused,
            schedule_high: None,
            next_run: None,
        };
        let pass = Pass {
            dags: vec![patch],
            ..stream.scene.pass()
        };
        store.commit_pass(&pass).await.unwrap();
    };
    pause_dag(true).await;
    assert_eq!(stream.write(commit(11)).await.unwrap(), Committed::Paused);
    pause_dag(false).await;
    store.pause_trigger(stream.trigger, true).await.unwrap();
    assert!(store.triggers().await.unwrap()[0].is_paused);
    assert_eq!(stream.write(commit(11)).await.unwrap(), Committed::Paused);
    assert_eq!(stream.offsets().await, [10, 10]);
    store.pause_trigger(stream.trigger, false).await.unwrap();
    assert_eq!(stream.write(commit(11)).await.unwrap(), Committed::Done);
}

pub(crate) async fn a_cursor_begins_once_and_is_sought_by_wish<S>(store: S)
where
    S: EngineStore + PageStore + StreamStore,
{
    let stream = Stream::new(store).await;
    let store = &stream.scene.store;
    let (term, trigger) = (stream.scene.term, stream.trigger);
    let late = [cursor(trigger, 0, 99), cursor(trigger, 2, 3)];
    store.begin_cursors(term, &late).await.unwrap();
    assert_eq!(stream.offsets().await, [10, 10, 3]);
    // A replay reads by cursors of its own.
    let of_replay = Cursor {
        replay: 1,
        end_offset: Some(20),
        ..cursor(trigger, 0, 5)
    };
    store
        .begin_cursors(term, std::slice::from_ref(&of_replay))
        .await
        .unwrap();
    assert_eq!(store.cursors(trigger, 1).await.unwrap(), [of_replay]);
    let halt = Cut {
        halted: Some("the topic is gone".to_string()),
        ..cut(0, 10, 10)
    };
    let halting = stream.commit(vec![halt], Vec::new());
    assert_eq!(stream.write(halting).await.unwrap(), Committed::Done);
    let cursors = store.cursors(trigger, LIVE).await.unwrap();
    assert_eq!(cursors[0].halted.as_deref(), Some("the topic is gone"));
    let wrong = store
        .seek(term, trigger, LIVE, &[cut(0, 9, 4)], Ts(12))
        .await;
    assert_eq!(wrong.unwrap(), Committed::Fenced);
    let cuts = [cut(0, 10, 4), cut(1, 10, 30)];
    let right = store.seek(term, trigger, LIVE, &cuts, Ts(12)).await;
    assert_eq!(right.unwrap(), Committed::Done);
    assert_eq!(stream.offsets().await, [4, 30, 3]);
    let cursors = store.cursors(trigger, LIVE).await.unwrap();
    assert_eq!((&cursors[0].halted, cursors[0].generation), (&None, 1));
}

pub(crate) async fn keys_are_remembered_until_they_expire<S>(store: S)
where
    S: EngineStore + PageStore + StreamStore,
{
    let stream = Stream::new(store).await;
    let seen = |byte: u8, offset: i64, expires_at: i64| SeenKey {
        hash: [byte; 32],
        partition: partition(0),
        offset,
        expires_at: Ts(expires_at),
    };
    let commit = StreamCommit {
        seen: vec![seen(1, 10, 100), seen(2, 11, 50)],
        ..stream.commit(vec![cut(0, 10, 12)], Vec::new())
    };
    assert_eq!(stream.write(commit).await.unwrap(), Committed::Done);
    let (store, trigger) = (&stream.scene.store, stream.trigger);
    let asked = [[1; 32], [2; 32], [3; 32]];
    let mut known = store.seen(trigger, &asked, Ts(20)).await.unwrap();
    known.sort_by_key(|key| key.hash);
    assert_eq!(known, [seen(1, 10, 100), seen(2, 11, 50)]);
    let later = store.seen(trigger, &asked, Ts(50)).await.unwrap();
    assert_eq!(later, [seen(1, 10, 100)]);
    assert_eq!(store.seen(TriggerNo(99), &asked, Ts(20)).await.unwrap(), []);
}

pub(crate) async fn poison_is_kept_until_it_is_dropped<S>(store: S)
where
    S: EngineStore + PageStore + StreamStore,
{
    let stream = Stream::new(store).await;
    let poison = |offset: i64| NewPoison {
        partition: partition(0),
        offset,
        timestamp: Some(Ts(3)),
        class: "decode".to_string(),
        message: "its value is not JSON".to_string(),
        key: None,
        value: Some(vec![0, 255]),
        headers: json!([["a", "1"], ["a", null]]),
    };
    let commit = StreamCommit {
        poison: vec![poison(10), poison(11)],
        ..stream.commit(vec![cut(0, 10, 12)], Vec::new())
    };
    assert_eq!(stream.write(commit).await.unwrap(), Committed::Done);
    let (store, trigger) = (&stream.scene.store, stream.trigger);
    let held = store.quarantine(trigger, 9).await.unwrap();
    let offsets: Vec<i64> = held.iter().map(|one| one.offset).collect();
    assert_eq!(offsets, [11, 10]);
    let (newest, oldest) = (&held[0], &held[1]);
    assert_eq!(
        (&newest.value, &newest.headers),
        (&poison(11).value, &poison(11).headers)
    );
    assert_eq!((newest.timestamp, newest.created_at), (Some(Ts(3)), Ts(8)));
    let unsent = store.unsent_poison(trigger, 1).await.unwrap();
    assert_eq!(unsent, std::slice::from_ref(oldest));
    store.mark_sent(&[oldest.poison], Ts(20)).await.unwrap();
    let unsent = store.unsent_poison(trigger, 9).await.unwrap();
    assert_eq!(unsent, std::slice::from_ref(newest));
    let other = TriggerNo(trigger.0 + 1);
    assert!(!store.drop_poison(other, newest.poison).await.unwrap());
    assert!(store.drop_poison(trigger, newest.poison).await.unwrap());
    assert!(!store.drop_poison(trigger, newest.poison).await.unwrap());
    let held = store.quarantine(trigger, 9).await.unwrap();
    assert_eq!((held.len(), held[0].sent_at), (1, Some(Ts(20))));
}

pub(crate) async fn a_span_is_fixed_once_and_a_success_moves_the_position<S>(store: S)
where
    S: EngineStore + PageStore + SpanStore,
{
    let scene = Scene::new(store).await;
    let store = &scene.store;
    let runs = (1..=3).map(|run| RunRow {
        state: RunState::Success,
        ended_at: Some(Ts(run)),
        ..scene.run(run)
    });
    scene.make_runs(runs.collect()).await;
    let of = |run: i64| SpanOf {
        run: RunNo(run),
        task_no: scene.kept.task_nos[0],
        map_index: tidemill_model::MapIndex::NONE,
    };
    let span = |of: i32, first: i64, end: Option<i64>| Span {
        partition: partition(of),
        first,
        end,
    };
    assert_eq!(store.spans(of(1)).await.unwrap(), []);
    let first = vec![span(0, 5, Some(9)), span(1, 0, None)];
    assert_eq!(store.fix_spans(of(1), &first).await.unwrap(), first);
    // What is fixed stays; what is new is added.
    let other = [span(0, 7, Some(8)), span(2, 1, Some(2))];
    let all = [first.clone(), vec![span(2, 1, Some(2))]].concat();
    assert_eq!(store.fix_spans(of(1), &other).await.unwrap(), all);
    assert_eq!(store.spans(of(1)).await.unwrap(), all);
    assert_eq!(store.spans(of(2)).await.unwrap(), []);
    store
        .fix_spans(of(2), &[span(0, 9, Some(20))])
        .await
        .unwrap();
    let end = |run: i64, state| Pass {
        tasks: vec![TaskRow {
            state,
            ..task_row(RunNo(run), scene.kept.task_nos[0])
        }],
        ..scene.pass()
    };
    use tidemill_model::TaskState;
    store
        .commit_pass(&end(1, TaskState::Running))
        .await
        .unwrap();
    assert_eq!(store.read_up_to(of(3)).await.unwrap(), []);
    store
        .commit_pass(&end(1, TaskState::Success))
        .await
        .unwrap();
    store.commit_pass(&end(2, TaskState::Failed)).await.unwrap();
    let read = [(partition(0), 9), (partition(2), 2)];
    assert_eq!(store.read_up_to(of(3)).await.unwrap(), read);
    // It outlives its run.
    let gone = store.forget_runs(&[RunNo(1), RunNo(2)], 100).await.unwrap();
    assert_eq!(gone.gone.len(), 2);
    assert_eq!(store.spans(of(1)).await.unwrap(), []);
    assert_eq!(store.read_up_to(of(3)).await.unwrap(), read);
}
